//! Skip-gram: a word's vector predicts each word of its company.
//!
//! All gradients of a block are taken at its start (a mini-batch of about 100 pairs), except that the pairs of a position
//! see what those before it changed.

use super::products::{self, by_groups};
use super::{Block, Done, Model, Scratch, find_company, find_rows, loss, noise_gains, true_gains};
use crate::random::Rng;
use crate::simd::{LANES, Simd};

pub struct SkipGram;

impl Block for SkipGram {
    // Chosen for quality first (bench/LOG.md).
    const BLOCK: usize = 32;
    const SHARED: usize = 32;
    const EARLY: usize = 16;
    const REPEATS: u8 = 4;
    const MEETINGS: f64 = 1.5;

    #[inline(always)]
    fn word_row(model: &Model, s: &mut Scratch, word: u32) -> *mut f32 {
        s.vectors.row(model, &model.vectors, word)
    }

    #[inline(always)]
    fn company_row(model: &Model, s: &mut Scratch, word: u32) -> *mut f32 {
        s.context.row(model, &model.context, word)
    }

    #[inline(always)]
    unsafe fn train<S: Simd>(
        model: &Model,
        at: usize,
        alpha: f32,
        measure: bool,
        s: &mut Scratch,
        rng: &mut Rng,
        done: &mut Done,
    ) {
        unsafe {
            let (stride, dim, shared) = (model.vectors.stride, model.options.dim, s.shared);
            let count = s.count;
            let pairs = find_company::<Self>(model, at, s, rng);
            find_rows::<Self>(model, at, s, rng);

            // Scores.
            by_groups!(stride, pair_dots::<S>(s, count));
            products::reduce::<S>(&mut s.gains, &s.sums, pairs);
            products::dots::<S>(&mut s.g, &s.x, &s.n[..shared], stride, &mut || s.ahead.ask());

            // Gradients of the loss with respect to the scores, times -alpha.
            let weight = |b: usize, first: &[usize]| {
                ((first[b + 1] - first[b]) * model.options.negatives) as f32 / shared as f32
            };
            if measure {
                done.loss_pairs += pairs as u64;
                for b in 0..count {
                    let (mine, noise) = (s.first[b]..s.first[b + 1], b * shared..(b + 1) * shared);
                    done.loss += loss(&s.gains[mine], &s.g[noise], weight(b, &s.first));
                }
            }
            true_gains::<S>(&mut s.gains, pairs, alpha);
            for b in 0..Self::BLOCK {
                noise_gains::<S>(&mut s.g[b * shared..][..shared], alpha, weight(b, &s.first));
            }

            // Updates: dx = G N, dn = G^T X, then the pairs, then all of it into the rows.
            let (g, meanwhile) = (s.g.as_ptr(), &mut || s.ahead.ask());
            products::times::<S>(&mut s.dx, Self::BLOCK, &s.n[..shared], g, shared, 1, stride, meanwhile);
            products::times::<S>(&mut s.dn, shared, &s.x, g, 1, shared, stride, meanwhile);
            by_groups!(stride, pair_updates::<S>(s, count, stride));
            s.ahead.ask_all();
            for j in 0..shared {
                products::add_row::<S>(s.n[j], s.dn.as_ptr().add(j * stride), stride);
            }
            done.flops += 6 * (dim * (pairs + count * shared)) as u64;
        }
    }
}

/// For each pair p of each position b sixteen partial sums of x_b . o_p, over the columns of the group added to those
/// before it.
#[inline(always)]
unsafe fn pair_dots<S: Simd, const C: usize>(at: usize, s: &mut Scratch, count: usize) {
    unsafe {
        for b in 0..count {
            let mut x = [S::zero(); C];
            for k in 0..C {
                x[k] = S::load(s.x[b].add(at + k * LANES));
            }
            for p in s.first[b]..s.first[b + 1] {
                let o = s.o.get_unchecked(p).add(at);
                let sum = s.sums.as_mut_ptr().add(p * LANES);
                let mut a = S::mul(x[0], S::load(o));
                for k in 1..C {
                    a = S::fma(x[k], S::load(o.add(k * LANES)), a);
                }
                S::store(sum, if at == 0 { a } else { S::add(a, S::load(sum)) });
            }
        }
    }
}

/// For each pair p of each position b: dx_b += gain * o_p and o_p += gain * x_b; then x_b += dx_b.
#[inline(always)]
unsafe fn pair_updates<S: Simd, const C: usize>(column: usize, s: &mut Scratch, count: usize, stride: usize) {
    unsafe {
        for b in 0..count {
            s.ahead.ask();
            let d = s.dx.as_ptr().add(b * stride + column);
            let (mut x, mut dx) = ([S::zero(); C], [S::zero(); C]);
            for k in 0..C {
                x[k] = S::load(s.x[b].add(column + k * LANES));
                dx[k] = S::load(d.add(k * LANES));
            }
            for p in s.first[b]..s.first[b + 1] {
                let o = s.o.get_unchecked(p).add(column);
                let gain = S::splat(*s.gains.get_unchecked(p));
                for k in 0..C {
                    let old = S::load(o.add(k * LANES));
                    dx[k] = S::fma(gain, old, dx[k]);
                    S::store(o.add(k * LANES), S::fma(gain, x[k], old));
                }
            }
            for k in 0..C {
                S::store(s.x[b].add(column + k * LANES), S::add(x[k], dx[k]));
            }
        }
    }
}
