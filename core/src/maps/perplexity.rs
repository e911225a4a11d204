//! t-SNE's weights (van der Maaten and Hinton 2008): Gaussians whose widths give each point about as many neighbours.

use super::PART;
use super::sparse::Sparse;
use rayon::prelude::*;

const STEPS: usize = 100;
const TOLERANCE: f64 = 1e-9; // of the entropy, in nats: weights then agree with those of openTSNE's bisection to 1e-7

/// The joint probabilities of neighbours at distances (n, k); they sum to 1.
pub fn graph(rows: &[u32], distances: &[f64], k: usize, perplexity: f64) -> Sparse {
    let mut weights = vec![0.0; distances.len()];
    probabilities(distances, k, perplexity, &mut weights);
    let total = 2.0 * (distances.len() / k) as f32;
    Sparse::join(rows, &weights, k, |w, v| (w + v) / total, |w| w > 0.0)
}

/// Probabilities of each row's neighbours, whose entropy is the logarithm of the perplexity.
pub fn probabilities(distances: &[f64], k: usize, perplexity: f64, out: &mut [f32]) {
    out.par_chunks_mut(PART * k).zip(distances.par_chunks(PART * k)).for_each(|(out, distances)| {
        let (mut squares, mut weights) = (vec![0.0; k], vec![0.0; k]);
        for (out, distances) in out.chunks_exact_mut(k).zip(distances.chunks_exact(k)) {
            let least = distances.iter().copied().fold(f64::INFINITY, f64::min).powi(2);
            squares.iter_mut().zip(distances).for_each(|(square, x)| *square = x * x - least);
            let sum = weigh(&squares, perplexity.ln(), &mut weights);
            out.iter_mut().zip(&weights).for_each(|(out, weight)| *out = (weight / sum) as f32);
        }
    });
}

/// exp(-precision square), for the precision that gives this entropy; their sum. By Newton's method in the logarithm of the
/// precision, kept between what was too low and too high.
fn weigh(squares: &[f64], entropy: f64, weights: &mut [f64]) -> f64 {
    let mean = squares.iter().sum::<f64>() / squares.len() as f64;
    if mean <= 0.0 {
        weights.fill(1.0);
        return weights.len() as f64;
    }
    let (mut low, mut high, mut log) = (f64::NEG_INFINITY, f64::INFINITY, -mean.ln());
    let mut sum = 0.0;
    for _ in 0..STEPS {
        let precision = log.exp();
        let (mut first, mut second) = (0.0, 0.0);
        sum = 0.0;
        for (weight, &x) in weights.iter_mut().zip(squares) {
            *weight = (-precision * x).exp();
            sum += *weight;
            first += *weight * x;
            second += *weight * x * x;
        }
        let excess = sum.ln() + precision * first / sum - entropy;
        if excess.abs() < TOLERANCE {
            break;
        }
        *(if excess > 0.0 { &mut low } else { &mut high }) = log;
        let slope = -precision * precision * (second / sum - (first / sum).powi(2));
        let newton = log - excess / slope;
        let beside = if excess > 0.0 { log + 3.0 } else { log - 3.0 };
        log = if newton > low && newton < high && (newton - log).abs() < 3.0 {
            newton
        } else if low.is_finite() && high.is_finite() {
            (low + high) / 2.0
        } else {
            beside
        };
        if log.is_nan() || log.abs() > 600.0 {
            break; // equal distances: no width gives this entropy
        }
    }
    sum
}
