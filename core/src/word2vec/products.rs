//! Small matrix products over rows that lie anywhere in memory, with tiles held in registers.

use crate::simd::{LANES, Simd};

/// Vectors of LANES floats that a group of columns holds in registers.
pub const GROUP: usize = 8;

/// Call `$f::<S, C>($at, ...)` for groups of C vectors of columns, as even as they come.
macro_rules! by_groups {
    ($stride:expr, $f:ident::<$s:ty>($($arg:expr),*)) => {
        let (vectors, mut at) = ($stride / LANES, 0);
        let groups = vectors.div_ceil(products::GROUP);
        for group in 0..groups {
            let size = (vectors * (group + 1)) / groups - (vectors * group) / groups;
            match size {
                1 => $f::<$s, 1>(at, $($arg),*),
                2 => $f::<$s, 2>(at, $($arg),*),
                3 => $f::<$s, 3>(at, $($arg),*),
                4 => $f::<$s, 4>(at, $($arg),*),
                5 => $f::<$s, 5>(at, $($arg),*),
                6 => $f::<$s, 6>(at, $($arg),*),
                7 => $f::<$s, 7>(at, $($arg),*),
                _ => $f::<$s, 8>(at, $($arg),*),
            }
            at += size * LANES;
        }
    };
}
pub(super) use by_groups;

/// out[p] = the sum of the p-th sixteen of `partial`; both have room for whole sixteens.
#[inline(always)]
pub unsafe fn reduce<S: Simd>(out: &mut [f32], partial: &[f32], count: usize) {
    unsafe {
        for p in (0..count).step_by(LANES) {
            let mut sums = [S::zero(); LANES];
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = S::load(partial.as_ptr().add((p + i) * LANES));
            }
            S::store(out.as_mut_ptr().add(p), S::sums(sums));
        }
    }
}

/// The first (m, n) of g = X N^T, by tiles of sixteen, with a call of `meanwhile` at each; m and n are multiples of four.
#[inline(always)]
pub unsafe fn dots<S: Simd>(
    g: &mut [f32],
    x: &[*mut f32],
    n: &[*mut f32],
    stride: usize,
    meanwhile: &mut impl FnMut(),
) {
    unsafe {
        if n.len().is_multiple_of(8) {
            dots_by::<S, 2, 8>(g, x, n, stride, meanwhile);
        } else {
            dots_by::<S, 4, 4>(g, x, n, stride, meanwhile);
        }
    }
}

/// M rows of X by N of N at a time; M N = 16.
#[inline(always)]
unsafe fn dots_by<S: Simd, const M: usize, const N: usize>(
    g: &mut [f32],
    x: &[*mut f32],
    n: &[*mut f32],
    stride: usize,
    meanwhile: &mut impl FnMut(),
) {
    unsafe {
        let (mut out, shared) = ([0f32; LANES], n.len());
        for b in (0..x.len()).step_by(M) {
            for j in (0..shared).step_by(N) {
                let x: [*mut f32; M] = std::array::from_fn(|i| x[b + i]);
                let n: [*mut f32; N] = std::array::from_fn(|i| n[j + i]);
                let mut a = [S::zero(); LANES];
                for k in (0..stride).step_by(LANES) {
                    let mut u = [S::zero(); M];
                    for i in 0..M {
                        u[i] = S::load(x[i].add(k));
                    }
                    for l in 0..N {
                        let w = S::load(n[l].add(k));
                        for i in 0..M {
                            a[i * N + l] = S::fma(u[i], w, a[i * N + l]);
                        }
                    }
                }
                meanwhile();
                S::store(out.as_mut_ptr(), S::sums(a));
                for i in 0..M {
                    g[(b + i) * shared + j..][..N].copy_from_slice(&out[i * N..][..N]);
                }
            }
        }
    }
}

/// out (m, stride) = g (m, rows) times the rows; g is read at `r * step_out + i * step_in`. m is a
/// multiple of four; `meanwhile` is called at each tile of four rows.
#[inline(always)]
pub unsafe fn times<S: Simd>(
    out: &mut [f32],
    m: usize,
    rows: &[*mut f32],
    g: *const f32,
    step_out: usize,
    step_in: usize,
    stride: usize,
    meanwhile: &mut impl FnMut(),
) {
    unsafe {
        let out = out.as_mut_ptr();
        let mut at = 0;
        while at < stride {
            let left = (stride - at) / LANES;
            for r in (0..m).step_by(4) {
                let (o, g) = (out.add(r * stride + at), g.add(r * step_out));
                meanwhile();
                match left {
                    1 => tile::<S, 1>(o, rows, at, g, step_out, step_in, stride),
                    2 => tile::<S, 2>(o, rows, at, g, step_out, step_in, stride),
                    3 => tile::<S, 3>(o, rows, at, g, step_out, step_in, stride),
                    _ => tile::<S, 4>(o, rows, at, g, step_out, step_in, stride),
                }
            }
            at += 4 * LANES;
        }
    }
}

/// Four rows by C vectors of `times`, held in registers.
#[inline(always)]
unsafe fn tile<S: Simd, const C: usize>(
    out: *mut f32,
    rows: &[*mut f32],
    at: usize,
    g: *const f32,
    step_out: usize,
    step_in: usize,
    stride: usize,
) {
    unsafe {
        let mut a = [[S::zero(); C]; 4];
        for (i, row) in rows.iter().enumerate() {
            let mut v = [S::zero(); C];
            for k in 0..C {
                v[k] = S::load(row.add(at + k * LANES));
            }
            for r in 0..4 {
                let gain = S::splat(*g.add(r * step_out + i * step_in));
                for k in 0..C {
                    a[r][k] = S::fma(gain, v[k], a[r][k]);
                }
            }
        }
        for r in 0..4 {
            for k in 0..C {
                S::store(out.add(r * stride + k * LANES), a[r][k]);
            }
        }
    }
}

/// row += delta
#[inline(always)]
pub unsafe fn add_row<S: Simd>(row: *mut f32, delta: *const f32, stride: usize) {
    unsafe {
        for k in (0..stride).step_by(LANES) {
            S::store(row.add(k), S::add(S::load(row.add(k)), S::load(delta.add(k))));
        }
    }
}
