//! What an allocator promises, and how a broken promise is reported.

use std::fmt;

macro_rules! promises {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A promise that the oracle watches.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Promise {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Promise {
            /// Every promise.
            pub const ALL: &'static [Promise] = &[$(Promise::$variant),+];

            /// Its name, a word or two.
            pub const fn name(self) -> &'static str {
                match self { $(Promise::$variant => $name),+ }
            }

            /// What is promised, in a sentence.
            pub const fn text(self) -> &'static str {
                match self { $(Promise::$variant => concat!($($doc),+)),+ }
            }
        }
    };
}

promises! {
    /// A block lies at a multiple of the alignment asked for.
    Alignment = "alignment",
    /// Blocks are disjoint over all their usable bytes.
    Disjoint = "disjoint",
    /// A block has at least as many usable bytes as were requested, and keeps them.
    UsableSize = "usable size",
    /// What the program wrote to a block stays, whatever else happens.
    Contents = "contents",
    /// A resized block keeps the contents of the smaller of both sizes.
    Prefix = "prefix",
    /// Memory asked for as zero is zero, recycled memory too.
    Zeroed = "zeroed",
    /// A request that nobody can grant is refused.
    Impossible = "impossible",
    /// A request that fits easily is granted, and a block can be made smaller.
    Granted = "granted",
    /// A refused request changes nothing: no block, no account, no invariant.
    Harmless = "harmless",
    /// A refusal is reported as the interface says: null and ENOMEM, not a changed errno on success.
    Reported = "reported",
    /// A live block's pointer is accepted.
    Accepted = "accepted",
    /// The allocator's accounts are what the program has.
    Accounts = "accounts",
    /// The allocator's own invariants hold.
    Invariants = "invariants",
    /// Only memory of its own goes back to the OS, once, and is not used afterwards.
    Source = "source",
    /// With all freed, memory goes back as the trim policy says.
    Returned = "returned",
    /// The same program over and over does not make the footprint grow.
    Bounded = "bounded",
    /// A forked child can allocate and free, and has the parent's blocks.
    Fork = "fork",
}

/// A set of promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch(u32);

impl Watch {
    /// Every promise.
    pub const ALL: Watch = Watch(u32::MAX);
    /// No promise.
    pub const NONE: Watch = Watch(0);

    /// This set and one more.
    #[must_use]
    pub const fn with(self, promise: Promise) -> Watch {
        Watch(self.0 | 1 << promise as u32)
    }

    /// This set but for one.
    #[must_use]
    pub const fn without(self, promise: Promise) -> Watch {
        Watch(self.0 & !(1 << promise as u32))
    }

    /// Whether a promise is in it.
    pub const fn has(self, promise: Promise) -> bool {
        self.0 >> promise as u32 & 1 == 1
    }
}

/// What an allocator finds wrong with itself, or a test with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The promise that is broken.
    pub promise: Promise,
    /// How.
    pub what: String,
}

impl Complaint {
    /// That `promise` is broken, and how.
    pub fn new(promise: Promise, what: impl fmt::Display) -> Complaint {
        Complaint { promise, what: what.to_string() }
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The operation, counted from 0.
    pub at: u64,
    /// The block's address; 0 where it is about no block.
    pub block: usize,
    /// The promise.
    pub promise: Promise,
    /// What was promised and not kept.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { at, block, promise, what } = self;
        write!(f, "operation {at}")?;
        if *block != 0 {
            write!(f, ", block {block:#x}")?;
        }
        write!(f, ": {what} (promise: {})", promise.name())
    }
}

impl std::error::Error for Violation {}
