//! Repulsion by pairs: all of them, or with a tree whose far cells count as one point (Barnes and Hut 1986).

use super::PART;
use rayon::prelude::*;

const ANGLE: f32 = 0.5; // a cell counts as one point from so many times its width on: openTSNE's theta
const BITS: u32 = 21; // of each coordinate in a key
const LEAF: usize = 8; // points that are not parted further

/// A cell; those within it follow it, up to `after`.
struct Node {
    centre: [f32; 3],
    count: f32,
    squared: f32, // width^2 / angle^2
    after: u32,
    leaf: u32, // where its points start, or NONE
}

const NONE: u32 = u32::MAX;

/// For each point the sum over all others of (its position - theirs) / (1 + d^2)^2; the sum over all pairs of 1 / (1 + d^2).
pub fn all_pairs<const D: usize>(points: &[[f32; D]], out: &mut [[f32; D]]) -> f64 {
    let sums: Vec<f64> = out
        .par_chunks_mut(16)
        .enumerate()
        .map(|(part, out)| {
            let mut sum = 0.0;
            for (own, out) in points[part * 16..].iter().zip(out) {
                let (force, near) = repulsion(own, points);
                *out = force;
                sum += f64::from(near - 1.0);
            }
            sum
        })
        .collect();
    sums.iter().sum()
}

/// The sums over points of (own - theirs) / (1 + d^2)^2 and of 1 / (1 + d^2).
#[inline(always)]
pub fn repulsion<const D: usize>(own: &[f32; D], points: &[[f32; D]]) -> ([f32; D], f32) {
    let (mut force, mut near) = ([[0f32; 8]; D], [0f32; 8]);
    let (eights, rest) = points.as_chunks::<8>();
    for eight in eights {
        for (lane, other) in eight.iter().enumerate() {
            let apart: [f32; D] = std::array::from_fn(|i| own[i] - other[i]);
            let q = 1.0 / (1.0 + apart.iter().map(|x| x * x).sum::<f32>());
            near[lane] += q;
            (0..D).for_each(|i| force[i][lane] += q * q * apart[i]);
        }
    }
    for other in rest {
        let apart: [f32; D] = std::array::from_fn(|i| own[i] - other[i]);
        let q = 1.0 / (1.0 + apart.iter().map(|x| x * x).sum::<f32>());
        near[0] += q;
        (0..D).for_each(|i| force[i][0] += q * q * apart[i]);
    }
    (force.map(|lanes| lanes.iter().sum()), near.iter().sum())
}

/// As `all_pairs`, nearly.
pub fn barnes_hut(points: &[[f32; 3]], out: &mut [[f32; 3]]) -> f64 {
    let tree = Tree::new(points);
    let found: Vec<([f32; 3], f32)> =
        tree.sorted.par_iter().with_min_len(PART).map(|own| tree.repulsion(own)).collect();
    tree.rows.iter().zip(&found).for_each(|(&row, &(force, _))| out[row as usize] = force);
    found.iter().map(|&(_, sum)| f64::from(sum - 1.0)).sum()
}

/// Points in cells.
pub struct Tree {
    nodes: Vec<Node>,
    sorted: Vec<[f32; 3]>,
    rows: Vec<u32>, // of the points
}

impl Tree {
    pub fn new(points: &[[f32; 3]]) -> Tree {
        let low: [f32; 3] = std::array::from_fn(|i| points.iter().map(|p| p[i]).fold(f32::INFINITY, f32::min));
        let extent = (0..3).map(|i| points.iter().map(|p| p[i] - low[i]).fold(0.0, f32::max)).fold(1e-6, f32::max);
        let scale = ((1u32 << BITS) - 1) as f32 / extent;
        let mut keys: Vec<(u64, u32)> =
            points.par_iter().zip(0..points.len() as u32).map(|(p, i)| (key(p, &low, scale), i)).collect();
        keys.par_sort_unstable();
        let sorted: Vec<[f32; 3]> = keys.iter().map(|&(_, i)| points[i as usize]).collect();
        let mut nodes = Vec::with_capacity(points.len());
        build(&keys, &sorted, 0, 3 * BITS, extent, &mut nodes);
        Tree { nodes, sorted, rows: keys.into_iter().map(|(_, i)| i).collect() }
    }

    /// As `repulsion` by all points, nearly.
    pub fn repulsion(&self, own: &[f32; 3]) -> ([f32; 3], f32) {
        let (mut force, mut sum, mut at) = ([0f32; 3], 0f32, 0);
        let mut add = |count: f32, apart: [f32; 3], square: f32| {
            let q = 1.0 / (1.0 + square);
            sum += count * q;
            (0..3).for_each(|i| force[i] += count * q * q * apart[i]);
        };
        while at < self.nodes.len() {
            let node = &self.nodes[at];
            let apart: [f32; 3] = std::array::from_fn(|i| own[i] - node.centre[i]);
            let square = apart.iter().map(|x| x * x).sum::<f32>();
            if square > node.squared {
                add(node.count, apart, square);
                at = node.after as usize;
            } else if node.leaf != NONE {
                for other in &self.sorted[node.leaf as usize..][..node.count as usize] {
                    let apart: [f32; 3] = std::array::from_fn(|i| own[i] - other[i]);
                    add(1.0, apart, apart.iter().map(|x| x * x).sum());
                }
                at = node.after as usize;
            } else {
                at += 1;
            }
        }
        (force, sum)
    }
}

