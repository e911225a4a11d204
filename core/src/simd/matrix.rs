//! Sixteen queries by three panels of keys in one go: by AMX, the matrix unit of Intel's servers since 2023, which does eight times
//! as many products of codes a cycle as VNNI (Intel's Architectures Software Developer's Manual, vol. 1, ch. 18, and the
//! instructions' pages: Q queries times 64 codes times 16 keys an instruction).

use super::{LANES, Level};
use std::sync::OnceLock;

/// Queries that are multiplied together.
pub const MATRIX_ROWS: usize = 16;
/// Codes of each that an instruction takes: sixteen steps.
pub const MATRIX_CODES: usize = 64;

/// Codes of a query, which lie as the unit reads them.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Line(pub [i8; MATRIX_CODES]);

/// Sums of sixteen queries with the sixteen keys of a panel.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Square(pub [[i32; LANES]; MATRIX_ROWS]);

impl Square {
    pub const ZERO: Square = Square([[0; LANES]; MATRIX_ROWS]);
}

/// `out = start + rows x panel` for each of three panels, sums wrapping around: `rows` are those of sixteen queries, `[query][block]`,
/// so many `blocks` each; panels lie as for [`super::Int8`], from the step on that the first block begins with, and what is read
/// past their end is multiplied by zeros.
///
/// # Safety
/// The processor has the unit, and [`Unit`] is set up; rows and panels have their blocks behind them.
pub type MatrixProduct =
    unsafe fn(rows: &[Line], panels: [*const u8; 3], blocks: usize, start: &Square, out: &mut [Square; 3]);

/// The product by the unit, if the processor has one, the system lets it be used, the level is the one with it and the environment
/// variable FIRTH_SIMD names no other instructions.
pub fn matrix_product(level: Level) -> Option<MatrixProduct> {
    static FOUND: OnceLock<bool> = OnceLock::new();
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if level == Level::Avx512
        && *FOUND.get_or_init(|| std::env::var_os("FIRTH_SIMD").is_none() && amx::allowed() && amx::is_right())
    {
        return Some(amx::product);
    }
    let _ = (level, &FOUND);
    None
}

/// The unit, set up for the products of this thread; given back when it is dropped.
pub struct Unit(bool);

impl Unit {
    /// Nothing, if no products are to come.
    pub fn new(product: Option<MatrixProduct>) -> Unit {
        let unit = product.is_some() && matrix_product(Level::Avx512).is_some();
        if unit {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            // SAFETY: the processor has it, and it may be used.
            unsafe {
                amx::set_up();
            }
        }
        Unit(unit)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        if self.0 {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            // SAFETY: as above.
            unsafe {
                amx::give_back();
            }
        }
    }
}

