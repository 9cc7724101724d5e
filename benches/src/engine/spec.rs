//! `ENGINE[:knob=value,...]`, as a person asks for an arm.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An engine and its settings, by name and not yet looked up. An engine with a
/// `/` in it is the path of a library to preload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmSpec {
    /// Name of the engine, or the path of a library.
    pub engine: String,
    /// Values by knob.
    pub settings: BTreeMap<String, String>,
}

/// Why a text names no arm.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Nothing stands before the colon.
    #[error("{0:?} names no engine: write ENGINE or ENGINE:knob=value,knob=value")]
    NoEngine(String),
    /// A setting is not of the form `knob=value`.
    #[error("{setting:?} in {text:?} is no setting: write knob=value")]
    NoValue {
        /// What was given.
        text: String,
        /// Its part that is wrong.
        setting: String,
    },
    /// A knob is set twice.
    #[error("{knob} is set twice in {text:?}")]
    Twice {
        /// What was given.
        text: String,
        /// The knob.
        knob: String,
    },
}

impl FromStr for ArmSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<ArmSpec, SpecError> {
        let (engine, rest) = match text.split_once(':') {
            Some((engine, rest)) => (engine.trim(), Some(rest)),
            None => (text.trim(), None),
        };
        if engine.is_empty() {
            return Err(SpecError::NoEngine(text.to_owned()));
        }
        let mut settings = BTreeMap::new();
        for setting in rest.into_iter().flat_map(|rest| rest.split(',')) {
            let parts = setting.split_once('=').map(|(knob, value)| (knob.trim(), value.trim()));
            let (knob, value) =
                parts.filter(|(knob, value)| !knob.is_empty() && !value.is_empty()).ok_or_else(
                    || SpecError::NoValue { text: text.to_owned(), setting: setting.to_owned() },
                )?;
            if settings.insert(knob.to_owned(), value.to_owned()).is_some() {
                return Err(SpecError::Twice { text: text.to_owned(), knob: knob.to_owned() });
            }
        }
        Ok(ArmSpec { engine: engine.to_owned(), settings })
    }
}

impl fmt::Display for ArmSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.engine)?;
        for (i, (knob, value)) in self.settings.iter().enumerate() {
            write!(f, "{}{knob}={value}", if i == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_read_and_printed_back() {
        for text in ["glibc", "glibc:top_pad=1M", "brkpoint:preset=brk-only,top_pad=64K", "./a.so"]
        {
            let spec: ArmSpec = text.parse().expect(text);
            assert_eq!(spec.to_string(), text);
        }
        let spaced: ArmSpec = "glibc: top_pad = 1M".parse().expect("spaces are forgiven");
        assert_eq!(spaced.to_string(), "glibc:top_pad=1M");
    }

    #[test]
    fn what_is_no_spec_is_told_why() {
        let error = |text: &str| text.parse::<ArmSpec>().unwrap_err().to_string();
        assert!(error("").contains("names no engine"));
        assert!(error(":a=1").contains("names no engine"));
        for text in ["glibc:", "glibc:top_pad", "glibc:top_pad=", "glibc:=1", "glibc:a=1,,b=2"] {
            assert!(error(text).contains("is no setting"), "{text}");
        }
        assert!(error("glibc:a=1,a=2").contains("set twice"));
    }
}
