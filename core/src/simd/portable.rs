//! Sixteen floats as an array: the specification of the other versions, and the one that runs everywhere.

use super::{HALF_ROOT, Int8, LANES, Simd, Wide};

#[derive(Clone, Copy)]
pub struct Portable;

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(f)
}

impl Simd for Portable {
    type F = [f32; LANES];

    #[inline(always)]
    unsafe fn zero() -> Self::F {
        [0.0; LANES]
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::F {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::F {
        unsafe { p.cast::<Self::F>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::F) {
        unsafe { p.cast::<Self::F>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        each(|i| a[i] * b[i] + c[i]) // not mul_add: without the instruction that is a library call
    }
    #[inline(always)]
    unsafe fn clamp(v: Self::F, low: f32, high: f32) -> Self::F {
        each(|i| v[i].clamp(low, high))
    }
    #[inline(always)]
    unsafe fn round(v: Self::F) -> Self::F {
        const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves no bits for a fraction, ties to even
        each(|i| (v[i] + MAGIC) - MAGIC)
    }
    #[inline(always)]
    unsafe fn pow2(v: Self::F) -> Self::F {
        each(|i| f32::from_bits(((v[i] as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    unsafe fn split(v: Self::F) -> (Self::F, Self::F) {
        let whole = |i: usize| (v[i].to_bits() as i32 - HALF_ROOT) >> 23;
        (each(|i| whole(i) as f32), each(|i| f32::from_bits((v[i].to_bits() as i32 - (whole(i) << 23)) as u32)))
    }
    #[inline(always)]
    unsafe fn rsqrt(v: Self::F) -> Self::F {
        each(|i| 1.0 / v[i].sqrt())
    }
    #[inline(always)]
    unsafe fn sums(v: [Self::F; LANES]) -> Self::F {
        each(|i| unsafe { Self::sum(v[i]) })
    }
    #[inline(always)]
    unsafe fn sum(mut v: Self::F) -> f32 {
        for half in [8, 4, 2, 1] {
            for j in 0..half {
                v[j] += v[j + half];
            }
        }
        v[0]
    }
    #[inline(always)]
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn at_least(a: Self::F, b: Self::F) -> u16 {
        (0..LANES).fold(0, |mask, i| mask | u16::from(a[i] >= b[i]) << i)
    }
}

impl Int8 for Portable {
    type Packed = [i8; 4];
    type Query = [i8; 4];
    type Keys = [[u8; 4]; LANES];
    type Sums = [i32; LANES];

    #[inline(always)]
    fn pack(codes: [i8; 4]) -> Self::Packed {
        codes
    }
    #[inline(always)]
    unsafe fn query(p: *const Self::Packed) -> Self::Query {
        unsafe { *p }
    }
    #[inline(always)]
    unsafe fn keys(p: *const u8) -> Self::Keys {
        unsafe { p.cast::<Self::Keys>().read() }
    }
    #[inline(always)]
    unsafe fn start(value: i32) -> Self::Sums {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn read(of: &[i32; LANES]) -> Self::Sums {
        *of
    }
    #[inline(always)]
    unsafe fn dot(sums: Self::Sums, keys: Self::Keys, query: Self::Query) -> Self::Sums {
        std::array::from_fn(|i| {
            let products: i32 = (0..4).map(|j| i32::from(keys[i][j]) * i32::from(query[j])).sum();
            sums[i].wrapping_add(products)
        })
    }
    #[inline(always)]
    unsafe fn shifted(sums: Self::Sums, shift: i32, value: i32) -> Self::Sums {
        std::array::from_fn(|i| (sums[i] << shift).wrapping_add(value))
    }
    #[inline(always)]
    unsafe fn floats(sums: Self::Sums) -> Self::F {
        each(|i| sums[i] as f32)
    }
    #[inline(always)]
    unsafe fn integers(sums: Self::Sums) -> [i32; LANES] {
        sums
    }
}

impl Wide for Portable {
    type D = [f64; 8];

    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self::D {
        unsafe { p.cast::<Self::D>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn widen(p: *const f32) -> Self::D {
        unsafe { p.cast::<[f32; 8]>().read_unaligned() }.map(f64::from)
    }
    #[inline(always)]
    unsafe fn store(p: *mut f64, v: Self::D) {
        unsafe { p.cast::<Self::D>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::D, b: Self::D) -> Self::D {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::D, b: Self::D) -> Self::D {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::D, b: Self::D) -> Self::D {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn splat(x: f64) -> Self::D {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn fma(a: Self::D, b: Self::D, c: Self::D) -> Self::D {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
}
