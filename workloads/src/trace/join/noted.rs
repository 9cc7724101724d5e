//! What the recorder noted of a program.

use crate::trace::Process;

/// Reads the file of an image.
pub(super) fn noted(bytes: &[u8], process: &mut Process) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut rest = bytes;
    let mut word = || {
        let end = rest.iter().position(|&byte| byte == 0)?;
        let word = &rest[..end];
        rest = &rest[end + 1..];
        Some(word)
    };
    while let Some(name) = word() {
        if name == b"cmdline" {
            process.arguments = std::iter::from_fn(&mut word).map(text).collect();
            break;
        }
        let Some(value) = word() else { break };
        match name {
            b"pid" => process.pid = text(value).parse().unwrap_or_default(),
            b"glibc" => process.libc = format!("glibc {}", text(value)),
            b"program" => process.program = text(value),
            b"set" => {
                let value = text(value);
                let (name, value) = value.split_once('=').unwrap_or((&value, ""));
                // The recorder itself is no setting.
                let others = |library: &&str| !library.ends_with("libbrkpoint_recorder.so");
                let value = match name {
                    "LD_PRELOAD" => {
                        let libraries = value.split([':', ' ']).filter(others);
                        libraries.collect::<Vec<_>>().join(":")
                    }
                    _ => value.to_owned(),
                };
                if !value.is_empty() {
                    process.settings.insert(name.to_owned(), value);
                }
            }
            _ => {}
        }
    }
}
