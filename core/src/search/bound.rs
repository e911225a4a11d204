//! How far a product of codes may be from the score that it stands for: docs/explanation/exactness.md proves it.
//!
//! Scores are compared in *scan units*, in which the product of codes counts ratio * size: a score of float64 divided by
//! (the worth of a query's code * the keys' unit), for "cosine" multiplied by |q| / (the worth of a query's code). For
//! "euclidean" it is <q, x> - |x|^2 / 2, which orders keys as the distance does.

use super::Metric;
use super::basis::{ALL, PARTS};
use super::codes::{Codes, MOST_DIMENSIONS, whole};
use crate::simd::Int8;

/// Unit roundoff of float32.
pub const ROUNDOFF: f64 = 1.0 / (1u64 << 24) as f64;
/// A bound's terms are made larger by this part, for what is rounded while they are computed and added, in float32 too.
const MARGIN: f64 = 1.0 + 16.0 * ROUNDOFF;
/// Queries that are shorter or longer than the keys' unit by more than this are not scanned by codes.
const RANGE: f64 = (1u64 << 60) as f64;

/// The largest code of a query.
const LARGEST: f64 = 127.0;
/// The largest sum of codes of a query of one sign, of the four that are multiplied together, before each is rounded by half of one:
/// 128 then.
const MOST_IN_PAIRS: f64 = 126.0;

/// The largest sum of numbers of one sign, of the four whose codes are multiplied together in two steps.
fn largest_sum(coordinates: &[f64]) -> f64 {
    let of_two_steps = |eight: &[f64]| {
        let mut sums = [0f64; 4];
        for (i, y) in eight.iter().enumerate() {
            sums[i & 2] += y.max(0.0);
            sums[i & 2 | 1] += (-y).max(0.0);
        }
        sums.into_iter().fold(0.0, f64::max)
    };
    coordinates.chunks(8).map(of_two_steps).fold(0.0, f64::max)
}

/// What the bound needs to know of a key: size * error, size, and size^2 where the metric is "euclidean".
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    pub error: f32,
    pub size: f32,
    pub square: f32,
    /// size * what lies outside the basis.
    pub rest: f32,
}

impl Share {
    /// Of several keys: none has a larger bound.
    pub fn max(self, other: Share) -> Share {
        Share {
            error: self.error.max(other.error),
            size: self.size.max(other.size),
            square: self.square.max(other.square),
            rest: self.rest.max(other.rest),
        }
    }
}

/// One query in scan units.
#[derive(Clone, Debug)]
pub struct Query {
    metric: Metric,
    /// Scan units in a score of 1; "euclidean": in half a squared distance.
    units: f64,
    /// And in a dot product of 1 (for "cosine", with a key as long as the unit).
    per_dot: f64,
    /// The query's length in its codes' worth.
    a: f64,
    squared_norm: f64,
    /// What is added to the codes' sums before those of each part less the one before, since keys' codes lie higher by their zero.
    pub starts: [i32; PARTS],
    /// What a key's size^2 takes off its score ("euclidean").
    pub half: f32,
    /// Of a key's error, size and square in its bound, and what is added for every key.
    pub factors: [f32; 4],
    /// And of what lies outside each part of the basis.
    pub rests: [f32; PARTS],
    /// Scan units in a key unit (see `key_floor`).
    pub per_key_unit: f64,
    /// What the query's own |q|^2 / 2 takes off its score as a neighbour of a key ("euclidean").
    pub own: f64,
}

