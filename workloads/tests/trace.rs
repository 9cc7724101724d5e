//! Traces: what is woven, written and read back is what was called, whoever
//! passed blocks to whom; and whatever bytes a file has, reading it ends, in
//! bounded memory, with what is good of it.

use std::collections::{BTreeMap, HashMap};

use brkpoint_workloads::trace::verify::{self, Checked};
use brkpoint_workloads::trace::{
    Action, Call, Closing, Header, Kind, MAX_EVENTS, Next, Part, Problem, Process, Reader,
    Untouched, WINDOW, Weaver, Writer,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// What a thread does: `choice` picks among live blocks.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Allocate(u64, u8),
    Free(usize),
    Resize(usize, u64),
    Refused(u64),
    End,
}

fn deeds(most: usize) -> impl Strategy<Value = Vec<(u8, Deed)>> {
    let deed = prop_oneof![
        4 => (0..1_u64 << 40, 0..20_u8).prop_map(|(size, align)| Deed::Allocate(size, align)),
        3 => any::<usize>().prop_map(Deed::Free),
        2 => (any::<usize>(), 0..1_u64 << 20).prop_map(|(at, size)| Deed::Resize(at, size)),
        1 => any::<u64>().prop_map(Deed::Refused),
        1 => Just(Deed::End),
    ];
    vec((0..5_u8, deed), 0..most)
}

fn header() -> Header {
    let process = Process { pid: 7, program: "/bin/true".into(), ..Process::default() };
    Header { maker: "a test".into(), processes: vec![process], ..Header::default() }
}

/// Sizes of the live blocks.
type Model = BTreeMap<u64, u64>;

/// Performs `deeds`, `times` over, with addresses that are soon used again.
fn weave(deeds: &[(u8, Deed)], times: usize) -> (Vec<u8>, Model, Closing) {
    let mut writer = Writer::new(Vec::new(), &header()).expect("writes");
    let mut weaver = Weaver::new(&mut writer, 0);
    let (mut model, mut free, mut next) = (Model::new(), Vec::new(), 0x1000_u64);
    let mut numbers: HashMap<u8, u32> = HashMap::new();
    let mut now = 5;
    for &(thread, deed) in deeds.iter().cycle().take(deeds.len() * times) {
        now += 3;
        let number = *numbers.entry(thread).or_insert_with(|| weaver.thread());
        let mut address = || {
            free.pop().unwrap_or_else(|| {
                next += 16;
                next
            })
        };
        let pick = |model: &Model, at: usize| {
            let at = at.checked_rem(model.len())?;
            model.iter().nth(at).map(|(&address, _)| address)
        };
        match deed {
            Deed::Allocate(size, align) => {
                let kind = [Kind::Malloc, Kind::Calloc, Kind::Aligned][usize::from(align) % 3];
                let align = if kind == Kind::Aligned { align } else { 0 };
                let address = address();
                model.insert(address, size);
                weaver.call(number, now, Call::Allocated { kind, address, size, align }).unwrap();
            }
            Deed::Free(at) => {
                let Some(address) = pick(&model, at) else { continue };
                model.remove(&address);
                free.push(address);
                let resident = at.checked_sub(1).map(|at| at as u64 % 9);
                weaver.call(number, now, Call::Freed { address, resident }).unwrap();
            }
            Deed::Resize(at, size) => {
                let Some(old) = pick(&model, at) else { continue };
                let taken = weaver.take(number, old, Some(size % 9));
                model.remove(&old);
                let new = if size % 2 == 0 { old } else { address() };
                if new != old {
                    free.push(old);
                }
                model.insert(new, size);
                weaver.resized(number, now, taken, new, size).unwrap();
            }
            Deed::Refused(size) => weaver.call(number, now, Call::Refused { size }).unwrap(),
            Deed::End => {
                weaver.thread_ended(number);
                numbers.remove(&thread);
            }
        }
    }
    let closing = weaver.finish().expect("writes");
    let (bytes, len) = writer.finish().expect("writes");
    assert_eq!(bytes.len() as u64, len);
    (bytes, model, closing)
}

