//! Exact search: codes of eight bits tell which keys could be answers, float64 which of them are.
//!
//! `codes.rs` turns keys into codes, or their coordinates in a basis (`basis.rs`), `tile.rs` multiplies them, `bound.rs` says how far a product may be from the score it stands
//! for, `best.rs` keeps the keys that may be answers, `exact.rs` scores them, `scan.rs` is one thread's work, and here it is
//! shared out; `graph.rs` compares keys with themselves, in the order of `likeness.rs`, those alike by `strip.rs`. docs/explanation/exactness.md proves that no answer is lost.

mod basis;
mod best;
mod bound;
mod codes;
mod exact;
mod graph;
mod likeness;
mod scan;
mod strip;
mod tile;

pub use basis::{Basis, Head};
pub use codes::{Codes, MOST_DIMENSIONS, all_finite};
pub use exact::Hit;
pub use graph::Graph;
pub use likeness::by_likeness;

use codes::{TILE, sum_of_squares};
use scan::{GROUP, MOST_KEYS, Task};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::simd::Level;

/// Dimensions times keys times queries that are worth a thread of their own: 0.2 ms of work or more, some times its start.
const WORTH_A_THREAD: usize = 1 << 23;
/// Where threads wait for processors that others use, searches with less work than this are for one thread: so many of them, before
/// two are tried again.
const LONG: usize = 1 << 26;
const STAY_ALONE: usize = 32;
/// How many are still to come.
static ALONE: AtomicUsize = AtomicUsize::new(0);
/// Queries that pass over the keys together, at most and, where there are many, at least.
const MOST_QUERIES: usize = 512;
const FEW_QUERIES: usize = 32;
/// Answers that a thread has in hand, about.
const ANSWERS: usize = 1 << 18;
/// How often the caller is asked whether to stop.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Dot,
    Cosine,
    /// dot / sqrt(d)
    Scaled,
    /// Minus the distance.
    Euclidean,
}

impl Metric {
    pub const ALL: [Metric; 4] = [Metric::Dot, Metric::Cosine, Metric::Scaled, Metric::Euclidean];
}

/// Which answers are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The k best; of equal ones those with the lowest rows.
    Best(usize),
    /// All keys with this score or more.
    AtLeast(f64),
}

/// Whether queries are keys themselves: of which row the first one is, and the others those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own<'a> {
    No,
    /// A query's own row is no answer.
    Others(usize),
    /// The same, where rows do not follow each other.
    Rows(&'a [usize]),
    /// Nor are those before it.
    Later(usize),
}

/// Queries as they come.
#[derive(Clone, Copy)]
pub enum Queries<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl<'a> Queries<'a> {
    /// Each of them, of d numbers.
    fn vectors(self, d: usize) -> Vec<Vector<'a>> {
        match self {
            Queries::F32(numbers) => numbers.chunks_exact(d).map(Vector::F32).collect(),
            Queries::F64(numbers) => numbers.chunks_exact(d).map(Vector::F64).collect(),
        }
    }
}

/// The numbers of one query, as they come.
#[derive(Clone, Copy)]
pub enum Vector<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl Vector<'_> {
    fn squares(self) -> f64 {
        match self {
            Vector::F32(x) => sum_of_squares(x, |x| x),
            Vector::F64(x) => sum_of_squares(x, |x| x),
        }
    }

    /// Its numbers, by what is made of them.
    fn extend<T>(self, out: &mut Vec<T>, made: impl Fn(f64) -> T) {
        match self {
            Vector::F32(x) => out.extend(x.iter().map(|&x| made(x.into()))),
            Vector::F64(x) => out.extend(x.iter().map(|&x| made(x))),
        }
    }
}

/// What a search did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Pairs of a query and a key compared by their codes.
    pub scanned: u64,
    /// Those whose codes did not tell.
    pub candidates: u64,
    /// Pairs scored in float64.
    pub rescored: u64,
}

/// The sum of what searches did.
#[derive(Default)]
pub struct Totals([AtomicU64; 3]);

impl Totals {
    fn add(&self, s: Statistics) {
        for (total, number) in self.0.iter().zip([s.scanned, s.candidates, s.rescored]) {
            total.fetch_add(number, Ordering::Relaxed);
        }
    }

