//! Runs schedules, and says which one broke a promise.
//!
//! ```text
//! schedules SEED               one schedule alone, told step by step
//! schedules COUNT FROM         so many of them, from a seed on
//! schedules for SECONDS FROM   from a seed on, for so long
//! schedules plants             the bugs that can be planted
//! ... --plant NAME             with one of them
//! ```

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use scheduled::{Brkpoint, PLANTS, schedule, scheduler};

mod watch;

/// The CPU time that one schedule may take, in seconds.
const PATIENCE: u32 = 20;

const USAGE: &str = "usage: schedules SEED | COUNT FROM | for SECONDS FROM | plants [--plant NAME]";

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = match arguments.iter().position(|argument| argument == "--plant") {
        Some(at) if at + 1 < arguments.len() => arguments.drain(at..at + 2).nth(1),
        _ => None,
    };
    let known = named.as_deref().map(|named| PLANTS.iter().position(|(name, _)| *name == named));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let begun = Instant::now();
    let seeds: Option<Box<dyn Iterator<Item = u64>>> = match arguments[..] {
        ["plants"] => {
            PLANTS.iter().for_each(|(name, what)| println!("{name}\t{what}"));
            return;
        }
        ["for", seconds, from] => {
            seconds.parse().ok().zip(from.parse::<u64>().ok()).map(|(seconds, from)| {
                let time = Duration::from_secs(seconds);
                Box::new((from..).take_while(move |_| begun.elapsed() < time)) as Box<_>
            })
        }
        [seed] => seed.parse().ok().map(|seed| {
            scheduler::narrate();
            Box::new(std::iter::once(seed)) as Box<_>
        }),
        [count, from] => count
            .parse::<usize>()
            .ok()
            .zip(from.parse::<u64>().ok())
            .map(|(count, from)| Box::new((from..).take(count)) as Box<_>),
        _ => None,
    };
    let (Some(seeds), false) = (seeds, known == Some(None)) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    scheduler::plant(known.flatten());
    // What is broken and the seed are all there is to say.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{}", panic.payload_as_str().unwrap_or("a panic"));
    }));
    watch::signals(named.as_deref());
    // Each schedule is to find the hooks registered, also the first.
    Brkpoint::survive_fork();
    let seeds = seeds.inspect(|_| watch::begin(PATIENCE));
    let all = std::panic::catch_unwind(AssertUnwindSafe(|| {
        scheduler::run(seeds, |seed| {
            schedule::run(seed);
            watch::count();
        });
    }));
    if all.is_err() {
        watch::tell("broke a promise");
        std::process::exit(1);
    }
    println!("{}", watch::summary());
}
