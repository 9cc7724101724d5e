//! A random sample of mutants, that stays the same as far as the source does.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

use crate::find::{Mutant, find, untested};
use crate::tree::Tree;

/// A sample.
#[derive(Debug)]
pub struct Sample {
    /// The mutants, numbered by rank from 1; with those that do not compile.
    pub mutants: Vec<(u32, Mutant)>,
    /// The numbers of those that do not compile.
    pub unviable: BTreeSet<u32>,
    /// How many there are to draw from.
    pub population: usize,
    /// The checksum of the source that is mutated.
    pub source: String,
}

impl Sample {
    /// Draws until `count` of them compile, and lays those.
    ///
    /// # Errors
    ///
    /// If the source is not understood, has too few mutants, or does not compile
    /// for another reason.
    pub fn draw(tree: &Tree, seed: u64, count: usize) -> Result<Sample> {
        let mut all = Vec::new();
        let mut sum = Sum::new(0);
        for (name, text) in &tree.sources {
            let mutants = find(name, text).with_context(|| format!("cannot parse {name}"))?;
            all.extend(ranked(seed, text, mutants));
            sum.add(name);
            sum.add(&untested(text)?);
        }
        // By rank; equal ones, if ever, by place.
        all.sort_by_key(|(rank, _)| *rank);
        let population = all.len();
        let numbered: Vec<(u32, Mutant)> =
            (1..).zip(all.into_iter().map(|(_, mutant)| mutant)).collect();
        let mut unviable = BTreeSet::new();
        let mut looked_at = (count * 3 / 2).min(population);
        loop {
            look(tree, &numbered[..looked_at], &mut unviable)?;
            if looked_at - unviable.len() >= count {
                break;
            }
            ensure!(looked_at < population, "only {} mutants compile", looked_at - unviable.len());
            looked_at = (looked_at + count / 2).min(population);
        }
        let mut viable = 0;
        let mutants: Vec<_> = numbered
            .into_iter()
            .take_while(|(number, _)| {
                let goes_on = viable < count;
                viable += usize::from(!unviable.contains(number));
                goes_on
            })
            .collect();
        let last = mutants.len() as u32;
        unviable.retain(|&number| number <= last);
        let sample =
            Sample { mutants, unviable, population, source: format!("{:016x}", sum.done()) };
        tree.lay(&sample.viable().map(|(number, mutant)| (*number, mutant)).collect::<Vec<_>>())?;
        Ok(sample)
    }

    /// Those that compile.
    pub fn viable(&self) -> impl Iterator<Item = &(u32, Mutant)> {
        self.mutants.iter().filter(|(number, _)| !self.unviable.contains(number))
    }
}

/// Has the compiler look until it refuses nothing any more.
fn look(tree: &Tree, mutants: &[(u32, Mutant)], unviable: &mut BTreeSet<u32>) -> Result<()> {
    loop {
        let laid: Vec<_> = mutants
            .iter()
            .filter(|(number, _)| !unviable.contains(number))
            .map(|(number, mutant)| (*number, mutant))
            .collect();
        let woven = tree.lay(&laid)?;
        let refused = tree.refused(&woven)?;
        if refused.is_empty() {
            return Ok(());
        }
        eprintln!("mutants: {} of {} do not compile", refused.len(), laid.len());
        unviable.extend(refused);
    }
}

/// Mutants of a file with their ranks, which depend on the seed, on what they
/// are, and on nothing else.
fn ranked(seed: u64, text: &str, mutants: Vec<Mutant>) -> Vec<(u64, Mutant)> {
    let mut seen = BTreeMap::new();
    let rank = |mutant: Mutant| {
        let mut sum = Sum::new(seed);
        for part in [&mutant.file, &mutant.function, &mutant.what, &text[mutant.range.clone()]] {
            sum.add(part);
        }
        let alike = seen.entry(sum.done()).and_modify(|alike| *alike += 1).or_insert(0_u32);
        sum.add(&alike.to_string());
        (sum.done(), mutant)
    };
    mutants.into_iter().map(rank).collect()
}

/// FNV-1a, mixed at the end: the same on every machine and with every compiler.
struct Sum(u64);

impl Sum {
    fn new(seed: u64) -> Sum {
        let mut sum = Sum(0xcbf2_9ce4_8422_2325);
        sum.add(&seed.to_string());
        sum
    }

    fn add(&mut self, text: &str) {
        for &byte in text.as_bytes().iter().chain(&[0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn done(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_tell_mutants_apart_and_do_not_move_with_what_is_beside_them() {
        let text = "fn f() { g(); g(); }\n";
        let of = |seed, text: &str| ranked(seed, text, find("f.rs", text).unwrap());
        let ranks = |seed, text: &str| of(seed, text).iter().map(|one| one.0).collect::<Vec<_>>();
        let one = ranks(1, text);
        assert_eq!(one.len(), 3);
        assert!(one[1] != one[2], "the same call twice");
        let beside = format!("fn e() -> bool {{ x < y }}\n{text}");
        assert_eq!(ranks(1, &beside)[one.len() + 2..], one[..]);
        assert_ne!(ranks(2, text), one);
    }
}
