//! Names that were perhaps meant.

/// The one of `known` that `name` is nearest to, if it is near at all: two
/// letters off, or one begins with the other.
pub(crate) fn near<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    let likely = |candidate: &&str| {
        let short = name.len().min(candidate.len());
        distance(name, candidate) <= 2.min(short / 2)
            || (short >= 3 && (candidate.starts_with(name) || name.starts_with(*candidate)))
    };
    known.filter(likely).min_by_key(|candidate| distance(name, candidate)).map(str::to_owned)
}

/// ` (did you mean X?)`, or nothing.
pub(crate) fn hint(near: &Option<String>) -> String {
    near.as_ref().map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

/// Letters to insert, remove or replace between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_recognised() {
        let known = ["glibc", "mimalloc", "jemalloc", "tcmalloc"];
        let near = |name| near(name, known.into_iter());
        assert_eq!(near("mimaloc").as_deref(), Some("mimalloc"));
        assert_eq!(near("jemallok").as_deref(), Some("jemalloc"));
        assert_eq!(near("glib").as_deref(), Some("glibc"));
        assert_eq!(near("hoard"), None);
        assert_eq!(near("x"), None);
        assert_eq!(near(""), None);
    }

    #[test]
    fn distances_are_counted_in_letters() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
