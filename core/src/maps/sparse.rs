//! Symmetric sparse graphs.

use super::PART;
use rayon::prelude::*;

/// Rows of weighted neighbours: those of row i lie in starts[i]..starts[i + 1], in rising order.
#[derive(Default)]
pub struct Sparse {
    pub starts: Vec<usize>,
    pub columns: Vec<u32>,
    pub weights: Vec<f32>,
}

impl Sparse {
    /// Join directed weights, k a row, to symmetric ones: `join(w, v)` of both directions, 0 where there is only one.
    /// Those for which `keep` does not hold are left out, as is a row's weight to itself.
    pub fn join(
        columns: &[u32],
        weights: &[f32],
        k: usize,
        join: impl Fn(f32, f32) -> f32 + Sync,
        keep: impl Fn(f32) -> bool + Sync,
    ) -> Sparse {
        let n = columns.len() / k;
        let mut ends = vec![0; n + 1];
        columns.iter().for_each(|&column| ends[column as usize + 1] += 1);
        (0..n).for_each(|i| ends[i + 1] += ends[i]);
        let starts = ends.clone();
        let mut incoming = vec![(0u32, 0f32); columns.len()]; // by column, then by row
        for (at, (&column, &weight)) in columns.iter().zip(weights).enumerate() {
            incoming[ends[column as usize]] = ((at / k) as u32, weight);
            ends[column as usize] += 1;
        }
        let rows = |part: usize| part * PART..((part + 1) * PART).min(n);
        let parts: Vec<_> = (0..n.div_ceil(PART))
            .into_par_iter()
            .map(|part| {
                let (mut lengths, mut all) = (Vec::new(), Vec::new());
                let mut outgoing = Vec::with_capacity(k);
                for row in rows(part) {
                    outgoing.clear();
                    outgoing.extend((row * k..(row + 1) * k).map(|at| (columns[at], weights[at])));
                    outgoing.sort_unstable_by_key(|&(column, _)| column);
                    let before = all.len();
                    merge(&outgoing, &incoming[starts[row]..starts[row + 1]], |column, w, v| {
                        let joint = join(w, v);
                        if column as usize != row && keep(joint) {
                            all.push((column, joint));
                        }
                    });
                    lengths.push(all.len() - before);
                }
                (lengths, all)
            })
            .collect();
        let mut graph = Sparse { starts: vec![0], ..Sparse::default() };
        let total = parts.iter().map(|(_, all)| all.len()).sum();
        graph.columns.reserve_exact(total);
        graph.weights.reserve_exact(total);
        let mut end = 0;
        for (lengths, all) in parts {
            for length in lengths {
                end += length;
                graph.starts.push(end);
            }
            graph.columns.extend(all.iter().map(|&(column, _)| column));
            graph.weights.extend(all.iter().map(|&(_, weight)| weight));
        }
        graph
    }

    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Leave out edges below a weight.
    pub fn trim(&mut self, least: f32) {
        let (mut end, mut start) = (0, 0);
        for row in 0..self.len() {
            let stop = self.starts[row + 1];
            for at in std::mem::replace(&mut start, stop)..stop {
                if self.weights[at] >= least {
                    (self.columns[end], self.weights[end]) = (self.columns[at], self.weights[at]);
                    end += 1;
                }
            }
            self.starts[row + 1] = end;
        }
        self.columns.truncate(end);
        self.weights.truncate(end);
    }

    /// Neighbours of a row and their weights.
    #[inline(always)]
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.starts[row]..self.starts[row + 1];
        (&self.columns[range.clone()], &self.weights[range])
    }

    /// Into how many parts the graph falls that no edge connects.
    pub fn components(&self) -> usize {
        let (mut seen, mut count, mut stack) = (vec![false; self.len()], 0, Vec::new());
        for root in 0..self.len() {
            if seen[root] {
                continue;
            }
            count += 1;
            seen[root] = true;
            stack.push(root);
            while let Some(row) = stack.pop() {
                for &column in self.row(row).0 {
                    if !std::mem::replace(&mut seen[column as usize], true) {
                        stack.push(column as usize);
                    }
                }
            }
        }
        count
    }
}

/// Call `each` with every column of two rising lists and its weights, 0 where a list lacks it.
fn merge(a: &[(u32, f32)], b: &[(u32, f32)], mut each: impl FnMut(u32, f32, f32)) {
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let (x, y) = (a.get(i).map_or(u32::MAX, |x| x.0), b.get(j).map_or(u32::MAX, |y| y.0));
        let column = x.min(y);
        let (mut w, mut v) = (0.0, 0.0);
        if x == column {
            w = a[i].1;
            i += 1;
        }
        if y == column {
            v = b[j].1;
            j += 1;
        }
        each(column, w, v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joined_graph_has_both_directions() {
        // 0 -> 1, 2; 1 -> 0, 2; 2 -> 1, 3; 3 -> 4, 3; 4 -> 3, 4
        let (columns, weights) = ([1, 2, 2, 0, 1, 3, 4, 3, 3, 4], [0.5, 0.25, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.5, 1.0]);
        let graph = Sparse::join(&columns, &weights, 2, |w, v| w + v - w * v, |w| w > 0.0);
        assert_eq!(graph.starts, [0, 2, 4, 6, 7, 8]);
        assert_eq!(graph.columns, [1, 2, 0, 2, 0, 1, 4, 3]);
        assert_eq!(graph.weights, [1.0, 0.25, 1.0, 1.0, 0.25, 1.0, 1.0, 1.0]);
        assert_eq!(graph.components(), 2);
    }
}
