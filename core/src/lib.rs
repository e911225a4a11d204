//! The door to Python: this file alone mentions PyO3. It converts arguments, releases the GIL and calls plain Rust.

pub mod digest;
pub mod glove;
pub mod matrix;
pub mod random;
pub mod simd;
pub mod skipgram;
pub mod text;
pub mod vectors;

#[cfg(feature = "python")]
mod door {
    use crate::glove::counts::Counter;
    use crate::glove::train;
    use crate::simd::Level;
    use crate::skipgram;
    use crate::text::reader::{self, Ids, Settings};
    use crate::text::tokens::{Rules, Sentences, Tokens};
    use crate::vectors;
    use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2};
    use pyo3::buffer::PyBuffer;
    use pyo3::exceptions::{PyOSError, PyRuntimeError, PyUnicodeError, PyValueError};
    use pyo3::prelude::*;
    use pyo3::pybacked::PyBackedStr;
    use pyo3::types::{PyBytes, PyDict, PyList, PyString};
    use std::os::fd::IntoRawFd;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    /// A digest of contiguous buffers one after the other, as 32 hexadecimal digits.
    #[pyfunction]
    fn digest(py: Python<'_>, buffers: Vec<PyBuffer<u8>>) -> PyResult<String> {
        if !buffers.iter().all(|buffer| buffer.is_c_contiguous()) {
            return Err(PyValueError::new_err("buffers must be contiguous"));
        }
        // SAFETY: each is contiguous, and alive until this call ends; the caller does not write meanwhile.
        let slices: Vec<&[u8]> = buffers
            .iter()
            .filter(|buffer| buffer.len_bytes() > 0)
            .map(|buffer| unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes()) })
            .collect();
        Ok(py.detach(|| crate::digest::digest(&slices)))
    }

    /// Name of the instruction set that kernels use on this machine.
    #[pyfunction]
    fn simd_level() -> PyResult<&'static str> {
        Level::chosen().map(Level::name).map_err(PyValueError::new_err)
    }

    /// A skip-gram model in training; firth/learn/word2vec.py checks the arguments.
    #[pyclass]
    struct SkipGram {
        model: skipgram::SkipGram,
    }

    #[pymethods]
    impl SkipGram {
        #[new]
        #[allow(clippy::too_many_arguments)]
        fn new(
            counts: PyReadonlyArray1<'_, u64>,
            dim: usize,
            window: usize,
            negatives: usize,
            sample: f64,
            alpha: f32,
            epochs: usize,
            seed: u64,
            threads: usize,
        ) -> PyResult<Self> {
            let options = skipgram::Options { dim, window, negatives, sample, alpha, epochs, seed, threads };
            let level = Level::chosen().map_err(PyValueError::new_err)?;
            Ok(Self { model: skipgram::SkipGram::new(counts.as_slice()?, options, level)? })
        }

        /// Chunks in an epoch over so many ids.
        #[staticmethod]
        fn chunks(ids: usize) -> u64 {
            skipgram::SkipGram::chunks(ids)
        }

        /// Train on chunks from..to: words, pairs, flops, loss, loss_pairs.
        fn run(
            &mut self,
            py: Python<'_>,
            ids: PyReadonlyArray1<'_, u32>,
            from: u64,
            to: u64,
        ) -> PyResult<(u64, u64, u64, f64, u64)> {
            let (ids, model) = (ids.as_slice()?, &mut self.model);
            let done = py.detach(|| model.run(ids, from, to));
            Ok((done.words, done.pairs, done.flops, done.loss, done.loss_pairs))
        }

        /// Copy the word vectors, or the context vectors, into `out` (v, dim).
        fn copy_to(&self, py: Python<'_>, mut out: PyReadwriteArray2<'_, f32>, context: bool) -> PyResult<()> {
            let matrix = if context { self.model.context() } else { self.model.vectors() };
            let width = out.as_array().ncols();
            let out = out.as_slice_mut()?;
            py.detach(|| {
                for (row, to) in out.chunks_exact_mut(width).enumerate() {
                    to.copy_from_slice(&matrix.read(row)[..width]);
                }
            });
            Ok(())
        }
    }

    /// Counts how often words meet; firth/learn/glove.py checks the arguments.
    #[pyclass]
    struct Cooccurrences {
        counter: Option<Counter>,
    }

    #[pymethods]
    impl Cooccurrences {
        #[new]
        fn new(
            counts: PyReadonlyArray1<'_, u64>,
            ids: usize,
            window: usize,
            threads: usize,
            memory: usize,
        ) -> PyResult<Self> {
            Ok(Self { counter: Some(Counter::new(counts.as_slice()?, ids, window, threads, memory)?) })
        }

        /// Count for about so many seconds more; returns how much is done, 0 to 1.
        fn run(&mut self, py: Python<'_>, ids: PyReadonlyArray1<'_, u32>, seconds: f64) -> PyResult<f64> {
            let counter = self.counter.as_mut().ok_or_else(|| PyRuntimeError::new_err("the counts were taken"))?;
            let ids = ids.as_slice()?;
            py.detach(|| counter.run(ids, after(seconds)))?;
            Ok(counter.progress())
        }
    }

    /// A GloVe model in training; it takes the counts.
    #[pyclass]
    struct GloVe {
        model: train::GloVe,
    }

    #[pymethods]
    impl GloVe {
        #[new]
        #[allow(clippy::too_many_arguments)]
        fn new(
            py: Python<'_>,
            counts: &mut Cooccurrences,
            dim: usize,
            x_max: f32,
            alpha: f32,
            rate: f32,
            epochs: usize,
            seed: u64,
            threads: usize,
        ) -> PyResult<Self> {
            let counter = counts.counter.take().ok_or_else(|| PyRuntimeError::new_err("the counts were taken"))?;
            let options = train::Options { dim, x_max, alpha, rate, epochs, seed, threads };
            let level = Level::chosen().map_err(PyValueError::new_err)?;
            let model = py.detach(|| train::GloVe::new(counter.finish()?, options, level))?;
            Ok(Self { model })
        }

        /// Pairs of an epoch, each way.
        fn pairs(&self) -> u64 {
            self.model.pairs()
        }

        /// Train for about so many seconds more: pairs, their loss, that of vectors of zeros on them, and epochs done.
        fn run(&mut self, py: Python<'_>, seconds: f64) -> (u64, f64, f64, usize) {
            let model = &mut self.model;
            let done = py.detach(|| model.run(after(seconds)));
            (done.pairs, done.loss, done.zero_loss, model.epoch())
        }

        /// Copy the words' vectors, the sums of the two they have, into `out` (v, dim).
        fn copy_to(&self, py: Python<'_>, mut out: PyReadwriteArray2<'_, f32>) -> PyResult<()> {
            let (width, model) = (out.as_array().ncols(), &self.model);
            let out = out.as_slice_mut()?;
            py.detach(|| out.chunks_exact_mut(width).enumerate().for_each(|(row, to)| model.copy_row(row, to)));
            Ok(())
        }
    }

    fn after(seconds: f64) -> Instant {
        Instant::now() + Duration::from_secs_f64(seconds)
    }

    /// Reads text; firth/text.py checks the arguments and says what errors mean. A UnicodeError has the offset and the byte.
    #[pyclass]
    struct TextReader {
        reader: Option<reader::Reader>,
    }

    impl TextReader {
        fn reader(&mut self) -> PyResult<&mut reader::Reader> {
            self.reader.as_mut().ok_or_else(|| PyRuntimeError::new_err("the reader has finished"))
        }
    }

    fn text_error(error: reader::Error) -> PyErr {
        match error {
            reader::Error::NotUtf8(found) => PyUnicodeError::new_err((found.offset, found.byte)),
            reader::Error::Io(error) => match error.raw_os_error() {
                Some(code) => PyOSError::new_err((code, error.to_string())),
                None => PyOSError::new_err(error.to_string()),
            },
        }
    }

    #[pymethods]
    impl TextReader {
        #[new]
        fn new(
            words: bool,
            paragraphs: bool,
            replace: bool,
            threads: usize,
            block: usize,
            spill: usize,
        ) -> PyResult<Self> {
            let rules = Rules {
                tokens: if words { Tokens::Words } else { Tokens::Whitespace },
                sentences: if paragraphs { Sentences::Paragraph } else { Sentences::Line },
                replace,
            };
            let reader = reader::Reader::new(Settings { rules, threads, block, spill });
            Ok(Self { reader: Some(reader.map_err(PyRuntimeError::new_err)?) })
        }

        /// Begin a file; returns its size.
        fn open(&mut self, path: PathBuf) -> PyResult<u64> {
            self.reader()?.open(&path).map_err(text_error)
        }

        /// Read about so many bytes more of it; returns where reading stands, None at its end.
        fn read(&mut self, py: Python<'_>, bytes: usize) -> PyResult<Option<u64>> {
            let reader = self.reader()?;
            py.detach(|| reader.read(bytes)).map_err(text_error)
        }

        /// Take a piece of a stream.
        fn feed(&mut self, py: Python<'_>, piece: &[u8]) -> PyResult<()> {
            let reader = self.reader()?;
            py.detach(|| reader.feed(piece)).map_err(text_error)
        }

        /// The stream is at its end.
        fn end_source(&mut self, py: Python<'_>) -> PyResult<()> {
            let reader = self.reader()?;
            py.detach(|| reader.end_source()).map_err(text_error)
        }

        /// Tokens so far.
        fn tokens(&mut self) -> PyResult<u64> {
            Ok(self.reader()?.tokens())
        }

        /// The corpus as a dict; `ids` is an array, or (descriptor of an unlinked file, length).
        fn finish<'py>(&mut self, py: Python<'py>, min_count: u64, max_vocab: usize) -> PyResult<Bound<'py, PyDict>> {
            self.reader()?;
            let reader = self.reader.take().expect("checked above");
            let corpus = py.detach(|| reader.finish(min_count, max_vocab)).map_err(text_error)?;
            let dict = PyDict::new(py);
            dict.set_item("labels", corpus.labels)?;
            dict.set_item("counts", PyArray1::from_vec(py, corpus.counts))?;
            match corpus.ids {
                Ids::Memory(ids) => dict.set_item("ids", PyArray1::from_vec(py, ids))?,
                Ids::File { file, length } => dict.set_item("ids", (file.into_raw_fd(), length))?,
            }
            dict.set_item("tokens", corpus.tokens)?;
            dict.set_item("kept_tokens", corpus.kept_tokens)?;
            dict.set_item("sentences", corpus.sentences)?;
            dict.set_item("distinct", corpus.distinct)?;
            dict.set_item("highest", corpus.highest)?;
            dict.set_item("digest", format!("{:032x}", corpus.digest))?;
            Ok(dict)
        }
    }

    /// Row and message of the first malformed row.
    type Fault = Option<(usize, String)>;

    /// Bytes and lines of a block of text up to the end of its last whole line.
    #[pyfunction]
    fn whole_lines(block: PyReadonlyArray1<'_, u8>, last: bool) -> PyResult<(usize, usize)> {
        Ok(vectors::whole_lines(block.as_slice()?, last))
    }

    /// How many of a line's last fields are numbers.
    #[pyfunction]
    fn trailing_numbers(line: &[u8]) -> usize {
        vectors::trailing_numbers(line)
    }

    /// Parse lines of `label number...` into `out`: the labels, or the row and message of the first fault.
    #[pyfunction]
    fn parse_text<'py>(
        py: Python<'py>,
        block: PyReadonlyArray1<'py, u8>,
        strict: bool,
        mut out: PyReadwriteArray2<'py, f32>,
    ) -> PyResult<(Bound<'py, PyList>, Fault)> {
        let (block, width) = (block.as_slice()?, out.as_array().ncols());
        let out = out.as_slice_mut()?;
        match py.detach(|| vectors::parse_text(block, width, strict, out)) {
            Ok(spans) => Ok((labels(py, block, &spans)?, None)),
            Err(fault) => Ok((PyList::empty(py), Some((fault.row, fault.message)))),
        }
    }

    /// Copy word2vec's binary rows into `out`: bytes used, labels, and the row and message of the first fault.
    #[pyfunction]
    fn parse_binary<'py>(
        py: Python<'py>,
        block: PyReadonlyArray1<'py, u8>,
        strict: bool,
        mut out: PyReadwriteArray2<'py, f32>,
    ) -> PyResult<(usize, Bound<'py, PyList>, Fault)> {
        let (block, width) = (block.as_slice()?, out.as_array().ncols());
        let out = out.as_slice_mut()?;
        match py.detach(|| vectors::parse_binary(block, width, strict, out)) {
            Ok((used, spans)) => Ok((used, labels(py, block, &spans)?, None)),
            Err(fault) => Ok((0, PyList::empty(py), Some((fault.row, fault.message)))),
        }
    }

    fn labels<'py>(py: Python<'py>, block: &[u8], spans: &[vectors::Span]) -> PyResult<Bound<'py, PyList>> {
        let text = |span: &vectors::Span| String::from_utf8_lossy(&block[span.clone()]); // checked before, if strict
        PyList::new(py, spans.iter().map(|span| PyString::new(py, &text(span))))
    }

    /// Print rows as lines of `label number...`.
    #[pyfunction]
    fn format_text<'py>(
        py: Python<'py>,
        labels: Vec<PyBackedStr>,
        rows: PyReadonlyArray2<'py, f32>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let width = rows.as_array().ncols();
        let rows = rows.as_slice()?;
        let text = py.detach(|| vectors::format_text(&labels, rows, width));
        Ok(PyBytes::new(py, &text))
    }

    #[pymodule]
    fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add_function(wrap_pyfunction!(digest, module)?)?;
        module.add_function(wrap_pyfunction!(simd_level, module)?)?;
        module.add_class::<SkipGram>()?;
        module.add_class::<Cooccurrences>()?;
        module.add_class::<GloVe>()?;
        module.add_class::<TextReader>()?;
        module.add_function(wrap_pyfunction!(whole_lines, module)?)?;
        module.add_function(wrap_pyfunction!(trailing_numbers, module)?)?;
        module.add_function(wrap_pyfunction!(parse_text, module)?)?;
        module.add_function(wrap_pyfunction!(parse_binary, module)?)?;
        module.add_function(wrap_pyfunction!(format_text, module)?)?;
        Ok(())
    }
}
