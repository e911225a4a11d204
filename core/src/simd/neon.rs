//! Sixteen floats in four 128-bit registers, which every aarch64 has; products of codes need `sdot`, which most since 2018 have.

use super::{HALF_ROOT, Int8, LANES, Simd, Wide};
use std::arch::aarch64::*;

#[derive(Clone, Copy)]
pub struct Neon;

type Four = [float32x4_t; 4];

/// An intrinsic on each of four registers.
macro_rules! each {
    ($f:expr, $($v:expr),+) => {
        [$f($($v[0]),+), $f($($v[1]),+), $f($($v[2]),+), $f($($v[3]),+)]
    };
}

impl Simd for Neon {
    type F = Four;

    #[inline(always)]
    unsafe fn zero() -> Four {
        unsafe { [vdupq_n_f32(0.0); 4] }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Four {
        unsafe { [vdupq_n_f32(x); 4] }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Four {
        unsafe { [vld1q_f32(p), vld1q_f32(p.add(4)), vld1q_f32(p.add(8)), vld1q_f32(p.add(12))] }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Four) {
        unsafe {
            vst1q_f32(p, v[0]);
            vst1q_f32(p.add(4), v[1]);
            vst1q_f32(p.add(8), v[2]);
            vst1q_f32(p.add(12), v[3]);
        }
    }
    #[inline(always)]
    unsafe fn add(a: Four, b: Four) -> Four {
        unsafe { each!(vaddq_f32, a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Four, b: Four) -> Four {
        unsafe { each!(vsubq_f32, a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Four, b: Four) -> Four {
        unsafe { each!(vmulq_f32, a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: Four, b: Four) -> Four {
        unsafe { each!(vdivq_f32, a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: Four, b: Four, c: Four) -> Four {
        unsafe { each!(vfmaq_f32, c, a, b) }
    }
    #[inline(always)]
    unsafe fn clamp(v: Four, low: f32, high: f32) -> Four {
        // min and max are NaN where one operand is
        unsafe {
            let (low, high) = ([vdupq_n_f32(low); 4], [vdupq_n_f32(high); 4]);
            let v = each!(vmaxq_f32, v, low);
            each!(vminq_f32, v, high)
        }
    }
    #[inline(always)]
    unsafe fn round(v: Four) -> Four {
        unsafe { each!(vrndnq_f32, v) }
    }
    #[inline(always)]
    unsafe fn pow2(v: Four) -> Four {
        unsafe { each!(exponent, v) }
    }
    #[inline(always)]
    unsafe fn split(v: Four) -> (Four, Four) {
        unsafe {
            let whole = each!(whole, v);
            (each!(vcvtq_f32_s32, whole), each!(fraction, v, whole))
        }
    }
    #[inline(always)]
    unsafe fn rsqrt(v: Four) -> Four {
        unsafe { each!(rsqrt, v) }
    }
    #[inline(always)]
    unsafe fn sum(v: Four) -> f32 {
        unsafe {
            let four = fold(v);
            vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)))
        }
    }
    #[inline(always)]
    unsafe fn sums(v: [Four; LANES]) -> Four {
        unsafe {
            [
                four(v[0], v[1], v[2], v[3]),
                four(v[4], v[5], v[6], v[7]),
                four(v[8], v[9], v[10], v[11]),
                four(v[12], v[13], v[14], v[15]),
            ]
        }
    }
    #[inline(always)]
    unsafe fn max(a: Four, b: Four) -> Four {
        // not `fmax`, which is NaN where one is
        unsafe { each!(larger, a, b) }
    }
    #[inline(always)]
    unsafe fn at_least(a: Four, b: Four) -> u16 {
        unsafe {
            let lanes = each!(vcgeq_f32, a, b);
            // The lower half of each lane, twice: a byte for each of the sixteen.
            let low = vuzp1q_u16(vreinterpretq_u16_u32(lanes[0]), vreinterpretq_u16_u32(lanes[1]));
            let high = vuzp1q_u16(vreinterpretq_u16_u32(lanes[2]), vreinterpretq_u16_u32(lanes[3]));
            let bytes = vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
            // A bit of each, added up within each half.
            const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
            let mut bits = vandq_u8(bytes, vld1q_u8(BITS.as_ptr()));
            for _ in 0..3 {
                bits = vpaddq_u8(bits, bits);
            }
            vgetq_lane_u16::<0>(vreinterpretq_u16_u8(bits))
        }
    }
}

/// `sdot` adds four products of signed numbers to each of four sums; `usdot`, of unsigned with signed ones, is not in all
/// processors that have it.
impl Int8 for Neon {
    const ZERO: i32 = 0;
    type Packed = [i8; 4];
    /// The four codes in the first lane of a register, from which `sdot` takes them: a load is all, nothing is spread.
    type Query = f32;
    type Keys = [int8x16_t; 4];
    type Sums = [int32x4_t; 4];

    #[inline(always)]
    fn pack(codes: [i8; 4]) -> Self::Packed {
        codes
    }
    #[inline(always)]
    unsafe fn query(p: *const Self::Packed) -> Self::Query {
        unsafe { p.cast::<f32>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn keys(p: *const u8) -> Self::Keys {
        unsafe {
            let bytes = [vld1q_u8(p), vld1q_u8(p.add(16)), vld1q_u8(p.add(32)), vld1q_u8(p.add(48))];
            each!(less_128, bytes)
        }
    }
    #[inline(always)]
    unsafe fn start(value: i32) -> Self::Sums {
        unsafe { [vdupq_n_s32(value); 4] }
    }
    #[inline(always)]
    unsafe fn read(of: &[i32; LANES]) -> Self::Sums {
        let p = of.as_ptr();
        unsafe { [vld1q_s32(p), vld1q_s32(p.add(4)), vld1q_s32(p.add(8)), vld1q_s32(p.add(12))] }
    }
    #[inline(always)]
    unsafe fn dot(s: Self::Sums, keys: Self::Keys, query: Self::Query) -> Self::Sums {
        unsafe {
            [
                sdot(s[0], keys[0], query),
                sdot(s[1], keys[1], query),
                sdot(s[2], keys[2], query),
                sdot(s[3], keys[3], query),
            ]
        }
    }
    #[inline(always)]
    unsafe fn shifted(s: Self::Sums, shift: i32, value: i32) -> Self::Sums {
        unsafe {
            let (shift, value) = ([vdupq_n_s32(shift); 4], [vdupq_n_s32(value); 4]);
            let s = each!(vshlq_s32, s, shift);
            each!(vaddq_s32, s, value)
        }
    }
    #[inline(always)]
    unsafe fn floats(s: Self::Sums) -> Four {
        unsafe { each!(vcvtq_f32_s32, s) }
    }
    #[inline(always)]
    unsafe fn integers(s: Self::Sums) -> [i32; LANES] {
        // SAFETY: sixteen lanes of 32 bits either way.
        unsafe { std::mem::transmute(s) }
    }
}

impl Wide for Neon {
    type D = [float64x2_t; 4];

    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self::D {
        unsafe { [vld1q_f64(p), vld1q_f64(p.add(2)), vld1q_f64(p.add(4)), vld1q_f64(p.add(6))] }
    }
    #[inline(always)]
    unsafe fn widen(p: *const f32) -> Self::D {
        unsafe {
            let (low, high) = (vld1q_f32(p), vld1q_f32(p.add(4)));
            [
                vcvt_f64_f32(vget_low_f32(low)),
                vcvt_high_f64_f32(low),
                vcvt_f64_f32(vget_low_f32(high)),
                vcvt_high_f64_f32(high),
            ]
        }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f64, v: Self::D) {
        unsafe {
            vst1q_f64(p, v[0]);
            vst1q_f64(p.add(2), v[1]);
            vst1q_f64(p.add(4), v[2]);
            vst1q_f64(p.add(6), v[3]);
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::D, b: Self::D) -> Self::D {
        unsafe { each!(vaddq_f64, a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::D, b: Self::D) -> Self::D {
        unsafe { each!(vsubq_f64, a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::D, b: Self::D) -> Self::D {
        unsafe { each!(vmulq_f64, a, b) }
    }
    #[inline(always)]
    unsafe fn splat(x: f64) -> Self::D {
        unsafe { [vdupq_n_f64(x); 4] }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::D, b: Self::D, c: Self::D) -> Self::D {
        unsafe { each!(vfmaq_f64, c, a, b) }
    }
}

/// 2 to the power of whole numbers: they become the exponent.
#[inline(always)]
unsafe fn exponent(v: float32x4_t) -> float32x4_t {
    unsafe { vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtq_s32_f32(v), vdupq_n_s32(127)))) }
}

#[inline(always)]
unsafe fn whole(v: float32x4_t) -> int32x4_t {
    unsafe { vshrq_n_s32::<23>(vsubq_s32(vreinterpretq_s32_f32(v), vdupq_n_s32(HALF_ROOT))) }
}

#[inline(always)]
unsafe fn fraction(v: float32x4_t, whole: int32x4_t) -> float32x4_t {
    unsafe { vreinterpretq_f32_s32(vsubq_s32(vreinterpretq_s32_f32(v), vshlq_n_s32::<23>(whole))) }
}

/// The processor's estimate has eight bits; a step of Newton's doubles them.
#[inline(always)]
unsafe fn rsqrt(v: float32x4_t) -> float32x4_t {
    unsafe {
        let estimate = vrsqrteq_f32(v);
        vmulq_f32(estimate, vrsqrtsq_f32(vmulq_f32(v, estimate), estimate))
    }
}

#[inline(always)]
unsafe fn larger(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
}

/// Four vectors to one register, by pairwise adds.
#[inline(always)]
unsafe fn four(a: Four, b: Four, c: Four, d: Four) -> float32x4_t {
    unsafe { vpaddq_f32(vpaddq_f32(fold(a), fold(b)), vpaddq_f32(fold(c), fold(d))) }
}

#[inline(always)]
unsafe fn fold(v: Four) -> float32x4_t {
    unsafe { vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3])) }
}

/// Bytes, 128 above what they stand for, as that.
#[inline(always)]
unsafe fn less_128(bytes: uint8x16_t) -> int8x16_t {
    unsafe { vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(128))) }
}

/// By assembly: the intrinsic is not stable yet. Like one, it is part of functions that have the instruction, and called by others.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut sums: int32x4_t, keys: int8x16_t, query: f32) -> int32x4_t {
    // SAFETY: the attribute above says what the processor has; only registers are read and written.
    unsafe {
        std::arch::asm!(
            "sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[0]",
            inout(vreg) sums,
            in(vreg) keys,
            in(vreg) query,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
