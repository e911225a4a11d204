//! The one place for instruction sets: sixteen floats at a time, in a portable version (the specification) and in
//! versions that use the processor's own instructions, chosen at run time.
//!
//! A kernel is written once over the trait [`Simd`], marked `#[inline(always)]`, and called from one thin function for
//! each instruction set, whose `#[target_feature]` lets the compiler use it for everything inlined there.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod int8;
mod matrix;
mod narrow;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod wide;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
pub use int8::Int8;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use matrix::{CodeTiles, HalfTiles, has_matrix_bfloat16, multiply_nothing};
pub use matrix::{Line, MATRIX_CODES, MATRIX_ROWS, MatrixProduct, Square, Unit, matrix_product};
#[cfg(test)]
pub use matrix::{PlainTiles, plain_product};
#[cfg(any(test, all(target_arch = "x86_64", target_os = "linux")))]
pub use matrix::{TileSums, Tiles};
#[cfg(target_arch = "x86_64")]
pub use narrow::{Avx2Words, Avx512Half};
pub use narrow::{Floats, Narrow, Numbers, PortableHalf};
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use portable::Portable;
pub use wide::Wide;

/// Floats in one vector; rows are padded to a multiple of it.
pub const LANES: usize = 16;

/// Sixteen floats and what kernels do with them.
///
/// # Safety
/// Every function needs the processor to have the instruction set, and pointers to sixteen valid floats.
#[allow(clippy::missing_safety_doc)] // said once, above
pub trait Simd: Copy {
    type F: Copy;
    unsafe fn zero() -> Self::F;
    unsafe fn splat(x: f32) -> Self::F;
    unsafe fn load(p: *const f32) -> Self::F;
    unsafe fn store(p: *mut f32, v: Self::F);
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    /// a * b + c; fused where the processor can.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// Each lane moved into low..high; NaN stays NaN.
    unsafe fn clamp(v: Self::F, low: f32, high: f32) -> Self::F;
    unsafe fn round(v: Self::F) -> Self::F;
    /// 2 to the power of each lane, which holds a whole number in -126..127.
    unsafe fn pow2(v: Self::F) -> Self::F;
    /// Of a finite, normal v > 0 the two parts of 2^whole * fraction, which is within sqrt(1/2)..sqrt(2).
    unsafe fn split(v: Self::F) -> (Self::F, Self::F);
    /// 1 / sqrt(v), relative error under 2^-11, for finite v > 0.
    unsafe fn rsqrt(v: Self::F) -> Self::F;
    /// Lane i of the result is the sum of the lanes of `v[i]`.
    unsafe fn sums(v: [Self::F; LANES]) -> Self::F;
    /// The sum of the lanes.
    unsafe fn sum(v: Self::F) -> f32;
    /// The larger of each two lanes; that of b where one is NaN.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    /// Bit i is set where lane i of a is at least that of b; not where one is NaN.
    unsafe fn at_least(a: Self::F, b: Self::F) -> u16;

    /// 1 / (1 + exp(-v)), relative error under 1e-6 for |v| <= 20, beyond which it is that of 20; NaN stays NaN.
    #[inline(always)]
    unsafe fn sigmoid(v: Self::F) -> Self::F {
        unsafe {
            let t = Self::mul(Self::clamp(v, -20.0, 20.0), Self::splat(-std::f32::consts::LOG2_E));
            let (e, scale) = exp2_parts::<Self>(t);
            let one = Self::splat(1.0);
            Self::div(one, Self::fma(e, scale, one))
        }
    }

    /// 2 to the power of v, relative error under 1e-6 for |v| <= 126, beyond which it is that of 126; NaN stays NaN.
    #[inline(always)]
    unsafe fn exp2(v: Self::F) -> Self::F {
        unsafe {
            let (e, scale) = exp2_parts::<Self>(Self::clamp(v, -126.0, 126.0));
            Self::mul(e, scale)
        }
    }

    /// The logarithm to base 2 of a finite, normal v > 0, within 1e-6 and its rounding.
    #[inline(always)]
    unsafe fn log2(v: Self::F) -> Self::F {
        unsafe {
            let (whole, fraction) = Self::split(v);
            let t = Self::sub(fraction, Self::splat(1.0));
            // log2(1 + t) / t, interpolated at Chebyshev's nodes of -0.3..0.42.
            let mut log = Self::splat(0.172_128_74);
            for c in [-0.269_506_28, 0.295_633_6, -0.359_350_65, 0.480_629_15, -0.721_364, 1.442_696_5] {
                log = Self::fma(log, t, Self::splat(c));
            }
            Self::fma(log, t, whole)
        }
    }
}

/// The bits of sqrt(1/2), from which exponents are counted, so that fractions are about 1.
const HALF_ROOT: i32 = 0x3F35_04F3;

/// Two factors of 2^t: of the fraction, in about 0.7..1.4, and of the whole number next to it.
#[inline(always)]
unsafe fn exp2_parts<S: Simd>(t: S::F) -> (S::F, S::F) {
    unsafe {
        let whole = S::round(t);
        let r = S::sub(t, whole); // in -0.5..0.5
        // 2^r by its Taylor series about 0: ln(2)^k / k!, the remainder under 2e-7 on this range.
        let mut e = S::splat(1.540_353e-4);
        for c in [1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 2.402_265e-1, 6.931_472e-1, 1.0] {
            e = S::fma(e, r, S::splat(c));
        }
        (e, S::pow2(whole))
    }
}

