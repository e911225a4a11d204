"""Types of the compiled core (core/src/lib.rs)."""

__version__: str
