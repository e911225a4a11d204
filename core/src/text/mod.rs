//! From text to numbers: tokens, their vocabulary, and the text as rows of the vocabulary.

mod intern;
pub mod lists;
pub mod phrases;
pub mod reader;
pub mod store;
pub mod tokens;
pub mod vocabulary;
