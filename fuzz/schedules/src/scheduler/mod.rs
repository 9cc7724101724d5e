//! Threads that run one at a time: shuttle's coroutines, on one OS thread.
//!
//! Before each atomic operation of the allocator, and wherever a thread waits,
//! another one may go on. After how many such points the running thread stops,
//! and who runs then, is drawn from the schedule's seed; so is whether threads
//! are equals or have priorities, of which whoever stops gets the lowest
//! (probabilistic concurrency testing). The same seed is the same schedule.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};

use brkpoint_workloads::op::Random;
use brkpoint_workloads::op::draw::Bits;
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use shuttle::thread::{JoinHandle, Thread};

pub(crate) mod atomic;

/// How many points there may be in a schedule: more, and it has no end.
const POINTS_MOST: u64 = 50_000_000;
/// After how many points a thread stops on average, one of these.
const PATIENCE: [usize; 7] = [1, 3, 8, 20, 50, 150, 500];
/// Bytes of a thread's stack.
const STACK: usize = 256 << 10;
/// How often the C library has destructors run for values that they set anew.
const ROUNDS: u32 = 4;

thread_local! {
    static STATE: State = const { State::new() };
}

struct State {
    /// Whether a schedule is under way.
    is_running: Cell<bool>,
    seed: Cell<u64>,
    /// Which thread runs.
    current: Cell<usize>,
    /// Points to come at which it does not stop.
    left: Cell<usize>,
    patience: Cell<usize>,
    points: Cell<u64>,
    /// Of all that happened.
    digest: Cell<u64>,
    stops: RefCell<Option<Random>>,
    threads: RefCell<Vec<Own>>,
    /// Who sleeps, and on what.
    sleepers: RefCell<Vec<(usize, usize, Thread)>>,
    destructor: Cell<Option<Destructor>>,
    planted: Cell<Option<usize>>,
    is_told: Cell<bool>,
}

type Destructor = unsafe extern "C" fn(*mut c_void);

/// What a thread has for itself.
#[derive(Clone, Copy)]
struct Own {
    /// The word that says which cache is its.
    cache: *const crate::cache::Cache,
    /// The key's value.
    value: *const c_void,
}

impl Own {
    const NEW: Own = Own { cache: &raw const crate::cache::thread::EMPTY, value: std::ptr::null() };
}

impl State {
    const fn new() -> State {
        State {
            is_running: Cell::new(false),
            seed: Cell::new(0),
            current: Cell::new(0),
            left: Cell::new(0),
            patience: Cell::new(1),
            points: Cell::new(0),
            digest: Cell::new(0),
            stops: RefCell::new(None),
            threads: RefCell::new(Vec::new()),
            sleepers: RefCell::new(Vec::new()),
            destructor: Cell::new(None),
            planted: Cell::new(None),
            is_told: Cell::new(false),
        }
    }

    fn begin(&self, seed: u64, patience: usize) {
        self.seed.set(seed);
        self.current.set(0);
        self.left.set(0);
        self.patience.set(patience);
        self.points.set(0);
        self.digest.set(0);
        *self.stops.borrow_mut() = Some(Random::new(seed ^ 0x7f4a_7c15));
        *self.threads.borrow_mut() = vec![Own::NEW];
        self.sleepers.borrow_mut().clear();
    }

    fn draw(&self, below: usize) -> usize {
        self.stops.borrow_mut().as_mut().map_or(0, |bits| bits.below(below))
    }

    fn own<R>(&self, get: impl FnOnce(&mut Own) -> R) -> R {
        // Outside of schedules there is the OS thread.
        let mut threads = self.threads.borrow_mut();
        if threads.is_empty() {
            threads.push(Own::NEW);
        }
        get(&mut threads[self.current.get()])
    }
}

/// Who runs next.
struct Drawn<I> {
    seeds: I,
    bits: Random,
    /// Of each thread, if they are no equals.
    priorities: Option<Vec<u64>>,
    lowest: u64,
}

