//! CBOW: the mean of a word's company predicts the word.
//!
//! All scores of a block are taken at its start; its updates see what those before them changed. As in word2vec.c and gensim, each word of the company moves by the whole
//! gradient of the mean, not by its share of it.

use super::products::{self, by_groups};
use super::{
    Block, Done, Model, Scratch, fetch_ahead, find_company, find_rows, loss, noise_gains, positions, true_gains,
};
use crate::random::Rng;
use crate::simd::{LANES, Simd};

pub struct Cbow;

/// The noise words of a block are in so many groups; position b scores with group b % GROUPS. So a word, which is company of
/// the positions around it, meets the noise words of all groups, at the price of one.
const GROUPS: usize = 8;
/// Noise words in a group.
const EACH: usize = 8;
/// Positions that score with the same group.
const MEMBERS: usize = Cbow::BLOCK / GROUPS;

/// Where position b stands in an order by groups.
#[inline(always)]
fn place(b: usize) -> usize {
    b % GROUPS * MEMBERS + b / GROUPS
}

impl Block for Cbow {
    const BLOCK: usize = 256;
    const SHARED: usize = GROUPS * EACH;
    const MEETINGS: f64 = 4.0;

    #[inline(always)]
    fn word_row(model: &Model, s: &mut Scratch, word: u32) -> *mut f32 {
        s.context.row(model, &model.context, word)
    }

    #[inline(always)]
    fn company_row(model: &Model, s: &mut Scratch, word: u32) -> *mut f32 {
        s.vectors.row(model, &model.vectors, word)
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
            let (stride, dim) = (model.vectors.stride, model.options.dim);
            let count = positions(model, at, s);
            let pairs = find_company::<Self>(model, at, s, rng);
            find_rows::<Self>(model, at, s, rng);
            let h: [*mut f32; Self::BLOCK] = std::array::from_fn(|b| s.h.as_mut_ptr().wrapping_add(b * stride));
            let mut h_by_group = h;
            (0..Self::BLOCK).for_each(|b| h_by_group[place(b)] = h[b]);
            // Each group has a share of the strata that noise words are drawn from, from the most frequent to the rarest.
            let n: [*mut f32; Self::SHARED] = std::array::from_fn(|j| s.n[j % EACH * GROUPS + j / EACH]);

            // Means and scores.
            by_groups!(stride, means_and_dots::<S>(s, &h));
            products::reduce::<S>(&mut s.gains, &s.sums, Self::BLOCK);
            for group in 0..GROUPS {
                let g = &mut s.g[group * MEMBERS * EACH..];
                products::dots::<S>(g, &h_by_group[group * MEMBERS..][..MEMBERS], &n[group * EACH..][..EACH], stride);
            }

            // Gradients of the loss with respect to the scores, times -alpha. (Those of a position without company are not
            // zero, but its mean is, and nothing takes its dh.)
            let weight = model.options.negatives as f32 / EACH as f32;
            if measure {
                for b in (0..count).filter(|&b| s.first[b + 1] > s.first[b]) {
                    done.loss_pairs += 1;
                    done.loss += loss(&s.gains[b..=b], &s.g[place(b) * EACH..][..EACH], weight);
                }
            }
            true_gains::<S>(&mut s.gains, Self::BLOCK, alpha);
            noise_gains::<S>(&mut s.g[..Self::BLOCK * EACH], alpha, weight);

            // Updates: dh = G N + gains o, dn = G^T H, o += gains h, and dh to all the company.
            for group in 0..GROUPS {
                let (members, words) = (group * MEMBERS, group * EACH);
                let g = s.g.as_ptr().add(members * EACH);
                products::times::<S>(&mut s.dx[members * stride..], MEMBERS, &n[words..][..EACH], g, EACH, 1, stride);
                products::times::<S>(
                    &mut s.dn[words * stride..],
                    EACH,
                    &h_by_group[members..][..MEMBERS],
                    g,
                    1,
                    EACH,
                    stride,
                );
            }
            by_groups!(stride, updates::<S>(model, at, s, &h, count));
            for j in 0..Self::SHARED {
                products::add_row::<S>(n[j], s.dn.as_ptr().add(j * stride), stride);
            }
            done.flops += (dim * (2 * pairs + count * (6 * (EACH + 1) + 1))) as u64;
        }
    }
}

/// h_b = mean of the company of position b; and sixteen partial sums of h_b . x_b, over the columns of the group added to
/// those before it.
#[inline(always)]
unsafe fn means_and_dots<S: Simd, const C: usize>(at: usize, s: &mut Scratch, h: &[*mut f32]) {
    unsafe {
        for b in 0..h.len() {
            let company = s.first[b]..s.first[b + 1];
            let share = S::splat(1.0 / company.len().max(1) as f32);
            let mut mean = [S::zero(); C];
            for p in company {
                let o = s.o.get_unchecked(p).add(at);
                for k in 0..C {
                    mean[k] = S::add(mean[k], S::load(o.add(k * LANES)));
                }
            }
            let mut a = S::zero();
            for k in 0..C {
                mean[k] = S::mul(share, mean[k]);
                S::store(h[b].add(at + k * LANES), mean[k]);
                a = S::fma(mean[k], S::load(s.x[b].add(at + k * LANES)), a);
            }
            let sum = s.sums.as_mut_ptr().add(b * LANES);
            S::store(sum, if at == 0 { a } else { S::add(a, S::load(sum)) });
        }
    }
}

/// For each position b: dh_b += gain * x_b and x_b += gain * h_b; then dh_b is added to each of its company.
#[inline(always)]
unsafe fn updates<S: Simd, const C: usize>(
    column: usize,
    model: &Model,
    at: usize,
    s: &mut Scratch,
    h: &[*mut f32],
    count: usize,
) {
    unsafe {
        for b in 0..count {
            fetch_ahead::<Cbow, C>(model, column, at + b, b, s);
            let mut dh = [S::zero(); C];
            for k in 0..C {
                dh[k] = S::load(s.dx.as_ptr().add(place(b) * model.vectors.stride + column + k * LANES));
            }
            let (gain, x, h) = (S::splat(s.gains[b]), s.x[b].add(column), h[b].add(column));
            for k in 0..C {
                let old = S::load(x.add(k * LANES));
                dh[k] = S::fma(gain, old, dh[k]);
                S::store(x.add(k * LANES), S::fma(gain, S::load(h.add(k * LANES)), old));
            }
            for p in s.first[b]..s.first[b + 1] {
                let o = s.o.get_unchecked(p).add(column);
                for k in 0..C {
                    S::store(o.add(k * LANES), S::add(S::load(o.add(k * LANES)), dh[k]));
                }
            }
        }
    }
}