fn check(bytes: &[u8]) -> Result<Checked, Problem> {
    let mut reader = Reader::new(bytes)?;
    verify::check(&mut reader, 0, &mut |_| ())
}

/// That the file of `deeds` is good, and ends with what is live.
fn verdict(deeds: &[(u8, Deed)], times: usize) {
    let (bytes, model, closing) = weave(deeds, times);
    let checked = check(&bytes).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(checked.live_blocks, model.len() as u64);
    assert_eq!(checked.live_bytes, model.values().sum::<u64>());
    assert_eq!(
        (closing.live_blocks, closing.live_bytes),
        (checked.live_blocks, checked.live_bytes)
    );
    assert_eq!(closing.events, checked.events);
    assert_eq!(closing.threads, checked.threads);
    // A refused request names slot 0, and uses none.
    assert!(closing.slots.max(1) >= checked.slots);
    assert_eq!((closing.foreign, closing.unfreed), (0, 0));
    assert_eq!(checked.closing.as_ref(), Some(&closing));
    assert_eq!(checked.windows, closing.events.div_ceil(WINDOW.into()) as u32);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_woven_can_be_performed_and_ends_with_what_is_live(deeds in deeds(300)) {
        verdict(&deeds, 1);
    }

    #[test]
    fn a_file_cut_off_is_told_at_its_end_and_good_before(deeds in deeds(40), at: prop::sample::Index) {
        let (bytes, ..) = weave(&deeds, 1);
        let at = at.index(bytes.len());
        match check(&bytes[..at]) {
            Ok(_) => prop_assert!(false, "a part of a file passes for the whole"),
            Err(Problem::NoTrace) => prop_assert!(at < 8),
            Err(Problem::Damage(damage)) => prop_assert_eq!(damage.at, at as u64),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed(deeds in deeds(40), at: prop::sample::Index, bit in 0..8_u32) {
        let (mut bytes, ..) = weave(&deeds, 1);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        match check(&bytes) {
            Ok(_) => prop_assert!(false, "byte {} was changed, and nobody noticed", at),
            Err(Problem::Damage(damage)) => prop_assert!(damage.at <= at as u64 || at < 20),
            Err(Problem::NoTrace) => prop_assert!(at < 8),
            Err(Problem::Newer { .. }) => prop_assert!((8..12).contains(&at)),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn any_actions_are_performed_or_refused(parts in vec((0..4_u32, 0..3_u32, vec(any_action(), 1..12)), 0..9)) {
        let mut writer = Writer::new(Vec::new(), &header()).expect("writes");
        for (thread, ended, actions) in parts {
            let part = Part { thread, ended, last: ended == 2, ..Part::default() };
            writer.part(part, &actions, &vec![0; actions.len()]).expect("writes");
        }
        let (bytes, _) = writer.finish().expect("writes");
        match check(&bytes) {
            Ok(checked) => prop_assert!(checked.live_blocks <= checked.events),
            Err(Problem::Damage(damage)) => prop_assert!(damage.at < bytes.len() as u64),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

fn any_action() -> impl Strategy<Value = Action> {
    let slot = || 0..6_u32;
    let plain = prop_oneof![
        slot().prop_map(|slot| Action::malloc(slot, 8)),
        (slot(), slot()).prop_map(|(from, to)| Action::realloc(from, to, 9)),
        slot().prop_map(Action::free),
    ];
    (plain, any::<bool>(), any::<bool>()).prop_map(|(action, given, taken)| {
        let action = if given && action.gives_block() { action.with_given() } else { action };
        if taken && action.takes_block() { action.with_taken() } else { action }
    })
}

#[test]
fn blocks_that_pass_between_threads_for_many_windows_can_be_performed() {
    let mut deeds = Vec::new();
    for at in 0..997_usize {
        let thread = (at * 7 % 5) as u8;
        deeds.push((thread, Deed::Allocate(at as u64, at as u8)));
        deeds.push((4 - thread, Deed::Resize(at * 31, at as u64)));
        if at % 9 != 0 {
            deeds.push(((thread + 1) % 5, Deed::Free(at * 17)));
        }
    }
    verdict(&deeds, 40);
    deeds.push((3, Deed::End));
    deeds.push((2, Deed::End));
    verdict(&deeds, 40);
}

#[test]
fn slots_are_used_again_also_where_one_thread_only_allocates() {
    let mut deeds = Vec::new();
    for at in 0..100 {
        deeds.push((0, Deed::Allocate(at, 0)));
    }
    for _ in 0..100 {
        deeds.push((1, Deed::Free(0)));
    }
    let (_, _, closing) = weave(&deeds, 4000);
    assert_eq!(closing.events, 800_000);
    assert!(closing.slots < 3 * WINDOW, "{} slots for 100 live blocks", closing.slots);
    assert_eq!(closing.handed_over, 400_000);
}

#[test]
fn blocks_from_elsewhere_are_told_and_left_out() {
    let mut writer = Writer::new(Vec::new(), &header()).expect("writes");
    let mut weaver = Weaver::new(&mut writer, 0);
    let thread = weaver.thread();
    weaver.call(thread, 1, Call::Freed { address: 0x10, resident: None }).unwrap();
    let taken = weaver.take(thread, 0x20, None);
    weaver.resized(thread, 2, taken, 0x30, 5).unwrap();
    let again = Call::Allocated { kind: Kind::Malloc, address: 0x30, size: 7, align: 0 };
    weaver.call(thread, 3, again).unwrap();
    let lost = weaver.take(thread, 0x30, None);
    weaver.forget(lost);
    let closing = weaver.finish().unwrap();
    assert_eq!((closing.foreign, closing.unfreed, closing.events), (2, 1, 2));
    assert_eq!((closing.live_blocks, closing.live_bytes), (1, 7));
}

#[test]
fn of_large_blocks_it_is_kept_what_was_not_touched() {
    let mut writer = Writer::new(Vec::new(), &header()).expect("writes");
    let mut weaver = Weaver::new(&mut writer, 0);
    let (one, other) = (weaver.thread(), weaver.thread());
    let mut now = 0;
    let mut allocate = |weaver: &mut Weaver<'_, _>, thread, address, size| {
        now += 1;
        let call = Call::Allocated { kind: Kind::Malloc, address, size, align: 0 };
        weaver.call(thread, now, call).unwrap();
    };
    // In the end the second thread made the first call: threads are numbered by that.
    allocate(&mut weaver, other, 0x10_0010, 100);
    allocate(&mut weaver, one, 0x20_0010, 10 << 12);
    allocate(&mut weaver, one, 0x30_0010, 8191);
    allocate(&mut weaver, one, 0x40_0000, 8192);
    allocate(&mut weaver, one, 0x50_0010, 5 << 12);
    allocate(&mut weaver, other, 0x60_0010, 7 << 12);
    for (address, resident) in
        [(0x10_0010, Some(0)), (0x20_0010, Some(3)), (0x30_0010, Some(0)), (0x40_0000, Some(9))]
    {
        weaver.call(other, 9, Call::Freed { address, resident }).unwrap();
    }
    let taken = weaver.take(one, 0x50_0010, Some(0));
    weaver.resized(one, 10, taken, 0x70_0000, 9 << 12).unwrap();
    weaver.at_the_end(|address, size| match address {
        0x60_0010 => None,
        _ => Some(size / 4096 - 2),
    });
    weaver.finish().unwrap();
    let (bytes, _) = writer.finish().unwrap();
    let told: Vec<(u32, u64, u64)> = check(&bytes)
        .unwrap()
        .untouched
        .iter()
        .map(|one| (one.thread, one.place, one.pages))
        .collect();
    // Whole OS pages: nine of the first, four of the one that was resized, nine of what
    // it became.
    assert_eq!(told, [(1, 0, 6), (1, 2, 4), (1, 3, 2)]);
}

#[test]
fn files_that_are_no_traces_are_told() {
    let of = |bytes: &[u8]| Reader::new(bytes).map(|_| ()).expect_err("no trace");
    assert!(matches!(of(b""), Problem::NoTrace));
    assert!(matches!(of(b"{\"type\":\"run\"}\n"), Problem::NoTrace));
    let (mut bytes, ..) = weave(&[], 1);
    assert!(check(&bytes).is_ok(), "nothing at all is a trace too");
    bytes[8..12].copy_from_slice(&9_u32.to_le_bytes());
    assert!(matches!(of(&bytes), Problem::Newer { version: 9 }));
    let (bytes, ..) = weave(&[(0, Deed::Allocate(1, 0))], 1);
    let longer = [&bytes[..], b"more"].concat();
    assert!(matches!(check(&longer), Err(Problem::Damage(_))));
}

#[test]
fn blocks_that_there_are_not_cannot_be_untouched() {
    let told = |untouched: &[(u32, u64)]| {
        let mut writer = Writer::new(Vec::new(), &header()).unwrap();
        let part = Part { last: true, ..Part::default() };
        writer.part(part, &[Action::malloc(0, 9000), Action::malloc(1, 10)], &[1, 1]).unwrap();
        let untouched: Vec<Untouched> = untouched
            .iter()
            .map(|&(thread, place)| Untouched { thread, place, pages: 1 })
            .collect();
        writer.untouched(0, &untouched).unwrap();
        check(&writer.finish().unwrap().0).map(|checked| checked.untouched.len())
    };
    assert_eq!(told(&[(0, 0)]).unwrap(), 1);
    for bad in [&[(0, 1)][..], &[(1, 0)], &[(0, 0), (0, 0)]] {
        assert!(matches!(told(bad), Err(Problem::Damage(_))), "{bad:?}");
    }
}

#[test]
fn parts_that_contradict_each_other_are_damage() {
    let file = |parts: &[(u32, u32, u32)]| {
        let mut writer = Writer::new(Vec::new(), &header()).unwrap();
        for &(thread, window, ended) in parts {
            let part = Part { thread, window, ended, ..Part::default() };
            writer.part(part, &[Action::refused(1)], &[0]).unwrap();
        }
        check(&writer.finish().unwrap().0)
    };
    assert!(file(&[(0, 0, 0), (1, 0, 0), (0, 1, 0)]).is_ok());
    for bad in [
        &[(1, 0, 0)][..],
        &[(0, 1, 0)],
        &[(0, 0, 0), (0, 0, 0)],
        &[(0, 0, 0), (0, 2, 0)],
        &[(0, 0, 0), (0, 1, 0), (1, 0, 0)],
        &[(0, 0, 1)],
        &[(0, 0, 0), (0, 1, 1)],
    ] {
        assert!(matches!(file(bad), Err(Problem::Damage(_))), "{bad:?}");
    }
}

#[test]
fn a_window_that_claims_too_much_is_refused_before_it_is_kept() {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    let actions = vec![Action::refused(1); MAX_EVENTS as usize];
    let times = vec![0; actions.len()];
    for thread in 0..3 {
        writer.part(Part { thread, ..Part::default() }, &actions, &times).unwrap();
    }
    let damage = check(&writer.finish().unwrap().0);
    assert!(damage.is_err_and(|problem| problem.to_string().contains("too many events")));
    let (bytes, ..) = weave(&[], 1);
    let mut reader = Reader::new(&bytes[..]).unwrap();
    assert!(matches!(reader.next(), Ok(Next::Closing(_))));
}
