//! The door to Python: this file alone mentions PyO3. It converts arguments, releases the GIL and calls plain Rust.

#[cfg(feature = "python")]
mod door {
    use pyo3::prelude::*;

    #[pymodule]
    fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        Ok(())
    }
}
