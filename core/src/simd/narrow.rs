//! Dot products of narrow numbers, sixteen columns at a time, four bytes of each a step: codes of eight bits (see [`Int8`]),
//! two whole numbers of 16 bits, two of bfloat16, or one of float32.

use super::{Int8, LANES, Simd};
use std::marker::PhantomData;

/// Numbers of matrix products, as they are packed.
pub trait Numbers: Copy {
    /// What sums are told as.
    type Out: Copy + Default + Send + Sync;
    type Packed: Copy + Send + Sync;
    /// Whether sixteen steps of a row lie side by side.
    const IN_TILES: bool = false;

    fn pack(bytes: [u8; 4]) -> Self::Packed;
}

/// What matrix products do with them. Keys lie as `[16 columns][4 bytes]`: a step is 64 bytes.
///
/// # Safety
/// As for [`Int8`].
#[allow(clippy::missing_safety_doc)] // said once, above
pub trait Narrow: Numbers {
    type Query: Copy;
    type Keys: Copy;
    type Sums: Copy;

    unsafe fn query(p: *const Self::Packed) -> Self::Query;
    unsafe fn keys(p: *const u8) -> Self::Keys;
    unsafe fn zero() -> Self::Sums;
    unsafe fn dot(sums: Self::Sums, keys: Self::Keys, query: Self::Query) -> Self::Sums;
    unsafe fn add_to(out: &mut [Self::Out; LANES], sums: Self::Sums);
}

impl<S: Int8> Numbers for S {
    type Out = i32;
    type Packed = <S as Int8>::Packed;

    #[inline(always)]
    fn pack(bytes: [u8; 4]) -> Self::Packed {
        <S as Int8>::pack(bytes.map(|byte| byte as i8))
    }
}

impl<S: Int8> Narrow for S {
    type Query = <S as Int8>::Query;
    type Keys = <S as Int8>::Keys;
    type Sums = <S as Int8>::Sums;

    #[inline(always)]
    unsafe fn query(p: *const Self::Packed) -> Self::Query {
        unsafe { <S as Int8>::query(p) }
    }
    #[inline(always)]
    unsafe fn keys(p: *const u8) -> Self::Keys {
        unsafe { <S as Int8>::keys(p) }
    }
    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        unsafe { S::start(0) }
    }
    #[inline(always)]
    unsafe fn dot(sums: Self::Sums, keys: Self::Keys, query: Self::Query) -> Self::Sums {
        unsafe { <S as Int8>::dot(sums, keys, query) }
    }
    #[inline(always)]
    unsafe fn add_to(out: &mut [i32; LANES], sums: Self::Sums) {
        let sums = unsafe { S::integers(sums) };
        *out = std::array::from_fn(|i| out[i].wrapping_add(sums[i]));
    }
}

/// Products of bfloat16, summed in float32.
#[derive(Clone, Copy)]
pub struct PortableHalf;

impl Numbers for PortableHalf {
    type Out = f32;
    type Packed = [f32; 2];

    #[inline(always)]
    fn pack([a, b, c, d]: [u8; 4]) -> Self::Packed {
        [[a, b], [c, d]].map(|half| f32::from_bits(u32::from(u16::from_ne_bytes(half)) << 16))
    }
}

impl Narrow for PortableHalf {
    type Query = [f32; 2];
    type Keys = [[f32; 2]; LANES];
    type Sums = [f32; LANES];

    #[inline(always)]
    unsafe fn query(p: *const Self::Packed) -> Self::Query {
        unsafe { *p }
    }
    #[inline(always)]
    unsafe fn keys(p: *const u8) -> Self::Keys {
        unsafe { p.cast::<[[u8; 4]; LANES]>().read() }.map(Self::pack)
    }
    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0.0; LANES]
    }
    #[inline(always)]
    unsafe fn dot(sums: Self::Sums, keys: Self::Keys, query: Self::Query) -> Self::Sums {
        std::array::from_fn(|i| sums[i] + keys[i][0] * query[0] + keys[i][1] * query[1])
    }
    #[inline(always)]
    unsafe fn add_to(out: &mut [f32; LANES], sums: Self::Sums) {
        *out = std::array::from_fn(|i| out[i] + sums[i]);
    }
}

/// Numbers of float32, one of each column a step: what bfloat16 is widened to where the processor multiplies that no faster.
#[derive(Clone, Copy)]
pub struct Floats<S>(PhantomData<S>);

impl<S: Simd> Numbers for Floats<S> {
    type Out = f32;
    type Packed = f32;

