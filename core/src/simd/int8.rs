//! Dot products of codes, sixteen keys at a time: codes of keys are u8, those of queries i8, sums i32. Every version gives
//! the same integers, of queries that it takes, once its zero of keys is taken off.

use super::{LANES, Level, Simd};

/// What kernels do with codes. Keys lie as `[step][16 keys][4 codes]`: a step is four dimensions, 64 bytes.
///
/// # Safety
/// As for [`Simd`]; pointers to keys have 64 bytes behind them.
#[allow(clippy::missing_safety_doc)] // said once, above
pub trait Int8: Simd {
    /// The zero of keys as they are multiplied; they are kept with 128 added, which some versions take off when they load them.
    const ZERO: i32 = 128;
    /// Whether two steps are better multiplied together. Of the eight codes of a query there, those above zero of 0, 1, 4 and 5, and
    /// so those below it, and so of the others, are then 128 in sum at most, but for their signs, for each step alone too.
    const IN_PAIRS: bool = false;
    /// Four codes of a query, as they lie in memory.
    type Packed: Copy + Send + Sync;
    /// The same, in every lane.
    type Query: Copy;
    type Keys: Copy;
    /// Sums of sixteen keys.
    type Sums: Copy;

    fn pack(codes: [i8; 4]) -> Self::Packed;
    unsafe fn query(p: *const Self::Packed) -> Self::Query;
    unsafe fn keys(p: *const u8) -> Self::Keys;
    unsafe fn start(value: i32) -> Self::Sums;
    unsafe fn read(of: &[i32; LANES]) -> Self::Sums;
    /// Add the four products of each key; sums wrap around.
    unsafe fn dot(sums: Self::Sums, keys: Self::Keys, query: Self::Query) -> Self::Sums;
    /// The same of two steps.
    #[inline(always)]
    unsafe fn dot_two(sums: Self::Sums, keys: [Self::Keys; 2], query: [Self::Query; 2]) -> Self::Sums {
        unsafe { Self::dot(Self::dot(sums, keys[0], query[0]), keys[1], query[1]) }
    }
    /// Sums times 2^shift, and a value added; they wrap around.
    unsafe fn shifted(sums: Self::Sums, shift: i32, value: i32) -> Self::Sums;
    /// Sums as floats, rounded to nearest.
    unsafe fn floats(sums: Self::Sums) -> Self::F;
    unsafe fn integers(sums: Self::Sums) -> [i32; LANES];
}

impl Level {
    /// The best level up to this one whose products of codes this processor has: AVX-512 alone, without VNNI, has none.
    pub fn for_codes(self) -> Level {
        #[cfg(target_arch = "x86_64")]
        if self == Level::Avx512
            && !(is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni"))
        {
            return if Level::Avx2.available() { Level::Avx2 } else { Level::Portable };
        }
        self
    }

    /// Whether this processor multiplies bfloat16 faster than float32: Intel's do so at half the rate of instructions.
    pub fn has_bfloat16() -> bool {
        #[cfg(target_arch = "x86_64")]
        return Level::Avx512.available()
            && is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512bw")
            && std::arch::x86_64::__cpuid(0).ebx.to_le_bytes() != *b"Genu"; // ineIntel
        #[cfg(not(target_arch = "x86_64"))]
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Portable;

    /// Codes of this size and of both signs in turn: two of four above zero, 128 in sum, and two below.
    const MIXED: i32 = 64;

    /// Sums of 16 keys over `steps` steps, with the extremes of both codes among them.
    fn sums<S: Int8>(largest: i32, steps: usize, start: i32, in_pairs: bool) -> [f32; LANES] {
        let keys: Vec<u8> = (0..steps * 64).map(|i| if i % 5 < 2 { 255 } else { (i * 7919 % 256) as u8 }).collect();
        let code = |i: i32| match i % 3 {
            _ if largest == MIXED => largest * (1 - i % 2 * 2),
            0 => largest,
            _ => i * 31 % (2 * largest + 1) - largest,
        };
        let code = |i: i32| code(i) as i8;
        let codes: Vec<[i8; 4]> = (0..steps).map(|s| std::array::from_fn(|j| code((s + j) as i32))).collect();
        let query: Vec<S::Packed> = codes.iter().map(|&codes| S::pack(codes)).collect();
        let zero = (128 - S::ZERO) * codes.iter().flatten().map(|&code| i32::from(code)).sum::<i32>();
        let mut out = [0f32; LANES];
        // SAFETY: the caller asks only for what the processor has.
        unsafe {
            let mut sums = S::start(start + zero);
            let (at, of) = (|s: usize| S::keys(keys.as_ptr().add(64 * s)), |s: usize| S::query(query.as_ptr().add(s)));
            for s in (0..steps).step_by(2) {
                if in_pairs && s + 1 < steps {
                    sums = S::dot_two(sums, [at(s), at(s + 1)], [of(s), of(s + 1)]);
                } else {
                    (s..steps.min(s + 2)).for_each(|s| sums = S::dot(sums, at(s), of(s)));
                }
            }
            sums = S::shifted(sums, 3, -start);
            S::store(out.as_mut_ptr(), S::floats(sums));
        }
        out
    }

    #[test]
    fn every_version_gives_the_same_integers() {
        let cases = [(1, 0, 127), (3, -5, 127), (97, 123_456, 127), (97, 7, 63), (97, -9, 32), (96, 11, MIXED)];
        for (steps, start, largest) in cases {
            let in_pairs = largest <= 32 || largest == MIXED; // four of them are 128 at most
            let plain = sums::<Portable>(largest, steps, start, in_pairs);
            assert!(plain.iter().any(|&sum| sum != plain[0]));
            #[cfg(target_arch = "x86_64")]
            {
                use crate::simd::{Avx2, Avx512};
                if Level::Avx2.available() && largest <= MIXED {
                    assert_eq!(sums::<Avx2>(largest, steps, start, in_pairs), plain);
                }
                if Level::Avx512.available() && Level::Avx512.for_codes() == Level::Avx512 {
                    assert_eq!(sums::<Avx512>(largest, steps, start, in_pairs), plain);
                }
            }
            #[cfg(target_arch = "aarch64")]
            if Level::Neon.available() {
                assert_eq!(sums::<crate::simd::Neon>(largest, steps, start, in_pairs), plain);
            }
        }
    }
}
