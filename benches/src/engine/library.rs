//! Where the file of an engine is.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Engine, EngineError};

/// Where `build.rs` put the libraries and programs that it built, and their file
/// names.
const BUILT_IN: &str = env!("BUILT_DIR");
const BUILT: &str = env!("BUILT_FILES");
const RECORDER: &str = "libbrkpoint_recorder.so";

/// The library of `engine`; none for the process's own malloc.
pub(super) fn of(engine: &Engine) -> Result<Option<PathBuf>, EngineError> {
    if engine.built_in {
        return Ok(None);
    }
    if engine.is_linked_only() {
        return Err(EngineError::OnlyLinked { engine: engine.name.clone() });
    }
    let found = match &engine.library {
        Some(name) => built(name),
        None => engine.system.iter().find_map(|pattern| first_match(pattern)),
    };
    let absent = || EngineError::Absent {
        engine: engine.name.clone(),
        looked: engine.library.clone().unwrap_or_else(|| engine.system.join(" or ")),
        install: engine.install.clone(),
    };
    let found = found.ok_or_else(absent)?;
    checked(&found).map(Some)
}

/// The worker into which `engine` is linked.
pub(super) fn linked(engine: &Engine) -> Result<PathBuf, EngineError> {
    let absent = || EngineError::Absent {
        engine: engine.name.clone(),
        looked: engine.linked.clone().unwrap_or_else(|| "build of it to link".to_owned()),
        install: match &engine.linked {
            Some(_) => engine.install.clone(),
            None => "it can only be preloaded".to_owned(),
        },
    };
    engine.linked.as_deref().and_then(built).ok_or_else(absent)
}

/// The library that records a program's calls.
///
/// # Errors
/// If it is not where the build left it, or LD_PRELOAD cannot hold its path.
pub fn recorder() -> Result<PathBuf, EngineError> {
    let absent = || EngineError::Absent {
        engine: "the recorder".to_owned(),
        looked: RECORDER.to_owned(),
        install: "build brkpoint again".to_owned(),
    };
    checked(&built(RECORDER).ok_or_else(absent)?)
}

/// The worker into which a control is linked, an allocator that is no engine: `bump`,
/// whose overhead is known, and `nothing`, which does nothing.
pub fn control(name: &str) -> Option<PathBuf> {
    built(&format!("linked-{name}"))
}

/// `path`, absolute, if LD_PRELOAD can hold it.
pub(super) fn checked(path: &Path) -> Result<PathBuf, EngineError> {
    let unreadable = |source| EngineError::Unreadable { library: path.to_owned(), source };
    let library = path.canonicalize().map_err(unreadable)?;
    if !library.is_file() {
        return Err(unreadable(io::Error::other("it is no file")));
    }
    fs::File::open(&library).map_err(unreadable)?;
    let plain = library.to_str().is_some_and(|text| !text.contains([' ', ':', '$', '\n', '\t']));
    if plain { Ok(library) } else { Err(EngineError::Unspeakable { library }) }
}

/// A library or program of our build: where the build left it, or beside this
/// program.
fn built(name: &str) -> Option<PathBuf> {
    if !BUILT.split(':').any(|built| built == name) {
        return None;
    }
    let beside = || Some(env::current_exe().ok()?.parent()?.join(name));
    let made = Path::new(BUILT_IN).join(name);
    [Some(made), beside()].into_iter().flatten().find(|path| path.is_file())
}

/// The first path, in alphabetical order, that `pattern` stands for; a `*` is
/// allowed once in each of its components.
fn first_match(pattern: &str) -> Option<PathBuf> {
    let mut paths = vec![PathBuf::from("/")];
    for component in Path::new(pattern).components().skip(1) {
        let component = component.as_os_str().to_str()?;
        paths = paths.iter().flat_map(|path| matches(path, component)).collect();
    }
    paths.into_iter().find(|path| path.is_file())
}

fn matches(directory: &Path, component: &str) -> Vec<PathBuf> {
    let Some((start, end)) = component.split_once('*') else {
        return vec![directory.join(component)];
    };
    let names = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<PathBuf> = names
        .filter(|name| {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        })
        .map(|name| directory.join(name))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_files_in_order() {
        let root = tempfile::tempdir().expect("a directory");
        for name in ["b-gnu/lib.so.4", "a-gnu/other.so", "c-gnu/lib.so.4", "gnu/lib.so.4"] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("inside")).expect("made");
            fs::write(path, "").expect("written");
        }
        let find = |pattern: &str| first_match(&root.path().join(pattern).display().to_string());
        assert_eq!(find("*-gnu/lib.so.4"), Some(root.path().join("b-gnu/lib.so.4")));
        assert_eq!(find("*-gnu/lib*.4"), Some(root.path().join("b-gnu/lib.so.4")));
        assert_eq!(find("gnu/lib.so.4"), Some(root.path().join("gnu/lib.so.4")));
        assert_eq!(find("*-gnu/none.so"), None);
        assert_eq!(find("*-gnu"), None);
    }

    #[test]
    fn paths_that_ld_preload_would_split_are_refused() {
        let root = tempfile::tempdir().expect("a directory");
        for name in ["a b.so", "a:b.so", "a$b.so"] {
            let path = root.path().join(name);
            fs::write(&path, "").expect("written");
            assert!(matches!(checked(&path), Err(EngineError::Unspeakable { .. })), "{name}");
        }
        let missing = checked(&root.path().join("none.so"));
        assert!(matches!(missing, Err(EngineError::Unreadable { .. })));
        assert!(matches!(checked(root.path()), Err(EngineError::Unreadable { .. })));
    }
}
