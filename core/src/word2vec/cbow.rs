//! CBOW: the mean of a word's company predicts the word.
//!
//! All scores of a block are taken at its start; its updates see what those before them changed. As in word2vec.c and gensim,
//! each word of the company moves by the whole gradient of the mean, not by its share of it.
//!
//! The windows of a block all reach equally far, so that they slide: a row enters the sum of its window once and leaves it
//! once, instead of being added to each mean. And since j is in the window of i just when i is in that of j, the gradients
//! that a row gets from the positions around it slide the same way, and it is written once.

use super::products::{self, by_groups};
use super::{Block, Done, Model, Scratch, draw_reach, find_near, find_rows, loss, noise_gains, true_gains};
use crate::random::Rng;
use crate::simd::{LANES, Simd};
use std::ops::Range;

pub struct Cbow;

/// The noise words of a block are in so many groups; position b scores with group b % GROUPS. So a word, which is company of
/// the positions around it, meets the noise words of many groups, at the price of one.
const GROUPS: usize = 16;
/// Noise words in a group.
const EACH: usize = 4;
/// Positions that score with the same group.
const MEMBERS: usize = Cbow::BLOCK / GROUPS;

/// Where position b stands in an order by groups.
#[inline(always)]
fn by_group(b: usize) -> usize {
    b % GROUPS * MEMBERS + b / GROUPS
}

impl Block for Cbow {
    const BLOCK: usize = 256;
    const SHARED: usize = GROUPS * EACH;
    const EARLY: usize = Self::SHARED;
    const REPEATS: u8 = 12;
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
            let (stride, dim, window) = (model.vectors.stride, model.options.dim, model.options.window);
            let count = s.count;
            let places = find_near::<Self>(model, at, s);
            let reach = draw_reach(model, rng);
            for place in places.clone() {
                let i = at + place - window;
                let (first, last) =
                    ((s.start[i] as usize).max(i.saturating_sub(reach)), (s.end[i] as usize).min(i + reach + 1));
                s.spans[place] = [first, last].map(|i| (i + window).saturating_sub(at));
            }
            find_rows::<Self>(model, at, s, rng);
            let h: [*mut f32; Self::BLOCK] = std::array::from_fn(|b| s.h.as_mut_ptr().wrapping_add(b * stride));
            let mut h_by_group = h;
            (0..Self::BLOCK).for_each(|b| h_by_group[by_group(b)] = h[b]);
            // Each group has a share of the strata that noise words are drawn from, from the most frequent to the rarest.
            let n: [*mut f32; Self::SHARED] = std::array::from_fn(|j| s.n[j % EACH * GROUPS + j / EACH]);

            // Means and scores.
            s.h[count * stride..].fill(0.0);
            by_groups!(stride, means_and_dots::<S>(s, &h, count, window));
            products::reduce::<S>(&mut s.gains, &s.sums, Self::BLOCK);
            for group in 0..GROUPS {
                let (members, words) = (group * MEMBERS, group * EACH);
                let (h, n) = (&h_by_group[members..][..MEMBERS], &n[words..][..EACH]);
                products::dots::<S>(&mut s.g[members * EACH..], h, n, stride, &mut || s.ahead.ask());
            }

            // Gradients of the loss with respect to the scores, times -alpha. (Those of a position without company are not
            // zero, but its mean is, and nothing takes its dh.)
            let weight = model.options.negatives as f32 / EACH as f32;
            if measure {
                for b in (0..count).filter(|&b| company(s.spans[b + window]) > 0) {
                    done.loss_pairs += 1;
                    done.loss += loss(&s.gains[b..=b], &s.g[by_group(b) * EACH..][..EACH], weight);
                }
            }
            true_gains::<S>(&mut s.gains, Self::BLOCK, alpha);
            noise_gains::<S>(&mut s.g[..Self::BLOCK * EACH], alpha, weight);