/// Ask for a cache line that will be written. Other cores lose it at once, which they would only when it is written
/// otherwise: the writer then waits for them. (By assembly: the intrinsic falls back to fetching for reading.)
#[inline(always)]
pub fn prefetch_for_writing<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it changes nothing that the program can see, whatever the address. Processors without it ignore it.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) p, options(nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pstl1keep, [{}]", in(reg) p, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = p;
}

/// Ask for a cache line that will be read soon.
#[inline(always)]
pub fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it changes nothing that the program can see, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) p, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = p;
}

/// Ask for a cache line that will be read later: into the second-level cache, which can wait for more of them at once.
#[inline(always)]
pub fn prefetch_far<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl2keep, [{}]", in(reg) p, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = p;
}

/// Instruction sets that a kernel may be asked to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Portable,
    Avx2,
    Avx512,
    Neon,
}

impl Level {
    pub const ALL: [Level; 4] = [Level::Portable, Level::Avx2, Level::Avx512, Level::Neon];

    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Neon => "neon",
        }
    }

    /// Whether this processor has it.
    pub fn available(self) -> bool {
        match self {
            Level::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq"),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => {
                std::arch::is_aarch64_feature_detected!("neon") && std::arch::is_aarch64_feature_detected!("dotprod")
            }
            _ => false,
        }
    }

    /// The best one this processor has, or the one that the environment variable FIRTH_SIMD names.
    pub fn chosen() -> Result<Level, String> {
        let best = || Level::ALL.into_iter().rev().find(|level| level.available()).unwrap_or(Level::Portable);
        match std::env::var("FIRTH_SIMD") {
            Err(_) => Ok(best()),
            Ok(name) => match Level::ALL.into_iter().find(|level| level.name() == name) {
                Some(level) if level.available() => Ok(level),
                Some(_) => Err(format!("FIRTH_SIMD={name}: this processor does not have it; unset the variable")),
                None => Err(format!("FIRTH_SIMD must be one of portable, avx2, avx512, neon; got {name:?}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<S: Simd>() {
        let numbers: Vec<f32> = (0..256).map(|i| ((i * 37 % 101) as f32 - 50.0) / 7.0).collect();
        unsafe {
            let mut out = [0f32; 16];
            let rows: [S::F; 16] = std::array::from_fn(|i| S::load(numbers.as_ptr().add(16 * i)));
            S::store(out.as_mut_ptr(), S::sums(rows));
            for (i, &sum) in out.iter().enumerate() {
                let plain: f32 = numbers[16 * i..16 * i + 16].iter().sum();
                // sixteen numbers of size up to 7.2, summed in another order
                assert!((sum - plain).abs() < 16.0 * 16.0 * 7.2 * f32::EPSILON, "lane {i}: {sum} and {plain}");
            }
            let inputs = [-90.0, -20.0, -8.5, -3.0, -1.0, -0.3, -1e-6, 0.0, 1e-6, 0.2, 1.0, 2.5, 6.0, 15.0, 20.0, 90.0];
            S::store(out.as_mut_ptr(), S::sigmoid(S::load(inputs.as_ptr())));
            for (x, s) in inputs.iter().zip(out) {
                let plain = 1.0 / (1.0 + (-f64::from(x.clamp(-20.0, 20.0))).exp());
                assert!((f64::from(s) / plain - 1.0).abs() < 2e-6, "sigmoid({x}) = {s}, not {plain}");
            }
            S::store(out.as_mut_ptr(), S::sigmoid(S::splat(f32::NAN)));
            assert!(out.iter().all(|x| x.is_nan()), "NaN must survive");
            S::store(out.as_mut_ptr(), S::exp2(S::load(inputs.as_ptr())));
            for (x, y) in inputs.iter().zip(out) {
                assert!((f64::from(y) / f64::from(*x).exp2() - 1.0).abs() < 2e-6, "exp2({x}) = {y}");
            }
            let positive = inputs.map(|x: f32| (0.9 * x).exp());
            S::store(out.as_mut_ptr(), S::log2(S::load(positive.as_ptr())));
            for (x, y) in positive.iter().zip(out) {
                let plain = f64::from(*x).log2();
                assert!((f64::from(y) - plain).abs() < 1e-6 + 2e-7 * plain.abs(), "log2({x}) = {y}, not {plain}");
            }
            S::store(out.as_mut_ptr(), S::rsqrt(S::load(positive.as_ptr())));
            for (x, y) in positive.iter().zip(out) {
                assert!((f64::from(y) * f64::from(*x).sqrt() - 1.0).abs() < 0.5f64.powi(11), "rsqrt({x}) = {y}");
            }
            let plain: f32 = numbers[..16].iter().sum();
            assert!((S::sum(rows[0]) - plain).abs() < 16.0 * 16.0 * 7.2 * f32::EPSILON);
        }
    }

    #[test]
    fn every_version_agrees_with_plain_arithmetic() {
        check::<Portable>();
        #[cfg(target_arch = "x86_64")]
        {
            if Level::Avx2.available() {
                check::<Avx2>();
            }
            if Level::Avx512.available() {
                check::<Avx512>();
            }
        }
        #[cfg(target_arch = "aarch64")]
        if Level::Neon.available() {
            check::<Neon>();
        }
    }
}
