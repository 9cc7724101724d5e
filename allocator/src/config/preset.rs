//! Named combinations of settings.

use core::fmt;

use super::value::named;
use super::{Bytes, Config, Count, Metadata, MmapThreshold, Purge, SizeClasses, Trim};

pub(super) const ENV: &str = "BRKPOINT_PRESET";
pub(super) const MEANING: &str =
    "A named combination of settings, applied before the other variables.";
pub(super) const VALUES: &str = <Preset as super::Setting>::VALUES;

named! {
    /// A named combination of settings. Those of the textbook come first: a
    /// header left of each block, and sizes rounded to 16 bytes.
    Preset {
        /// No mappings: every block comes from the break.
        BrkOnly = "brk-only",
        /// Every block has a mapping of its own.
        MmapOnly = "mmap-only",
        /// The break below a fixed 128 KiB, mappings from there on.
        Hybrid = "hybrid",
        /// As `hybrid`, but the threshold follows what the program frees:
        /// glibc's rule and glibc's numbers.
        HybridDynamic = "hybrid-dynamic",
        /// The balance we recommend: eight classes a doubling, small blocks
        /// without headers, the dynamic rule from a higher start, and trimming
        /// that remembers: a program which frees and allocates megabytes in
        /// turn pays minor faults for the first turn only.
        Default = "default",
        /// Time for memory: huge pages from the first on, large caches, and
        /// megabytes kept for seconds.
        Fast = "fast",
        /// Memory for time: no huge pages, small caches, little kept, and that
        /// for a fifth of a second; blocks above 512 bytes have headers, so that
        /// the space between them serves any size.
        Small = "small",
    }
}

impl Preset {
    /// Its settings. What plays the break, and whether settings are printed,
    /// are no part of a preset: they are kept from `base`.
    pub const fn config(self, base: &Config) -> Config {
        let default =
            Config { break_source: base.break_source, verbose: base.verbose, ..Config::DEFAULT };
        let textbook = Config {
            trim: Trim::Threshold,
            trim_threshold: Bytes(128 << 10),
            top_pad: Bytes(128 << 10),
            size_classes: SizeClasses::Spacing16,
            metadata: Metadata::Header,
            purge: Purge::Never,
            thp: Bytes(0),
            ..default
        };
        let mmap_threshold = match self {
            Preset::BrkOnly => MmapThreshold::Off,
            Preset::MmapOnly => MmapThreshold::Fixed(0),
            Preset::Hybrid => MmapThreshold::Fixed(128 << 10),
            Preset::HybridDynamic => MmapThreshold::Dynamic(128 << 10),
            Preset::Default => return default,
            Preset::Fast => {
                return Config {
                    mmap_threshold: MmapThreshold::Dynamic(8 << 20),
                    thread_cache: Bytes(4 << 20),
                    trim_threshold: Bytes(64 << 20),
                    trim_decay: Count(5000),
                    top_pad: Bytes(1 << 20),
                    thp: Bytes(1 << 20),
                    ..default
                };
            }
            Preset::Small => {
                return Config {
                    mmap_threshold: MmapThreshold::Dynamic(256 << 10),
                    slab_max: Bytes(512),
                    thread_cache: Bytes(192 << 10),
                    trim_threshold: Bytes(128 << 10),
                    trim_decay: Count(200),
                    top_pad: Bytes(64 << 10),
                    thp: Bytes(0),
                    ..default
                };
            }
        };
        Config { mmap_threshold, ..textbook }
    }

    /// The preset that `config` is, if it is one.
    pub fn of(config: &Config) -> Option<Preset> {
        Preset::ALL.iter().copied().find(|preset| preset.config(config) == *config)
    }
}

pub(super) fn set(config: &mut Config, text: &str) -> bool {
    match Preset::by_name(text) {
        Some(preset) => {
            *config = preset.config(config);
            true
        }
        None => false,
    }
}

pub(super) fn show(config: &Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(Preset::of(config).map_or("custom", Preset::name))
}
