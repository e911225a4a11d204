//! The kernel: panels of keys times a few queries, in registers, and a look whether any score matters.

use super::Metric;
use super::basis::{ALL, FIRST, HEAD, Head, PARTS};
use super::bound::{Query, Share, bound, lowered};
use super::codes::{Codes, PANEL, TILE};
use crate::simd::{Int8, LANES, Line, MATRIX_CODES, MATRIX_ROWS, MatrixProduct, Square, Unit, prefetch, prefetch_far};
use std::ops::Range;

/// Tiles of a block at most.
pub const BLOCK_TILES: usize = 21;
const BLOCK_KEYS: usize = BLOCK_TILES * TILE;
/// Panels in a tile.
pub const PANELS: usize = TILE / PANEL;
/// How many bytes ahead a lone query asks for codes: they come from memory, and its few sums wait for nothing else.
const AHEAD: usize = 4096;

/// A first-level cache, and how far ahead of reading panels are asked for that are too long for it.
const FIRST_CACHE: usize = 1 << 15;
const LINES_AHEAD: usize = 8 * 64;

/// A scan that reaches what the query asks, or what the key asks. In numbers of 64 bits, for what was stored in parts a moment ago
/// is not read as a whole at once.
#[derive(Clone, Copy)]
pub struct Reached {
    scores: u64,
    places: u64,
}

impl Reached {
    #[inline(always)]
    fn new(most: f32, likely: f32, at: usize, place: usize) -> Reached {
        let scores = u64::from(most.to_bits()) | u64::from(likely.to_bits()) << 32;
        Reached { scores, places: at as u64 | (place as u64) << 32 }
    }

    /// In scan units, what the key's score cannot exceed.
    #[inline(always)]
    pub fn most(self) -> f32 {
        f32::from_bits(self.scores as u32)
    }

    /// And is hardly smaller than.
    #[inline(always)]
    pub fn likely(self) -> f32 {
        f32::from_bits((self.scores >> 32) as u32)
    }

    /// The key's place in the block.
    #[inline(always)]
    pub fn at(self) -> usize {
        self.places as u32 as usize
    }

    /// And the query's in the groups.
    #[inline(always)]
    pub fn place(self) -> usize {
        (self.places >> 32) as usize
    }
}

/// Scans that reached what was asked of them, and what they are made of.
pub struct Scans {
    pub reached: Vec<Reached>,
    /// Whether among those that are compared together some mostly reach what is asked.
    pub dense: bool,
    /// Sums that a matrix unit told: of what is looked at, and of what comes next.
    first: [[Square; PANELS]; 2],
    all: [Square; PANELS],
}

/// What part of its bound a product of codes is off, likely: not taken off, equal scores would make guesses too high.
pub const LIKELY_ERROR: f32 = 0.25;

/// So many are looked at, lest the keys that follow be compared with what was asked long ago.
const ENOUGH: usize = 64;

impl Scans {
    pub fn new() -> Scans {
        Scans {
            reached: Vec::with_capacity(ENOUGH + MATRIX_ROWS * TILE),
            dense: false,
            first: [[Square::ZERO; PANELS]; 2],
            all: [Square::ZERO; PANELS],
        }
    }
}

/// A group's codes as a matrix unit reads them: those of the head, and the others.
struct Matrix {
    product: MatrixProduct,
    /// Where the others begin.
    head_steps: usize,
    /// `[query][block]`, with zeros at the end of each.
    rows: [Vec<Line>; 2],
    starts: [Square; 2],
}

impl Matrix {
    fn new(product: MatrixProduct, steps: usize, head_steps: usize) -> Matrix {
        let rows = [head_steps, steps - head_steps]
            .map(|steps| vec![Line([0; MATRIX_CODES]); MATRIX_ROWS * (4 * steps).div_ceil(MATRIX_CODES)]);
        Matrix { product, head_steps, rows, starts: [Square::ZERO; 2] }
    }

    fn set(&mut self, place: usize, query: &Query, codes: &[i8]) {
        let (head, others) = codes.split_at(4 * self.head_steps);
        for (rows, codes) in self.rows.iter_mut().zip([head, others]) {
            let blocks = rows.len() / MATRIX_ROWS;
            for (line, codes) in rows[place * blocks..].iter_mut().zip(codes.chunks(MATRIX_CODES)) {
                line.0[..codes.len()].copy_from_slice(codes);
            }
        }
        let starts = [query.starts[FIRST] + query.starts[HEAD], query.starts[ALL]];
        for (square, start) in self.starts.iter_mut().zip(starts) {
            square.0[place] = [start; LANES];
        }
    }

