//! The door to Python: this file alone mentions PyO3. It converts arguments, releases the GIL and calls plain Rust.

pub mod digest;
pub mod glove;
pub mod maps;
pub mod matrix;
pub mod peak;
pub mod product;
pub mod random;
pub mod search;
pub mod simd;
pub mod text;
pub mod vectors;
pub mod word2vec;

#[cfg(feature = "python")]
mod door {
    use crate::glove::counts::Counter;
    use crate::glove::train;
    use crate::maps::sparse::Sparse;
    use crate::maps::{fuzzy, perplexity, spectral, tsne, umap};
    use crate::product::Shape;
    use crate::search::{self, Codes, Goal, Head, Metric, Own, Queries};
    use crate::simd::Level;
    use crate::text::lists::{self, Collected, Kind, Rows};
    use crate::text::reader::{self, Settings};
    use crate::text::store::{Ids, Renumber};
    use crate::text::tokens::{Rules, Sentences, Tokens};
    use crate::text::vocabulary;
    use crate::vectors;
    use crate::word2vec::{self, Method};
    use numpy::{Element, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2};
    use pyo3::buffer::PyBuffer;
    use pyo3::exceptions::{PyLookupError, PyOSError, PyRuntimeError, PyUnicodeError, PyValueError};
    use pyo3::ffi;
    use pyo3::prelude::*;
    use pyo3::pybacked::PyBackedStr;
    use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
    use std::cell::Cell;
    use std::os::fd::IntoRawFd;
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};
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

    /// Floating-point operations a second that this machine reaches at most, measured with so many threads for 0.2 s.
    #[pyfunction]
    fn peak_flops(py: Python<'_>, threads: usize) -> PyResult<f64> {
        let level = Level::chosen().map_err(PyValueError::new_err)?;
        Ok(py.detach(|| crate::peak::peak_flops(level, threads, Duration::from_millis(200))))
    }

    /// Products and sums of codes of eight bits a second that this machine reaches at most, measured likewise; without its matrix
    /// unit, if so asked.
    #[pyfunction]
    #[pyo3(signature = (threads, by_matrix = true))]
    fn peak_int8_ops(py: Python<'_>, threads: usize, by_matrix: bool) -> PyResult<f64> {
        let level = Level::chosen().map_err(PyValueError::new_err)?;
        Ok(py.detach(|| crate::peak::peak_int8_ops(level, threads, Duration::from_millis(200), by_matrix)))
    }

    /// Bytes a second that so many threads read from memory at once, each so many of its own, measured likewise.
    #[pyfunction]
    fn read_rate(py: Python<'_>, bytes: usize, threads: usize) -> f64 {
        py.detach(|| crate::peak::read_rate(bytes, threads, Duration::from_millis(200)))
    }

    /// By which instructions codes of eight bits are multiplied, and numbers of bfloat16: "amx", "avx512_bf16" or, widened,
    /// those of float32.
    #[pyfunction]
    fn product_instructions() -> PyResult<(&'static str, &'static str)> {
        let level = Level::chosen().map_err(PyValueError::new_err)?;
        Ok(crate::product::instructions(level))
    }

    /// out (n, m) = a (n, d) x b (d, m), codes of eight bits.
    #[pyfunction]
    fn int8_product(
        py: Python<'_>,
        a: PyReadonlyArray2<'_, i8>,
        b: PyReadonlyArray2<'_, i8>,
        out: PyReadwriteArray2<'_, i32>,
        threads: usize,
    ) -> PyResult<()> {
        product(py, &a, &b, out, threads, crate::product::int8)
    }

    /// The same of bfloat16, given by their bits.
    #[pyfunction]
    fn bfloat16_product(
        py: Python<'_>,
        a: PyReadonlyArray2<'_, u16>,
        b: PyReadonlyArray2<'_, u16>,
        out: PyReadwriteArray2<'_, f32>,
        threads: usize,
    ) -> PyResult<()> {
        product(py, &a, &b, out, threads, crate::product::bfloat16)
    }

    fn product<T: Element + Sync, U: Element + Send>(
        py: Python<'_>,
        a: &PyReadonlyArray2<'_, T>,
        b: &PyReadonlyArray2<'_, T>,
        mut out: PyReadwriteArray2<'_, U>,
        threads: usize,
        multiply: impl Fn(&[T], &[T], Shape, &mut [U], usize, Level) + Sync + Send,
    ) -> PyResult<()> {
        let level = Level::chosen().map_err(PyValueError::new_err)?;
        let shape = product_shape(a.as_array().dim(), b.as_array().dim(), out.as_array().dim())?;
        let (a, b, out) = (a.as_slice()?, b.as_slice()?, out.as_slice_mut()?);
        py.detach(|| multiply(a, b, shape, out, threads, level));
        Ok(())
    }

    fn product_shape(a: (usize, usize), b: (usize, usize), out: (usize, usize)) -> PyResult<Shape> {
        match (a, b) {
            ((n, d), (rows, m)) if d == rows && out == (n, m) && d <= 1 << 16 => Ok(Shape { n, d, m }),
            _ => Err(PyValueError::new_err("shapes do not agree, or d is above 65,536")),
        }
    }

    /// Whether all numbers are finite.
    #[pyfunction]
    fn all_finite(py: Python<'_>, vectors: PyReadonlyArray2<'_, f32>, threads: usize) -> PyResult<bool> {
        let numbers = vectors.as_slice()?;
        Ok(py.detach(|| search::all_finite(numbers, threads)))
    }

    /// Keys to be searched, finite, kept alive; firth/search.py checks the arguments.
    #[pyclass(frozen)]
    struct Index {
        vectors: Py<PyArray2<f32>>,
        codes: Mutex<Option<Arc<Codes>>>,
        totals: search::Totals,
        level: Level,
    }

    /// What a search is asked beside its queries and keys.
    struct Wanted {
        metric: Metric,
        goal: Goal,
        own: Own<'static>,
        threads: usize,
    }

    fn metric(name: &str) -> PyResult<Metric> {
        match name {
            "dot" => Ok(Metric::Dot),
            "cosine" => Ok(Metric::Cosine),
            "scaled" => Ok(Metric::Scaled),
            "euclidean" => Ok(Metric::Euclidean),
            _ => Err(PyValueError::new_err(format!("no such metric: {name}"))),
        }
    }

    impl Index {
        fn codes(&self) -> Option<Arc<Codes>> {
            self.codes.lock().expect("no thread panics while it holds this").clone()
        }

        fn answers(
            &self,
            py: Python<'_>,
            queries: &Bound<'_, PyAny>,
            allowed: Option<PyReadonlyArray1<'_, bool>>,
            wanted: Wanted,
        ) -> PyResult<search::Found> {
            let vectors = self.vectors.bind(py).try_readonly()?;
            let d = vectors.as_array().ncols();
            let (narrow, wide);
            let queries = if let Ok(array) = queries.cast::<PyArray2<f32>>() {
                narrow = array.try_readonly()?;
                Queries::F32(narrow.as_slice()?)
            } else {
                wide = queries.cast::<PyArray2<f64>>()?.try_readonly()?;
                Queries::F64(wide.as_slice()?)
            };
            let allowed = allowed.as_ref().map(|allowed| allowed.as_slice()).transpose()?;
            let codes = self.codes();
            let keys = search::Keys { vectors: vectors.as_slice()?, d, codes: codes.as_deref() };
            let Wanted { metric, goal, own, threads } = wanted;
            let request = search::Request { queries, metric, goal, allowed, own, threads, level: self.level };
            interruptible(py, |stop| search::search(&keys, &request, &self.totals, stop))
        }
    }

    #[pymethods]
    impl Index {
        #[new]
        fn new(vectors: PyReadonlyArray2<'_, f32>) -> PyResult<Self> {
            let level = Level::chosen().map_err(PyValueError::new_err)?;
            vectors.as_slice()?; // contiguous, or an error
            let vectors = (*vectors).clone().unbind();
            Ok(Self { vectors, codes: Mutex::new(None), totals: search::Totals::default(), level })
        }

        /// Get ready for many queries: by codes of the keys, or of their coordinates along orthonormal directions (m, d).
        #[pyo3(signature = (threads, directions=None))]
        fn build(&self, py: Python<'_>, threads: usize, directions: Option<PyReadonlyArray2<'_, f64>>) -> PyResult<()> {
            if directions.is_none() && self.codes().is_some() {
                return Ok(());
            }
            let vectors = self.vectors.bind(py).try_readonly()?;
            let (numbers, d) = (vectors.as_slice()?, vectors.as_array().ncols());
            let basis = directions.map(|directions| basis(&directions, d, &[])).transpose()?;
            let codes = py.detach(|| Codes::new(numbers, d, basis, Vec::new(), threads, self.level))?;
            *self.codes.lock().expect("no thread panics while it holds this") = Some(Arc::new(codes));
            Ok(())
        }

        /// The k best keys of each query, (q, k): scores and rows.
        #[pyo3(signature = (queries, k, metric_name, threads, allowed=None, /))]
        #[allow(clippy::type_complexity)]
        fn top_k<'py>(
            &self,
            py: Python<'py>,
            queries: &Bound<'py, PyAny>,
            k: usize,
            metric_name: &str,
            threads: usize,
            allowed: Option<PyReadonlyArray1<'py, bool>>,
        ) -> PyResult<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<i64>>)> {
            let wanted = Wanted { metric: metric(metric_name)?, goal: Goal::Best(k), own: Own::No, threads };
            let found = self.answers(py, queries, allowed, wanted)?;
            let (scores, rows) = split(py, &found);
            Ok((scores.reshape([found.len(), k])?, rows.reshape([found.len(), k])?))
        }

        /// The keys that score at least so much with each query: where each query's end, scores and rows. With `own`, rows
        /// up to the query's own are left out.
        #[pyo3(signature = (queries, score, metric_name, threads, allowed=None, own=None, /))]
        #[allow(clippy::too_many_arguments, clippy::type_complexity)]
        fn within<'py>(
            &self,
            py: Python<'py>,
            queries: &Bound<'py, PyAny>,
            score: f64,
            metric_name: &str,
            threads: usize,
            allowed: Option<PyReadonlyArray1<'py, bool>>,
            own: Option<usize>,
        ) -> PyResult<(Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i64>>)> {
            let own = own.map_or(Own::No, Own::Later);
            let wanted = Wanted { metric: metric(metric_name)?, goal: Goal::AtLeast(score), own, threads };
            let found = self.answers(py, queries, allowed, wanted)?;
            let ends = found.iter().scan(0, |end, hits| {
                *end += hits.len() as i64;
                Some(*end)
            });
            let ends = PyArray1::from_iter(py, ends);
            let (scores, rows) = split(py, &found);
            Ok((ends, scores, rows))
        }

        /// Sums over all searches: scanned, candidates, rescored.
        fn statistics(&self) -> (u64, u64, u64) {
            let did = self.totals.read();
            (did.scanned, did.candidates, did.rescored)
        }

        /// What the codes take; 0 if there are none.
        fn code_bytes(&self) -> usize {
            self.codes().map_or(0, |codes| codes.bytes())
        }
    }

    /// An order of rows in which like stands by like, by finite coordinates (n, m): (n,).
    #[pyfunction]
    fn by_likeness<'py>(
        py: Python<'py>,
        coordinates: PyReadonlyArray2<'_, f32>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let (m, coordinates) = (coordinates.as_array().ncols().max(1), coordinates.as_slice()?);
        Ok(PyArray1::from_vec(py, py.detach(|| search::by_likeness(coordinates, m, threads))))
    }

    /// The k nearest neighbours of every key of an index, while they are looked for.
    #[pyclass]
    struct Graph {
        index: Py<Index>,
        graph: Option<search::Graph>,
    }

    #[pymethods]
    impl Graph {
        /// From the index's codes; or, given an order of rows in which like stand by like, from codes of its own in that order: of
        /// all numbers, or of coordinates along directions (m, d), of which the first tell most: parts of `head`, the first and all
        /// of it or only that, each as (m, shift), count 2^shift as much.
        #[new]
        #[pyo3(signature = (index, k, metric_name, threads, order=None, directions=None, head=Vec::new()))]
        #[allow(clippy::too_many_arguments)]
        fn new(
            py: Python<'_>,
            index: Py<Index>,
            k: usize,
            metric_name: &str,
            threads: usize,
            order: Option<PyReadonlyArray1<'_, u32>>,
            directions: Option<PyReadonlyArray2<'_, f64>>,
            head: Vec<(usize, i32)>,
        ) -> PyResult<Self> {
            let held = index.clone_ref(py);
            let (vectors, level) = (held.get().vectors.bind(py).try_readonly()?, held.get().level);
            let (n, d) = vectors.as_array().dim();
            let codes = if let Some(order) = order {
                let (numbers, order) = (vectors.as_slice()?, order.as_slice()?.to_vec());
                let mut rows = order.clone();
                rows.sort_unstable();
                if !rows.into_iter().eq(0..n as u32) {
                    return Err(PyValueError::new_err("an order has each row once"));
                }
                let basis = directions.map(|directions| basis(&directions, d, &head)).transpose()?;
                Some(Arc::new(py.detach(|| Codes::new(numbers, d, basis, order, threads, level))?))
            } else {
                held.get().codes()
            };
            Ok(Self { graph: Some(search::Graph::new(metric(metric_name)?, k, n, codes)), index })
        }

        /// Go on for about so many pairs; returns the share of all that is done.
        fn step(&mut self, py: Python<'_>, pairs: usize, threads: usize) -> PyResult<f64> {
            let index = self.index.get();
            let vectors = index.vectors.bind(py).try_readonly()?;
            let vectors = vectors.as_slice()?;
            let graph = self.graph.as_mut().ok_or_else(|| PyValueError::new_err("the graph is finished"))?;
            interruptible(py, |stop| graph.step(vectors, pairs, threads, index.level, &index.totals, stop))
        }

        /// Scores and rows, (n, k) each.
        #[allow(clippy::type_complexity)]
        fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<i64>>)> {
            let graph = self.graph.take().ok_or_else(|| PyValueError::new_err("the graph is finished"))?;
            let found = graph.finish();
            let (scores, rows) = split(py, &found);
            let shape = [found.len(), found.first().map_or(0, Vec::len)];
            Ok((scores.reshape(shape)?, rows.reshape(shape)?))
        }
    }

    /// Directions (m, d), if they are that.
    fn basis(directions: &PyReadonlyArray2<'_, f64>, d: usize, head: &[(usize, i32)]) -> PyResult<search::Basis> {
        let [m, columns] = [0, 1].map(|axis| directions.as_array().shape()[axis]);
        if columns != d {
            return Err(PyValueError::new_err("directions need as many columns as the vectors"));
        }
        let head = match *head {
            [] => Head::default(),
            [(m, shift)] => Head { m, first: 0, shifts: [shift; 2] },
            [(first, larger), (m, shift), ..] => Head { m, first, shifts: [larger, shift] },
        };
        if !head.fits(m) {
            return Err(PyValueError::new_err(
                "a head has a multiple of four of the directions, its first part of eight, and count 2^4 at most, the first most",
            ));
        }
        search::Basis::new(directions.as_slice()?, d, head)
            .ok_or_else(|| PyValueError::new_err("directions are not orthonormal"))
    }

    /// Search without the interpreter's lock; a signal stops it, and is raised.
    fn interruptible<T: Send>(
        py: Python<'_>,
        search: impl FnOnce(&dyn Fn() -> bool) -> Option<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            let interrupted = Cell::new(None);
            let stop = || {
                let signal = Python::attach(|py| py.check_signals());
                signal.map_err(|error| interrupted.set(Some(error))).is_err()
            };
            search(&stop).ok_or_else(|| interrupted.take().expect("a search ends early only by a signal"))
        })
    }

    fn split<'py>(py: Python<'py>, found: &search::Found) -> (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i64>>) {
        let count = found.iter().map(Vec::len).sum();
        let (mut scores, mut rows) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for hit in found.iter().flatten() {
            scores.push(hit.score());
            rows.push(hit.row as i64);
        }
        (PyArray1::from_vec(py, scores), PyArray1::from_vec(py, rows))
    }

    /// A word2vec model in training; firth/learn/word2vec.py checks the arguments.
    #[pyclass]
    struct Word2Vec {
        model: word2vec::Model,
    }

    #[pymethods]
    impl Word2Vec {
        #[new]
        #[allow(clippy::too_many_arguments)]
        fn new(
            counts: PyReadonlyArray1<'_, u64>,
            cbow: bool,
            dim: usize,
            window: usize,
            negatives: usize,
            sample: f64,
            alpha: f32,
            epochs: usize,
            seed: u64,
            threads: usize,
        ) -> PyResult<Self> {
            let method = if cbow { Method::Cbow } else { Method::SkipGram };
            let options = word2vec::Options { method, dim, window, negatives, sample, alpha, epochs, seed, threads };
            let level = Level::chosen().map_err(PyValueError::new_err)?;
            Ok(Self { model: word2vec::Model::new(counts.as_slice()?, options, level)? })
        }

        /// Before training: set these rows of the word vectors and of the context vectors, (m, dim) each.
        fn load(
            &mut self,
            py: Python<'_>,
            rows: PyReadonlyArray1<'_, u32>,
            vectors: PyReadonlyArray2<'_, f32>,
            context: PyReadonlyArray2<'_, f32>,
        ) -> PyResult<()> {
            let (rows, vectors, context) = (rows.as_slice()?, vectors.as_slice()?, context.as_slice()?);
            py.detach(|| self.model.load(rows, vectors, context));
            Ok(())
        }

        /// Chunks in an epoch over so many ids.
        #[staticmethod]
        fn chunks(ids: usize) -> u64 {
            word2vec::Model::chunks(ids)
        }

        /// Train on chunks from..to: words, flops, loss, loss_pairs.
        fn run(
            &mut self,
            py: Python<'_>,
            ids: PyReadonlyArray1<'_, u32>,
            from: u64,
            to: u64,
        ) -> PyResult<(u64, u64, f64, u64)> {
            let (ids, model) = (ids.as_slice()?, &mut self.model);
            let done = py.detach(|| model.run(ids, from, to));
            Ok((done.words, done.flops, done.loss, done.loss_pairs))
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

    /// A symmetric weighted graph, from which maps are made; firth/maps checks the arguments.
    #[pyclass]
    struct Weights {
        graph: Arc<Sparse>,
        pool: Arc<rayon::ThreadPool>,
    }

    fn pool(threads: usize) -> PyResult<Arc<rayon::ThreadPool>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map(Arc::new).map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }

    impl Weights {
        fn walk(&self) -> PyResult<spectral::Walk<'_>> {
            Ok(spectral::Walk::new(&self.graph, Level::chosen().map_err(PyValueError::new_err)?))
        }
    }

    #[pymethods]
    impl Weights {
        /// UMAP's, of neighbours and their distances, (n, k); those below `least` of the largest are left out.
        #[staticmethod]
        fn fuzzy(
            py: Python<'_>,
            rows: PyReadonlyArray2<'_, u32>,
            distances: PyReadonlyArray2<'_, f32>,
            least: f32,
            threads: usize,
        ) -> PyResult<Self> {
            let k = rows.as_array().ncols();
            let (rows, distances, pool) = (rows.as_slice()?, distances.as_slice()?, pool(threads)?);
            let graph = py.detach(|| pool.install(|| fuzzy::graph(rows, distances, k, least)));
            Ok(Self { graph: Arc::new(graph), pool })
        }

        /// UMAP's of new points, of their neighbours (q, k) among others: not symmetric, and in the order given.
        #[staticmethod]
        fn placing(
            py: Python<'_>,
            rows: PyReadonlyArray2<'_, u32>,
            distances: PyReadonlyArray2<'_, f32>,
            threads: usize,
        ) -> PyResult<Self> {
            let (q, k) = rows.as_array().dim();
            let (columns, distances, pool) = (rows.as_slice()?.to_vec(), distances.as_slice()?, pool(threads)?);
            let mut weights = vec![0.0; columns.len()];
            py.detach(|| pool.install(|| fuzzy::strengths(distances, k, false, &mut weights)));
            let starts = (0..=q).map(|row| row * k).collect();
            Ok(Self { graph: Arc::new(Sparse { starts, columns, weights }), pool })
        }

        /// t-SNE's, of neighbours and their distances, (n, k).
        #[staticmethod]
        fn gaussian(
            py: Python<'_>,
            rows: PyReadonlyArray2<'_, u32>,
            distances: PyReadonlyArray2<'_, f64>,
            perplexity: f64,
            threads: usize,
        ) -> PyResult<Self> {
            let k = rows.as_array().ncols();
            let (rows, distances, pool) = (rows.as_slice()?, distances.as_slice()?, pool(threads)?);
            let graph = py.detach(|| pool.install(|| perplexity::graph(rows, distances, k, perplexity)));
            Ok(Self { graph: Arc::new(graph), pool })
        }

        /// Starts of the rows, columns and weights.
        #[allow(clippy::type_complexity)]
        fn arrays<'py>(
            &self,
            py: Python<'py>,
        ) -> (Bound<'py, PyArray1<usize>>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>) {
            let graph = &self.graph;
            let (starts, columns) = (PyArray1::from_slice(py, &graph.starts), PyArray1::from_slice(py, &graph.columns));
            (starts, columns, PyArray1::from_slice(py, &graph.weights))
        }

        /// Into how many parts the graph falls.
        fn components(&self, py: Python<'_>) -> usize {
            py.detach(|| self.graph.components())
        }

        /// sqrt(degree), (n,).
        fn degrees<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f32>>> {
            Ok(PyArray1::from_vec(py, self.walk()?.first()))
        }

        /// The normalised adjacency times x, (n, 8).
        fn times<'py>(&self, py: Python<'py>, x: PyReadonlyArray2<'py, f32>) -> PyResult<Bound<'py, PyArray2<f32>>> {
            let (x, walk) = (x.as_slice()?, self.walk()?);
            let out = py.detach(|| self.pool.install(|| walk.times(x)));
            PyArray1::from_vec(py, out).reshape([self.graph.len(), spectral::WIDTH])
        }

        /// x, (n, 8), with what belongs to eigenvalues above `cut` raised.
        fn filter<'py>(
            &self,
            py: Python<'py>,
            x: PyReadonlyArray2<'py, f32>,
            degree: usize,
            cut: f32,
        ) -> PyResult<Bound<'py, PyArray2<f32>>> {
            let (x, walk) = (x.as_slice()?, self.walk()?);
            let out = py.detach(|| self.pool.install(|| walk.filter(x, degree, cut)));
            PyArray1::from_vec(py, out).reshape([self.graph.len(), spectral::WIDTH])
        }
    }

    /// Probabilities of each row's neighbours at distances (q, k).
    #[pyfunction]
    fn neighbour_probabilities<'py>(
        py: Python<'py>,
        distances: PyReadonlyArray2<'py, f64>,
        perplexity: f64,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (q, k) = distances.as_array().dim();
        let (distances, pool, mut out) = (distances.as_slice()?, pool(threads)?, vec![0.0; q * k]);
        py.detach(|| pool.install(|| perplexity::probabilities(distances, k, perplexity, &mut out)));
        PyArray1::from_vec(py, out).reshape([q, k])
    }

    /// Where t-SNE puts new points (q, dims), which have neighbours (q, k) among others that stay.
    #[pyfunction]
    fn place_tsne<'py>(
        py: Python<'py>,
        others: PyReadonlyArray2<'py, f32>,
        points: PyReadonlyArray2<'py, f32>,
        rows: PyReadonlyArray2<'py, u32>,
        weights: PyReadonlyArray2<'py, f32>,
        threads: usize,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (shape, pool) = (points.as_array().dim(), pool(threads)?);
        let (others, mut points) = (others.as_slice()?, points.as_slice()?.to_vec());
        let (rows, weights) = (rows.as_slice()?, weights.as_slice()?);
        py.detach(|| {
            pool.install(|| match shape.1 {
                2 => tsne::place::<2>(others.as_chunks().0, rows, weights, points.as_chunks_mut().0),
                _ => tsne::place::<3>(others.as_chunks().0, rows, weights, points.as_chunks_mut().0),
            })
        });
        PyArray1::from_vec(py, points).reshape([shape.0, shape.1])
    }

    /// A layout by UMAP under way.
    #[pyclass]
    struct Umap {
        layout: umap::Layout,
        pool: Arc<rayon::ThreadPool>,
        dims: usize,
    }

    #[pymethods]
    impl Umap {
        #[new]
        #[allow(clippy::too_many_arguments)]
        fn new(
            weights: &Weights,
            points: PyReadonlyArray2<'_, f32>,
            fixed: Option<PyReadonlyArray2<'_, f32>>,
            a: f32,
            b: f32,
            rate: f32,
            epochs: u32,
            negatives: usize,
            seed: u64,
            epoch: u32,
        ) -> PyResult<Self> {
            let dims = points.as_array().ncols();
            let fixed = fixed.map(|fixed| fixed.as_slice().map(<[f32]>::to_vec)).transpose()?;
            let level = Level::chosen().map_err(PyValueError::new_err)?;
            let options = umap::Options { a, b, rate, epochs, negatives, seed, level };
            let layout =
                umap::Layout::new(weights.graph.clone(), points.as_slice()?.to_vec(), fixed, dims, epoch, options);
            Ok(Self { layout, pool: weights.pool.clone(), dims })
        }

        /// Go on for about so many seconds: how many epochs are done.
        fn run(&mut self, py: Python<'_>, seconds: f64) -> u32 {
            let (layout, pool) = (&mut self.layout, &self.pool);
            py.detach(|| pool.install(|| layout.run(after(seconds))));
            layout.epoch()
        }

        /// The cross entropy a point, of about so many pairs.
        fn cross_entropy(&self, py: Python<'_>, pairs: usize) -> f64 {
            py.detach(|| self.pool.install(|| self.layout.cross_entropy(pairs)))
        }

        /// Where the points are, (n, dims).
        fn points<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
            let points = self.layout.points();
            PyArray1::from_slice(py, points).reshape([points.len() / self.dims, self.dims])
        }
    }

    /// A descent by t-SNE under way.
    #[pyclass]
    struct Tsne {
        descent: Descent,
        pool: Arc<rayon::ThreadPool>,
    }

    enum Descent {
        Flat(tsne::Descent<2>),
        Solid(tsne::Descent<3>),
    }

    #[pymethods]
    impl Tsne {
        #[new]
        fn new(
            weights: &Weights,
            points: PyReadonlyArray2<'_, f32>,
            exaggerated: u32,
            iterations: u32,
            exaggeration: f32,
        ) -> PyResult<Self> {
            let options = tsne::Options { exaggerated, iterations, exaggeration };
            let (graph, start) = (weights.graph.clone(), points.as_slice()?);
            let descent = match points.as_array().ncols() {
                2 => Descent::Flat(tsne::Descent::new(graph, start, options)),
                _ => Descent::Solid(tsne::Descent::new(graph, start, options)),
            };
            Ok(Self { descent, pool: weights.pool.clone() })
        }

        /// Go on for about so many seconds: how many iterations are done.
        fn run(&mut self, py: Python<'_>, seconds: f64) -> u32 {
            let (descent, pool, deadline) = (&mut self.descent, &self.pool, after(seconds));
            py.detach(|| {
                pool.install(|| match descent {
                    Descent::Flat(descent) => {
                        descent.run(deadline);
                        descent.iteration()
                    }
                    Descent::Solid(descent) => {
                        descent.run(deadline);
                        descent.iteration()
                    }
                })
            })
        }

        /// The Kullback-Leibler divergence.
        fn divergence(&mut self, py: Python<'_>) -> f64 {
            let (descent, pool) = (&mut self.descent, &self.pool);
            py.detach(|| {
                pool.install(|| match descent {
                    Descent::Flat(descent) => descent.divergence(),
                    Descent::Solid(descent) => descent.divergence(),
                })
            })
        }

        /// Where the points are, (n, dims).
        fn points<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
            let (points, dims) = match &self.descent {
                Descent::Flat(descent) => (descent.points(), 2),
                Descent::Solid(descent) => (descent.points(), 3),
            };
            PyArray1::from_slice(py, points).reshape([points.len() / dims, dims])
        }
    }

    /// Reads text and lists; firth/text.py and firth/items.py check the arguments and say what errors mean. A UnicodeError
    /// has the offset and the byte; a LookupError a label and the kinds of the two items that have it.
    #[pyclass]
    struct TextReader {
        reader: Option<reader::Reader>,
        collected: Collected,
    }

    impl TextReader {
        fn reader(&mut self) -> PyResult<&mut reader::Reader> {
            self.reader.as_mut().ok_or_else(finished)
        }
    }

    fn text_error(error: reader::Error) -> PyErr {
        match error {
            reader::Error::NotUtf8(found) => PyUnicodeError::new_err((found.offset, found.byte)),
            reader::Error::Io(error) => match error.raw_os_error() {
                Some(code) => PyOSError::new_err((code, error.to_string())),
                None => PyOSError::new_err(error.to_string()),
            },
            reader::Error::SameLabel(label, a, b) => PyLookupError::new_err((label, kind_name(a), kind_name(b))),
        }
    }

    fn kind_name(kind: Kind) -> &'static str {
        match kind {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Other => "other",
            Kind::Missing => "missing",
        }
    }

    /// The n-th item of a list or tuple, borrowed; null for another object.
    ///
    /// # Safety
    /// The object is alive, and n is less than its size.
    #[inline(always)]
    unsafe fn item(sequence: *mut ffi::PyObject, is_list: bool, n: usize) -> *mut ffi::PyObject {
        let n = n as ffi::Py_ssize_t;
        unsafe { if is_list { ffi::PyList_GetItem(sequence, n) } else { ffi::PyTuple_GetItem(sequence, n) } }
    }

    /// Collect items from one on until there are `most`; where it stopped, which is at a foreign item if there are fewer.
    fn collect_items(
        sequence: &Bound<'_, PyAny>,
        mut at: usize,
        collected: &mut Collected,
        most: usize,
    ) -> PyResult<usize> {
        let py = sequence.py();
        let (is_list, size) = (sequence.is_exact_instance_of::<PyList>(), sequence.len()?);
        // SAFETY: we hold the GIL and run no Python code, so the sequence keeps its size and its items alive; the types are
        // compared exactly before what is theirs is called, and the bytes of a string live as long as it does.
        unsafe {
            while at < size && collected.starts.len() < most {
                let item = item(sequence.as_ptr(), is_list, at);
                if ffi::PyUnicode_CheckExact(item) != 0 {
                    let mut length = 0;
                    let bytes = ffi::PyUnicode_AsUTF8AndSize(item, &mut length);
                    if bytes.is_null() {
                        return Err(PyErr::fetch(py));
                    }
                    collected.push(std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize));
                } else if ffi::PyLong_CheckExact(item) != 0 {
                    let mut overflow = 0;
                    let value = ffi::PyLong_AsLongLongAndOverflow(item, &mut overflow);
                    if overflow != 0 {
                        break;
                    }
                    collected.push(&lists::integer(value));
                } else if ffi::Py_IsNone(item) != 0 {
                    collected.push(&lists::MISSING);
                } else {
                    break;
                }
                at += 1;
            }
        }
        Ok(at)
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
            Ok(Self { reader: Some(reader.map_err(PyRuntimeError::new_err)?), collected: Collected::default() })
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

        /// Collect strings, integers of 64 bits and None from lists and tuples, beginning with an item of a row, until
        /// there are `most`. Returns the row and the item where it stopped: at the end, at something else, or enough.
        fn collect(
            &mut self,
            rows: &Bound<'_, PyList>,
            row: usize,
            item: usize,
            most: usize,
        ) -> PyResult<(usize, usize)> {
            let (mut row, mut item) = (row, item);
            while row < rows.len() && self.collected.starts.len() < most {
                let sequence = rows.get_item(row)?;
                if !(sequence.is_exact_instance_of::<PyList>() || sequence.is_exact_instance_of::<PyTuple>()) {
                    break;
                }
                item = collect_items(&sequence, item, &mut self.collected, most)?;
                if item < sequence.len()? {
                    break;
                }
                self.collected.end_list();
                (row, item) = (row + 1, 0);
            }
            Ok((row, item))
        }

        /// How many items are collected and not yet numbered.
        fn collected(&self) -> usize {
            self.collected.starts.len()
        }

        /// Number what was collected.
        fn take(&mut self, py: Python<'_>) -> PyResult<()> {
            let reader = self.reader.as_mut().ok_or_else(finished)?;
            py.detach(|| reader.take(&mut self.collected)).map_err(text_error)
        }

        /// Number strings as Arrow has them: `bytes`, where each starts and the last one ends; which ones there are (all,
        /// if `valid` is empty); and where the lists end among them.
        fn strings(
            &mut self,
            py: Python<'_>,
            bytes: PyReadonlyArray1<'_, u8>,
            starts: PyReadonlyArray1<'_, i64>,
            valid: PyReadonlyArray1<'_, bool>,
            ends: PyReadonlyArray1<'_, i64>,
        ) -> PyResult<()> {
            let (bytes, starts) = (bytes.as_slice()?, starts.as_slice()?);
            let rows = Rows { ends: ends.as_slice()?, valid: valid.as_slice()? };
            let reader = self.reader()?;
            py.detach(|| reader.strings(bytes, starts, rows)).map_err(text_error)
        }

        fn integers(
            &mut self,
            py: Python<'_>,
            values: PyReadonlyArray1<'_, i64>,
            valid: PyReadonlyArray1<'_, bool>,
            ends: PyReadonlyArray1<'_, i64>,
        ) -> PyResult<()> {
            let values = values.as_slice()?;
            let rows = Rows { ends: ends.as_slice()?, valid: valid.as_slice()? };
            let reader = self.reader()?;
            py.detach(|| reader.integers(values, rows)).map_err(text_error)
        }

        /// Number items given by their numbers among labels, which are as in `strings`; `kinds`: 0 text, 1 integer, 2 anything else.
        #[allow(clippy::too_many_arguments)]
        fn numbers(
            &mut self,
            py: Python<'_>,
            numbers: PyReadonlyArray1<'_, u32>,
            bytes: PyReadonlyArray1<'_, u8>,
            starts: PyReadonlyArray1<'_, i64>,
            kinds: &[u8],
            valid: PyReadonlyArray1<'_, bool>,
            ends: PyReadonlyArray1<'_, i64>,
        ) -> PyResult<()> {
            let numbers = numbers.as_slice()?;
            let rows = Rows { ends: ends.as_slice()?, valid: valid.as_slice()? };
            let kind = |&n: &u8| [Kind::Text, Kind::Integer, Kind::Other][usize::from(n)];
            let (bytes, starts) = (bytes.as_slice()?, starts.as_slice()?);
            let label = |at: usize| &bytes[starts[at] as usize..starts[at + 1] as usize];
            let tokens: Vec<_> = kinds.iter().enumerate().map(|(at, n)| lists::token(kind(n), label(at))).collect();
            let reader = self.reader()?;
            py.detach(|| reader.numbers(numbers, &tokens, rows)).map_err(text_error)
        }

        /// All is read.
        fn settle(&mut self, py: Python<'_>) -> PyResult<Numbered> {
            let reader = self.reader.take().ok_or_else(finished)?;
            Ok(Numbered { numbered: Some(py.detach(|| reader.settle()).map_err(text_error)?) })
        }
    }

    fn finished() -> PyErr {
        PyRuntimeError::new_err("the reader has finished")
    }

    /// A text that was read, before rare words are left out.
    #[pyclass]
    struct Numbered {
        numbered: Option<vocabulary::Numbered>,
    }

    #[pymethods]
    impl Numbered {
        /// Begin a pass that joins phrases.
        fn begin_phrases(&mut self, py: Python<'_>, min_count: u64, threshold: f64) -> PyResult<()> {
            let numbered = self.numbered.as_mut().ok_or_else(finished)?;
            py.detach(|| numbered.begin_phrases(min_count, threshold)).map_err(text_error)
        }

        /// Go on with it: steps done and to be done; None at its end.
        fn step_phrases(&mut self, py: Python<'_>) -> PyResult<Option<(u64, u64)>> {
            let numbered = self.numbered.as_mut().ok_or_else(finished)?;
            Ok(py.detach(|| numbered.step_phrases()))
        }

        /// The corpus as a dict; `ids` is an array, or (descriptor of an unlinked file, length).
        fn finish<'py>(
            &mut self,
            py: Python<'py>,
            min_count: u64,
            max_vocab: usize,
            vocabulary: Vec<PyBackedStr>,
        ) -> PyResult<Bound<'py, PyDict>> {
            let numbered = self.numbered.take().ok_or_else(finished)?;
            let corpus = py.detach(|| numbered.finish(min_count, max_vocab, &vocabulary)).map_err(text_error)?;
            let dict = PyDict::new(py);
            dict.set_item("labels", corpus.labels)?;
            dict.set_item("counts", PyArray1::from_vec(py, corpus.counts))?;
            dict.set_item("ids", ids_object(py, corpus.ids)?)?;
            dict.set_item("tokens", corpus.tokens)?;
            dict.set_item("kept_tokens", corpus.kept_tokens)?;
            dict.set_item("sentences", corpus.sentences)?;
            dict.set_item("distinct", corpus.distinct)?;
            dict.set_item("highest", corpus.highest)?;
            dict.set_item("digest", format!("{:032x}", corpus.digest))?;
            Ok(dict)
        }
    }

    /// An array, or (descriptor of an unlinked file, length).
    fn ids_object(py: Python<'_>, ids: Ids) -> PyResult<Bound<'_, PyAny>> {
        match ids {
            Ids::Memory(ids) => Ok(PyArray1::from_vec(py, ids).into_any()),
            Ids::File { file, length } => Ok((file.into_raw_fd(), length).into_pyobject(py)?.into_any()),
        }
    }

    /// Ids between two looks whether the user wants to stop.
    const STRETCH: usize = 1 << 24;

    /// Ids through a table whose entries may be dropped: the ids, as `TextReader.finish` has them, and their sentences.
    #[pyfunction]
    fn renumber<'py>(
        py: Python<'py>,
        ids: PyReadonlyArray1<'py, u32>,
        table: PyReadonlyArray1<'py, u32>,
        threads: usize,
        spill: usize,
    ) -> PyResult<(Bound<'py, PyAny>, u64)> {
        let pool = pool(threads)?;
        let mut renumber = Renumber::new(table.as_slice()?, spill);
        for stretch in ids.as_slice()?.chunks(STRETCH) {
            py.detach(|| renumber.add(stretch, &pool))?;
            py.check_signals()?;
        }
        let (ids, sentences) = renumber.finish();
        Ok((ids_object(py, ids)?, sentences))
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
        module.add_function(wrap_pyfunction!(peak_flops, module)?)?;
        module.add_function(wrap_pyfunction!(peak_int8_ops, module)?)?;
        module.add_function(wrap_pyfunction!(read_rate, module)?)?;
        module.add_function(wrap_pyfunction!(product_instructions, module)?)?;
        module.add_function(wrap_pyfunction!(int8_product, module)?)?;
        module.add_function(wrap_pyfunction!(bfloat16_product, module)?)?;
        module.add_function(wrap_pyfunction!(all_finite, module)?)?;
        module.add_class::<Index>()?;
        module.add_function(wrap_pyfunction!(by_likeness, module)?)?;
        module.add_class::<Graph>()?;
        module.add_class::<Word2Vec>()?;
        module.add_class::<Cooccurrences>()?;
        module.add_class::<GloVe>()?;
        module.add_class::<Weights>()?;
        module.add_function(wrap_pyfunction!(neighbour_probabilities, module)?)?;
        module.add_function(wrap_pyfunction!(place_tsne, module)?)?;
        module.add_class::<Umap>()?;
        module.add_class::<Tsne>()?;
        module.add_class::<TextReader>()?;
        module.add_class::<Numbered>()?;
        module.add_function(wrap_pyfunction!(renumber, module)?)?;
        module.add_function(wrap_pyfunction!(whole_lines, module)?)?;
        module.add_function(wrap_pyfunction!(trailing_numbers, module)?)?;
        module.add_function(wrap_pyfunction!(parse_text, module)?)?;
        module.add_function(wrap_pyfunction!(parse_binary, module)?)?;
        module.add_function(wrap_pyfunction!(format_text, module)?)?;
        Ok(())
    }
}
