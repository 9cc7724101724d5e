//! What holds for every workload.

use std::collections::BTreeMap;

use super::*;

/// Checks that operations count up, by one where a workload has one thread.
#[derive(Default)]
struct Watch {
    threads: bool,
    operations: u64,
    live: u64,
    peak: u64,
}

impl Observer for Watch {
    fn after(&mut self, operations: u64, live_bytes: u64) {
        assert!(operations > self.operations);
        assert!(self.threads || operations == self.operations + 1);
        self.operations = operations;
        self.live = live_bytes;
        self.peak = self.peak.max(live_bytes);
    }
}

/// Little of everything: debug builds are slow.
const LITTLE: f64 = 0.02;

#[test]
fn whoever_stands_beside_the_calls_sees_all_of_them() {
    let latencies = Box::new(Latencies::new());
    let clock = latencies.calibrate();
    for workload in ALL.iter().filter(|workload| workload.group == Group::Classic) {
        let mut prepared = workload.prepare(7, LITTLE).expect("prepares");
        let ledger = Ledger::new(None).expect("maps");
        let mut watch = Watch { threads: true, ..Watch::default() };
        let entered = prepared.run_entered(&ledger, &mut watch);
        assert_eq!(ledger.live(), Live::default(), "{workload:?}");
        assert_eq!(prepared.run_clocked(&latencies), entered, "{workload:?}");
        assert!(latencies.allocations(clock).is_some() && latencies.frees(clock).is_some());
    }
}

#[test]
fn a_digest_depends_on_seed_and_scale_and_nothing_else() {
    for workload in ALL {
        let digest = |seed, scale| workload.prepare(seed, scale).expect("prepares").run().digest;
        let one = digest(1, LITTLE);
        assert_eq!(one, digest(1, LITTLE), "{workload:?}");
        assert_ne!(one, digest(2, LITTLE), "{workload:?}");
        // `idle` scales what it sleeps.
        assert_eq!(one != digest(1, 0.3), !workload.idles(), "{workload:?}");
    }
}

#[test]
fn an_observer_sees_every_operation_and_changes_nothing() {
    for workload in ALL {
        let mut prepared = workload.prepare(7, LITTLE).expect("prepares");
        let mut watch = Watch { threads: workload.threads.is_some(), ..Watch::default() };
        let seen = prepared.run_observed(&mut watch);
        assert_eq!(watch.operations, prepared.operations(), "{workload:?}");
        assert_eq!(seen.operations, prepared.operations(), "{workload:?}");
        assert_eq!(watch.live, 0, "{workload:?}");
        assert!(watch.peak > 0, "{workload:?}");
        assert_eq!(seen, prepared.run(), "{workload:?}");
    }
}

/// Those whose number of threads is a parameter, each in some numbers of them.
fn threaded() -> impl Iterator<Item = (&'static Workload, usize, Prepared)> {
    let workloads = ALL.iter().filter(|workload| workload.threads.is_some());
    workloads.flat_map(|workload| {
        [1, 3, 8].map(|threads| {
            let amount = Amount { scale: LITTLE, threads: Some(threads) };
            (workload, threads, workload.prepare(7, amount).expect("prepares"))
        })
    })
}

#[test]
fn every_number_of_threads_has_all_its_operations_seen_and_its_own_digest() {
    let latencies = Box::new(Latencies::new());
    let mut digests = BTreeMap::new();
    for (workload, threads, mut prepared) in threaded() {
        let at = format!("{} in {threads}", workload.name);
        let ledger = Ledger::new(None).expect("maps");
        let mut watch = Watch { threads: true, ..Watch::default() };
        let seen = prepared.run_entered(&ledger, &mut watch);
        let operations = prepared.operations();
        assert_eq!((seen.operations, watch.operations), (operations, operations), "{at}");
        assert_eq!((watch.live, ledger.live()), (0, Live::default()), "{at}");
        assert_eq!(prepared.run(), seen, "{at}");
        assert_eq!(prepared.run_clocked(&latencies), seen, "{at}");
        let again = digests.insert((workload.name, seen.digest), threads);
        assert_eq!(again, None, "{at}");
    }
}

#[test]
fn each_thread_does_what_each_does_by_default() {
    for (workload, threads, prepared) in threaded() {
        let usual = workload.threads.expect("some");
        let by_default = workload.prepare(7, LITTLE).expect("prepares");
        let share = |all: u64, threads: usize| (all / threads as u64, all % threads as u64);
        assert_eq!(
            share(prepared.operations(), threads),
            share(by_default.operations(), usual),
            "{workload:?}"
        );
        let tables = (prepared.table_bytes() / threads, by_default.table_bytes() / usual);
        assert_eq!(tables.0, tables.1, "{workload:?}");
    }
}

#[test]
fn the_default_number_of_threads_is_no_other_workload() {
    for workload in ALL.iter().filter(|workload| workload.threads.is_some()) {
        assert_eq!(workload.in_threads(None).ok(), workload.threads);
        let amount = Amount { scale: LITTLE, threads: workload.threads };
        let digest = |amount| workload.prepare(7, amount).expect("prepares").run().digest;
        assert_eq!(digest(amount), digest(LITTLE.into()), "{workload:?}");
    }
}

#[test]
fn threads_that_there_cannot_be_are_refused() {
    let larson = find("larson").expect("there");
    for threads in [0, MAX_THREADS + 1, usize::MAX] {
        let refused = larson.prepare(1, Amount { scale: 1.0, threads: Some(threads) });
        assert!(matches!(refused, Err(PrepareError::Threads(n)) if n == threads), "{threads}");
    }
    let refused = find("pair-64").expect("there").in_threads(Some(1)).expect_err("one thread");
    for name in ["pair-64", "larson", "handoff", "xmalloc", "idle"] {
        assert!(refused.to_string().contains(name), "{refused}");
    }
    assert!(!refused.to_string().contains("glibc-simple"), "{refused}");
}

#[test]
fn working_sets_are_as_large_as_they_say() {
    let peak = |name| {
        let mut watch = Watch { threads: true, ..Watch::default() };
        find(name).expect("there").prepare(1, LITTLE).expect("prepares").run_observed(&mut watch);
        watch.peak
    };
    assert!(peak("small-program") < 1_000_000);
    assert!((10 << 20..60 << 20).contains(&peak("idle")));
    assert!((8 << 20..16 << 20).contains(&peak("steady-100k")));
    assert!(peak("handoff") < 4 << 20);
}

#[test]
fn absurd_scales_are_refused() {
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e6] {
        let refused = ALL[0].prepare(1, scale);
        assert!(matches!(refused, Err(PrepareError::Scale(_))), "{scale}");
    }
}

#[test]
fn names_lead_back_to_their_workload() {
    for workload in ALL {
        assert_eq!(find(workload.name).map(|found| found.about), Some(workload.about));
    }
    assert!(find("no-such").is_none());
}