    pub fn read(&self) -> Statistics {
        let [scanned, candidates, rescored] = self.0.each_ref().map(|n| n.load(Ordering::Relaxed));
        Statistics { scanned, candidates, rescored }
    }
}

/// Keys, and their codes if many queries are to come.
pub struct Keys<'a> {
    pub vectors: &'a [f32],
    pub d: usize,
    pub codes: Option<&'a Codes>,
}

/// What is asked of the keys. Numbers are finite; k is at most the number of keys that each query may be answered with.
pub struct Request<'a> {
    /// (q, d)
    pub queries: Queries<'a>,
    pub metric: Metric,
    pub goal: Goal,
    /// Of each key, whether it may be an answer.
    pub allowed: Option<&'a [bool]>,
    pub own: Own<'a>,
    pub threads: usize,
    pub level: Level,
}

/// Of each query, its answers.
pub type Found = Vec<Vec<Hit>>;

/// The answers to each query, best first; None if `stop`, which the calling thread asks now and then, says so.
pub fn search(keys: &Keys, request: &Request, totals: &Totals, stop: &dyn Fn() -> bool) -> Option<Found> {
    let (n, queries) = (keys.vectors.len() / keys.d, request.queries.vectors(keys.d));
    // Rows before the first query's own are no answers to any.
    let start = match request.own {
        Own::Later(first) if !keys.codes.is_some_and(Codes::is_ordered) => first / TILE * TILE,
        _ => 0,
    };
    let plan = Plan::new(queries.len(), n - start, keys.d, request);
    let answers: Vec<Mutex<Found>> = (0..plan.chunks.len()).map(|_| Mutex::new(Vec::new())).collect();
    let tasks = plan
        .chunks
        .iter()
        .zip(&answers)
        .flat_map(|(chunk, answers)| plan.segments.iter().map(move |segment| (chunk, segment, answers)));
    let are_late = in_parallel(plan.threads, tasks, stop, |(chunk, segment, answers), stop| {
        let task = Task {
            codes: keys.codes,
            vectors: keys.vectors,
            d: keys.d,
            queries: &queries[chunk.clone()],
            metric: request.metric,
            goal: request.goal,
            allowed: request.allowed,
            own: match request.own {
                Own::No => Own::No,
                Own::Others(first) => Own::Others(first + chunk.start),
                Own::Rows(rows) => Own::Rows(&rows[chunk.clone()]),
                Own::Later(first) => Own::Later(first + chunk.start),
            },
            keys: start + segment.start..start + segment.end,
            among: start + segment.start..start + segment.end,
            level: request.level,
            strips: None,
        };
        let mut statistics = Statistics::default();
        if let Some((found, _)) = task.run(stop, &mut statistics) {
            merge(&mut answers.lock().expect("no thread panics while it holds this"), found, request.goal);
        }
        totals.add(statistics);
    })?;
    if are_late {
        ALONE.store(STAY_ALONE, Ordering::Relaxed); // one thread would have done it all meanwhile
    }
    Some(answers.into_iter().flat_map(|answers| answers.into_inner().expect("as above")).collect())
}

/// Work on items with some threads, each told whether to stop. Returns whether others were waited for longer than the calling thread
/// worked; None if `stop`, which that thread asks, said so.
fn in_parallel<T: Send>(
    threads: usize,
    items: impl Iterator<Item = T> + Send,
    stop: &dyn Fn() -> bool,
    work: impl Fn(T, &dyn Fn() -> bool) + Sync,
) -> Option<bool> {
    let asked = Asked {
        stop,
        caller: std::thread::current().id(),
        last: Mutex::new(Instant::now()),
        stopped: AtomicBool::new(false),
    };
    let work = |item| {
        if !asked.stopped() {
            work(item, &|| asked.stopped());
        }
    };
    let are_late = share_and_look(threads, items, work, || {
        asked.stopped();
    });
    (!asked.stopped.into_inner()).then_some(are_late)
}