/// What a product is: the specification.
///
/// # Safety
/// That of [`MatrixProduct`], but for the unit.
#[cfg(any(test, all(target_arch = "x86_64", target_os = "linux")))]
pub unsafe fn plain_product(
    rows: &[Line],
    panels: [*const u8; 3],
    blocks: usize,
    start: &Square,
    out: &mut [Square; 3],
) {
    for (panel, out) in panels.into_iter().zip(out) {
        *out = *start;
        for (query, sums) in rows.chunks(blocks.max(1)).zip(&mut out.0) {
            for (i, &code) in query.iter().flat_map(|line| &line.0).enumerate().filter(|(_, code)| **code != 0) {
                for (key, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the caller's.
                    let of_key = unsafe { *panel.add(i / 4 * 64 + 4 * key + i % 4) };
                    *sum = sum.wrapping_add(i32::from(code) * i32::from(of_key));
                }
            }
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    use super::{Line, MATRIX_CODES, MATRIX_ROWS, Square, plain_product};
    use std::arch::asm;
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

    /// arch_prctl's number among Linux's system calls, its request for a state that takes much room, and that of tiles.
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;

    /// Palette 1: eight tiles of sixteen rows of 64 bytes.
    #[repr(C, align(64))]
    struct Shapes {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    const fn shapes() -> Shapes {
        let (mut row_bytes, mut rows, mut tile) = ([0; 16], [0; 16], 0);
        while tile < 8 {
            (row_bytes[tile], rows[tile]) = (MATRIX_CODES as u16, MATRIX_ROWS as u8);
            tile += 1;
        }
        Shapes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
    }

    static SHAPES: Shapes = shapes();

    /// Whether the processor has AMX for codes of eight bits, the system saves its state, and this process may use it.
    pub fn allowed() -> bool {
        if __cpuid(0).eax < 7 || __cpuid(1).ecx >> 27 & 1 == 0 || __cpuid_count(7, 0).edx >> 24 & 3 != 3 {
            return false;
        }
        #[target_feature(enable = "xsave")]
        fn saved() -> u64 {
            // SAFETY: the processor has it, and the system uses it, as was looked up above.
            unsafe { _xgetbv(0) }
        }
        // SAFETY: as there.
        if unsafe { saved() } >> 17 & 3 != 3 {
            return false;
        }
        let refused: isize;
        // SAFETY: a system call that reads no memory.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL as isize => refused,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") TILE_DATA,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        refused == 0
    }

    /// Whether it multiplies as it should: once, since nobody can try all processors that will come.
    pub fn is_right() -> bool {
        const BLOCKS: usize = 3;
        let rows: Vec<Line> = (0..MATRIX_ROWS * BLOCKS)
            .map(|i| Line(std::array::from_fn(|j| ((i * 7919 + j * 104_729) % 255) as u8 as i8)))
            .collect();
        let keys: Vec<u8> = (0..3 * BLOCKS * 1024).map(|i| (i * 7919 % 257) as u8).collect();
        let start = Square(std::array::from_fn(|i| std::array::from_fn(|j| (i * 31 + j) as i32 - 99)));
        let panels = std::array::from_fn(|p| keys[p * BLOCKS * 1024..].as_ptr());
        let [mut out, mut expected] = [[Square::ZERO; 3]; 2];
        // SAFETY: the process may use it; all blocks are there.
        unsafe {
            set_up();
            product(&rows, panels, BLOCKS, &start, &mut out);
            give_back();
            plain_product(&rows, panels, BLOCKS, &start, &mut expected);
        }
        out.iter().zip(&expected).all(|(out, expected)| out.0 == expected.0)
    }

    /// # Safety
    /// The process may use it.
    pub unsafe fn set_up() {
        // SAFETY: the caller's.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, preserves_flags, readonly));
        }
    }

    /// # Safety
    /// As above.
    pub unsafe fn give_back() {
        // SAFETY: the caller's.
        unsafe {
            asm!("tilerelease", options(nostack, preserves_flags, nomem));
        }
    }

    /// # Safety
    /// That of [`super::MatrixProduct`].
    pub unsafe fn product(
        rows: &[Line],
        [a, b, c]: [*const u8; 3],
        blocks: usize,
        start: &Square,
        out: &mut [Square; 3],
    ) {
        // Three sums, the codes of the queries, and each panel's: a load of each a block for three products.
        // SAFETY: the caller's; what is written is `out` alone.
        unsafe {
            asm!(
                "tileloadd tmm0, [{start} + {line}*1]",
                "tileloadd tmm1, [{start} + {line}*1]",
                "tileloadd tmm2, [{start} + {line}*1]",
                "test {blocks}, {blocks}",
                "jz 3f",
                "2:",
                "tileloadd tmm3, [{rows} + {pitch}*1]",
                "tileloadd tmm4, [{a} + {line}*1]",
                "tdpbsud tmm0, tmm3, tmm4",
                "tileloadd tmm5, [{b} + {line}*1]",
                "tdpbsud tmm1, tmm3, tmm5",
                "tileloadd tmm6, [{c} + {line}*1]",
                "tdpbsud tmm2, tmm3, tmm6",
                "add {rows}, 64",
                "add {a}, 1024",
                "add {b}, 1024",
                "add {c}, 1024",
                "dec {blocks}",
                "jnz 2b",
                "3:",
                "tilestored [{out} + {line}*1], tmm0",
                "tilestored [{out} + {line}*1 + 1024], tmm1",
                "tilestored [{out} + {line}*1 + 2048], tmm2",
                rows = inout(reg) rows.as_ptr() => _,
                a = inout(reg) a => _,
                b = inout(reg) b => _,
                c = inout(reg) c => _,
                blocks = inout(reg) blocks => _,
                start = in(reg) start,
                out = in(reg) out,
                line = in(reg) 64usize,
                pitch = in(reg) 64 * blocks,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _,
                options(nostack),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_multiplies_as_the_plain_product_does() {
        let Some(product) = matrix_product(Level::Avx512) else { return }; // `search` runs the plain one everywhere
        for blocks in [0, 1, 2, 7] {
            let rows = vec![Line(std::array::from_fn(|i| (i * 37 % 255) as u8 as i8)); MATRIX_ROWS * blocks];
            let keys: Vec<u8> = (0..3 * blocks.max(1) * 1024).map(|i| (i * 31 % 256) as u8).collect();
            let panels = std::array::from_fn(|p| keys[p * blocks * 1024..].as_ptr());
            let start = Square(std::array::from_fn(|i| [i as i32 - 7; LANES]));
            let [mut out, mut expected] = [[Square::ZERO; 3]; 2];
            let _unit = Unit::new(Some(product));
            // SAFETY: the unit is set up; all blocks are there.
            unsafe {
                product(&rows, panels, blocks, &start, &mut out);
                plain_product(&rows, panels, blocks, &start, &mut expected);
            }
            assert!(out.iter().zip(&expected).all(|(out, expected)| out.0 == expected.0), "{blocks}");
        }
    }
}
