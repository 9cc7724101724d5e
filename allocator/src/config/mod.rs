//! The settings of a heap: one table, from which the struct, its docs, the
//! reading of the environment and the printing all come.
//!
//! - [`Config`]: every setting; [`Preset`]: named combinations
//! - [`Option`]: one row of the table; [`options`] gives them all
//! - `value`, `classes`: what each kind of setting is, how it is read and printed
//! - `environment`: the `BRKPOINT_*` variables

use core::fmt;

mod classes;
mod environment;
mod preset;
mod value;

pub use classes::{ClassList, SizeClasses};
pub(crate) use environment::apply_environment;
pub use preset::Preset;
use value::Setting;
pub use value::{
    BreakSource, Bytes, Count, Metadata, MmapThreshold, Placement, Purge, Switch, Trim,
};

/// One row of the options table.
#[derive(Clone, Copy)]
pub struct Option {
    /// The environment variable.
    pub env: &'static str,
    /// What it means, and its unit.
    pub meaning: &'static str,
    /// The values that are accepted.
    pub values: &'static str,
    set: fn(&mut Config, &str) -> bool,
    show: fn(&Config, &mut fmt::Formatter<'_>) -> fmt::Result,
}

impl Option {
    /// Sets it in `config` from text; `false`, and no change, if the text is
    /// not one of the accepted values.
    pub fn set(&self, config: &mut Config, text: &str) -> bool {
        (self.set)(config, text)
    }

    /// Its value in `config`, spelt as `set` accepts it.
    pub fn show(self, config: &Config) -> impl fmt::Display {
        Shown(self, *config)
    }
}

struct Shown(Option, Config);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0.show)(&self.1, f)
    }
}

macro_rules! options {
    ($(
        #[doc = $meaning:literal]
        $field:ident: $type:ty = $default:expr, $env:literal;
    )+) => {
        /// Every setting of a heap.
        ///
        /// `const`, and meant to be written as a struct update:
        /// `Config { top_pad: Bytes(0), ..Config::DEFAULT }`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Config {
            $(
                #[doc = $meaning]
                #[doc = concat!("\n\nDefault `", stringify!($default), "`; environment `", $env, "`.")]
                pub $field: $type,
            )+
        }

        impl Config {
            /// The preset `default`: see [`Preset::Default`].
            pub const DEFAULT: Config = Config { $($field: $default,)+ };
        }

        static OPTIONS: &[Option] = &[
            Option {
                env: preset::ENV,
                meaning: preset::MEANING,
                values: preset::VALUES,
                set: preset::set,
                show: preset::show,
            },
            $(Option {
                env: $env,
                meaning: $meaning.trim_ascii(),
                values: <$type as Setting>::VALUES,
                set: |config, text| match <$type as Setting>::parse(text) {
                    Some(value) => { config.$field = value; true }
                    None => false,
                },
                show: |config, f| fmt::Display::fmt(&config.$field, f),
            },)+
        ];
    };
}

options! {
    /// The size in bytes from which a request gets a mapping of its own.
    mmap_threshold: MmapThreshold = MmapThreshold::Dynamic(8 << 20), "BRKPOINT_MMAP_THRESHOLD";
    /// How many blocks may have mappings of their own at a time; beyond it they come from the heap.
    mmap_max: Count = Count(65_536), "BRKPOINT_MMAP_MAX";
    /// The scheme by which requests below the mmap threshold are rounded up.
    size_classes: SizeClasses = SizeClasses::Steps8, "BRKPOINT_SIZE_CLASSES";
    /// Where the heap writes down what it knows of a small block.
    metadata: Metadata = Metadata::OutOfBand, "BRKPOINT_METADATA";
    /// The largest class in bytes, up to 1K, whose blocks lie side by side in units without headers; 0 for none.
    slab_max: Bytes = Bytes(1 << 10), "BRKPOINT_SLAB_MAX";
    /// Which free chunk a request is cut from.
    placement: Placement = Placement::Good, "BRKPOINT_PLACEMENT";
    /// Bytes of freed blocks that a thread keeps for itself, a sixteenth of it of any one class; as much of each class passes between threads. 0 turns thread caches off.
    thread_cache: Bytes = Bytes(1 << 20), "BRKPOINT_THREAD_CACHE";
    /// When free memory at the break goes back to the OS.
    trim: Trim = Trim::Decay, "BRKPOINT_TRIM";
    /// How OS pages that are free inside the heap go back to the OS, when `trim` says so.
    purge: Purge = Purge::DontNeed, "BRKPOINT_PURGE";
    /// Milliseconds for which `trim=decay` keeps what nobody needs.
    trim_decay: Count = Count(1000), "BRKPOINT_TRIM_DECAY";
    /// The size in bytes of the top above which memory goes back at once, with `trim=threshold` and, at first, `trim=decay`.
    trim_threshold: Bytes = Bytes(1 << 20), "BRKPOINT_TRIM_THRESHOLD";
    /// Bytes asked for beyond the need when the break grows, and kept when `trim=threshold` or `decay` lowers it.
    top_pad: Bytes = Bytes(256 << 10), "BRKPOINT_TOP_PAD";
    /// The size in bytes from which on the heap, its pad included, grows in huge pages and asks the kernel for them, as a block does that grows in a mapping or into one; 0 for never.
    thp: Bytes = Bytes(2 << 20), "BRKPOINT_THP";
    /// What plays the break: the process's program break, or a reserved mapping.
    break_source: BreakSource = BreakSource::Reserved, "BRKPOINT_BREAK";
    /// Whether the effective settings are printed to stderr at the first allocation.
    verbose: Switch = Switch(false), "BRKPOINT_VERBOSE";
}

/// The options table, in the order in which settings are applied.
pub fn options() -> &'static [Option] {
    OPTIONS
}

/// One `NAME=value` line for each option, in the spelling of the environment.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for option in OPTIONS {
            writeln!(f, "{}={}", option.env, option.show(self))?;
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::DEFAULT
    }
}