/// Put together what was found among different keys.
fn merge(answers: &mut Found, found: Found, goal: Goal) {
    if answers.is_empty() {
        *answers = found;
        return;
    }
    for (answers, found) in answers.iter_mut().zip(found) {
        answers.extend(found);
        answers.sort_unstable();
        if let Goal::Best(k) = goal {
            answers.truncate(k);
        }
    }
}

/// How work is shared: chunks of queries, and where those are too few, segments of keys too.
struct Plan {
    threads: usize,
    chunks: Vec<Range<usize>>,
    segments: Vec<Range<usize>>,
}

impl Plan {
    fn new(q: usize, n: usize, d: usize, request: &Request) -> Plan {
        let work = n.saturating_mul(d).saturating_mul(q);
        let threads = threads_for(work, request.threads, &ALONE);
        // Two chunks a thread, so that none waits long for the last; more queries at once only save reading the codes.
        let k = if let Goal::Best(k) = request.goal { k } else { 1 };
        let most = (ANSWERS / k).clamp(GROUP, MOST_QUERIES);
        let chunk = q.div_ceil(2 * threads).clamp(FEW_QUERIES.min(most), most).next_multiple_of(GROUP);
        let chunks = pieces(q, chunk);
        let segments = threads.div_ceil(chunks.len().max(1));
        let segments = pieces(n, n.div_ceil(segments).next_multiple_of(TILE).clamp(TILE, MOST_KEYS));
        Plan { threads, chunks, segments }
    }
}

/// How many threads are worth it, of so many; `alone` is how many short searches to come are for one.
fn threads_for(work: usize, most: usize, alone: &AtomicUsize) -> usize {
    let threads = most.min(work / WORTH_A_THREAD + 1);
    let one_less = |left: usize| left.checked_sub(1);
    let is_alone =
        threads > 1 && work < LONG && alone.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
    if is_alone { 1 } else { threads }
}

fn pieces(whole: usize, piece: usize) -> Vec<Range<usize>> {
    (0..whole).step_by(piece).map(|from| from..(from + piece).min(whole)).collect()
}

/// Whether to stop; the caller's thread alone asks, for it may have to look at signals.
struct Asked<'a> {
    stop: &'a dyn Fn() -> bool,
    caller: std::thread::ThreadId,
    last: Mutex<Instant>,
    stopped: AtomicBool,
}

// SAFETY: `stop` is called by the caller's thread alone.
unsafe impl Sync for Asked<'_> {}

impl Asked<'_> {
    fn stopped(&self) -> bool {
        if std::thread::current().id() == self.caller {
            let mut last = self.last.lock().expect("no thread panics while it holds this");
            if last.elapsed() >= LOOK {
                if (self.stop)() {
                    self.stopped.store(true, Ordering::Relaxed);
                }
                *last = Instant::now();
            }
        }
        self.stopped.load(Ordering::Relaxed)
    }
}

/// Share items out among threads, the calling one among them.
pub fn share<T: Send>(threads: usize, items: impl Iterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    share_and_look(threads, items, work, || ());
}

/// The same, with something for the calling thread to do now and then while it waits for the others. Returns whether it waited
/// longer than it worked.
fn share_and_look<T: Send>(
    threads: usize,
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) + Sync,
    look: impl Fn(),
) -> bool {
    if threads <= 1 {
        items.for_each(work);
        return false;
    }
    let items = Mutex::new(items);
    let next = || items.lock().expect("no thread panics while it holds this").next();
    let run = || {
        while let Some(item) = next() {
            work(item);
        }
    };
    let (caller, busy) = (std::thread::current(), AtomicUsize::new(threads - 1));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| {
                let _ended = Ended { busy: &busy, caller: &caller };
                run();
            });
        }
        let began = Instant::now();
        run();
        let worked = began.elapsed();
        while busy.load(Ordering::Acquire) > 0 {
            std::thread::park_timeout(LOOK);
            look();
        }
        began.elapsed() > 2 * worked
    })
}

