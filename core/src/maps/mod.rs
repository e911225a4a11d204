//! Maps: points in two or three dimensions for vectors in many, from their neighbour graph.
//!
//! [`fuzzy`] and [`perplexity`] turn distances to neighbours into weights, [`sparse`] joins them to a symmetric graph,
//! [`spectral`] finds where to start, [`umap`] and [`tsne`] move the points. All are parallel over points, each of which is
//! moved by one thread that reads what no other writes meanwhile: the same seed gives the same map with any number of threads.

pub mod fuzzy;
mod grid;
pub mod perplexity;
pub mod sparse;
pub mod spectral;
mod tree;
pub mod tsne;
pub mod umap;

/// Points that a thread takes at a time.
const PART: usize = 64;
