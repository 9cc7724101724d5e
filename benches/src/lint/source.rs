//! Where settings stand: what each place says, and where what is said is not heard.

use super::rules;

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

/// Whether a variable is about an allocator, or was perhaps meant to be.
fn concerns(name: &str) -> bool {
    name.starts_with("MALLOC_") || name.starts_with("M_") || rules::meant(name).is_some()
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

/// The settings among the words of `text`.
fn among(text: &str, origin: &str, unheard: Option<&'static str>) -> Vec<Setting> {
    words(text).iter().filter_map(|word| setting(word, origin, unheard)).collect()
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

/// What the process `pid` began with, by `/proc/<pid>/environ`.
pub fn process(pid: u32, environment: &[u8]) -> Vec<Setting> {
    let origin = format!("process {pid}");
    let text = String::from_utf8_lossy(environment);
    text.split('\0').filter_map(|pair| setting(pair, &origin, None)).collect()
}

/// A systemd unit, a Dockerfile, a script of the shell, a program that sets its own
/// environment, or a file of `NAME=value` lines, by what is in it.
pub fn file(name: &str, text: &str) -> Vec<Setting> {
    let lines = joined(text);
    let has = |start: &str| lines.iter().any(|(_, line)| line.trim_start().starts_with(start));
    if has("[Service]") || has("[Unit]") {
        unit(name, &lines)
    } else if lines.iter().any(|(_, line)| instruction(line, "FROM").is_some()) {
        dockerfile(name, &lines)
    } else if lines.iter().any(|(_, line)| set_by_itself(line).is_some()) {
        program(name, &lines)
    } else if text.lines().next().is_some_and(|line| line.starts_with("#!") && line.contains("sh"))
    {
        shell(name, &lines)
    } else {
        plain(name, &lines)
    }
}

/// How programs set their own environment.
const SETTERS: [&str; 7] =
    ["os.environ[", "os.putenv(", "setenv(", "putenv(", "set_var(", "process.env.", "ENV["];

/// `NAME=value` of a line in which a program sets its own environment.
fn set_by_itself(line: &str) -> Option<String> {
    let after = SETTERS.iter().find_map(|setter| Some(line.split_once(setter)?.1))?;
    let after = after.trim_start_matches(['"', '\'', ' ']);
    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let (name, rest) = after.split_at(end);
    let value = rest.trim_start_matches(['"', '\'', ']', ' ', '=', ',', 'b']);
    let value: String = value.chars().take_while(|c| !"\"'),; ".contains(*c)).collect();
    (concerns(name) && !value.is_empty()).then(|| format!("{name}={value}"))
}

fn program(name: &str, lines: &[(usize, String)]) -> Vec<Setting> {
    let late = "the program sets it itself, and malloc has read the environment before: set it \
                where the program is started, or call mallopt";
    let one = |(number, line): &(usize, String)| {
        setting(&set_by_itself(line)?, &format!("{name}:{number}"), Some(late))
    };
    lines.iter().filter_map(one).collect()
}

/// A script of the shell: what is set on a line of its own and never exported stays in
/// the shell; before a command, or exported, it reaches processes.
fn shell(name: &str, lines: &[(usize, String)]) -> Vec<Setting> {
    let exported = |variable: &str| {
        let all = lines.iter().any(|(_, line)| line.starts_with("set -a"));
        let named = |line: &str| {
            exporting(line).is_some_and(|rest| {
                words(rest).iter().any(|word| word.split('=').next() == Some(variable))
            })
        };
        all || lines.iter().any(|(_, line)| named(line))
    };
    let mut settings = Vec::new();
    let commands = lines.iter().flat_map(|(number, line)| {
        commands(line).into_iter().map(move |command| (number, command))
    });
    for (number, line) in commands {
        let (line, exports) = match exporting(&line) {
            Some(rest) => (rest, true),
            None => (line.strip_prefix("exec ").unwrap_or(&line), false),
        };
        let words = words(line.strip_prefix("env ").unwrap_or(line));
        let is_setting = |word: &&String| {
            let name = word.split_once('=').map_or("", |(name, _)| name);
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let set: Vec<&String> = words.iter().take_while(is_setting).collect();
        let alone = set.len() == words.len() && !exports;
        for word in set {
            let variable = word.split('=').next().unwrap_or_default();
            let lost = alone && !exported(variable);
            let why = lost.then_some("it is not exported, so no process gets it");
            settings.extend(setting(word, &format!("{name}:{number}"), why));
        }
    }
    settings
}

/// What follows the word by which a shell exports.
fn exporting(line: &str) -> Option<&str> {
    ["export ", "declare -x ", "typeset -x "].iter().find_map(|word| line.strip_prefix(word))
}

/// The commands of a line of the shell, without what is a comment.
fn commands(line: &str) -> Vec<String> {
    let (mut commands, mut command, mut quote) = (Vec::new(), String::new(), None);
    let mut end = |command: &mut String| {
        let one = std::mem::take(command);
        commands.extend(Some(one.trim().to_owned()).filter(|one| !one.is_empty()));
    };
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '#' && command.ends_with(char::is_whitespace) => break,
            None if matches!(c, ';' | '&' | '|') => {
                end(&mut command);
                continue;
            }
            _ => {}
        }
        command.push(c);
    }
    end(&mut command);
    commands
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
        // `env NAME=value program` and `sh -c` are heard.
        if key != "Environment" && (value.contains("env ") || value.contains("sh -c")) {
            settings.extend(words(value).iter().flat_map(|word| among(word, &origin, None)));
            continue;
        }
        settings.extend(among(value, &origin, unheard));
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
        let runs = instruction(line, "CMD").or_else(|| instruction(line, "ENTRYPOINT"));
        if let Some(rest) = runs {
            // A list of words, or a line for the shell.
            let listed = rest.starts_with('[');
            let rest = if listed { rest.replace(['[', ']', ','], " ") } else { rest.to_owned() };
            settings.extend(among(&rest, &origin, None));
        }
        let lost = instruction(line, "RUN")
            .map(|rest| (rest, "RUN sets it while the image is built: use ENV"));
        let lost = lost.or_else(|| {
            instruction(line, "ARG")
                .map(|rest| (rest, "ARG is gone when the container runs: use ENV"))
        });
        if let Some((rest, why)) = lost {
            settings.extend(among(rest, &origin, Some(why)));
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
        // The lists and maps of YAML, too.
        let line = line.strip_prefix("- ").unwrap_or(line);
        let word = match line.split_once(": ") {
            Some((name, value)) if !name.contains('=') => {
                format!("{name}={}", words(value).first()?)
            }
            _ => words(line).into_iter().next()?,
        };
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
    fn what_a_program_sets_in_its_own_environment_is_too_late() {
        let python = "import os\nos.environ[\"MALLOC_TRIM_THRESHOLD_\"] = str(65536)\n\
                      os.environ['MALLOC_ARENA_MAX'] = '2'\nos.environ['HOME'] = '/x'\n";
        assert_eq!(
            names(&file("a.py", python)),
            [("MALLOC_TRIM_THRESHOLD_", "str(65536", false), ("MALLOC_ARENA_MAX", "2", false)]
        );
        let c = "int main() { setenv(\"MALLOC_TOP_PAD_\", \"65536\", 1); }\n";
        assert_eq!(names(&file("a.c", c)), [("MALLOC_TOP_PAD_", "65536", false)]);
        let rust =
            "unsafe { std::env::set_var(\"GLIBC_TUNABLES\", \"glibc.malloc.arena_max=1\") };\n";
        assert_eq!(
            names(&file("a.rs", rust)),
            [("GLIBC_TUNABLES", "glibc.malloc.arena_max=1", false)]
        );
    }

    #[test]
    fn a_shell_passes_on_what_is_exported_or_stands_before_a_command() {
        let script = "#!/bin/sh\nMALLOC_ARENA_MAX=1\nexport MALLOC_TOP_PAD_=65536\n\
                      MALLOC_MMAP_MAX_=0\nexport MALLOC_MMAP_MAX_\n\
                      exec env MALLOC_TRIM_THRESHOLD_=1 ./server --port 1\n";
        assert_eq!(
            names(&file("run.sh", script)),
            [
                ("MALLOC_ARENA_MAX", "1", false),
                ("MALLOC_TOP_PAD_", "65536", true),
                ("MALLOC_MMAP_MAX_", "0", true),
                ("MALLOC_TRIM_THRESHOLD_", "1", true),
            ]
        );
    }

    #[test]
    fn a_shell_ends_a_command_where_it_does() {
        let script = "#!/bin/bash\nMALLOC_ARENA_MAX=2 # cap\nMALLOC_TOP_PAD_=1; ./server\n\
                      MALLOC_MMAP_MAX_=3 && ./x\ndeclare -x MALLOC_CHECK_='1; 2'\n\
                      MALLOC_PERTURB_=4 ./x | MALLOC_ARENA_TEST=5 ./y\n";
        assert_eq!(
            names(&file("run.sh", script)),
            [
                ("MALLOC_ARENA_MAX", "2", false),
                ("MALLOC_TOP_PAD_", "1", false),
                ("MALLOC_MMAP_MAX_", "3", false),
                ("MALLOC_CHECK_", "1; 2", true),
                ("MALLOC_PERTURB_", "4", true),
                ("MALLOC_ARENA_TEST", "5", true),
            ]
        );
    }

    #[test]
    fn what_starts_the_program_may_set_it() {
        let unit = "[Service]\nExecStart=/usr/bin/env MALLOC_ARENA_MAX=1 /bin/app\n\
                    ExecStartPre=/bin/sh -c \"MALLOC_MMAP_MAX_=1k app\"\n";
        let heard = [("MALLOC_ARENA_MAX", "1", true), ("MALLOC_MMAP_MAX_", "1k", true)];
        assert_eq!(names(&file("a.service", unit)), heard);
        let image = "FROM x\nENTRYPOINT [\"env\",\"MALLOC_ARENA_MAX=1\", \"app\"]\n\
                     CMD MALLOC_MMAP_MAX_=1k app\n";
        assert_eq!(names(&file("Dockerfile", image)), heard);
        let compose = "services:\n  a:\n    environment:\n      - MALLOC_ARENA_MAX=1\n\
                       \x20     MALLOC_MMAP_MAX_: \"1k\"\n";
        assert_eq!(names(&file("compose.yaml", compose)), heard);
    }

    #[test]
    fn a_process_has_what_it_began_with() {
        let settings = process(7, b"PATH=/bin\0MALLOC_ARENA_MAX=2\0");
        assert_eq!(names(&settings), [("MALLOC_ARENA_MAX", "2", true)]);
        assert_eq!(settings[0].origin, "process 7");
    }

    #[test]
    fn plain_lines_and_a_tunables_string_are_read() {
        let settings = file("env", "export MALLOC_TOP_PAD_='1'\nPATH=/bin\n");
        assert_eq!(names(&settings), [("MALLOC_TOP_PAD_", "1", true)]);
        let settings = tunables("GLIBC_TUNABLES=glibc.malloc.top_pad=1");
        assert_eq!(names(&settings), [("GLIBC_TUNABLES", "glibc.malloc.top_pad=1", true)]);
    }
}