impl Query {
    /// Codes, as products of S take them, of a query of d numbers with these squares and coordinates, its numbers without a basis, and
    /// its bound; None where floating-point numbers are too short for it: of zeros, or very much longer or shorter than the keys, or
    /// with very many dimensions.
    pub fn new<S: Int8>(
        d: usize,
        squared_norm: f64,
        coordinates: &[f64],
        metric: Metric,
        codes: &Codes,
        out: &mut Vec<i8>,
    ) -> Option<Query> {
        let (norm, unit) = (squared_norm.sqrt(), codes.unit);
        let relative = if metric == Metric::Cosine { 1.0 } else { norm / unit };
        let within = |size: f64, range: f64| (range.recip()..=range).contains(&size); // NaN is not
        if !within(relative, RANGE) || !within(norm, RANGE.powi(6)) || d > MOST_DIMENSIONS {
            return None;
        }
        let d = d as f64;
        let head = codes.head();
        let pieces = head.pieces(coordinates);
        let largest_of = |coordinates: &[f64]| coordinates.iter().fold(0.0, |most: f64, y| most.max(y.abs()));
        let largest = |coordinates: &[f64]| {
            let in_pairs = if S::IN_PAIRS { largest_sum(coordinates) / MOST_IN_PAIRS } else { 0.0 };
            (largest_of(coordinates) / LARGEST).max(in_pairs)
        };
        let worth = norm / d.sqrt() / LARGEST;
        let worth = pieces.iter().fold(worth, |worth, (coordinates, scale)| worth.max(largest(coordinates) / scale));
        out.clear();
        let (mut residual, mut starts) = (0.0, [0i32; PARTS]);
        for ((coordinates, scale), start) in pieces.into_iter().zip(&mut starts) {
            let worth = worth * scale;
            let inverse = 1.0 / worth;
            for y in coordinates {
                let code = whole(y * inverse);
                residual += (y - worth * code) * (y - worth * code);
                out.push(code as i8);
                *start -= S::ZERO * code as i32;
            }
        }
        let a = norm / worth; // at most 127 sqrt(d)
        // The second term is for the roundings of worth * code, 2^-53 of each number.
        let lost = residual.sqrt() / norm + d.sqrt() * 0.5f64.powi(50);
        // Roundings of the product of codes, the ratio, the size, their products and a sum: at most 8. Then those of
        // float64 in the norms and in the score that it is compared with.
        let roundings = 8.0 * ROUNDOFF + (2.0 * d + 16.0) * 0.5f64.powi(52);
        let slack = codes.basis.as_ref().map_or(0.0, |basis| basis.slack);
        let longest = a * (1.0 + slack); // coordinates may be so much longer than the vector
        let float = (roundings + slack) * longest * (1.0 + lost);
        let up = |x: f64| ((x * MARGIN) as f32).next_up();
        let outside = |coordinates: &[f64]| {
            let inside = coordinates.iter().map(|y| y * y).sum::<f64>() / squared_norm;
            ((1.0 - inside).max(0.0) + slack).sqrt() * a
        };
        let m = if codes.basis.is_some() { coordinates.len() } else { 0 };
        let rests = head.parts(m).map(|m| if m > 0 { up(outside(&coordinates[..m])) } else { 0.0 });
        let half = if metric == Metric::Euclidean { 0.5 * unit / worth } else { 0.0 };
        // Below 2^-126 numbers of float32 are rounded coarsely or become 0, codes' sums are under 2^(14 + 2 shift) d.
        let mut constant = d * 0.5f64.powi(100) * (1.0 + a + half);
        let units = match metric {
            Metric::Dot => 1.0 / (worth * unit),
            Metric::Scaled => d.sqrt() / (worth * unit),
            Metric::Cosine => a,
            Metric::Euclidean => {
                // Of the squared distance in float64, (d + 6) 2^-53 of |q|^2 + |x|^2 each way, and of its way back.
                constant += (d + 32.0) * 0.5f64.powi(52) * (2.0 * squared_norm + unit * unit) / (worth * unit);
                1.0 / (worth * unit)
            }
        };
        let per_key_unit = if metric == Metric::Cosine { a } else { unit / worth };
        let own = if metric == Metric::Euclidean { 0.5 * squared_norm * units } else { 0.0 };
        Some(Query {
            metric,
            units,
            per_dot: 1.0 / (worth * unit),
            a,
            squared_norm,
            starts,
            half: half as f32,
            factors: [
                up(longest + longest * lost + float),
                up(longest * lost + float),
                // Not the least number above zero: a processor may take a hundred cycles for what is smaller than its normal numbers.
                if half > 0.0 { up(roundings * half) } else { 0.0 },
                up(constant),
            ],
            rests,
            per_key_unit,
            own,
        })
    }

    /// A number of scan units that is no more than a score that float64 gave, or would give.
    pub fn floor(&self, score: f64) -> f64 {
        let scan = match self.metric {
            Metric::Euclidean if score > 0.0 => return f64::INFINITY, // no key has such a score
            Metric::Euclidean => 0.5 * (self.squared_norm - score * score) * self.units - f64::from(self.factors[3]),
            _ => score * self.units,
        };
        below(scan)
    }

