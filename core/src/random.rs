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

/// Turns a uniform number into i with probability in proportion to its weight: the inverse of the cumulative
/// distribution, through a guide table (Chen and Asau 1974). Numbers spread evenly give a stratified sample.
pub struct Quantiles {
    ends: Vec<u32>, // i has the numbers below ends[i] and not below ends[i - 1]; the last end is 2^32 - 1, and inclusive
    guide: Vec<u32>, // for each leading bits of a number, where to begin to look
    shift: u32,
}

impl Quantiles {
    pub fn new(weights: &[f64]) -> Quantiles {
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let mut ends: Vec<u32> = weights
            .iter()
            .map(|weight| {
                sum += weight;
                (sum / total * 4_294_967_296.0) as u32 // saturates
            })
            .collect();
        if let Some(last) = weights.iter().rposition(|&weight| weight > 0.0) {
            ends[last..].fill(u32::MAX);
        }
        let bits = weights.len().next_power_of_two().ilog2().clamp(8, 24);
        let shift = 32 - bits;
        let guide = (0..1u64 << bits).map(|lead| ends.partition_point(|&end| u64::from(end) <= lead << shift) as u32);
        Quantiles { guide: guide.collect(), ends, shift }
    }

    /// The i that a number uniform in 0..2^32 stands for.
    #[inline(always)]
    pub fn at(&self, number: u32) -> u32 {
        let mut i = self.guide[(number >> self.shift) as usize];
        while self.ends[i as usize] <= number && number < u32::MAX {
            i += 1;
        }
        i
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_in_proportion_to_the_weights() {
        let weights = [5.0, 1.0, 0.0, 3.0, 1.0, 0.0];
        let quantiles = Quantiles::new(&weights);
        let (mut seen, n) = ([0u32; 6], 1 << 20);
        for number in 0..n {
            seen[quantiles.at(number << 12) as usize] += 1;
        }
        for (count, weight) in seen.iter().zip(weights) {
            assert!((f64::from(*count) - weight / 10.0 * f64::from(n)).abs() <= 1.0, "{seen:?}");
        }
        assert_eq!((quantiles.at(0), quantiles.at(u32::MAX)), (0, 4));
    }

    #[test]
    fn quantiles_of_many_weights_are_those_of_a_plain_search() {
        let mut rng = Rng::new(3, 0);
        let weights: Vec<f64> = (1..5000).map(|i| f64::from(rng.below(1000)) / f64::from(i)).collect();
        let (quantiles, total) = (Quantiles::new(&weights), weights.iter().sum::<f64>());
        for _ in 0..10_000 {
            let number = (rng.bits() >> 32) as u32;
            let mut sum = 0.0;
            let plain = weights.iter().position(|weight| {
                sum += weight;
                sum / total * 4_294_967_296.0 >= f64::from(number) + 1.0
            });
            assert_eq!(quantiles.at(number) as usize, plain.unwrap());
        }
    }

    #[test]
    fn streams_of_neighbouring_positions_differ() {
        let first: Vec<u64> = (0..1000).map(|position| Rng::new(1, position).bits()).collect();
        let distinct: std::collections::HashSet<_> = first.iter().collect();
        assert_eq!(distinct.len(), first.len());
    }
}