    /// Sums of a tile, whose codes lie there: over the head, or over all where there is none.
    ///
    /// # Safety
    /// The unit is set up; the tile is one of the codes that the group is for.
    #[inline(always)]
    unsafe fn first(&self, tile: *const u8, codes: &Codes, out: &mut [Square; PANELS]) {
        // SAFETY: the caller's.
        unsafe { self.multiply(usize::from(self.head_steps == 0), tile, codes.stride(), out) };
    }

    /// Sums over all, from those over the head.
    ///
    /// # Safety
    /// As above.
    unsafe fn others(&self, tile: *const u8, codes: &Codes, head: &[Square; PANELS], all: &mut [Square; PANELS]) {
        // SAFETY: the caller's.
        unsafe { self.multiply(1, tile, codes.stride(), all) };
        let shift = codes.head().shift(ALL);
        for (head, all) in head.iter().zip(all) {
            for (head, all) in head.0.as_flattened().iter().zip(all.0.as_flattened_mut()) {
                *all = all.wrapping_add(*head << shift);
            }
        }
    }

    /// Sums over the head, or all but it.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn multiply(&self, part: usize, tile: *const u8, stride: usize, out: &mut [Square; PANELS]) {
        let rows = &self.rows[part];
        let first = tile.wrapping_add(part * self.head_steps * 4 * PANEL);
        let panels = std::array::from_fn(|p| first.wrapping_add(p * stride));
        // SAFETY: the caller's; past the end of codes there is room for a block.
        unsafe { (self.product)(rows, panels, rows.len() / MATRIX_ROWS, &self.starts[part], out) }
    }
}

/// G queries side by side. Places that no query takes have a threshold that nothing reaches.
pub struct Group<S: Int8, const G: usize> {
    /// `[step][query]`; nothing if a matrix unit multiplies, whose rows G are.
    packed: Vec<S::Packed>,
    matrix: Option<Matrix>,
    starts: [[i32; G]; PARTS],
    /// What keys' squares add to scans: negative.
    halves: [f32; G],
    rests: [[f32; G]; PARTS],
    /// Of each place, in the first lanes; those of no place are infinite.
    thresholds: [f32; LANES],
    bounds: [[f32; LANES]; 4],
    /// What queries' own squares take off their scores as neighbours of keys, and scan units in a key unit, negative too.
    owns: [f32; LANES],
    per_key_unit: [f32; G],
    queries: [Option<Query>; G],
}

impl<S: Int8, const G: usize> Group<S, G> {
    const BY_MATRIX: bool = G == MATRIX_ROWS;

    /// Of queries of these codes; by their matrix unit, if G are its rows.
    pub fn new(codes: &Codes) -> Group<S, G> {
        let product = codes.matrix.filter(|_| Self::BY_MATRIX);
        Group {
            packed: vec![S::pack([0; 4]); if Self::BY_MATRIX { 0 } else { codes.steps * G }],
            matrix: product.map(|product| {
                assert_eq!(codes.head().first, 0, "a matrix unit takes the head as a whole");
                Matrix::new(product, codes.steps, codes.head().m / 4)
            }),
            starts: [[0; G]; PARTS],
            halves: [0.0; G],
            rests: [[0.0; G]; PARTS],
            thresholds: [f32::INFINITY; LANES],
            bounds: [[0.0; LANES]; 4],
            owns: [f32::INFINITY; LANES],
            per_key_unit: [0.0; G],
            queries: std::array::from_fn(|_| None),
        }
    }

    pub fn set(&mut self, place: usize, query: Query, codes: &[i8], threshold: f64) {
        if let Some(matrix) = &mut self.matrix {
            matrix.set(place, &query, codes);
        } else {
            for (step, codes) in codes.chunks(4).enumerate() {
                self.packed[step * G + place] = S::pack(std::array::from_fn(|i| codes.get(i).copied().unwrap_or(0)));
            }
        }
        self.halves[place] = -query.half;
        for part in 0..PARTS {
            self.starts[part][place] = query.starts[part];
            self.rests[part][place] = query.rests[part];
        }
        for (bounds, factor) in self.bounds.iter_mut().zip(query.factors) {
            bounds[place] = factor;
        }
        self.owns[place] = lowered(query.own);
        self.per_key_unit[place] = -query.per_key_unit as f32;
        self.queries[place] = Some(query);
        self.raise(place, threshold);
    }

