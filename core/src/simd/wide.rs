//! Eight numbers of float64 at a time, for scores.

/// Eight numbers and what scores do with them; each lane by itself, rounded as float64 is.
///
/// # Safety
/// As for [`super::Simd`]; pointers have eight numbers behind them.
#[allow(clippy::missing_safety_doc)] // said once, above
pub trait Wide: Copy {
    type D: Copy;
    unsafe fn load(p: *const f64) -> Self::D;
    /// Of float32.
    unsafe fn widen(p: *const f32) -> Self::D;
    unsafe fn store(p: *mut f64, v: Self::D);
    unsafe fn splat(x: f64) -> Self::D;
    unsafe fn add(a: Self::D, b: Self::D) -> Self::D;
    unsafe fn sub(a: Self::D, b: Self::D) -> Self::D;
    unsafe fn mul(a: Self::D, b: Self::D) -> Self::D;
    /// a b + c, rounded once or twice.
    unsafe fn fma(a: Self::D, b: Self::D, c: Self::D) -> Self::D;
}