/// Tells the caller that a thread has ended, by a panic too.
struct Ended<'a> {
    busy: &'a AtomicUsize,
    caller: &'a std::thread::Thread,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.busy.fetch_sub(1, Ordering::Release);
        self.caller.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::exact::Exact;
    use super::tile::Order;
    use super::*;
    use crate::random::Rng;
    use crate::simd::{MatrixProduct, Portable, matrix_product, plain_product};
    use std::sync::Arc;

    /// What `search` means: score all, sort.
    fn plain(vectors: &[f32], d: usize, request: &Request) -> Vec<Vec<Hit>> {
        let queries = request.queries.vectors(d).into_iter().enumerate();
        queries
            .map(|(i, query)| {
                let exact = Exact::new(request.metric, query, Level::Portable);
                let mut hits: Vec<Hit> = (0..vectors.len() / d)
                    .filter(|&row| request.allowed.is_none_or(|allowed| allowed[row]))
                    .filter(|&row| match request.own {
                        Own::No => true,
                        Own::Others(first) => row != first + i,
                        Own::Rows(rows) => row != rows[i],
                        Own::Later(first) => row > first + i,
                    })
                    .map(|row| Hit::new(exact.score(&vectors[row * d..(row + 1) * d]), row as u64))
                    .collect();
                hits.sort();
                match request.goal {
                    Goal::Best(k) => hits.truncate(k),
                    Goal::AtLeast(score) => hits.retain(|hit| hit.score() >= score),
                }
                hits
            })
            .collect()
    }

    fn check(
        vectors: &[f32],
        d: usize,
        queries: Queries,
        goal: Goal,
        allowed: Option<&[bool]>,
        own: Own<'_>,
    ) -> Statistics {
        let totals = Totals::default();
        for metric in Metric::ALL {
            let mut expected = None;
            for (level, product) in versions() {
                let [codes, short, alike] = codes_of(vectors, d, level, product);
                let ways = [(1, Some(&codes)), (3, Some(&codes)), (2, Some(&short)), (2, Some(&alike)), (1, None)];
                for (threads, codes) in ways {
                    let request = Request { queries, metric, goal, allowed, own, threads, level };
                    let found = search(&Keys { vectors, d, codes }, &request, &totals, &|| false).unwrap();
                    let expected = expected.get_or_insert_with(|| plain(vectors, d, &request));
                    let wrong = found.iter().zip(expected.iter()).position(|(found, expected)| found != expected);
                    let case = format!("{metric:?} {} {threads} {}", level.name(), codes.is_some());
                    assert_eq!(wrong, None, "{case}: {:?} not {:?}", found[wrong.unwrap()], expected[wrong.unwrap()]);
                }
            }
        }
        totals.read()
    }

    #[test]
    fn short_searches_are_for_one_thread_while_others_are_late() {
        let alone = AtomicUsize::new(2);
        let threads = |work| threads_for(work, 2, &alone);
        assert_eq!(threads(WORTH_A_THREAD - 1), 1); // too short anyway
        assert_eq!([threads(LONG), threads(LONG - 1), threads(WORTH_A_THREAD), threads(LONG - 1)], [2, 1, 1, 2]);
    }

    #[test]
    fn bounds_have_no_numbers_that_processors_are_slow_with() {
        let mut random = Rng::new(8, 0);
        let keys: Vec<f32> = (0..100 * 8).map(|_| random.unit() - 0.5).collect();
        let query: Vec<f64> = keys[..8].iter().map(|&x| f64::from(x)).collect();
        let [codes, ..] = codes_of(&keys, 8, Level::Portable, None);
        for metric in Metric::ALL {
            let squares = Vector::F64(&query).squares();
            let query = bound::Query::new::<Portable>(8, squares, &query, metric, &codes, &mut Vec::new()).unwrap();
            assert!(query.factors.iter().all(|&factor| factor == 0.0 || factor >= f32::MIN_POSITIVE), "{metric:?}");
        }
    }

    /// Codes of all numbers, of coordinates in some directions, and of those in another order with a head; without a matrix unit with a
    /// first part of it too.
    fn codes_of(vectors: &[f32], d: usize, level: Level, product: Option<MatrixProduct>) -> [Codes; 3] {
        let (n, m) = (vectors.len() / d, d.div_ceil(3) * 2);
        let step = (n / 3 + 1..).find(|step| (2..=*step).all(|by| step % by > 0 || n % by > 0)).unwrap(); // coprime
        let order = (0..n).map(|place| (place * step % n) as u32).collect();
        let m = m.min(d) / 8 * 4;
        let first = if product.is_none() { m / 16 * 8 } else { 0 };
        let head = Head { m, first, shifts: [2, 1] };
        let ways = [(None, Vec::new()), (Some(Head::default()), Vec::new()), (Some(head), order)];
        ways.map(|(head, order)| {
            let basis = head.map(|head| some_basis(d, head));
            let mut codes = Codes::new(vectors, d, basis, order, 2, level).unwrap();
            codes.matrix = product;
            codes
        })
    }

    /// All that this processor has, with a matrix unit and without; and everywhere with what such a unit computes.
    fn versions() -> impl Iterator<Item = (Level, Option<MatrixProduct>)> {
        let levels = || Level::ALL.into_iter().filter(|level| level.available());
        let with_unit = levels().filter_map(|level| Some((level, Some(matrix_product(level)?))));
        levels()
            .map(|level| (level, None))
            .chain(with_unit)
            .chain([(Level::Portable, Some(plain_product as MatrixProduct))])
    }

    /// The first m of all directions, turned: reflections at a vector leave them orthonormal.
    fn some_directions(d: usize, m: usize) -> Vec<f64> {
        let normal: Vec<f64> = (0..d).map(|i| 1.0 + (i * 7919 % 13) as f64).collect();
        let squares: f64 = normal.iter().map(|x| x * x).sum();
        let entry = |i: usize, j: usize| f64::from(i == j) - 2.0 * normal[i] * normal[j] / squares;
        (0..m).flat_map(|i| (0..d).map(move |j| (i, j))).map(|(i, j)| entry(i, j)).collect()
    }

    /// About two thirds of all.
    fn some_basis(d: usize, head: Head) -> Basis {
        Basis::new(&some_directions(d, d.min(d.div_ceil(3) * 2)), d, head).unwrap()
    }

    fn gauss(random: &mut Rng, n: usize) -> Vec<f32> {
        (0..n).map(|_| (0..6).map(|_| random.unit() - 0.5).sum()).collect()
    }

    #[test]
    fn answers_are_those_of_sorting_all() {
        let mut random = Rng::new(1, 0);
        for (n, d, q, k) in
            [(1, 1, 1, 1), (50, 3, 3, 50), (2500, 20, 11, 7), (1009, 130, 2, 40), (300, 8, 40, 1), (900, 6, 5, 100)]
        {
            let (keys, queries) = (gauss(&mut random, n * d), gauss(&mut random, q * d));
            check(&keys, d, Queries::F32(&queries), Goal::Best(k), None, Own::No);
            let wide: Vec<f64> = queries.iter().map(|&x| f64::from(x) * 1.1).collect();
            check(&keys, d, Queries::F64(&wide), Goal::AtLeast(0.2), None, Own::No);
            check(&keys, d, Queries::F64(&wide), Goal::AtLeast(-0.9), None, Own::No);
        }
    }

    #[test]
    fn codes_leave_little_to_score() {
        let mut random = Rng::new(2, 0);
        let (n, d) = (20_000, 48);
        let keys = gauss(&mut random, n * d);
        let did = check(&keys, d, Queries::F32(&keys[..9 * d]), Goal::Best(10), None, Own::No);
        assert!(did.scanned > 0, "{did:?}");
        // A fourth of the searches had no codes: they scored all. A fourth had short ones, which leave more.
        let (searches, pairs) = (4 * versions().count(), 9 * n);
        assert!(did.rescored - (searches * pairs) as u64 <= (2 * searches * pairs / 50) as u64, "{did:?}");
    }

    #[test]
    fn a_wrong_guess_is_made_good() {
        // Of 20 answers 8 are in the tiles that are looked at first, and stand out: the others seem to be as good.
        let (mut random, n, d) = (Rng::new(6, 0), 400 * TILE, 8);
        let mut keys = gauss(&mut random, n * d);
        let order = Order::new(0..n, true);
        for visit in 0..8 {
            let row = order.rows(visit).start;
            keys[row * d..][..d].fill(9.0);
        }
        let did = check(&keys, d, Queries::F32(&[1.0; 9 * 8]), Goal::Best(20), None, Own::No);
        let searches = 3 * Metric::ALL.len() * Level::ALL.into_iter().filter(|level| level.available()).count();
        // Asked again, all but by "euclidean", for which they do not stand out.
        assert!(did.scanned > (searches * 9 * n * 3 / 2) as u64, "{did:?}");
        // Keys that lie together: each tenth of the rows about one point.
        let mut random = Rng::new(7, 0);
        let near = gauss(&mut random, n * d);
        let points = gauss(&mut random, 10 * d);
        let keys: Vec<f32> =
            near.iter().enumerate().map(|(i, x)| points[i / d / (n / 10) * d + i % d] + 0.01 * x).collect();
        let queries: Vec<f32> = keys.chunks(d).step_by(1000).flatten().copied().collect();
        check(&keys, d, Queries::F32(&queries), Goal::Best(30), None, Own::No);
    }

    #[test]
    fn visits_reach_every_row_once_and_are_spread() {
        for n in [1, 48, 100, 48 * 7, 48 * 1000 - 5] {
            for spread in [false, true] {
                let order = Order::new(480..480 + n, spread);
                let mut seen = vec![0; n];
                for visit in 0..order.tiles {
                    order.rows(visit).for_each(|row| seen[row - 480] += 1);
                }
                assert!(seen.iter().all(|&times| times == 1));
            }
        }
        let order = Order::new(0..48 * 1000, true);
        let mut first: Vec<usize> = (300..350).map(|visit| order.rows(visit).start / TILE).collect();
        first.sort_unstable();
        assert!(first.windows(2).all(|pair| pair[1] - pair[0] <= 60), "{first:?}"); // 20 each if they were even
    }

    #[test]
    fn few_directions_suffice_where_the_rest_is_small() {
        let (mut random, n, d, m) = (Rng::new(8, 0), 20_000, 60, 12);
        let keys: Vec<f32> =
            gauss(&mut random, n * d).iter().enumerate().map(|(i, x)| if i % d < m { *x } else { 0.02 * x }).collect();
        let directions: Vec<f64> = (0..m * d).map(|i| f64::from(i / d == i % d)).collect();
        let level = Level::ALL.into_iter().rfind(|level| level.available()).unwrap();
        for metric in Metric::ALL {
            let request = Request {
                queries: Queries::F32(&keys[..50 * d]),
                metric,
                goal: Goal::Best(10),
                allowed: None,
                own: Own::No,
                threads: 2,
                level,
            };
            let [long, short] = [None, Basis::new(&directions, d, Head::default())].map(|basis| {
                let (totals, codes) = (Totals::default(), Codes::new(&keys, d, basis, Vec::new(), 2, level).unwrap());
                let keys = Keys { vectors: &keys, d, codes: Some(&codes) };
                let found = search(&keys, &request, &totals, &|| false).unwrap();
                (found, totals.read().candidates, codes.bytes())
            });
            assert!(long.0 == short.0);
            assert!(short.1 < 3 * long.1, "{metric:?}: {} {}", short.1, long.1);
            assert!(short.2 < long.2 / 2);
        }
    }

    #[test]
    fn ties_go_to_the_lowest_row_however_many() {
        let (n, d) = (3000, 5);
        let keys: Vec<f32> = (0..n * d).map(|i| ((i / d) % 2) as f32 + 1.0).collect();
        check(&keys, d, Queries::F32(&keys[..3 * d]), Goal::Best(5), None, Own::No);
    }

    #[test]
    fn extremes_stay_exact() {
        let mut random = Rng::new(3, 0);
        let (n, d) = (700, 6);
        let keys = gauss(&mut random, n * d);
        for scale in [1e37f32, 1e20, 1e-20, 1e-38, 1e-44] {
            let scaled: Vec<f32> = keys.iter().map(|x| x * scale).collect();
            check(&scaled, d, Queries::F32(&scaled[..9 * d]), Goal::Best(20), None, Own::No);
            check(&scaled, d, Queries::F32(&keys[..9 * d]), Goal::Best(20), None, Own::No);
            check(&keys, d, Queries::F32(&scaled[..9 * d]), Goal::Best(20), None, Own::No);
        }
        let mixed: Vec<f32> = keys.iter().enumerate().map(|(i, x)| x * 10f32.powi((i / d) as i32 % 60 - 35)).collect();
        check(&mixed, d, Queries::F32(&mixed[..60 * d]), Goal::Best(20), None, Own::No);
        let tails: Vec<f32> = keys.iter().map(|x| 1.0 / x.powi(5)).map(|x| x.clamp(-1e30, 1e30)).collect();
        check(&tails, d, Queries::F32(&tails[..9 * d]), Goal::Best(20), None, Own::No);
        let zeros = vec![0.0; n * d];
        check(&zeros, d, Queries::F32(&keys[..9 * d]), Goal::Best(20), None, Own::No);
        check(&keys, d, Queries::F32(&zeros[..9 * d]), Goal::Best(20), None, Own::No);
        let huge: Vec<f64> = keys[..9 * d].iter().map(|&x| f64::from(x) * 1e300).collect();
        check(&keys, d, Queries::F64(&huge), Goal::Best(20), None, Own::No);
    }

    #[test]
    fn some_keys_may_not_answer() {
        let mut random = Rng::new(4, 0);
        let (n, d) = (2000, 10);
        let keys = gauss(&mut random, n * d);
        for share in [0.9, 0.01] {
            let mut allowed: Vec<bool> = (0..n).map(|_| random.unit() < share).collect();
            allowed[500..505].fill(true);
            check(&keys, d, Queries::F32(&keys[..20 * d]), Goal::Best(5), Some(&allowed), Own::No);
            check(&keys, d, Queries::F32(&keys[..20 * d]), Goal::Best(4), Some(&allowed), Own::Others(0));
        }
        check(&keys, d, Queries::F32(&keys[700 * d..720 * d]), Goal::Best(9), None, Own::Others(700));
        let rows: Vec<usize> = (0..40).map(|i| i * i).collect();
        let queries: Vec<f32> = rows.iter().flat_map(|row| &keys[row * d..][..d]).copied().collect();
        check(&keys, d, Queries::F32(&queries), Goal::Best(9), None, Own::Rows(&rows));
        check(&keys, d, Queries::F32(&keys[700 * d..720 * d]), Goal::AtLeast(0.5), None, Own::Later(700));
    }

    fn check_graph(vectors: &[f32], d: usize, k: usize) -> Statistics {
        let (n, totals) = (vectors.len() / d, Totals::default());
        for metric in Metric::ALL {
            let mut expected = None;
            for (level, product) in versions() {
                let [codes, short, alike] = codes_of(vectors, d, level, product).map(Arc::new);
                let ways = [(1, usize::MAX, Some(&codes)), (3, 1, Some(&codes)), (2, 1, Some(&short))];
                for (threads, pairs, codes) in ways.into_iter().chain([(2, 1, Some(&alike)), (2, 1, None)]) {
                    let mut graph = Graph::new(metric, k, n, codes.cloned());
                    while graph.step(vectors, pairs, threads, level, &totals, &|| false).unwrap() < 1.0 {}
                    let found = graph.finish();
                    let expected = expected.get_or_insert_with(|| {
                        let queries = Queries::F32(vectors);
                        let own = Own::Others(0);
                        let goal = Goal::Best(k);
                        let request = Request { queries, metric, goal, allowed: None, own, threads: 2, level };
                        search(&Keys { vectors, d, codes: None }, &request, &Totals::default(), &|| false).unwrap()
                    });
                    let wrong = found.iter().zip(expected.iter()).position(|(found, expected)| found != expected);
                    let case = format!("{metric:?} {} {threads} {}", level.name(), codes.is_some());
                    assert_eq!(wrong, None, "{case}: {:?} not {:?}", found[wrong.unwrap()], expected[wrong.unwrap()]);
                }
            }
        }
        totals.read()
    }

    /// Of vectors that lie in few directions their coordinates are kept, and rule most pairs out.
    #[test]
    fn neighbours_by_kept_coordinates() {
        let mut random = Rng::new(11, 0);
        let (n, d, m, k) = (1401, 48, 12, 5);
        let directions = some_directions(d, m);
        for (scale, noise) in [(1.0, 0.02f32), (1e37, 0.2), (1e-43, 0.05)] {
            let coordinates = gauss(&mut random, n * m);
            let mut vectors: Vec<f32> = gauss(&mut random, n * d).iter().map(|x| x * noise * scale).collect();
            for (i, (vector, coordinates)) in vectors.chunks_mut(d).zip(coordinates.chunks(m)).enumerate() {
                let length = scale * [1.0, 0.7, 1e-3][i % 97 % 3];
                for (y, direction) in coordinates.iter().zip(directions.chunks(d)) {
                    vector.iter_mut().zip(direction).for_each(|(x, p)| *x += y * length * *p as f32);
                }
            }
            for metric in Metric::ALL {
                let queries = Queries::F32(&vectors);
                let (own, goal) = (Own::Others(0), Goal::Best(k));
                let request = Request { queries, metric, goal, allowed: None, own, threads: 2, level: Level::Portable };
                let expected = plain(&vectors, d, &request);
                for (level, product) in versions() {
                    let basis = Basis::new(&directions, d, Head { m: 4, first: 0, shifts: [1; 2] }).unwrap();
                    let order = (0..n).map(|place| (place * 7 % n) as u32).collect();
                    let mut codes = Codes::new(&vectors, d, Some(basis), order, 2, level).unwrap();
                    codes.matrix = product;
                    assert_eq!(codes.fine(n - 1).map(<[f32]>::len), Some(m));
                    let totals = Totals::default();
                    let mut graph = Graph::new(metric, k, n, Some(Arc::new(codes)));
                    while graph.step(&vectors, usize::MAX, 2, level, &totals, &|| false).unwrap() < 1.0 {}
                    let wrong = graph.finish().iter().zip(&expected).position(|(found, expected)| found != expected);
                    assert_eq!(wrong, None, "{metric:?} {} {scale}", level.name());
                }
            }
        }
    }

    #[test]
    fn neighbours_are_those_of_searching_for_each() {
        let mut random = Rng::new(5, 0);
        for (n, d, k) in [(2, 3, 1), (30, 1, 29), (1153, 7, 3), (2400, 20, 15), (1300, 60, 5)] {
            let keys = gauss(&mut random, n * d);
            check_graph(&keys, d, k);
            if n > 2000 {
                continue;
            }
            let mixed: Vec<f32> =
                keys.iter().enumerate().map(|(i, x)| x * 10f32.powi((i / d) as i32 % 60 - 35)).collect();
            check_graph(&mixed, d, k);
            let tails: Vec<f32> = keys.iter().map(|x| (1.0 / x.powi(5)).clamp(-1e30, 1e30)).collect();
            check_graph(&tails, d, k);
        }
        let (n, d) = (1200, 4);
        check_graph(&vec![0.0; n * d], d, 3);
        check_graph(&(0..n * d).map(|i| ((i / d) % 2) as f32 + 1.0).collect::<Vec<_>>(), d, 3);
        for scale in [1e37f32, 1e-20, 1e-38, 1e-44] {
            check_graph(&gauss(&mut random, n * d).iter().map(|x| x * scale).collect::<Vec<_>>(), d, 3);
        }
    }

    #[test]
    fn a_search_that_is_stopped_has_no_answers() {
        let keys = vec![1.0; 64 * 20_000]; // far more than LOOK of work, lest it end before it is asked
        let codes = Codes::new(&keys, 64, None, Vec::new(), 1, Level::Portable).unwrap();
        let request = Request {
            queries: Queries::F32(&keys),
            metric: Metric::Dot,
            goal: Goal::Best(1000),
            allowed: None,
            own: Own::No,
            threads: 2,
            level: Level::Portable,
        };
        let keys = Keys { vectors: &keys, d: 64, codes: Some(&codes) };
        assert!(search(&keys, &request, &Totals::default(), &|| true).is_none());
    }
}