/// The bits of the coordinates, interleaved.
fn key(p: &[f32; 3], low: &[f32; 3], scale: f32) -> u64 {
    (0..3).fold(0, |key, i| {
        let mut bits = u64::from(((p[i] - low[i]) * scale) as u32 & ((1 << BITS) - 1));
        // Two zeros between each two bits, by halves.
        for (shift, mask) in [
            (32, 0x001F_0000_0000_FFFF),
            (16, 0x001F_0000_FF00_00FF),
            (8, 0x100F_00F0_0F00_F00F),
            (4, 0x10C3_0C30_C30C_30C3),
            (2, 0x1249_2492_4924_9249),
        ] {
            bits = (bits | bits << shift) & mask;
        }
        key | bits << i
    })
}

/// Add the cell of sorted points from `start` on, whose keys agree but for the last `bits` bits.
fn build(keys: &[(u64, u32)], sorted: &[[f32; 3]], start: usize, bits: u32, width: f32, nodes: &mut Vec<Node>) {
    let (own, points) = (nodes.len(), &sorted[start..start + keys.len()]);
    let count = keys.len() as f32;
    let centre =
        std::array::from_fn(|i| (points.iter().map(|p| f64::from(p[i])).sum::<f64>() / points.len() as f64) as f32);
    let leaf = if keys.len() <= LEAF || bits == 0 { start as u32 } else { NONE };
    nodes.push(Node { centre, count, squared: (width / ANGLE).powi(2), after: 0, leaf });
    if leaf == NONE {
        let mut at = 0;
        while at < keys.len() {
            let octant = keys[at].0 >> (bits - 3);
            let end = at + keys[at..].partition_point(|&(key, _)| key >> (bits - 3) == octant);
            build(&keys[at..end], sorted, start + at, bits - 3, width / 2.0, nodes);
            at = end;
        }
    }
    nodes[own].after = nodes.len() as u32;
}

#[cfg(test)]
mod tests {
    use super::super::grid::Grid;
    use super::*;
    use crate::random::Rng;

    fn points<const D: usize>(n: usize, spread: f32) -> Vec<[f32; D]> {
        let mut rng = Rng::new(1, 0);
        (0..n).map(|_| std::array::from_fn(|_| spread * (rng.unit() + rng.unit() + rng.unit() - 1.5))).collect()
    }

    fn plain<const D: usize>(points: &[[f32; D]]) -> (Vec<[f64; D]>, f64) {
        let mut total = 0.0;
        let forces = points.iter().map(|own| {
            let mut force = [0.0; D];
            for other in points {
                let apart: [f64; D] = std::array::from_fn(|i| f64::from(own[i]) - f64::from(other[i]));
                let q = 1.0 / (1.0 + apart.iter().map(|x| x * x).sum::<f64>());
                total += q;
                (0..D).for_each(|i| force[i] += q * q * apart[i]);
            }
            force
        });
        let forces = forces.collect();
        (forces, total - points.len() as f64)
    }

    /// The root mean square error of forces, over that of the forces, and the relative error of the sum.
    fn errors<const D: usize>(points: &[[f32; D]], out: &[[f32; D]], sum: f64) -> (f64, f64) {
        let (forces, total) = plain(points);
        let pairs = || out.iter().flatten().zip(forces.iter().flatten());
        let mean = (pairs().map(|(_, x)| x * x).sum::<f64>() / out.len() as f64).sqrt();
        (
            (pairs().map(|(&x, y)| (f64::from(x) - y).powi(2)).sum::<f64>() / out.len() as f64).sqrt() / mean,
            (sum / total - 1.0).abs(),
        )
    }

    #[test]
    fn all_pairs_are_plain_arithmetic() {
        let points = points::<3>(1003, 9.0);
        let mut out = vec![[0.0; 3]; 1003];
        let sum = all_pairs(&points, &mut out);
        let (force, total) = errors(&points, &out, sum);
        assert!(force < 1e-5 && total < 1e-5, "{force} {total}"); // 1003 terms in float32
    }

    #[test]
    fn a_tree_is_near_all_pairs() {
        for spread in [1e-4, 3.0, 40.0] {
            let points = points::<3>(2000, spread);
            let mut out = vec![[0.0; 3]; 2000];
            let sum = barnes_hut(&points, &mut out);
            let (force, total) = errors(&points, &out, sum);
            assert!(force < 0.02 && total < 0.01, "{spread}: {force} {total}"); // what an angle of 0.5 gives
        }
    }

    #[test]
    fn a_grid_is_near_all_pairs() {
        // Far apart, a force is that of few points near by, and three nodes to a box of width 1 show: openTSNE's errors are
        // 0.04 and 0.07 there.
        for (spread, most) in [(1e-4, 1e-4), (3.0, 1e-3), (40.0, 0.1), (150.0, 0.1)] {
            let points = points::<2>(3000, spread);
            let mut out = vec![[0.0; 2]; 3000];
            let sum = Grid::fit(None, &points).repulsion(&points, &mut out);
            let (force, total) = errors(&points, &out, sum);
            assert!(force < most && total < most, "{spread}: {force} {total}");
        }
    }

    #[test]
    fn points_that_coincide_are_no_trouble() {
        let points = vec![[0.5f32; 3]; 100];
        let mut out = vec![[1.0; 3]; 100];
        assert_eq!(barnes_hut(&points, &mut out), 9900.0);
        assert_eq!(out, vec![[0.0; 3]; 100]);
        let flat = vec![[0.5f32; 2]; 100];
        let mut out = vec![[1.0; 2]; 100];
        let sum = Grid::fit(None, &flat).repulsion(&flat, &mut out);
        assert!((sum - 9900.0).abs() < 1.0 && out.iter().flatten().all(|x| x.abs() < 1e-2), "{sum} {:?}", out[0]);
    }
}
