//! What a chapter shows beside its sentences, as data.

use crate::record::{PageState, Unit};

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub enum Picture {
    /// An address space, lowest address first.
    Space(Vec<Region>),
    /// Figures side by side.
    Bars {
        /// What they count in.
        unit: Unit,
        /// From top to bottom.
        bars: Vec<Bar>,
    },
    /// Usable sizes of requests from 1 byte on.
    Stairs(Vec<Stairs>),
    /// A heap, OS page by OS page, at some moments.
    Heap(Vec<Moment>),
    /// Words of memory, taken apart.
    Words(Vec<Word>),
}

/// A part of an address space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its name in the texts.
    pub name: &'static str,
    /// The first byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    /// Bytes of it that are mapped.
    pub mapped: u64,
    /// As `/proc/self/maps` has them: `r-x`.
    pub access: String,
}

/// A figure with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it is of: an engine with its settings, or empty.
    pub engine: String,
    /// What it is, by its name in the texts, or empty.
    pub name: &'static str,
    /// The figure.
    pub value: f64,
}

/// Usable sizes under one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stairs {
    /// The engine, as `-e` spells it.
    pub engine: String,
    /// Usable bytes of a request for 1, 2, 3, ... bytes.
    pub usable: Vec<u64>,
}

impl Stairs {
    /// How many different usable sizes there are.
    pub fn steps(&self) -> usize {
        let changes = self.usable.windows(2).filter(|pair| pair[0] != pair[1]).count();
        changes + usize::from(!self.usable.is_empty())
    }

    /// The share of the usable bytes that was not asked for, over all requests.
    pub fn waste(&self) -> f64 {
        let usable: u64 = self.usable.iter().sum();
        let asked: u64 = (1..=self.usable.len() as u64).sum();
        1.0 - asked as f64 / usable.max(1) as f64
    }
}

/// What an engine holds at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The engine, as `-e` spells it.
    pub engine: String,
    /// The moment, by its name in the texts.
    pub name: &'static str,
    /// The OS pages up to the program break.
    pub heap: Vec<PageState>,
    /// The OS pages of blocks that have mappings of their own.
    pub mappings: Vec<PageState>,
}

/// Eight bytes near a block, and what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The engine, as `-e` spells it.
    pub engine: String,
    /// The block, by its name in the texts.
    pub block: &'static str,
    /// How far left of the block they begin, in bytes.
    pub before: u64,
    /// They themselves.
    pub word: u64,
    /// What they mean, by its name in the texts.
    pub meaning: &'static str,
    /// The size that they hold, if they hold one.
    pub size: Option<u64>,
}