    /// The query in a place that is taken.
    #[inline]
    pub fn query(&self, place: usize) -> &Query {
        self.queries[place].as_ref().expect("the place is taken")
    }

    /// A matrix unit, set up if the group is multiplied by one.
    pub fn unit(&self) -> Unit {
        Unit::new(self.matrix.as_ref().map(|matrix| matrix.product))
    }

    pub fn raise(&mut self, place: usize, threshold: f64) {
        self.thresholds[place] = lowered(threshold);
    }

    /// Bounds of keys with such a share, less what their scans must reach; and less what is taken off them before they are compared
    /// with what the keys ask. What is not negative then, added to a scan, may matter.
    #[inline(always)]
    unsafe fn less(&self, key: Share) -> [[f32; LANES]; 2] {
        unsafe {
            let error = S::load(self.bounds[0].as_ptr());
            let size = S::load(self.bounds[1].as_ptr());
            let square = S::load(self.bounds[2].as_ptr());
            let constant = S::load(self.bounds[3].as_ptr());
            let bound = S::fma(error, S::splat(key.error), S::fma(size, S::splat(key.size), constant));
            let bound = S::fma(square, S::splat(key.square), bound);
            let mut less = [[0.0; LANES]; 2];
            S::store(less[0].as_mut_ptr(), S::sub(bound, S::load(self.thresholds.as_ptr())));
            S::store(less[1].as_mut_ptr(), S::sub(bound, S::load(self.owns.as_ptr())));
            less
        }
    }
}

/// The order in which the tiles of some keys are visited: one after the other, or so that each run of visits is spread evenly over
/// all of them, however the keys lie.
pub struct Order {
    keys: Range<usize>,
    pub tiles: usize,
    step: usize,
}

impl Order {
    /// Keys begin with a multiple of TILE.
    pub fn new(keys: Range<usize>, spread: bool) -> Order {
        let tiles = keys.len().div_ceil(TILE);
        // Steps of the golden section leave no large gap, whenever one stops (Steinhaus's three gaps).
        let golden = (tiles as f64 * 0.618_033_988_75) as usize;
        let step = (golden.max(1)..).find(|&step| step == 1 || coprime(step, tiles)).expect("tiles - 1 or 1 is one");
        Order { keys, tiles, step: if spread { step } else { 1 } }
    }

    pub fn is_spread(&self) -> bool {
        self.step > 1
    }

    /// The keys that are visited then.
    pub fn rows(&self, visit: usize) -> Range<usize> {
        let tile = visit as u128 * self.step as u128 % self.tiles as u128;
        let first = self.keys.start + tile as usize * TILE;
        first..self.keys.end.min(first + TILE)
    }
}

fn coprime(a: usize, b: usize) -> bool {
    if b == 0 { a == 1 } else { coprime(b, a % b) }
}

/// A tile of a block.
#[derive(Clone, Copy)]
struct Tile {
    first: usize,
    /// What no key's share exceeds.
    share: Share,
}

/// What a block's keys have in common for all queries.
pub struct Block {
    metric: Metric,
    /// Of each key: what the product of codes over each part of the basis is multiplied by; NaN, which reaches no threshold, where it
    /// is not allowed.
    weights: [Vec<f32>; PARTS],
    squares: Vec<f32>,
    /// What lies outside each part, in the size of the share. Of both nothing where there is no such part.
    rests: [Vec<f32>; PARTS],
    /// What the neighbours of each key must reach, in key units; where pairs are looked for.
    pub least: Vec<f32>,
    tiles: Vec<Tile>,
    /// Those of which a key is allowed.
    open: Vec<usize>,
}

impl Block {
    pub fn new(metric: Metric) -> Block {
        let [all, squares, least] = [(); 3].map(|()| vec![0.0; BLOCK_KEYS]);
        let (weights, rests) = ([Vec::new(), Vec::new(), all], [const { Vec::new() }; PARTS]);
        let (tiles, open) = (Vec::with_capacity(BLOCK_TILES), Vec::with_capacity(BLOCK_TILES));
        Block { metric, weights, squares, rests, least, tiles, open }
    }

    /// The row of the first key of a tile.
    pub fn first(&self, tile: usize) -> usize {
        self.tiles[tile].first
    }

