//! Sixteen queries by three panels of keys in one go, or 32 rows by two panels: by AMX, the matrix unit of Intel's servers since 2023,
//! which does eight times as many products of codes a cycle as VNNI, and sixteen times as many of bfloat16 as AVX-512 of float32
//! (Intel's Architectures Software Developer's Manual, vol. 1, ch. 18, and the instructions' pages: sixteen rows times 64 bytes
//! times sixteen columns an instruction).

#[cfg(any(test, all(target_arch = "x86_64", target_os = "linux")))]
use super::Numbers;
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

/// Whether there is a unit that multiplies bfloat16.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub fn has_matrix_bfloat16(level: Level) -> bool {
    matrix_product(level).is_some() && amx::has_bfloat16()
}

/// Numbers that a matrix unit multiplies.
#[cfg(any(test, all(target_arch = "x86_64", target_os = "linux")))]
pub trait Tiles: Numbers<Packed = [u8; 4]> {
    fn add(a: Self::Out, b: Self::Out) -> Self::Out;

    /// Sums of 32 rows with two panels over so many blocks, one at least, of sixteen steps: rows lie as `[block][32 rows][64 bytes]`,
    /// panels as `[step][16 columns][4 bytes]`.
    ///
    /// # Safety
    /// The unit is set up, and it multiplies such numbers; rows and panels have their blocks behind them.
    unsafe fn multiply(rows: *const u8, panels: [*const u8; 2], blocks: usize, out: &mut TileSums<Self::Out>);
}

/// Sums of 32 rows with two panels: `[half of the rows][panel][row][column]`.
#[cfg(any(test, all(target_arch = "x86_64", target_os = "linux")))]
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct TileSums<T>(pub [[[[T; LANES]; MATRIX_ROWS]; 2]; 2]);

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
pub use amx::{CodeTiles, HalfTiles, multiply_nothing};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    use super::{Line, MATRIX_CODES, MATRIX_ROWS, Numbers, Square, TileSums, Tiles, plain_product};
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

    /// Whether it multiplies bfloat16 too.
    pub fn has_bfloat16() -> bool {
        __cpuid_count(7, 0).edx >> 22 & 1 != 0
    }

    /// Signed codes of eight bits.
    #[derive(Clone, Copy)]
    pub struct CodeTiles;

    /// Numbers of bfloat16.
    #[derive(Clone, Copy)]
    pub struct HalfTiles;

    /// Four sums, two halves of rows and two panels: a load of each a block for four products.
    macro_rules! multiply {
        ($of:ty, $out:ty, $add:expr, $dot:literal) => {
            impl Numbers for $of {
                type Out = $out;
                type Packed = [u8; 4];
                const IN_TILES: bool = true;

                #[inline(always)]
                fn pack(bytes: [u8; 4]) -> [u8; 4] {
                    bytes
                }
            }

            impl Tiles for $of {
                #[inline(always)]
                fn add(a: $out, b: $out) -> $out {
                    $add(a, b)
                }

                #[inline(always)]
                unsafe fn multiply(rows: *const u8, [a, b]: [*const u8; 2], blocks: usize, out: &mut TileSums<$out>) {
                    // SAFETY: the caller's; what is written is `out` alone.
                    unsafe {
                        asm!(
                            "tilezero tmm0",
                            "tilezero tmm1",
                            "tilezero tmm2",
                            "tilezero tmm3",
                            "2:",
                            "tileloadd tmm4, [{rows} + {line}*1]",
                            "tileloadd tmm6, [{a} + {line}*1]",
                            concat!($dot, " tmm0, tmm4, tmm6"),
                            "tileloadd tmm7, [{b} + {line}*1]",
                            concat!($dot, " tmm1, tmm4, tmm7"),
                            "tileloadd tmm5, [{rows} + {line}*1 + 1024]",
                            concat!($dot, " tmm2, tmm5, tmm6"),
                            concat!($dot, " tmm3, tmm5, tmm7"),
                            "add {rows}, 2048",
                            "add {a}, 1024",
                            "add {b}, 1024",
                            "dec {blocks}",
                            "jnz 2b",
                            "tilestored [{out} + {line}*1], tmm0",
                            "tilestored [{out} + {line}*1 + 1024], tmm1",
                            "tilestored [{out} + {line}*1 + 2048], tmm2",
                            "tilestored [{out} + {line}*1 + 3072], tmm3",
                            rows = inout(reg) rows => _,
                            a = inout(reg) a => _,
                            b = inout(reg) b => _,
                            blocks = inout(reg) blocks => _,
                            out = in(reg) &raw mut *out,
                            line = in(reg) 64usize,
                            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                            options(nostack),
                        );
                    }
                }
            }
        };
    }

    /// So many times four products of codes that wait for nothing but the ones before: for the unit's own rate.
    ///
    /// # Safety
    /// The unit is set up.
    pub unsafe fn multiply_nothing(times: u64) {
        // SAFETY: the caller's.
        unsafe {
            asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                "tilezero tmm4", "tilezero tmm5", "tilezero tmm6", "tilezero tmm7",
                "2:",
                "tdpbssd tmm0, tmm4, tmm6",
                "tdpbssd tmm1, tmm4, tmm7",
                "tdpbssd tmm2, tmm5, tmm6",
                "tdpbssd tmm3, tmm5, tmm7",
                "dec {times}",
                "jnz 2b",
                times = inout(reg) times => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem),
            );
        }
    }

    multiply!(CodeTiles, i32, i32::wrapping_add, "tdpbssd");
    multiply!(HalfTiles, f32, |a: f32, b: f32| a + b, "tdpbf16ps");

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

/// Signed codes of eight bits without a unit: the specification.
#[cfg(test)]
#[derive(Clone, Copy)]
pub struct PlainTiles;

#[cfg(test)]
impl Numbers for PlainTiles {
    type Out = i32;
    type Packed = [u8; 4];
    const IN_TILES: bool = true;

    fn pack(bytes: [u8; 4]) -> [u8; 4] {
        bytes
    }
}

#[cfg(test)]
impl Tiles for PlainTiles {
    fn add(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }

    unsafe fn multiply(rows: *const u8, panels: [*const u8; 2], blocks: usize, out: &mut TileSums<i32>) {
        let code = |p: *const u8| i32::from(unsafe { *p } as i8); // SAFETY: the caller's
        for (row, panel, column) in (0..32).flat_map(|row| (0..2 * LANES).map(move |at| (row, at / LANES, at % LANES)))
        {
            out.0[row / MATRIX_ROWS][panel][row % MATRIX_ROWS][column] = (0..blocks * 64)
                .map(|i| {
                    let a = code(rows.wrapping_add(i / 64 * 2048 + row * 64 + i % 64));
                    a.wrapping_mul(code(panels[panel].wrapping_add(i / 4 * 64 + column * 4 + i % 4)))
                })
                .fold(0, i32::wrapping_add);
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
