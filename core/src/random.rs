//! Random numbers for training: a small fast generator and a sampler from a discrete distribution.

/// wyrand (Wang Yi, public domain): one multiplication a number, passes BigCrush.
#[derive(Clone)]
pub struct Rng(u64);

impl Rng {
    /// A stream of its own for each pair of a seed and a position.
    pub fn new(seed: u64, position: u64) -> Rng {
        let mut rng = Rng(seed ^ position.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        rng.0 = rng.bits() ^ position;
        rng
    }

    #[inline(always)]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xA076_1D64_78BD_642F);
        let product = u128::from(self.0) * u128::from(self.0 ^ 0xE703_7ED1_A0B4_28DB);
        (product >> 64) as u64 ^ product as u64
    }

    /// Uniform in 0..n, n below 2^32.
    #[inline(always)]
    pub fn below(&mut self, n: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(n)) >> 32) as u32
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Draws i with probability in proportion to its weight, in constant time (Walker 1977, built as Vose 1991).
pub struct Alias {
    cells: Vec<(u32, u32)>, // threshold of 32 bits, the other one
}

impl Alias {
    pub fn new(weights: &[f64]) -> Alias {
        let n = weights.len();
        let total: f64 = weights.iter().sum();
        let mut left: Vec<f64> = weights.iter().map(|w| w / total * n as f64).collect();
        let mut cells: Vec<(u32, u32)> = (0..n as u32).map(|i| (u32::MAX, i)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| left[i] < 1.0);
        while let (Some(&s), Some(&l)) = (small.last(), large.last()) {
            small.pop();
            cells[s] = ((left[s] * 4_294_967_296.0) as u32, l as u32);
            left[l] -= 1.0 - left[s];
            if left[l] < 1.0 {
                large.pop();
                small.push(l);
            }
        }
        Alias { cells }
    }

    #[inline(always)]
    pub fn draw(&self, rng: &mut Rng) -> u32 {
        let bits = rng.bits();
        let i = ((bits >> 32) * self.cells.len() as u64) >> 32;
        let (threshold, other) = self.cells[i as usize];
        if (bits as u32) < threshold { i as u32 } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alias_draws_in_proportion_to_the_weights() {
        let weights = [5.0, 1.0, 0.0, 3.0, 1.0];
        let (alias, mut rng, mut seen) = (Alias::new(&weights), Rng::new(7, 0), [0u32; 5]);
        let n = 1_000_000;
        for _ in 0..n {
            seen[alias.draw(&mut rng) as usize] += 1;
        }
        for (count, weight) in seen.iter().zip(weights) {
            let p = weight / 10.0;
            let deviation = (p * (1.0 - p) / f64::from(n)).sqrt();
            assert!((f64::from(*count) / f64::from(n) - p).abs() <= 5.0 * deviation, "{seen:?}");
        }
    }

    #[test]
    fn streams_of_neighbouring_positions_differ() {
        let first: Vec<u64> = (0..1000).map(|position| Rng::new(1, position).bits()).collect();
        let distinct: std::collections::HashSet<_> = first.iter().collect();
        assert_eq!(distinct.len(), first.len());
    }
}