    /// What lies outside the basis of a key, by its place in the block, in the size of the share.
    pub fn rest(&self, at: usize) -> f32 {
        self.rests[ALL][at]
    }

    /// What the bound needs to know of a key, by its place in the block; nothing more than of its tile where that is no less.
    #[inline(always)]
    fn share(&self, codes: &Codes, at: usize) -> Share {
        let Tile { first, share } = self.tiles[at / TILE];
        if self.metric == Metric::Cosine {
            return share;
        }
        let (norm, [error, ..]) = (codes.norms[first + at % TILE], codes.largest[first / TILE]);
        Share { error: error * norm, size: norm, square: norm * norm, ..share }
    }

    /// Turn to other keys, those of some visits.
    #[inline(always)]
    pub fn fill(&mut self, codes: &Codes, allowed: Option<&[bool]>, order: &Order, visits: Range<usize>) {
        self.tiles.clear();
        self.open.clear();
        for (at, keys) in visits.map(|visit| order.rows(visit)).enumerate() {
            let from = keys.start..keys.start + TILE;
            let [of_parts @ .., weights] = &mut self.weights;
            let weights = &mut weights[at * TILE..][..TILE];
            let (ratios, norms) = (&codes.ratios[from.clone()], &codes.norms[from.clone()]);
            match self.metric {
                Metric::Cosine => weights.copy_from_slice(ratios),
                _ => {
                    for i in 0..TILE {
                        weights[i] = ratios[i] * norms[i];
                    }
                }
            }
            if self.metric == Metric::Euclidean {
                let squares = &mut self.squares[at * TILE..][..TILE];
                for i in 0..TILE {
                    squares[i] = norms[i] * norms[i];
                }
            }
            for (all, out) in codes.rests.iter().zip(&mut self.rests) {
                let Some(rests) = all.get(from.clone()) else { continue };
                out.resize(BLOCK_KEYS, 0.0);
                for i in 0..TILE {
                    out[at * TILE + i] = rests[i] * if self.metric == Metric::Cosine { 1.0 } else { norms[i] };
                }
            }
            let rests = self.rests[ALL].iter().skip(at * TILE).take(TILE);
            let rest = rests.fold(0.0, |most, &rest| f32::max(most, rest));
            weights[keys.len()..].fill(f32::NAN);
            if let Some(allowed) = allowed {
                for (weight, place) in weights.iter_mut().zip(keys.clone()) {
                    *weight = if allowed[codes.row(place)] { *weight } else { f32::NAN };
                }
            }
            let head = codes.head();
            for (part, of_part) in of_parts.iter_mut().enumerate().skip(head.begin()) {
                of_part.resize(BLOCK_KEYS, 0.0);
                let of_part = of_part[at * TILE..][..TILE].iter_mut();
                of_part.zip(&*weights).for_each(|(of_part, weight)| *of_part = *weight * head.scale(part) as f32);
            }
            let [error, norm, both] = codes.largest[keys.start / TILE];
            let share = match self.metric {
                Metric::Cosine => Share { error, size: 1.0, square: 0.0, rest },
                _ => Share { error: both, size: norm, square: norm * norm, rest },
            };
            self.tiles.push(Tile { first: keys.start, share });
            if allowed.is_none() || !weights.iter().all(|weight| weight.is_nan()) {
                self.open.push(at);
            }
        }
    }

    /// Where the codes of a tile lie, and those of the one that comes next.
    #[inline(always)]
    fn places(&self, codes: &Codes, tile: usize) -> [*const u8; 2] {
        let (all, stride) = (codes.panels(0..0).as_ptr(), codes.stride());
        let place = |tile: &Tile| all.wrapping_add(tile.first / PANEL * stride);
        let here = place(&self.tiles[tile]);
        [here, self.tiles.get(tile + 1).map_or(here, place)]
    }
}

/// Codes that the next block will need, asked for a little at each tile, so that memory brings them meanwhile.
pub struct Ahead<'a> {
    codes: &'a Codes,
    order: &'a Order,
    visits: Range<usize>,
    /// What is left of the tile under way.
    tile: &'a [u8],
    /// Bytes at a tile.
    each: usize,
}