    #[inline(always)]
    fn pack(bytes: [u8; 4]) -> f32 {
        f32::from_ne_bytes(bytes)
    }
}

impl<S: Simd> Narrow for Floats<S> {
    type Query = S::F;
    type Keys = S::F;
    type Sums = S::F;

    #[inline(always)]
    unsafe fn query(p: *const f32) -> S::F {
        unsafe { S::splat(*p) }
    }
    #[inline(always)]
    unsafe fn keys(p: *const u8) -> S::F {
        unsafe { S::load(p.cast()) }
    }
    #[inline(always)]
    unsafe fn zero() -> S::F {
        unsafe { S::zero() }
    }
    #[inline(always)]
    unsafe fn dot(sums: S::F, keys: S::F, query: S::F) -> S::F {
        unsafe { S::fma(keys, query, sums) }
    }
    #[inline(always)]
    unsafe fn add_to(out: &mut [f32; LANES], sums: S::F) {
        unsafe { S::store(out.as_mut_ptr(), S::add(S::load(out.as_ptr()), sums)) }
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2Words, Avx512Half};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, Narrow, Numbers};
    use crate::simd::Avx2;
    use std::arch::x86_64::*;

    /// Whole numbers of 16 bits with AVX2: `vpmaddwd` adds two products in 32; the rest is as for codes. Codes of eight bits go through it
    /// too, since of two products of theirs 16 bits do not always hold the sum.
    #[derive(Clone, Copy)]
    pub struct Avx2Words;

    impl Numbers for Avx2Words {
        type Out = i32;
        type Packed = [i8; 4];

        #[inline(always)]
        fn pack(bytes: [u8; 4]) -> Self::Packed {
            <Avx2 as Numbers>::pack(bytes)
        }
    }

    impl Narrow for Avx2Words {
        type Query = __m256i;
        type Keys = [__m256i; 2];
        type Sums = [__m256i; 2];

        #[inline(always)]
        unsafe fn query(p: *const Self::Packed) -> Self::Query {
            unsafe { <Avx2 as Narrow>::query(p) }
        }
        #[inline(always)]
        unsafe fn keys(p: *const u8) -> Self::Keys {
            unsafe { <Avx2 as Narrow>::keys(p) }
        }
        #[inline(always)]
        unsafe fn zero() -> Self::Sums {
            unsafe { <Avx2 as Narrow>::zero() }
        }
        #[inline(always)]
        unsafe fn dot(sums: Self::Sums, keys: Self::Keys, query: Self::Query) -> Self::Sums {
            unsafe {
                [
                    _mm256_add_epi32(sums[0], _mm256_madd_epi16(keys[0], query)),
                    _mm256_add_epi32(sums[1], _mm256_madd_epi16(keys[1], query)),
                ]
            }
        }
        #[inline(always)]
        unsafe fn add_to(out: &mut [i32; LANES], sums: Self::Sums) {
            unsafe { <Avx2 as Narrow>::add_to(out, sums) }
        }
    }

    /// With AVX512_BF16: `vdpbf16ps` adds two products to each of sixteen sums.
    #[derive(Clone, Copy)]
    pub struct Avx512Half;

    impl Numbers for Avx512Half {
        type Out = f32;
        type Packed = [u8; 4];

        #[inline(always)]
        fn pack(bytes: [u8; 4]) -> Self::Packed {
            bytes
        }
    }

    impl Narrow for Avx512Half {
        type Query = __m512i;
        type Keys = __m512i;
        type Sums = __m512;

        #[inline(always)]
        unsafe fn query(p: *const Self::Packed) -> Self::Query {
            unsafe { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
        }
        #[inline(always)]
        unsafe fn keys(p: *const u8) -> Self::Keys {
            unsafe { _mm512_loadu_si512(p.cast()) }
        }
        #[inline(always)]
        unsafe fn zero() -> Self::Sums {
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn dot(sums: Self::Sums, keys: Self::Keys, query: Self::Query) -> Self::Sums {
            // SAFETY: 512 bits either way, thirty-two numbers of bfloat16.
            unsafe {
                let [keys, query] = std::mem::transmute::<[__m512i; 2], [__m512bh; 2]>([keys, query]);
                _mm512_dpbf16_ps(sums, keys, query)
            }
        }
        #[inline(always)]
        unsafe fn add_to(out: &mut [f32; LANES], sums: Self::Sums) {
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), _mm512_add_ps(_mm512_loadu_ps(out.as_ptr()), sums)) }
        }
    }
}