    /// What the score of a key (its |x| / unit) cannot exceed in scan units, given its dot product with the query in float32.
    pub fn most(&self, dot: f32, norm: f32, d: usize) -> f64 {
        if norm < f32::MIN_POSITIVE {
            return f64::INFINITY; // few digits are left of it, or none
        }
        let (d, norm) = (d as f64, f64::from(norm));
        // Roundings of d products and their sums, of the query and the norm; below 2^-126 products are rounded to nothing.
        let slack = self.a * norm * (d + 16.0) * 2.0 * ROUNDOFF + d * 0.5f64.powi(125) * self.per_dot;
        let most = f64::from(dot) * self.per_dot + slack;
        self.less_square(if self.metric == Metric::Cosine { most / norm } else { most }, norm)
    }

    /// The same, given the product in float32 of their m coordinates at length 1 in a basis with this slack, and what lies outside it
    /// as in a share.
    pub fn most_along(&self, dot: f32, norm: f32, m: usize, slack: f64, rest: f32) -> f64 {
        if norm < f32::MIN_POSITIVE {
            return f64::INFINITY;
        }
        let norm = f64::from(norm);
        let size = if self.metric == Metric::Cosine { 1.0 } else { norm };
        // Roundings of m products and their sums, and of the coordinates, twice as many as there are; a few of the norm.
        let off = (m as f64 + 32.0) * 2.0 * ROUNDOFF + slack;
        let most = self.a * size * (f64::from(dot) + off) + f64::from(self.rests[ALL]) * f64::from(rest);
        self.less_square(most, norm)
    }

    /// Less what a key's square takes off its score.
    fn less_square(&self, most: f64, norm: f64) -> f64 {
        let most = match self.metric {
            Metric::Euclidean => {
                most - f64::from(self.half) * norm * norm * (1.0 - 8.0 * ROUNDOFF) + f64::from(self.factors[3])
            }
            _ => most,
        };
        if most.is_finite() { most } else { f64::INFINITY }
    }

    /// What a key must reach in scan units to be among this query's neighbours, from what they must in the key units of its row.
    pub fn in_scan_units(&self, least: f64) -> f64 {
        below(least * self.per_key_unit)
    }

    /// And back.
    pub fn in_key_units(&self, least: f64) -> f64 {
        below(least / self.per_key_unit)
    }

    /// A guess back in key units, no less than it is: what it ruled out scores less.
    pub fn guess_in_key_units(&self, guess: f64) -> f64 {
        -below(-guess / self.per_key_unit)
    }
}

/// A number of *key units* that is no more than a score of a row of the keys. They are scan units that know no query: scores
/// divided by unit^2, "cosine" as it is, "euclidean" (|x|^2 - distance^2) / 2, x being the row that the neighbour is of.
pub fn key_floor(score: f64, metric: Metric, d: usize, codes: &Codes, row: usize) -> f64 {
    let (d, score) = (d as f64, if metric == Metric::Cosine { score } else { score / codes.unit });
    below(match metric {
        Metric::Cosine => score,
        Metric::Dot => score / codes.unit,
        Metric::Scaled => d.sqrt() * score / codes.unit,
        Metric::Euclidean => {
            let norm = f64::from(codes.norms[row]);
            // Of the norm in float32, and of float64 as in `Query::new`.
            let roundings = 4.0 * ROUNDOFF * norm * norm + (d + 32.0) * 0.5f64.powi(52) * 3.0 + 0.5f64.powi(126);
            0.5 * (norm * norm - score * score) - roundings
        }
    })
}

/// A little less, for the roundings of float64 on the way.
fn below(x: f64) -> f64 {
    if x.is_infinite() { x } else { x - x.abs() * 0.5f64.powi(40) - f64::from(f32::MIN_POSITIVE) }
}

/// How far the score of a key may be from its product of codes, but for what lies outside the basis; no less for keys whose share
/// is no larger.
#[inline(always)]
pub fn bound([error, size, square, constant]: [f32; 4], key: Share) -> f32 {
    (error * key.error + size * key.size) + (square * key.square + constant)
}

/// A float32 no larger than a threshold, by so much that a bound can be taken from it, or it be multiplied, in float32.
pub fn lowered(threshold: f64) -> f32 {
    let low = ((threshold - threshold.abs() * 4.0 * ROUNDOFF) as f32).next_down();
    // Not one that a processor may take for zero.
    if low.abs() < f32::MIN_POSITIVE { -f32::MIN_POSITIVE } else { low }
}
