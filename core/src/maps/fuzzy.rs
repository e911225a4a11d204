//! UMAP's weights (McInnes, Healy and Melville 2018, section 3.1): how surely a neighbour belongs to a point.

use super::PART;
use super::sparse::Sparse;
use rayon::prelude::*;

const STEPS: usize = 64; // at most: ten are many
const TOLERANCE: f64 = 1e-5; // umap-learn's SMOOTH_K_TOLERANCE
const LEAST: f64 = 1e-3; // umap-learn's MIN_K_DIST_SCALE: no bandwidth is below this share of the mean distance

/// The fuzzy union of each point's neighbours (n, k); weights below `least` of the largest are left out.
pub fn graph(rows: &[u32], distances: &[f32], k: usize, least: f32) -> Sparse {
    let mut weights = vec![0.0; distances.len()];
    strengths(distances, k, true, &mut weights);
    let mut graph = Sparse::join(rows, &weights, k, |w, v| w + v - w * v, |w| w > 0.0);
    graph.trim(least * graph.weights.iter().copied().fold(0.0, f32::max));
    graph
}

/// Weights of distances (n, k) to others, nearest first: 1 up to that of the nearest that is apart, then falling, so that
/// they sum to log2(k + 1). With `near` false nothing is subtracted: for points that are placed into a map.
///
/// As in umap-learn, k + 1 counts the point itself, at distance 0.
pub fn strengths(distances: &[f32], k: usize, near: bool, out: &mut [f32]) {
    let all = distances.iter().map(|&x| f64::from(x)).sum::<f64>() / (distances.len() / k * (k + 1)) as f64;
    out.par_chunks_mut(PART * k).zip(distances.par_chunks(PART * k)).for_each(|(out, distances)| {
        for (out, distances) in out.chunks_exact_mut(k).zip(distances.chunks_exact(k)) {
            let (rho, sigma) = smooth(distances, near, all);
            for (out, &x) in out.iter_mut().zip(distances) {
                let beyond = f64::from(x) - rho;
                *out = if beyond <= 0.0 || sigma == 0.0 { 1.0 } else { (-beyond / sigma).exp() as f32 };
            }
        }
    });
}

/// The distance of the nearest that is apart, and the bandwidth; `all` is the mean of all distances.
fn smooth(distances: &[f32], near: bool, all: f64) -> (f64, f64) {
    let target = ((distances.len() + 1) as f64).log2();
    let rho = if near { distances.iter().copied().find(|&x| x > 0.0).map_or(0.0, f64::from) } else { 0.0 };
    // Convex in the inverse of the bandwidth: Newton's steps from zero never pass the root, and go on forever where there is none.
    let mut inverse: f64 = 0.0;
    for _ in 0..STEPS {
        let (mut sum, mut slope) = (0.0, 0.0);
        for &x in distances {
            let beyond = (f64::from(x) - rho).max(0.0);
            let weight = (-beyond * inverse).exp();
            (sum, slope) = (sum + weight, slope + beyond * weight);
        }
        if (sum - target).abs() < TOLERANCE {
            break;
        }
        inverse += (sum - target) / slope;
        if inverse.is_infinite() {
            break;
        }
    }
    let mean = if rho > 0.0 {
        distances.iter().map(|&x| f64::from(x)).sum::<f64>() / (distances.len() + 1) as f64
    } else {
        all
    };
    (rho, inverse.recip().max(LEAST * mean))
}
