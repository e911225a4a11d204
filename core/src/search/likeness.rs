//! An order of rows in which like stands by like: halved along their largest variance, down to a part.

use super::codes::PANEL;

/// Rows that are not divided any more.
const PART: usize = 2 * PANEL;
/// About so many tell the direction of the largest variance.
const SAMPLE: usize = 1024;
/// How often it is multiplied by the covariances: others then have that power of their part of its variance.
const POWER: usize = 8;
/// Sums side by side.
const SUMS: usize = 8;

/// Order the rows of finite `coordinates` (n, m), m > 0, so that those near to each other are alike.
pub fn by_likeness(coordinates: &[f32], m: usize, threads: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..(coordinates.len() / m) as u32).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
    pool.install(|| halve(&mut order, coordinates, m));
    order
}

fn halve(order: &mut [u32], coordinates: &[f32], m: usize) {
    let n = order.len();
    if n <= PART {
        return;
    }
    let row = |row: u32| &coordinates[row as usize * m..][..m];
    let mut sample = Vec::with_capacity(SAMPLE * m);
    order.iter().step_by(n.div_ceil(SAMPLE)).for_each(|&at| sample.extend_from_slice(row(at)));
    let direction = largest_variance(&mut sample, m);
    let mut along: Vec<(f32, u32)> = order.iter().map(|&at| (dot(row(at), &direction), at)).collect();
    let half = n.div_ceil(2).next_multiple_of(PART); // less than n, for n is more than a part
    along.select_nth_unstable_by(half, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.iter_mut().zip(along).for_each(|(at, (_, row))| *at = row);
    let (first, second) = order.split_at_mut(half);
    rayon::join(|| halve(first, coordinates, m), || halve(second, coordinates, m));
}

/// The direction in which rows (n, m) differ most, by power iteration; they are centred.
fn largest_variance(rows: &mut [f32], m: usize) -> Vec<f32> {
    let n = rows.len() / m;
    let mut mean = vec![0f32; m];
    rows.chunks_exact(m).for_each(|row| add(&mut mean, row, 1.0 / n as f32));
    let mut squares = vec![0f32; m];
    for row in rows.chunks_exact_mut(m) {
        for ((x, mean), square) in row.iter_mut().zip(&mean).zip(&mut squares) {
            *x -= mean;
            *square += *x * *x;
        }
    }
    let widest = (0..m).max_by(|&i, &j| squares[i].total_cmp(&squares[j])).expect("m > 0");
    let mut direction = vec![0f32; m];
    direction[widest] = 1.0;
    for _ in 0..POWER {
        let mut next = vec![0f32; m];
        rows.chunks_exact(m).for_each(|row| add(&mut next, row, dot(row, &direction)));
        let length = dot(&next, &next).sqrt();
        if length < f32::MIN_POSITIVE {
            break; // all rows are equal
        }
        next.iter_mut().for_each(|x| *x /= length);
        direction = next;
    }
    direction
}

fn add(to: &mut [f32], row: &[f32], times: f32) {
    to.iter_mut().zip(row).for_each(|(to, x)| *to += times * x);
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, last_of_a), (b, last_of_b)) = (a.as_chunks::<SUMS>(), b.as_chunks::<SUMS>());
    let mut sums = [0f32; SUMS];
    for (a, b) in a.iter().zip(b) {
        for i in 0..SUMS {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + last_of_a.iter().zip(last_of_b).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    /// Normal numbers about centres, kind after kind in turn.
    fn kinds(n: usize, m: usize, kinds: usize) -> Vec<f32> {
        let mut random = Rng::new(3, 0);
        let centres: Vec<f32> = (0..kinds * m).map(|_| random.unit() - 0.5).collect();
        (0..n * m).map(|i| centres[i / m % kinds * m + i % m] + 0.05 * (random.unit() - 0.5)).collect()
    }

    #[test]
    fn each_row_once_and_like_by_like() {
        for (n, m) in [(1, 1), (32, 3), (33, 3), (5_000, 20), (3_000, 32), (700, 5)] {
            let rows = kinds(n, m, 40);
            let order = by_likeness(&rows, m, 2);
            assert_eq!(order, by_likeness(&rows, m, 1)); // however many threads
            let mut once = order.clone();
            once.sort_unstable();
            assert!(once.into_iter().eq(0..n as u32));
            if m >= 20 {
                let same = order.windows(2).filter(|pair| pair[0] % 40 == pair[1] % 40).count();
                assert!(same * 10 > n * 9, "{same} of {n}"); // by chance a fortieth
            }
        }
    }

    #[test]
    fn equal_rows_and_zeros_are_halved_too() {
        for x in [0.0, 1.0, 1e-30, 1e30] {
            assert!(by_likeness(&[x; 3 * 500], 3, 2).into_iter().all(|row| row < 500));
        }
    }

    #[test]
    fn the_largest_variance_is_found() {
        let mut random = Rng::new(4, 0);
        // Along (3, 4) / 5 ten times as far as across.
        let mut rows: Vec<f32> = (0..500)
            .flat_map(|_| {
                let (along, across) = (10.0 * (random.unit() - 0.5), random.unit() - 0.5);
                [7.0 + 0.6 * along - 0.8 * across, 0.8 * along + 0.6 * across]
            })
            .collect();
        let direction = largest_variance(&mut rows, 2);
        assert!((direction[0] / 0.6 - direction[1] / 0.8).abs() < 0.02, "{direction:?}");
    }
}
