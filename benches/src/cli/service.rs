//! Options for programs that do not end by themselves, and for numbers that
//! programs print.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use regex::Regex;

use super::values;
use crate::plan::Work;
use crate::printed::Printed;
use crate::service::Service;

/// How a command is put under load, and by what number it is judged.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "A command that does not end by itself, or prints its own figure")]
pub struct Load {
    /// Load generator: the command is started, put under this load, and ended by SIGTERM;
    /// times are those of the load
    #[arg(long, value_name = "SHELL COMMAND")]
    drive: Option<String>,

    /// The command is ready for its load when this succeeds
    #[arg(long, value_name = "SHELL COMMAND")]
    ready_when: Option<String>,

    /// After it is ready, this long (under load) does not count
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    warmup: Option<Duration>,

    /// The command has done its work when this succeeds
    #[arg(long, value_name = "SHELL COMMAND")]
    stop_when: Option<String>,

    /// The command is watched for so long: its CPU time counts
    #[arg(long = "for", value_name = "TIME", value_parser = values::duration)]
    lasts: Option<Duration>,

    /// Judge by the number that this finds (its first group) in what the load generator,
    /// or without one the command, prints; say with --better which way is better
    #[arg(long, value_name = "REGEX", requires = "better")]
    metric_regex: Option<String>,

    /// Whether more or less of the number is better
    #[arg(long, value_enum, requires = "metric_regex")]
    better: Option<Better>,
}

/// Which way a number is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Better {
    /// More of it, as of requests per second.
    Higher,
    /// Less of it, as of a latency.
    Lower,
}

impl Load {
    /// One that was given, for messages.
    pub fn given(&self) -> Option<&'static str> {
        let options = [
            ("--drive", self.drive.is_some()),
            ("--ready-when", self.ready_when.is_some()),
            ("--warmup", self.warmup.is_some()),
            ("--stop-when", self.stop_when.is_some()),
            ("--for", self.lasts.is_some()),
            ("--metric-regex", self.metric_regex.is_some()),
        ];
        options.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// The command as these options want it.
    ///
    /// # Errors
    /// Options that say nothing together, and a bad regular expression.
    pub fn work(
        &self,
        program: &OsString,
        args: &[OsString],
        stdin: Option<PathBuf>,
    ) -> anyhow::Result<Work> {
        let mut work = Work::command(program.clone(), args.to_vec(), stdin);
        if let Work::Command { service, printed, .. } = &mut work {
            (*service, *printed) = (self.service()?, self.printed()?);
        }
        Ok(work)
    }

    fn service(&self) -> anyhow::Result<Option<Service>> {
        let ends = self.drive.is_some() || self.stop_when.is_some() || self.lasts.is_some();
        if !ends {
            if let Some(option) =
                self.given().filter(|_| self.ready_when.is_some() || self.warmup.is_some())
            {
                bail!("{option} is for a command that is ended: add --drive, --stop-when or --for");
            }
            return Ok(None);
        }
        Ok(Some(Service {
            ready_when: self.ready_when.clone(),
            warmup: self.warmup.unwrap_or_default(),
            drive: self.drive.clone(),
            stop_when: self.stop_when.clone(),
            lasts: self.lasts,
        }))
    }

    fn printed(&self) -> anyhow::Result<Option<Printed>> {
        let (Some(text), Some(better)) = (&self.metric_regex, self.better) else { return Ok(None) };
        let regex = Regex::new(text).with_context(|| format!("--metric-regex {text:?}"))?;
        ensure!(regex.captures_len() <= 2, "--metric-regex {text:?} has more than one group");
        Ok(Some(Printed { regex, more_is_better: better == Better::Higher }))
    }
}
