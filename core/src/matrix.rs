//! Rows of floats shared by threads that update them without locks.

use crate::simd::LANES;
use memmap2::MmapMut;

/// So many bytes of zeros, one at least, no page of which is touched yet, and which ask for huge pages.
pub fn mapped(bytes: usize) -> std::io::Result<MmapMut> {
    let map = MmapMut::map_anon(bytes)?;
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage); // a wish: without huge pages it is only slower
    Ok(map)
}

/// A matrix of f32 whose rows are padded to whole cache lines (the padding is zero) and which asks for huge pages, since
/// training jumps from row to row.
pub struct Matrix {
    map: MmapMut,
    pub rows: usize,
    pub stride: usize,
}

// Training threads read and write rows through `row` without locks (Hogwild, Niu et al. 2011): a race may lose one small
// update or mix an old and a new float, which stochastic gradient descent tolerates. Nothing else is shared mutably.
unsafe impl Sync for Matrix {}

impl Matrix {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, width: usize) -> std::io::Result<Matrix> {
        let stride = width.next_multiple_of(LANES);
        Ok(Matrix { map: mapped((rows * stride * 4).max(1))?, rows, stride })
    }

    /// Pointer to a row of `stride` floats.
    #[inline(always)]
    pub fn row(&self, row: usize) -> *mut f32 {
        debug_assert!(row < self.rows);
        // SAFETY: rows * stride floats were mapped, and every row number comes from checked ids.
        unsafe { self.map.as_ptr().cast::<f32>().cast_mut().add(row * self.stride) }
    }

    /// A row, while no thread trains.
    pub fn read(&self, row: usize) -> &[f32] {
        // SAFETY: as for `row`.
        unsafe { std::slice::from_raw_parts(self.row(row), self.stride) }
    }

    /// A row to fill, while no thread trains.
    pub fn write(&mut self, row: usize) -> &mut [f32] {
        // SAFETY: as for `row`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.row(row), self.stride) }
    }
}