impl<'a> Ahead<'a> {
    /// Ask for the codes of some visits, while so many tiles are multiplied.
    pub fn new(codes: &'a Codes, order: &'a Order, visits: Range<usize>, tiles: usize) -> Ahead<'a> {
        let visits = visits.start..visits.end.min(order.tiles);
        let each = (visits.len() * PANELS * codes.stride()).div_ceil(tiles.max(1)).next_multiple_of(64);
        Ahead { codes, order, visits, tile: &[], each }
    }

    #[inline(always)]
    fn ask(&mut self) {
        if self.tile.is_empty() {
            let Some(visit) = self.visits.next() else { return };
            let panel = self.order.rows(visit).start / PANEL;
            self.tile = self.codes.panels(panel..panel + PANELS);
        }
        let (now, later) = self.tile.split_at(self.each.min(self.tile.len()));
        for at in (0..now.len()).step_by(64) {
            prefetch_far(now.as_ptr().wrapping_add(at));
        }
        self.tile = later;
    }
}

/// Multiply tiles of a block with groups of queries, beginning with one of these pairs: `out` tells which scans reach what is asked of
/// them. Returns where to go on when these were looked at; None if no pair is left.
///
/// # Safety
/// The processor has the instruction set; the block and the groups are of these codes; a matrix unit is set up.
#[inline(always)]
pub unsafe fn reaching<
    S: Int8,
    const P: usize,
    const Q: usize,
    const G: usize,
    const EUCLIDEAN: bool,
    const PAIRS: bool,
    const REST: bool,
>(
    block: &Block,
    codes: &Codes,
    from: usize,
    groups: &[Group<S, G>],
    ahead: &mut Ahead,
    out: &mut Scans,
) -> Option<usize> {
    let head = if REST { codes.head() } else { Head::default() };
    let tiles = block.open.len();
    let pairs = groups.len() * tiles;
    // A matrix unit is one pair ahead: it multiplies while the sums before are looked at.
    let multiply = |pair: usize, out: &mut Scans| {
        if Group::<S, G>::BY_MATRIX
            && pair < pairs
            && let Some(matrix) = &groups[pair / tiles].matrix
        {
            let [place, _] = block.places(codes, block.open[pair % tiles]);
            // SAFETY: the caller's.
            unsafe { matrix.first(place, codes, &mut out.first[pair % 2]) };
        }
    };
    multiply(from, out);
    for pair in from..pairs {
        multiply(pair + 1, out);
        if G > 1 {
            ahead.ask();
        }
        let (g, tile) = (pair / tiles, block.open[pair % tiles]);
        let group = &groups[g];
        // SAFETY: the caller's.
        unsafe {
            let less = group.less(block.tiles[tile].share);
            let places = block.places(codes, tile);
            let mut others = group.matrix.as_ref().filter(|_| Group::<S, G>::BY_MATRIX && head.m > 0);
            for first in (0..G).step_by(Q) {
                for panel in (0..PANELS).step_by(P) {
                    let at = (tile * PANELS + panel) * PANEL;
                    let reaches = Reaches { block, at, group, first, less: &less };
                    let sums = if Group::<S, G>::BY_MATRIX {
                        let sums = loaded::<S, P, Q>(&out.first[pair % 2], panel, first);
                        if head.m == 0 {
                            sums
                        } else if reaches.by::<P, Q, EUCLIDEAN, PAIRS, true>(HEAD, &sums) {
                            if let Some(matrix) = others.take() {
                                matrix.others(places[0], codes, &out.first[pair % 2], &mut out.all);
                            }
                            loaded::<S, P, Q>(&out.all, panel, first)
                        } else {
                            continue;
                        }
                    } else {
                        let sums = summed::<S, P, Q, G, EUCLIDEAN, PAIRS, true>(codes, head, places, panel, &reaches);
                        let Some(sums) = sums else { continue };
                        sums
                    };
                    scans::<S, P, Q, G, EUCLIDEAN, PAIRS, REST>(codes, &sums, &reaches, g * G, out);
                }
            }
        }
        if out.reached.len() >= ENOUGH {
            return Some(pair + 1);
        }
    }
    None
}

/// P panels' sums with Q queries that a matrix unit told.
#[inline(always)]
unsafe fn loaded<S: Int8, const P: usize, const Q: usize>(
    of: &[Square; PANELS],
    panel: usize,
    first: usize,
) -> [[S::Sums; P]; Q] {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[S::start(0); P]; Q];
        for (j, sums) in sums.iter_mut().enumerate() {
            for (p, sums) in sums.iter_mut().enumerate() {
                *sums = S::read(&of[panel + p].0[first + j]);
            }
        }
        sums
    }
}

