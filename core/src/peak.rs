//! How fast this machine multiplies and adds: the roof under which training stays, measured.

#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Int8, LANES, Level, Portable, Simd};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::simd::{MATRIX_CODES, MATRIX_ROWS, Unit, matrix_product, multiply_nothing};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Sums that do not wait for each other: more than the product of any processor's units for it and the steps each takes,
/// and with the two factors within the registers of AVX-512. AVX2 has registers for half of that, two for each sum, and NEON, four.
const SUMS: usize = 12;
/// Rounds between two looks at the clock.
const ROUNDS: u64 = 10_000;
/// Queries that take turns.
const QUERIES: usize = 64;

/// Fused multiply-adds of `threads` threads at once for so long, in floating-point operations (two each) a second.
pub fn peak_flops(level: Level, threads: usize, duration: Duration) -> f64 {
    let work = || {
        // SAFETY: `level` is one that the processor has.
        unsafe {
            match level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => rate_avx512(duration),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => rate_avx2(duration),
                #[cfg(target_arch = "aarch64")]
                Level::Neon => rate_neon(duration),
                _ => rate::<Portable, SUMS>(duration),
            }
        }
    };
    sum_over(threads, work)
}

/// The same of codes of eight bits, as search multiplies them: by a matrix unit, if it may be and there is one.
pub fn peak_int8_ops(level: Level, threads: usize, duration: Duration, by_matrix: bool) -> f64 {
    let _ = by_matrix; // not asked where no unit is known
    let work = || {
        // SAFETY: `level` is one that the processor has.
        unsafe {
            match level.for_codes() {
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                level if by_matrix && matrix_product(level).is_some() => rate_of_tiles(duration),
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => rate_int8_avx512(duration),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => rate_int8_avx2(duration),
                #[cfg(target_arch = "aarch64")]
                Level::Neon => rate_int8_neon(duration),
                _ => rate_int8::<Portable, 1>(duration),
            }
        }
    };
    sum_over(threads, work)
}

/// Bytes a second that `threads` threads read from memory at once, each again and again so many of its own.
pub fn read_rate(bytes: usize, threads: usize, duration: Duration) -> f64 {
    let ready = Barrier::new(threads);
    sum_over(threads, || {
        let numbers = vec![1u64; (bytes / size_of::<u64>()).max(1)];
        ready.wait(); // none reads while another still writes
        let (mut read, began) = (0, Instant::now());
        loop {
            black_box(numbers.iter().fold(0u64, |sum, &number| sum.wrapping_add(number)));
            read += size_of_val(numbers.as_slice());
            let took = began.elapsed();
            if took >= duration {
                break read as f64 / took.as_secs_f64();
            }
        }
    })
}

/// The sum of the rates that so many threads measure at once.
fn sum_over(threads: usize, work: impl Fn() -> f64 + Sync) -> f64 {
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        handles.into_iter().map(|handle| handle.join().expect("a measuring thread panicked")).sum()
    })
}

/// # Safety
/// There is a matrix unit.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
unsafe fn rate_of_tiles(duration: Duration) -> f64 {
    let _unit = Unit::new(matrix_product(Level::Avx512));
    let (mut rounds, began) = (0, Instant::now());
    loop {
        // SAFETY: it is set up.
        unsafe { multiply_nothing(ROUNDS) };
        rounds += ROUNDS;
        let took = began.elapsed();
        if took >= duration {
            break (rounds * 2 * (4 * MATRIX_ROWS * MATRIX_CODES * LANES) as u64) as f64 / took.as_secs_f64();
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512vnni,avx2,fma,bmi2")]
fn rate_int8_avx512(duration: Duration) -> f64 {
    // SAFETY: the attribute above says what the processor has.
    unsafe { rate_int8::<Avx512, SUMS>(duration) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
fn rate_int8_avx2(duration: Duration) -> f64 {
    // SAFETY: the attribute above says what the processor has.
    unsafe { rate_int8::<Avx2, 4>(duration) }
}

// Four registers for each sum, and as many for its keys.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
fn rate_int8_neon(duration: Duration) -> f64 {
    // SAFETY: the attribute above says what the processor has.
    unsafe { rate_int8::<Neon, 3>(duration) }
}

/// Operations a second of one thread: four products and sums of each of sixteen keys at a time.
#[inline(always)]
unsafe fn rate_int8<S: Int8, const N: usize>(duration: Duration) -> f64 {
    unsafe {
        let (codes, packed) = (black_box([[3u8; 64]; N]), black_box([S::pack([1, -2, 3, -4]); QUERIES]));
        let mut sums = [S::start(1); N];
        let (mut rounds, began) = (0, Instant::now());
        let took = loop {
            for round in 0..ROUNDS {
                // Another query each time and other keys for each sum, lest a product be computed once for several.
                let query = S::query(packed.as_ptr().add(round as usize % QUERIES));
                for (sum, codes) in sums.iter_mut().zip(&codes) {
                    *sum = S::dot(*sum, S::keys(codes.as_ptr()), query);
                }
            }
            rounds += ROUNDS;
            let took = began.elapsed();
            if took >= duration {
                break took;
            }
        };
        let mut out = [0f32; LANES];
        for sum in sums {
            S::store(out.as_mut_ptr(), S::floats(sum));
            black_box(&out);
        }
        (rounds * 2 * (N * LANES * 4) as u64) as f64 / took.as_secs_f64()
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2,fma,bmi2")]
fn rate_avx512(duration: Duration) -> f64 {
    // SAFETY: the attribute above says what the processor has.
    unsafe { rate::<Avx512, SUMS>(duration) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi2")]
fn rate_avx2(duration: Duration) -> f64 {
    // SAFETY: the attribute above says what the processor has.
    unsafe { rate::<Avx2, { SUMS / 2 }>(duration) }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn rate_neon(duration: Duration) -> f64 {
    // SAFETY: the attribute above says what the processor has.
    unsafe { rate::<Neon, { SUMS / 2 }>(duration) }
}

/// Operations a second of one thread.
#[inline(always)]
unsafe fn rate<S: Simd, const N: usize>(duration: Duration) -> f64 {
    unsafe {
        // A factor below 1 and a term above 0: the sums settle at 1, neither infinite nor so small as to be slow.
        let (factor, term) = (S::splat(black_box(0.5)), S::splat(black_box(0.5)));
        let mut sums = [S::zero(); N];
        let (mut rounds, began) = (0, Instant::now());
        let took = loop {
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = S::fma(*sum, factor, term);
                }
            }
            rounds += ROUNDS;
            let took = began.elapsed();
            if took >= duration {
                break took;
            }
        };
        let mut out = [0f32; LANES];
        for sum in sums {
            S::store(out.as_mut_ptr(), sum);
            black_box(&out);
        }
        (rounds * 2 * (N * LANES) as u64) as f64 / took.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_a_positive_number_on_every_version() {
        for level in Level::ALL.into_iter().filter(|level| level.available()) {
            let peak = peak_flops(level, 2, Duration::from_millis(5));
            assert!(peak.is_finite() && peak > 0.0, "{}: {peak}", level.name());
            for by_matrix in [false, true] {
                let peak = peak_int8_ops(level, 2, Duration::from_millis(5), by_matrix);
                assert!(peak.is_finite() && peak > 0.0, "{}: {peak}", level.name());
            }
        }
        let rate = read_rate(1 << 20, 2, Duration::from_millis(5));
        assert!(rate.is_finite() && rate > 0.0, "{rate}");
    }
}
