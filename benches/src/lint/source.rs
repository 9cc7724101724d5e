//! Where settings stand: what each place says, and where what is said is not heard.

/// A variable and its value, as a place sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Name of the variable.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The place, for a person: `app.service:7`.
    pub origin: String,
    /// Why no process gets it from there, if so.
    pub unheard: Option<&'static str>,
}

/// Whether a variable is about an allocator.
fn concerns(name: &str) -> bool {
    name == "GLIBC_TUNABLES" || name.starts_with("MALLOC_") || name.starts_with("M_")
}

fn setting(text: &str, origin: &str, unheard: Option<&'static str>) -> Option<Setting> {
    let (name, value) = text.split_once('=')?;
    concerns(name).then(|| Setting {
        name: name.to_owned(),
        value: value.to_owned(),
        origin: origin.to_owned(),
        unheard,
    })
}

/// What this process has in its environment.
pub fn environment() -> Vec<Setting> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let text = format!("{}={}", name.to_string_lossy(), value.to_string_lossy());
        setting(&text, "environment", None)
    };
    std::env::vars_os().filter_map(text).collect()
}

/// The value of `GLIBC_TUNABLES`, with or without that name before it.
pub fn tunables(text: &str) -> Vec<Setting> {
    let value = text.strip_prefix("GLIBC_TUNABLES=").unwrap_or(text);
    setting(&format!("GLIBC_TUNABLES={value}"), "--tunables", None).into_iter().collect()
}

/// A systemd unit, a Dockerfile, or a file of `NAME=value` lines, by what is in it.
pub fn file(name: &str, text: &str) -> Vec<Setting> {
    let lines = joined(text);
    let has = |start: &str| lines.iter().any(|(_, line)| line.trim_start().starts_with(start));
    if has("[Service]") || has("[Unit]") {
        unit(name, &lines)
    } else if lines.iter().any(|(_, line)| instruction(line, "FROM").is_some()) {
        dockerfile(name, &lines)
    } else {
        plain(name, &lines)
    }
}

/// Lines with their numbers; one that ends in a backslash goes on in the next.
/// Comments are left out.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('#') || line.starts_with(';') {
            continue;
        }
        let (part, more) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match lines.last_mut().filter(|_| open) {
            Some((_, last)) => last.push_str(&format!(" {part}")),
            None => lines.push((i + 1, part.to_owned())),
        }
        open = more;
    }
    lines
}

fn unit(name: &str, lines: &[(usize, String)]) -> Vec<Setting> {
    let mut section = "";
    let mut settings = Vec::new();
    for (number, line) in lines {
        let origin = format!("{name}:{number}");
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let key = key.trim();
        let unheard = match key {
            "Environment" if section == "[Service]" => None,
            "Environment" => Some("Environment= is read in [Service] only"),
            _ if key.starts_with("ExecStart") => {
                Some("systemd runs no shell: what a command line exports reaches no process")
            }
            _ => continue,
        };
        let exported = unheard.is_some() && key != "Environment";
        // `env NAME=value program` and `sh -c` are heard.
        if exported && (value.contains("env ") || value.contains("sh -c")) {
            continue;
        }
        settings.extend(words(value).iter().filter_map(|word| setting(word, &origin, unheard)));
    }
    settings
}

fn dockerfile(name: &str, lines: &[(usize, String)]) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (number, line) in lines {
        let origin = format!("{name}:{number}");
        if let Some(rest) = instruction(line, "ENV") {
            let words = words(rest);
            match &words[..] {
                // The old form, without an equals sign.
                [name, value @ ..] if !name.contains('=') => {
                    settings.extend(setting(&format!("{name}={}", value.join(" ")), &origin, None));
                }
                words => settings.extend(words.iter().filter_map(|w| setting(w, &origin, None))),
            }
        }
        let lost = instruction(line, "RUN")
            .map(|rest| (rest, "RUN sets it while the image is built: use ENV"));
        let lost = lost.or_else(|| {
            instruction(line, "ARG")
                .map(|rest| (rest, "ARG is gone when the container runs: use ENV"))
        });
        if let Some((rest, why)) = lost {
            settings
                .extend(words(rest).iter().filter_map(|word| setting(word, &origin, Some(why))));
        }
    }
    settings
}

fn instruction<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (first, rest) = line.trim().split_once(char::is_whitespace)?;
    first.eq_ignore_ascii_case(name).then_some(rest)
}

fn plain(name: &str, lines: &[(usize, String)]) -> Vec<Setting> {
    let one = |(number, line): &(usize, String)| {
        let line = line.strip_prefix("export ").unwrap_or(line);
        let word = words(line).into_iter().next()?;
        setting(&word, &format!("{name}:{number}"), None)
    };
    lines.iter().filter_map(one).collect()
}

/// Words between spaces, with quotes taken off.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.push(c),
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() || c == ';' => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            None => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(settings: &[Setting]) -> Vec<(&str, &str, bool)> {
        settings.iter().map(|s| (&*s.name, &*s.value, s.unheard.is_none())).collect()
    }

    #[test]
    fn a_unit_is_heard_in_its_service_section_only() {
        let text = "[Unit]\nEnvironment=MALLOC_ARENA_MAX=2\n[Service]\n# MALLOC_TOP_PAD_=1\n\
                    Environment=\"MALLOC_TOP_PAD_=64\" HOME=/x\nEnvironment=A=1 \\\n MALLOC_MMAP_MAX_=0\n\
                    ExecStart=MALLOC_TRIM_THRESHOLD_=1 /bin/app\n";
        let settings = file("app.service", text);
        assert_eq!(
            names(&settings),
            [
                ("MALLOC_ARENA_MAX", "2", false),
                ("MALLOC_TOP_PAD_", "64", true),
                ("MALLOC_MMAP_MAX_", "0", true),
                ("MALLOC_TRIM_THRESHOLD_", "1", false),
            ]
        );
        assert_eq!(settings[2].origin, "app.service:6");
    }

    #[test]
    fn a_dockerfile_sets_for_the_container_by_env_alone() {
        let text = "FROM debian\nARG MALLOC_ARENA_MAX=1\nENV MALLOC_TOP_PAD_=4 X=1\n\
                    ENV MALLOC_ARENA_MAX 2\nRUN export MALLOC_MMAP_MAX_=1 && make\n";
        assert_eq!(
            names(&file("Dockerfile", text)),
            [
                ("MALLOC_ARENA_MAX", "1", false),
                ("MALLOC_TOP_PAD_", "4", true),
                ("MALLOC_ARENA_MAX", "2", true),
                ("MALLOC_MMAP_MAX_", "1", false),
            ]
        );
    }

    #[test]
    fn plain_lines_and_a_tunables_string_are_read() {
        let settings = file("env", "export MALLOC_TOP_PAD_='1'\nPATH=/bin\n");
        assert_eq!(names(&settings), [("MALLOC_TOP_PAD_", "1", true)]);
        let settings = tunables("GLIBC_TUNABLES=glibc.malloc.top_pad=1");
        assert_eq!(names(&settings), [("GLIBC_TUNABLES", "glibc.malloc.top_pad=1", true)]);
    }
}