/// Sums of P panels of a tile with Q queries over all directions; None if those over a part of them are found not to reach what is
/// asked. Where it is not CHECKED they are summed up in any case.
#[inline(always)]
unsafe fn summed<
    S: Int8,
    const P: usize,
    const Q: usize,
    const G: usize,
    const EUCLIDEAN: bool,
    const PAIRS: bool,
    const CHECKED: bool,
>(
    codes: &Codes,
    head: Head,
    places: [*const u8; 2],
    panel: usize,
    reaches: &Reaches<S, G>,
) -> Option<[[S::Sums; P]; Q]> {
    let Reaches { group, first, .. } = *reaches;
    let ends = head.parts(4 * codes.steps).map(|m| m / 4);
    let (mut part, mut from) = (head.begin(), 0);
    unsafe {
        // Loops, not array::from_fn: that is compiled without the instruction set, and called.
        let mut sums = [[S::start(0); P]; Q];
        for (sums, start) in sums.iter_mut().zip(&group.starts[part][first..]) {
            *sums = [S::start(*start); P];
        }
        loop {
            sums = add::<S, P, Q, G>(codes, places, panel, group, first, from..ends[part], sums);
            if part == ALL {
                return Some(sums);
            }
            if CHECKED && !reaches.by::<P, Q, EUCLIDEAN, PAIRS, true>(part, &sums) {
                return None;
            }
            from = ends[part];
            part += 1;
            for (sums, &start) in sums.iter_mut().zip(&group.starts[part][first..]) {
                for sums in sums {
                    *sums = S::shifted(*sums, head.shift(part), start);
                }
            }
        }
    }
}

/// Add products of codes of P panels of a tile with those of Q queries, in some steps. Sums come and go by value: through a
/// reference, some versions of this loop stored each of them at each step.
#[inline(always)]
unsafe fn add<S: Int8, const P: usize, const Q: usize, const G: usize>(
    codes: &Codes,
    [tile, after]: [*const u8; 2],
    panel: usize,
    group: &Group<S, G>,
    first: usize,
    mut steps: Range<usize>,
    mut sums: [[S::Sums; P]; Q],
) -> [[S::Sums; P]; Q] {
    unsafe {
        let (stride, queries) = (codes.stride(), group.packed.as_ptr().add(first));
        let panels = tile.add(panel * stride);
        // The panels that come next, where the first-level cache holds both; long panels are asked for as they are read.
        let next = match panel + P < PANELS {
            _ if 4 * P * stride > 3 * FIRST_CACHE => panels.wrapping_add(LINES_AHEAD),
            true => panels.wrapping_add(P * stride),
            false => after,
        };
        while S::IN_PAIRS && steps.len() > 1 {
            let (at, queries) = (panels.add(steps.start * 4 * PANEL), queries.add(steps.start * G));
            ask::<P, G>(at, next.wrapping_add(steps.start * 4 * PANEL), stride);
            ask::<P, G>(at.add(4 * PANEL), next.wrapping_add((steps.start + 1) * 4 * PANEL), stride);
            for p in 0..P {
                let at = at.add(p * stride);
                let keys = [S::keys(at), S::keys(at.add(4 * PANEL))];
                for (j, sums) in sums.iter_mut().enumerate() {
                    let query = [S::query(queries.add(j)), S::query(queries.add(G + j))];
                    sums[p] = S::dot_two(sums[p], keys, query);
                }
            }
            steps.start += 2;
        }
        for step in steps {
            let at = panels.add(step * 4 * PANEL);
            ask::<P, G>(at, next.wrapping_add(step * 4 * PANEL), stride);
            let mut keys = [S::keys(at); P];
            for (p, keys) in keys.iter_mut().enumerate().skip(1) {
                *keys = S::keys(at.add(p * stride));
            }
            for (j, sums) in sums.iter_mut().enumerate() {
                let query = S::query(queries.add(step * G + j));
                for p in 0..P {
                    sums[p] = S::dot(sums[p], keys[p], query);
                }
            }
        }
        sums
    }
}

/// Ask for codes of P panels, those that come next or, of a lone query, from memory.
#[inline(always)]
fn ask<const P: usize, const G: usize>(at: *const u8, next: *const u8, stride: usize) {
    for p in 0..P {
        if G == 1 {
            prefetch_far(at.wrapping_add(p * stride + AHEAD));
        } else {
            prefetch(next.wrapping_add(p * stride)); // from the second-level cache
        }
    }
}