            // Updates: dh = G N + gains o, dn = G^T H, o += gains h, and dh to all the company.
            for group in 0..GROUPS {
                let (members, words) = (group * MEMBERS, group * EACH);
                let (h, n) = (&h_by_group[members..][..MEMBERS], &n[words..][..EACH]);
                let (dh, dn) = (&mut s.dx[members * stride..], &mut s.dn[words * stride..]);
                let (g, meanwhile) = (s.g.as_ptr().add(members * EACH), &mut || s.ahead.ask());
                products::times::<S>(dh, MEMBERS, n, g, EACH, 1, stride, meanwhile);
                products::times::<S>(dn, EACH, h, g, 1, EACH, stride, meanwhile);
            }
            by_groups!(stride, updates::<S>(s, &h, count, places.clone(), window, stride));
            for j in 0..Self::SHARED {
                products::add_row::<S>(n[j], s.dn.as_ptr().add(j * stride), stride);
            }
            s.ahead.ask_all();
            done.flops += (dim * (count * (6 * (EACH + 1) + 4) + 4 * places.len())) as u64;
        }
    }
}

/// How many words of a window are not its own.
#[inline(always)]
fn company([first, last]: [usize; 2]) -> usize {
    last - first - 1
}

/// h_b = mean of the company of position b; and sixteen partial sums of h_b . x_b, over the columns of the group added to
/// those before it.
#[inline(always)]
unsafe fn means_and_dots<S: Simd, const C: usize>(
    column: usize,
    s: &mut Scratch,
    h: &[*mut f32],
    count: usize,
    window: usize,
) {
    unsafe {
        let row = |place: usize| s.near.get_unchecked(place).add(column);
        let (mut sum, start) = ([S::zero(); C], s.spans[window][0]);
        let (mut from, mut to) = (start, start); // what `sum` holds
        for b in 0..count {
            let [first, last] = *s.spans.get_unchecked(b + window);
            while to < last {
                (0..C).for_each(|k| sum[k] = S::add(sum[k], S::load(row(to).add(k * LANES))));
                to += 1;
            }
            while from < first {
                (0..C).for_each(|k| sum[k] = S::sub(sum[k], S::load(row(from).add(k * LANES))));
                from += 1;
            }
            let share = match company([first, last]) {
                0 => 0.0,
                others => 1.0 / others as f32,
            };
            let (own, x, share) = (row(b + window), s.x[b].add(column), S::splat(share));
            let mut a = S::zero();
            for k in 0..C {
                let mean = S::mul(share, S::sub(sum[k], S::load(own.add(k * LANES))));
                S::store(h[b].add(column + k * LANES), mean);
                a = S::fma(mean, S::load(x.add(k * LANES)), a);
            }
            let partial = s.sums.as_mut_ptr().add(b * LANES);
            S::store(partial, if column == 0 { a } else { S::add(a, S::load(partial)) });
        }
    }
}

/// For each position b: dh_b += gain * x_b and x_b += gain * h_b. Then to the row of each place the dh of the positions in its
/// window but its own.
#[inline(always)]
unsafe fn updates<S: Simd, const C: usize>(
    column: usize,
    s: &mut Scratch,
    h: &[*mut f32],
    count: usize,
    places: Range<usize>,
    window: usize,
    stride: usize,
) {
    unsafe {
        let all = s.dx.as_mut_ptr().add(column);
        let dh = |b: usize| all.add(by_group(b) * stride);
        let (mut sum, mut from, mut to) = ([S::zero(); C], 0, 0); // `sum` holds the dh of positions from..to
        for place in places {
            let [first, last] = s.spans.get_unchecked(place).map(|end| end.saturating_sub(window).min(count));
            while to < last {
                let (gain, x, h, dh) = (S::splat(s.gains[to]), s.x[to].add(column), h[to].add(column), dh(to));
                for k in 0..C {
                    let old = S::load(x.add(k * LANES));
                    let whole = S::fma(gain, old, S::load(dh.add(k * LANES)));
                    S::store(dh.add(k * LANES), whole);
                    S::store(x.add(k * LANES), S::fma(gain, S::load(h.add(k * LANES)), old));
                    sum[k] = S::add(sum[k], whole);
                }
                to += 1;
            }
            while from < first {
                (0..C).for_each(|k| sum[k] = S::sub(sum[k], S::load(dh(from).add(k * LANES))));
                from += 1;
            }
            let own = place.wrapping_sub(window);
            let own = if own < count { dh(own) } else { s.zero.as_ptr().cast_mut().add(column) };
            let row = s.near.get_unchecked(place).add(column);
            for k in 0..C {
                let of_others = S::sub(sum[k], S::load(own.add(k * LANES)));
                S::store(row.add(k * LANES), S::add(S::load(row.add(k * LANES)), of_others));
            }
            s.ahead.ask();
        }
    }
}
