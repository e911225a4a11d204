//! The door to Python: this file alone mentions PyO3. It converts arguments, releases the GIL and calls plain Rust.

pub mod matrix;
pub mod random;
pub mod simd;
pub mod skipgram;

#[cfg(feature = "python")]
mod door {
    use crate::simd::Level;
    use crate::skipgram;
    use numpy::{PyReadonlyArray1, PyReadwriteArray2};
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;

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

    #[pymodule]
    fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add_function(wrap_pyfunction!(simd_level, module)?)?;
        module.add_class::<SkipGram>()?;
        Ok(())
    }
}