impl<I: Iterator<Item = u64>> Scheduler for Drawn<I> {
    fn new_execution(&mut self) -> Option<Schedule> {
        let seed = self.seeds.next()?;
        self.bits = Random::new(seed ^ 0x9e37_79b9);
        self.priorities = self.bits.happens(128).then(Vec::new);
        self.lowest = 1 << 32;
        let patience = PATIENCE[self.bits.below(PATIENCE.len())];
        STATE.with(|state| state.begin(seed, patience));
        Some(Schedule::new(seed))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let Some(priorities) = &mut self.priorities else {
            let others = runnable.iter().filter(|task| !is_yielding || Some(task.id()) != current);
            let at = self.bits.below(others.clone().count().max(1));
            return others.map(|task| task.id()).nth(at).or(current);
        };
        let last = runnable.iter().map(|task| usize::from(task.id())).max().unwrap_or(0);
        while priorities.len() <= last {
            priorities.push((1 << 32) + self.bits.bits(32));
        }
        if let Some(current) = current.filter(|_| is_yielding) {
            self.lowest -= 1;
            priorities[usize::from(current)] = self.lowest;
        }
        runnable.iter().map(|task| task.id()).max_by_key(|&id| priorities[usize::from(id)])
    }

    fn next_u64(&mut self) -> u64 {
        self.bits.bits(64)
    }
}

/// Runs `body` under the schedule of each seed, as its first thread; a panic of
/// any thread passes.
pub fn run(seeds: impl Iterator<Item = u64> + 'static, body: impl Fn(u64) + Send + Sync + 'static) {
    let mut config = shuttle::Config::new();
    config.stack_size = STACK;
    config.failure_persistence = shuttle::FailurePersistence::None;
    // There is a bound on points.
    config.max_steps = shuttle::MaxSteps::None;
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    let drawn = Drawn { seeds, bits: Random::new(0), priorities: None, lowest: 0 };
    shuttle::Runner::new(drawn, config).run(move || {
        STATE.with(|state| state.is_running.set(true));
        body(STATE.with(|state| state.seed.get()));
        STATE.with(|state| state.is_running.set(false));
    });
}

/// A point at which another thread may go on.
pub(crate) fn point() {
    let stops = STATE.with(|state| {
        if !state.is_running.get() {
            return false;
        }
        state.points.set(state.points.get() + 1);
        let left = state.left.get();
        if left > 0 && state.points.get() < POINTS_MOST {
            state.left.set(left - 1);
            return false;
        }
        !std::thread::panicking()
    });
    if stops {
        stop();
    }
}

/// Does something without a point in it.
pub(crate) fn undisturbed<R>(what: impl FnOnce() -> R) -> R {
    let was = STATE.with(|state| state.is_running.replace(false));
    let result = what();
    STATE.with(|state| state.is_running.set(was));
    result
}

#[cold]
fn stop() {
    STATE.with(|state| {
        assert!(state.points.get() < POINTS_MOST, "the schedule has no end");
        state.left.set(state.draw(2 * state.patience.get()));
    });
    elsewhere(shuttle::thread::yield_now);
}

/// Does what may let another thread go on.
fn elsewhere<R>(what: impl FnOnce() -> R) -> R {
    let current = STATE.with(|state| state.current.get());
    let result = what();
    STATE.with(|state| state.current.set(current));
    note(current);
    result
}

/// Adds to the digest of what happened.
pub(crate) fn note(what: usize) {
    STATE.with(|state| {
        let all = state.digest.get() ^ what as u64 ^ state.points.get() << 40;
        state.digest.set(all.wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23));
    });
}

/// What stands for all that happened under the schedule so far.
pub fn digest() -> u64 {
    STATE.with(|state| state.digest.get())
}

/// Where the schedule is: its seed, the point and the thread.
pub fn place() -> (u64, u64, usize) {
    STATE.with(|state| (state.seed.get(), state.points.get(), state.current.get()))
}

/// Has `tell` say what happens.
pub fn narrate() {
    STATE.with(|state| state.is_told.set(true));
}

pub(crate) fn tell(what: impl FnOnce() -> String) {
    if STATE.with(|state| state.is_told.get()) {
        let (_, point, thread) = place();
        eprintln!("{point:>8} thread {thread}: {}", what());
    }
}

/// Makes a bug active; `None` is none.
pub fn plant(bug: Option<usize>) {
    STATE.with(|state| state.planted.set(bug));
}

pub(crate) fn is_planted(bug: usize) -> bool {
    STATE.with(|state| state.planted.get() == Some(bug))
}

/// A thread, to be waited for.
pub struct Spawned(JoinHandle<()>);

