//! The synthetic workloads: deterministic programs of allocations and frees,
//! driven through the global allocator.
//!
//! - [`ALL`], [`find`]: the registry; each [`Workload`] has a file that says what
//!   it provokes
//! - [`Prepared`]: a workload with its tables mapped, ready to be measured
//! - [`Observer`]: who looks on while it runs; `()` costs nothing
//! - `churn`: the driver that the workloads share
//! - `table`: memory of the driver, outside the heap that is measured
//!
//! A seed and a scale fix every request and every byte written, so the digest
//! of what was read back is the same under every correct allocator.

mod churn;
mod large_touch;
mod small_churn;
mod straddle;
mod table;

use std::fmt;

use churn::Churn;

/// Looks on while a workload runs.
pub trait Observer {
    /// Called after each operation with the number of operations so far and the
    /// bytes requested and not yet freed.
    fn after(&mut self, operations: u64, live_bytes: u64);
}

/// Nobody looks on: the calls compile to nothing.
impl Observer for () {
    #[inline(always)]
    fn after(&mut self, _operations: u64, _live_bytes: u64) {}
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Of everything read back from the blocks; equal under correct allocators.
    pub digest: u64,
    /// Calls of the allocator (allocations and frees).
    pub operations: u64,
}

/// Why a workload could not be prepared.
#[derive(Debug)]
pub enum PrepareError {
    /// The scale is no number, not positive, or too large.
    Scale(f64),
    /// The driver's tables could not be mapped.
    Map(std::io::Error),
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrepareError::Scale(scale) => {
                write!(f, "scale {scale}: it must be above 0 and at most {MAX_SCALE}")
            }
            PrepareError::Map(error) => write!(f, "cannot map the driver's tables: {error}"),
        }
    }
}

impl std::error::Error for PrepareError {}

/// A larger scale is refused as a slip of the finger.
pub const MAX_SCALE: f64 = 1e6;

/// A workload of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// The name on the command line and in records.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    shape: Which,
}

macro_rules! registry {
    ($($module:ident :: $shape:ident = $name:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Which { $($shape,)* }

        /// All workloads, in the order in which reports show them.
        pub static ALL: &[Workload] = &[
            $(Workload { name: $name, about: $module::ABOUT, shape: Which::$shape },)*
        ];

        impl Workload {
            /// Maps the driver's tables. `scale` multiplies the number of
            /// replacements, not the size of the working set.
            ///
            /// # Errors
            /// A bad scale, or no memory for the tables.
            pub fn prepare(&self, seed: u64, scale: f64) -> Result<Prepared, PrepareError> {
                if !(scale > 0.0 && scale <= MAX_SCALE) {
                    return Err(PrepareError::Scale(scale));
                }
                let churn = match self.shape {
                    $(Which::$shape => Churn::new::<$module::$shape>(seed, scale),)*
                };
                Ok(Prepared { shape: self.shape, churn: churn.map_err(PrepareError::Map)? })
            }
        }

        impl Prepared {
            /// Runs the workload to its end, where every block is free again.
            pub fn run<O: Observer>(&mut self, observer: &mut O) -> Outcome {
                match self.shape {
                    $(Which::$shape => self.churn.run::<$module::$shape, O>(observer),)*
                }
            }
        }
    };
}

registry! {
    small_churn::SmallChurn = "small-churn";
    straddle::Straddle = "straddle";
    large_touch::LargeTouch = "large-touch";
}

/// The workload called `name`.
pub fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

/// A workload with its tables mapped: nothing but the heap moves from here on.
#[derive(Debug)]
pub struct Prepared {
    shape: Which,
    churn: Churn,
}

impl Prepared {
    /// The operations that [`Prepared::run`] will perform.
    pub fn operations(&self) -> u64 {
        self.churn.operations()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that operations count up by one and live bytes end at zero.
    #[derive(Default)]
    struct Watch {
        operations: u64,
        live: u64,
        peak: u64,
    }

    impl Observer for Watch {
        fn after(&mut self, operations: u64, live_bytes: u64) {
            assert_eq!(operations, self.operations + 1);
            self.operations = operations;
            self.live = live_bytes;
            self.peak = self.peak.max(live_bytes);
        }
    }

    #[test]
    fn a_digest_depends_on_seed_and_scale_and_nothing_else() {
        for workload in ALL {
            let digest =
                |seed, scale| workload.prepare(seed, scale).expect("prepares").run(&mut ()).digest;
            assert_eq!(digest(1, 0.05), digest(1, 0.05), "{workload:?}");
            assert_ne!(digest(1, 0.05), digest(2, 0.05), "{workload:?}");
            assert_ne!(digest(1, 0.05), digest(1, 0.06), "{workload:?}");
        }
    }

    #[test]
    fn an_observer_sees_every_operation_and_changes_nothing() {
        for workload in ALL {
            let mut prepared = workload.prepare(7, 0.05).expect("prepares");
            let mut watch = Watch::default();
            let seen = prepared.run(&mut watch);
            assert_eq!(watch.operations, prepared.operations());
            assert_eq!(seen.operations, prepared.operations());
            assert_eq!(watch.live, 0);
            assert!(watch.peak > 0);
            let unseen = workload.prepare(7, 0.05).expect("prepares").run(&mut ());
            assert_eq!(seen, unseen);
        }
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
            assert_eq!(find(workload.name), Some(workload));
        }
        assert_eq!(find("no-such"), None);
    }
}
