//! The shortest program that still fails.
//!
//! First as few operations as possible: runs of them are left out, long ones
//! first, down to single ones. Then as plain operations as possible: smaller
//! sizes, ordinary alignments, low slots.

use std::time::{Duration, Instant};

use crate::op::{Event, Op};

/// What may be spent on one program.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How many others are tried at most.
    pub trials: usize,
    /// No trial begins after this long.
    pub time: Duration,
}

impl Effort {
    /// As long as so many trials take.
    pub const fn trials(trials: usize) -> Effort {
        Effort { trials, time: Duration::MAX }
    }
}

/// Shrinks a program that fails, asking `fails` of others within what the effort
/// allows. What it gives is the last that failed: the program itself, if none
/// smaller does.
pub fn shrink(program: &[Op], effort: Effort, mut fails: impl FnMut(&[Op]) -> bool) -> Vec<Op> {
    let begun = Instant::now();
    let mut best = program.to_vec();
    let mut left = effort.trials;
    let mut fails = |candidate: &[Op]| {
        left > 0 && begun.elapsed() < effort.time && {
            left -= 1;
            fails(candidate)
        }
    };
    loop {
        let before = best.clone();
        leave_out(&mut best, &mut fails);
        simplify(&mut best, &mut fails);
        // Simpler operations may make others superfluous.
        if best == before {
            return best;
        }
    }
}

fn leave_out(best: &mut Vec<Op>, fails: &mut impl FnMut(&[Op]) -> bool) {
    let mut run = best.len().div_ceil(2);
    while run > 0 {
        let mut at = 0;
        while at < best.len() {
            let mut candidate = best.clone();
            candidate.drain(at..(at + run).min(best.len()));
            if fails(&candidate) {
                *best = candidate;
            } else {
                at += run;
            }
        }
        run /= 2;
    }
}

fn simplify(best: &mut Vec<Op>, fails: &mut impl FnMut(&[Op]) -> bool) {
    renumber(best, fails);
    for at in 0..best.len() {
        // Each simpler form is tried until none helps.
        while let Some(simpler) = simpler(best[at]).into_iter().find(|simpler| {
            let mut candidate = best.clone();
            candidate[at] = *simpler;
            fails(&candidate)
        }) {
            best[at] = simpler;
        }
    }
}

/// Slots in the order of their first use, if that fails as well.
fn renumber(best: &mut Vec<Op>, fails: &mut impl FnMut(&[Op]) -> bool) {
    let mut seen = Vec::new();
    let candidate: Vec<Op> = best
        .iter()
        .map(|op| match op.slot() {
            Some(slot) => {
                let known = seen.iter().position(|&other| other == slot);
                op.moved(known.unwrap_or_else(|| {
                    seen.push(slot);
                    seen.len() - 1
                }) as u32)
            }
            None => *op,
        })
        .collect();
    if candidate != *best && fails(&candidate) {
        *best = candidate;
    }
}

/// Simpler forms of an operation, simplest first.
fn simpler(op: Op) -> Vec<Op> {
    match op {
        Op::Alloc { slot, size, align, zeroed } => {
            let mut forms = Vec::new();
            if align != 16 {
                forms.push(Op::Alloc { slot, size, align: 16, zeroed });
            }
            if zeroed {
                forms.push(Op::Alloc { slot, size, align, zeroed: false });
            }
            forms.extend(smaller(size).map(|size| Op::Alloc { slot, size, align, zeroed }));
            forms
        }
        Op::Calloc { slot, count, size } => {
            let mut forms = Vec::new();
            if let Some(size) = count.checked_mul(size) {
                forms.push(Op::Alloc { slot, size, align: 16, zeroed: true });
            }
            forms.extend(smaller(count).map(|count| Op::Calloc { slot, count, size }));
            forms
        }
        Op::Realloc { slot, size } => {
            smaller(size).map(|size| Op::Realloc { slot, size }).collect()
        }
        Op::Event(Event::Trim { keep: 1.. }) => vec![Op::Event(Event::Trim { keep: 0 })],
        _ => Vec::new(),
    }
}

/// Smaller numbers to try, small ones first.
fn smaller(size: usize) -> impl Iterator<Item = usize> {
    let power = size.checked_ilog2().map_or(0, |power| 1 << power);
    let plain = [1, 16, 100, size / 2, power, size & !4095, size & !15];
    // Then ever closer, so that a border is found in few steps.
    let closer = (2..10).map(move |part| size - (size >> part));
    plain
        .into_iter()
        .chain(closer)
        .chain([size.saturating_sub(1)])
        .filter(move |&smaller| smaller < size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Generator;

    fn alloc(slot: u32, size: usize) -> Op {
        Op::Alloc { slot, size, align: 16, zeroed: false }
    }

    #[test]
    fn only_what_the_failure_needs_is_left_and_in_its_plainest_form() {
        // Fails if a block of 1000 bytes or more is freed after it was resized.
        let fails = |program: &[Op]| {
            program.iter().enumerate().any(|(at, op)| {
                let Op::Alloc { slot, size: 1000.., .. } = *op else { return false };
                let rest = &program[at..];
                let resized = rest
                    .iter()
                    .position(|op| matches!(*op, Op::Realloc { slot: other, .. } if other == slot));
                resized.is_some_and(|resized| rest[resized..].contains(&Op::Free { slot }))
            })
        };
        let program: Vec<Op> = Generator::new(1, 8, 1 << 20).take(300).collect();
        assert!(fails(&program));
        let shrunk = shrink(&program, Effort::trials(10_000), fails);
        let expected = [alloc(0, 1000), Op::Realloc { slot: 0, size: 0 }, Op::Free { slot: 0 }];
        assert_eq!(shrunk.len(), 3, "{shrunk:?}");
        assert_eq!((shrunk[0], shrunk[2]), (expected[0], expected[2]), "{shrunk:?}");
    }

    #[test]
    fn what_cannot_be_shrunk_or_may_not_be_tried_stays() {
        let program = [alloc(3, 5000), Op::Free { slot: 3 }];
        assert_eq!(shrink(&program, Effort::trials(1000), |_| false), program);
        assert_eq!(shrink(&program, Effort::trials(0), |_| true), program);
        let late = Effort { time: Duration::ZERO, ..Effort::trials(1000) };
        assert_eq!(shrink(&program, late, |_| true), program);
        assert_eq!(shrink(&program, Effort::trials(1000), |_| true), []);
    }
}