impl Spawned {
    /// Waits until it has ended.
    pub fn join(self) {
        // Its panic is not seen here: it ends the schedule.
        let _ = elsewhere(|| self.0.join());
    }
}

/// Begins a thread.
pub fn spawn(body: impl FnOnce() + Send + 'static) -> Spawned {
    let number = STATE.with(|state| {
        let mut threads = state.threads.borrow_mut();
        threads.push(Own::NEW);
        threads.len() - 1
    });
    Spawned(elsewhere(|| {
        shuttle::thread::spawn(move || {
            STATE.with(|state| state.current.set(number));
            body();
            end();
        })
    }))
}

/// What the C library does when a thread ends.
fn end() {
    let Some(destructor) = STATE.with(|state| state.destructor.get()) else { return };
    for _ in 0..ROUNDS {
        let value = STATE
            .with(|state| state.own(|own| std::mem::replace(&mut own.value, std::ptr::null())));
        if value.is_null() {
            break;
        }
        tell(|| "ends".to_owned());
        // SAFETY: the key's destructor and a value of this thread.
        unsafe { destructor(value.cast_mut()) };
    }
}

pub(crate) fn is_single_threaded() -> bool {
    STATE.with(|state| state.threads.borrow().len() <= 1)
}

pub(crate) fn thread_id() -> usize {
    STATE.with(|state| state.current.get()) + 1
}

/// In place of waiting a moment.
pub(crate) fn spin_loop() {
    if STATE.with(|state| state.is_running.get()) && !std::thread::panicking() {
        elsewhere(shuttle::thread::yield_now);
    }
}

pub(crate) fn futex_wait(word: &atomic::AtomicU32, value: u32) {
    // The kernel looks, and puts to sleep, as one step.
    if word.load(atomic::Ordering::Relaxed) != value {
        return;
    }
    let place = word.as_ptr().addr();
    let current = thread_id();
    tell(|| "sleeps on a lock".to_owned());
    STATE.with(|state| {
        state.sleepers.borrow_mut().push((place, current, shuttle::thread::current()));
    });
    elsewhere(shuttle::thread::park);
    // Unless somebody has woken it.
    STATE.with(|state| state.sleepers.borrow_mut().retain(|&(_, thread, _)| thread != current));
}

pub(crate) fn futex_wake(word: &atomic::AtomicU32) {
    point();
    let place = word.as_ptr().addr();
    let woken = STATE.with(|state| {
        let mut sleepers = state.sleepers.borrow_mut();
        let here: Vec<usize> = (0..sleepers.len()).filter(|&at| sleepers[at].0 == place).collect();
        if here.is_empty() {
            return None;
        }
        Some(sleepers.swap_remove(here[state.draw(here.len())]).2)
    });
    if let Some(thread) = woken {
        elsewhere(|| thread.unpark());
    }
}

/// In place of the end of the process, whose reason stands on stderr.
pub(crate) fn abort() -> ! {
    panic!("the allocator would have ended the process")
}

/// The word that says which cache is the thread's.
pub(crate) mod word {
    use super::STATE;
    use crate::cache::Cache;

    pub(crate) fn get() -> *const Cache {
        STATE.with(|state| state.own(|own| own.cache))
    }

    pub(crate) fn set(cache: *const Cache) {
        STATE.with(|state| state.own(|own| own.cache = cache));
    }
}

/// There is one key, the hooks'.
///
/// # Safety
///
/// As in C.
pub(crate) unsafe fn pthread_key_create(
    key: *mut libc::pthread_key_t,
    destructor: Option<Destructor>,
) -> c_int {
    STATE.with(|state| state.destructor.set(destructor));
    // SAFETY: a valid place by contract.
    unsafe { key.write(0) };
    0
}

/// # Safety
///
/// As in C.
pub(crate) unsafe fn pthread_setspecific(_: libc::pthread_key_t, value: *const c_void) -> c_int {
    STATE.with(|state| state.own(|own| own.value = value));
    0
}

/// Schedules do not fork.
///
/// # Safety
///
/// As in C.
pub(crate) unsafe fn pthread_atfork(
    _: Option<unsafe extern "C" fn()>,
    _: Option<unsafe extern "C" fn()>,
    _: Option<unsafe extern "C" fn()>,
) -> c_int {
    0
}
