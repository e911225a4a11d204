//! Sixteen floats in two 256-bit registers.

use super::{HALF_ROOT, Int8, LANES, Simd, Wide};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub struct Avx2;

type Two = (__m256, __m256);

impl Simd for Avx2 {
    type F = Two;

    #[inline(always)]
    unsafe fn zero() -> Two {
        unsafe { (_mm256_setzero_ps(), _mm256_setzero_ps()) }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Two {
        unsafe { (_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Two {
        unsafe { (_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Two) {
        unsafe {
            _mm256_storeu_ps(p, v.0);
            _mm256_storeu_ps(p.add(8), v.1);
        }
    }
    #[inline(always)]
    unsafe fn add(a: Two, b: Two) -> Two {
        unsafe { (_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn sub(a: Two, b: Two) -> Two {
        unsafe { (_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn mul(a: Two, b: Two) -> Two {
        unsafe { (_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn div(a: Two, b: Two) -> Two {
        unsafe { (_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn fma(a: Two, b: Two, c: Two) -> Two {
        unsafe { (_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
    }
    #[inline(always)]
    unsafe fn clamp(v: Two, low: f32, high: f32) -> Two {
        // min and max return their second operand where one is NaN
        unsafe {
            let (low, high) = (_mm256_set1_ps(low), _mm256_set1_ps(high));
            (_mm256_min_ps(high, _mm256_max_ps(low, v.0)), _mm256_min_ps(high, _mm256_max_ps(low, v.1)))
        }
    }
    #[inline(always)]
    unsafe fn round(v: Two) -> Two {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        unsafe { (_mm256_round_ps::<NEAREST>(v.0), _mm256_round_ps::<NEAREST>(v.1)) }
    }
    #[inline(always)]
    unsafe fn pow2(v: Two) -> Two {
        unsafe { (exponent(v.0), exponent(v.1)) }
    }
    #[inline(always)]
    unsafe fn split(v: Two) -> (Two, Two) {
        unsafe {
            let (low, high) = (split(v.0), split(v.1));
            ((low.0, high.0), (low.1, high.1))
        }
    }
    #[inline(always)]
    unsafe fn rsqrt(v: Two) -> Two {
        unsafe { (_mm256_rsqrt_ps(v.0), _mm256_rsqrt_ps(v.1)) }
    }
    #[inline(always)]
    unsafe fn sum(v: Two) -> f32 {
        unsafe {
            let eight = fold(v);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn sums(v: [Two; LANES]) -> Two {
        unsafe {
            (
                eight(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]),
                eight(v[8], v[9], v[10], v[11], v[12], v[13], v[14], v[15]),
            )
        }
    }
    #[inline(always)]
    unsafe fn max(a: Two, b: Two) -> Two {
        unsafe { (_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn at_least(a: Two, b: Two) -> u16 {
        unsafe {
            let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(a.0, b.0));
            let high = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(a.1, b.1));
            (low | high << 8) as u16
        }
    }
}

/// `vpmaddubsw` adds two products in 16 bits, `vpmaddwd` by ones two of those sums in 32.
impl Int8 for Avx2 {
    // Four products of 255 with numbers of 128 in all are within 16 bits: they are added there before they are widened.
    const IN_PAIRS: bool = true;
    type Packed = [i8; 4];
    type Query = __m256i;
    type Keys = [__m256i; 2];
    type Sums = [__m256i; 2];

    #[inline(always)]
    fn pack(codes: [i8; 4]) -> Self::Packed {
        codes
    }
    #[inline(always)]
    unsafe fn query(p: *const Self::Packed) -> Self::Query {
        unsafe { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn keys(p: *const u8) -> Self::Keys {
        unsafe { [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())] }
    }
    #[inline(always)]
    unsafe fn start(value: i32) -> Self::Sums {
        unsafe { [_mm256_set1_epi32(value); 2] }
    }
    #[inline(always)]
    unsafe fn read(of: &[i32; LANES]) -> Self::Sums {
        unsafe { [_mm256_loadu_si256(of.as_ptr().cast()), _mm256_loadu_si256(of.as_ptr().add(8).cast())] }
    }
    #[inline(always)]
    unsafe fn dot(s: Self::Sums, keys: Self::Keys, query: Self::Query) -> Self::Sums {
        unsafe {
            let ones = _mm256_set1_epi16(1);
            [
                _mm256_add_epi32(s[0], _mm256_madd_epi16(_mm256_maddubs_epi16(keys[0], query), ones)),
                _mm256_add_epi32(s[1], _mm256_madd_epi16(_mm256_maddubs_epi16(keys[1], query), ones)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn dot_two(s: Self::Sums, keys: [Self::Keys; 2], query: [Self::Query; 2]) -> Self::Sums {
        unsafe {
            let (ones, [first, second]) = (_mm256_set1_epi16(1), keys);
            let mut sums = s;
            for half in 0..2 {
                let [first, second] =
                    [_mm256_maddubs_epi16(first[half], query[0]), _mm256_maddubs_epi16(second[half], query[1])];
                sums[half] = _mm256_add_epi32(s[half], _mm256_madd_epi16(_mm256_add_epi16(first, second), ones));
            }
            sums
        }
    }
    #[inline(always)]
    unsafe fn shifted(s: Self::Sums, shift: i32, value: i32) -> Self::Sums {
        unsafe {
            let (shift, value) = (_mm_cvtsi32_si128(shift), _mm256_set1_epi32(value));
            [
                _mm256_add_epi32(_mm256_sll_epi32(s[0], shift), value),
                _mm256_add_epi32(_mm256_sll_epi32(s[1], shift), value),
            ]
        }
    }
    #[inline(always)]
    unsafe fn floats(s: Self::Sums) -> Two {
        unsafe { (_mm256_cvtepi32_ps(s[0]), _mm256_cvtepi32_ps(s[1])) }
    }
    #[inline(always)]
    unsafe fn integers(s: Self::Sums) -> [i32; LANES] {
        // SAFETY: sixteen lanes of 32 bits either way.
        unsafe { std::mem::transmute(s) }
    }
}

impl Wide for Avx2 {
    type D = (__m256d, __m256d);

    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self::D {
        unsafe { (_mm256_loadu_pd(p), _mm256_loadu_pd(p.add(4))) }
    }
    #[inline(always)]
    unsafe fn widen(p: *const f32) -> Self::D {
        unsafe { (_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p.add(4)))) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f64, v: Self::D) {
        unsafe {
            _mm256_storeu_pd(p, v.0);
            _mm256_storeu_pd(p.add(4), v.1);
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::D, b: Self::D) -> Self::D {
        unsafe { (_mm256_add_pd(a.0, b.0), _mm256_add_pd(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::D, b: Self::D) -> Self::D {
        unsafe { (_mm256_sub_pd(a.0, b.0), _mm256_sub_pd(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::D, b: Self::D) -> Self::D {
        unsafe { (_mm256_mul_pd(a.0, b.0), _mm256_mul_pd(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn splat(x: f64) -> Self::D {
        unsafe { (_mm256_set1_pd(x), _mm256_set1_pd(x)) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::D, b: Self::D, c: Self::D) -> Self::D {
        unsafe { (_mm256_fmadd_pd(a.0, b.0, c.0), _mm256_fmadd_pd(a.1, b.1, c.1)) }
    }
}

/// 2 to the power of whole numbers: they become the exponent.
#[inline(always)]
unsafe fn exponent(v: __m256) -> __m256 {
    unsafe {
        let biased = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
    }
}

#[inline(always)]
unsafe fn split(v: __m256) -> (__m256, __m256) {
    unsafe {
        let bits = _mm256_castps_si256(v);
        let whole = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, _mm256_set1_epi32(HALF_ROOT)));
        let fraction = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(whole));
        (_mm256_cvtepi32_ps(whole), _mm256_castsi256_ps(fraction))
    }
}

/// Eight pairs of registers to one: horizontal adds within 128-bit halves, then across them.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // an array would go through memory
unsafe fn eight(a: Two, b: Two, c: Two, d: Two, e: Two, f: Two, g: Two, h: Two) -> __m256 {
    unsafe {
        let low = _mm256_hadd_ps(_mm256_hadd_ps(fold(a), fold(b)), _mm256_hadd_ps(fold(c), fold(d)));
        let high = _mm256_hadd_ps(_mm256_hadd_ps(fold(e), fold(f)), _mm256_hadd_ps(fold(g), fold(h)));
        _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
    }
}

#[inline(always)]
unsafe fn fold(v: Two) -> __m256 {
    unsafe { _mm256_add_ps(v.0, v.1) }
}