/// What sums of panels, the first of whose keys is at this place in a block, with queries, from the `first` of a group on, are
/// compared with: bounds less what is asked of them.
struct Reaches<'a, S: Int8, const G: usize> {
    block: &'a Block,
    at: usize,
    group: &'a Group<S, G>,
    first: usize,
    less: &'a [[f32; LANES]; 2],
}

impl<S: Int8, const G: usize> Reaches<'_, S, G> {
    /// Whether sums over a part of the basis may be those of scores that reach what is asked of their queries, or what the keys ask.
    #[inline(always)]
    unsafe fn by<const P: usize, const Q: usize, const EUCLIDEAN: bool, const PAIRS: bool, const REST: bool>(
        &self,
        part: usize,
        sums: &[[S::Sums; P]; Q],
    ) -> bool {
        let Reaches { block, at, group, first, less: [less, taken] } = *self;
        unsafe {
            let lists = [&block.weights[part], &block.squares, &block.least];
            let [weights, squares, key_least] = lists.map(|of| of.as_ptr().add(at));
            // How far above what is asked; one comparison for all. The second operand of max stays where the first is NaN. A chain for
            // each panel: one alone would take longer than the products.
            let mut above = [S::splat(f32::NEG_INFINITY); P];
            for (j, sums) in sums.iter().enumerate() {
                let j = first + j;
                for (p, &sums) in sums.iter().enumerate() {
                    let mut less = S::splat(less[j]);
                    if EUCLIDEAN {
                        less = S::fma(S::splat(group.halves[j]), S::load(squares.add(p * PANEL)), less);
                    }
                    if PAIRS {
                        let (per_key_unit, least) =
                            (S::splat(group.per_key_unit[j]), S::load(key_least.add(p * PANEL)));
                        less = S::max(S::fma(per_key_unit, least, S::splat(taken[j])), less);
                    }
                    let less = with_rest::<S, G, REST>(less, block, part, at + p * PANEL, group, j);
                    let here = S::fma(S::floats(sums), S::load(weights.add(p * PANEL)), less);
                    above[p] = S::max(here, above[p]);
                }
            }
            let mut most = above[0];
            for &above in &above[1..] {
                most = S::max(above, most);
            }
            S::at_least(most, S::zero()) != 0
        }
    }
}

/// Sums as scans: those that reach the `least` that is asked of their queries, or what the keys ask, go `out`; the group's places
/// begin with one of all.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn scans<
    S: Int8,
    const P: usize,
    const Q: usize,
    const G: usize,
    const EUCLIDEAN: bool,
    const PAIRS: bool,
    const REST: bool,
>(
    codes: &Codes,
    sums: &[[S::Sums; P]; Q],
    reaches: &Reaches<S, G>,
    places: usize,
    out: &mut Scans,
) {
    let Reaches { block, at, group, first, less: [less, taken] } = *reaches;
    unsafe {
        if !out.dense && !reaches.by::<P, Q, EUCLIDEAN, PAIRS, REST>(ALL, sums) {
            return;
        }
        // All are compared before one is kept, for few are, and it is not foreseen which.
        let mut scanned = [[[0f32; LANES]; P]; Q];
        let (mut bits, mut queries) = ([0u64; Q], 0u32);
        for (j, sums) in sums.iter().enumerate() {
            let least = S::splat(-less[first + j]);
            for (p, &sums) in sums.iter().enumerate() {
                let at = at + p * PANEL;
                let scan = scan::<S, EUCLIDEAN>(sums, block, at, group.halves[first + j]);
                let most = with_rest::<S, G, REST>(scan, block, ALL, at, group, first + j);
                let mut reached = S::at_least(most, least);
                if PAIRS {
                    let (product, taken) = (S::floats(sums), taken[first + j]);
                    let key = above_key::<S, G, REST>(product, block, at, taken, group, first + j);
                    reached |= S::at_least(key, S::zero());
                }
                S::store(scanned[j][p].as_mut_ptr(), most);
                bits[j] |= u64::from(reached) << (p * LANES);
            }
            queries |= u32::from(bits[j] != 0) << j;
        }
        // Those alone, and not each query in turn, for which it would have to be foreseen.
        while queries != 0 {
            let j = queries.trailing_zeros() as usize;
            queries &= queries - 1;
            let (mut bits, scanned, j) = (bits[j], &scanned[j], first + j);
            while bits != 0 {
                let lane = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let (at, scan) = (at + lane, scanned.as_flattened()[lane]);
                let error = bound(group.bounds.each_ref().map(|factors| factors[j]), block.share(codes, at));
                let rest = if REST { group.rests[ALL][j] * block.rests[ALL][at] } else { 0.0 };
                let most = ((f64::from(scan) + f64::from(error)) as f32).next_up();
                if PAIRS || most >= group.thresholds[j] {
                    out.reached.push(Reached::new(most, scan - rest - LIKELY_ERROR * error, at, places + j));
                }
            }
        }
    }
}

