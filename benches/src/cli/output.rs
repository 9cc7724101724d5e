//! Where results go: standard output, and files under `target/brkpoint`.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use brkpoint_reports::Report;

/// Prints to standard output. A reader that has gone away (`| head`) is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("cannot write to standard output"),
    }
}

/// Tells a person something on standard error. That nobody may be reading it
/// (`2>&1 | head`) is no reason to stop.
pub fn tell(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether tables on standard output are coloured: on a terminal that can,
/// unless `NO_COLOR` is set (no-color.org).
pub fn coloured() -> bool {
    io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_some_and(|terminal| terminal != "dumb")
}

/// Columns of the terminal; 100 where there is none.
pub fn width() -> usize {
    console::Term::stdout().size_checked().map_or(100, |(_, columns)| usize::from(columns))
}

/// The verdict in words, a paragraph each finding.
pub fn findings(report: &Report) -> String {
    report.verdict.iter().map(|finding| format!("{finding}\n")).collect()
}

/// A duration as an announcement gives it: rounded up.
pub fn minutes(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{:.0} seconds", (s / 10.0).ceil() * 10.0),
        s => format!("{:.0} minutes", (s / 60.0).ceil()),
    }
}

/// A new file name under `target/brkpoint` for what `verb` makes now.
pub fn default_path(verb: &str, extension: &str) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    Path::new("target/brkpoint").join(format!("{verb}-{now}-{}.{extension}", std::process::id()))
}

/// Writes `text` to `path`, as [`make`] does.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    make(path, |out| Ok(out.write_all(text.as_bytes())?))
}

/// Makes the file `path` by way of a neighbour, so that a reader never sees half of it.
pub fn make<T>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let at = || format!("cannot write {}", path.display());
    // Through a link, and into a pipe or a device, which must not be replaced.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let written = |file: &File| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let value = write(&mut out)?;
        out.flush().with_context(at)?;
        Ok(value)
    };
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return written(&File::options().write(true).open(path).with_context(at)?);
    }
    let parent = parent(path);
    fs::create_dir_all(parent).with_context(at)?;
    let file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(parent)
        .with_context(at)?;
    let value = written(file.as_file())?;
    file.persist(path).with_context(at)?;
    Ok(value)
}

/// The directory in which `path` is.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
