//! Sixteen floats in one 512-bit register.

use super::{HALF_ROOT, Int8, LANES, Simd, Wide};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub struct Avx512;

impl Simd for Avx512 {
    type F = __m512;

    #[inline(always)]
    unsafe fn zero() -> Self::F {
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::F {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::F {
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::F) {
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn clamp(v: Self::F, low: f32, high: f32) -> Self::F {
        // min and max return their second operand where one is NaN
        unsafe { _mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(_mm512_set1_ps(low), v)) }
    }
    #[inline(always)]
    unsafe fn round(v: Self::F) -> Self::F {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v) }
    }
    #[inline(always)]
    unsafe fn pow2(v: Self::F) -> Self::F {
        unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), v) }
    }
    #[inline(always)]
    unsafe fn split(v: Self::F) -> (Self::F, Self::F) {
        unsafe {
            let bits = _mm512_castps_si512(v);
            let whole = _mm512_srai_epi32::<23>(_mm512_sub_epi32(bits, _mm512_set1_epi32(HALF_ROOT)));
            let fraction = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(whole));
            (_mm512_cvtepi32_ps(whole), _mm512_castsi512_ps(fraction))
        }
    }
    #[inline(always)]
    unsafe fn rsqrt(v: Self::F) -> Self::F {
        unsafe { _mm512_rsqrt14_ps(v) }
    }
    #[inline(always)]
    unsafe fn sum(v: Self::F) -> f32 {
        unsafe { _mm512_reduce_add_ps(v) }
    }
    #[inline(always)]
    unsafe fn sums(v: [Self::F; LANES]) -> Self::F {
        // A transpose that adds as it goes: four rounds, each halving the number of registers.
        unsafe {
            let q0 = quarters(v[0], v[1], v[2], v[3]);
            let q1 = quarters(v[4], v[5], v[6], v[7]);
            let q2 = quarters(v[8], v[9], v[10], v[11]);
            let q3 = quarters(v[12], v[13], v[14], v[15]);
            across(across(q0, q1), across(q2, q3))
        }
    }
    #[inline(always)]
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn at_least(a: Self::F, b: Self::F) -> u16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b) }
    }
}

/// With VNNI: `vpdpbusd` adds four products to each of sixteen sums.
impl Int8 for Avx512 {
    type Packed = [i8; 4];
    type Query = __m512i;
    type Keys = __m512i;
    type Sums = __m512i;

    #[inline(always)]
    fn pack(codes: [i8; 4]) -> Self::Packed {
        codes
    }
    #[inline(always)]
    unsafe fn query(p: *const Self::Packed) -> Self::Query {
        unsafe { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn keys(p: *const u8) -> Self::Keys {
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn start(value: i32) -> Self::Sums {
        unsafe { _mm512_set1_epi32(value) }
    }
    #[inline(always)]
    unsafe fn read(of: &[i32; LANES]) -> Self::Sums {
        unsafe { _mm512_loadu_si512(of.as_ptr().cast()) }
    }
    #[inline(always)]
    unsafe fn dot(sums: Self::Sums, keys: Self::Keys, query: Self::Query) -> Self::Sums {
        unsafe { _mm512_dpbusd_epi32(sums, keys, query) }
    }
    #[inline(always)]
    unsafe fn shifted(sums: Self::Sums, shift: i32, value: i32) -> Self::Sums {
        unsafe { _mm512_add_epi32(_mm512_sll_epi32(sums, _mm_cvtsi32_si128(shift)), _mm512_set1_epi32(value)) }
    }
    #[inline(always)]
    unsafe fn floats(sums: Self::Sums) -> Self::F {
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
    #[inline(always)]
    unsafe fn integers(sums: Self::Sums) -> [i32; LANES] {
        // SAFETY: sixteen lanes of 32 bits either way.
        unsafe { std::mem::transmute(sums) }
    }
}

impl Wide for Avx512 {
    type D = __m512d;

    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self::D {
        unsafe { _mm512_loadu_pd(p) }
    }
    #[inline(always)]
    unsafe fn widen(p: *const f32) -> Self::D {
        unsafe { _mm512_cvtps_pd(_mm256_loadu_ps(p)) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f64, v: Self::D) {
        unsafe { _mm512_storeu_pd(p, v) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::D, b: Self::D) -> Self::D {
        unsafe { _mm512_add_pd(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::D, b: Self::D) -> Self::D {
        unsafe { _mm512_sub_pd(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::D, b: Self::D) -> Self::D {
        unsafe { _mm512_mul_pd(a, b) }
    }
    #[inline(always)]
    unsafe fn splat(x: f64) -> Self::D {
        unsafe { _mm512_set1_pd(x) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::D, b: Self::D, c: Self::D) -> Self::D {
        unsafe { _mm512_fmadd_pd(a, b, c) }
    }
}

/// In each 128-bit quarter, the sums of that quarter of a, b, c and d.
#[inline(always)]
unsafe fn quarters(a: __m512, b: __m512, c: __m512, d: __m512) -> __m512 {
    unsafe {
        let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        _mm512_add_ps(_mm512_shuffle_ps::<0b01_00_01_00>(ab, cd), _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd))
    }
}

/// Neighbouring quarters added: those of a in the lower half, those of b in the upper.
#[inline(always)]
unsafe fn across(a: __m512, b: __m512) -> __m512 {
    unsafe { _mm512_add_ps(_mm512_shuffle_f32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b)) }
}