/// One panel's sums with one query in scan units.
#[inline(always)]
unsafe fn scan<S: Int8, const EUCLIDEAN: bool>(sums: S::Sums, block: &Block, at: usize, half: f32) -> S::F {
    unsafe {
        let (product, weight) = (S::floats(sums), S::load(block.weights[ALL].as_ptr().add(at)));
        if EUCLIDEAN {
            S::fma(product, weight, S::mul(S::splat(half), S::load(block.squares.as_ptr().add(at))))
        } else {
            S::mul(product, weight)
        }
    }
}

/// And the most that what lies outside a part of the basis may add for the query in a place.
#[inline(always)]
unsafe fn with_rest<S: Int8, const G: usize, const REST: bool>(
    scan: S::F,
    block: &Block,
    part: usize,
    at: usize,
    group: &Group<S, G>,
    place: usize,
) -> S::F {
    if !REST {
        return scan;
    }
    let (rest, rests) = (group.rests[part][place], block.rests[part].as_ptr());
    // SAFETY: the caller's.
    unsafe { S::fma(S::splat(rest), S::load(rests.add(at)), scan) }
}

/// How far one panel's scans, without what keys' squares take off, are above what the keys ask of the query in a place.
#[inline(always)]
unsafe fn above_key<S: Int8, const G: usize, const REST: bool>(
    product: S::F,
    block: &Block,
    at: usize,
    taken: f32,
    group: &Group<S, G>,
    place: usize,
) -> S::F {
    unsafe {
        let taken = with_rest::<S, G, REST>(S::splat(taken), block, ALL, at, group, place);
        let product = S::fma(product, S::load(block.weights[ALL].as_ptr().add(at)), taken);
        S::fma(S::load(block.least.as_ptr().add(at)), S::splat(group.per_key_unit[place]), product)
    }
}

/// Of a block's tiles and each query, the largest scan in each lane. Returns a bound of the block's keys.
///
/// # Safety
/// As for `reaching`.
#[inline(always)]
pub unsafe fn largest_of_tiles<S: Int8, const P: usize, const Q: usize, const G: usize, const EUCLIDEAN: bool>(
    block: &Block,
    codes: &Codes,
    group: &Group<S, G>,
    Scans { first: [sums_of_head, _], all, .. }: &mut Scans,
    largest: &mut [[[f32; LANES]; G]],
) -> Share {
    let (mut most, head) = (Share::default(), codes.head());
    for &tile in &block.open {
        most = most.max(block.tiles[tile].share);
        let places = block.places(codes, tile);
        if let Some(matrix) = &group.matrix {
            // SAFETY: the caller's.
            unsafe {
                if head.m > 0 {
                    matrix.first(places[0], codes, sums_of_head);
                    matrix.others(places[0], codes, sums_of_head, all);
                } else {
                    matrix.first(places[0], codes, all);
                }
            }
        }
        for first in (0..G).step_by(Q) {
            for panel in (0..PANELS).step_by(P) {
                let at = (tile * PANELS + panel) * PANEL;
                // SAFETY: the caller's.
                unsafe {
                    let sums = if Group::<S, G>::BY_MATRIX {
                        loaded::<S, P, Q>(all, panel, first)
                    } else {
                        let reaches = Reaches { block, at, group, first, less: &[[0.0; LANES]; 2] };
                        summed::<S, P, Q, G, EUCLIDEAN, false, false>(codes, head, places, panel, &reaches)
                            .expect("nothing is checked")
                    };
                    for (j, sums) in sums.iter().enumerate() {
                        let out = largest[tile][first + j].as_mut_ptr();
                        for (p, &sums) in sums.iter().enumerate() {
                            let scan = scan::<S, EUCLIDEAN>(sums, block, at + p * PANEL, group.halves[first + j]);
                            S::store(out, S::max(scan, S::load(out))); // the second where the first is NaN
                        }
                    }
                }
            }
        }
    }
    most
}
