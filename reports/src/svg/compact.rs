//! What plotters wrote, in fewer bytes: a page holds hundreds of plots.

use std::fmt::Write;

/// Rewrites shapes that stand a line each. Neighbours that look alike become one
/// path: lines, and dots, which are strokes of no length with round ends.
pub(super) fn compact(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut path: Option<Path> = None;
    let mut lines = body.lines().filter(|line| !line.is_empty());
    while let Some(line) = lines.next() {
        let piece = piece(line);
        if let (Some(open), Some((look, d))) = (&mut path, &piece)
            && open.look == *look
        {
            open.d.push_str(d);
            continue;
        }
        if let Some(done) = path.take() {
            done.end(&mut out);
        }
        match piece {
            Some((look, d)) => path = Some(Path { look, d, alone: line.to_owned() }),
            None if line.starts_with("<text ") => text(&mut out, line, &mut lines),
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    if let Some(done) = path {
        done.end(&mut out);
    }
    out
}

/// Shapes that look alike, so far.
struct Path {
    look: String,
    d: String,
    /// The first of them, as it was.
    alone: String,
}

impl Path {
    fn end(self, out: &mut String) {
        // One circle is shorter than a path of one.
        if self.d.matches('M').count() == 1 {
            out.push_str(&self.alone.replace(" stroke-width=\"1\"", ""));
            out.push('\n');
        } else {
            let _ = writeln!(out, "<path {} d=\"{}\"/>", self.look, self.d);
        }
    }
}

/// The look of a line or a dot, and its part of a path.
fn piece(line: &str) -> Option<(String, String)> {
    let value = |name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=\""))?;
        Some(rest.split_once('"')?.0)
    };
    if line.starts_with("<line ") {
        let look =
            format!("stroke=\"{}\" stroke-width=\"{}\"", value("stroke")?, value("stroke-width")?);
        let d = format!("M{} {}L{} {}", value("x1")?, value("y1")?, value("x2")?, value("y2")?);
        return Some((look, d));
    }
    if line.starts_with("<polyline fill=\"none\" ") {
        let look =
            format!("stroke=\"{}\" stroke-width=\"{}\"", value("stroke")?, value("stroke-width")?);
        let d = format!("M{}", value("points")?.trim_end().replacen(' ', "L", 1));
        return Some((look, d));
    }
    if line.starts_with("<circle ") {
        let width = 2 * value("r")?.parse::<u32>().ok()?;
        let look = format!(
            "stroke=\"{}\" stroke-width=\"{width}\" stroke-linecap=\"round\"",
            value("fill")?
        );
        return Some((look, format!("M{} {}h0", value("cx")?, value("cy")?)));
    }
    None
}

/// A text in one line; what all have is the style sheet's.
fn text<'l>(out: &mut String, first: &str, lines: &mut impl Iterator<Item = &'l str>) {
    let mut head = first.to_owned();
    for (long, short) in [
        (" font-size=\"88\"", ""),
        (" text-anchor=\"start\"", ""),
        (" fill=\"var(--text)\"", ""),
        (" fill=\"var(--muted)\"", " class=\"m\""),
    ] {
        head = head.replace(long, short);
    }
    out.push_str(&head);
    for line in lines {
        out.push_str(line);
        if line.ends_with("</text>") {
            break;
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_look_alike_become_a_path() {
        let dot =
            |x| format!("<circle cx=\"{x}\" cy=\"2\" r=\"13\" fill=\"ink\" stroke-width=\"1\"/>");
        let body = [dot(1), dot(5), "<g>".to_owned(), dot(9)].join("\n");
        let expected = "<path stroke=\"ink\" stroke-width=\"26\" stroke-linecap=\"round\" \
                        d=\"M1 2h0M5 2h0\"/>\n<g>\n\
                        <circle cx=\"9\" cy=\"2\" r=\"13\" fill=\"ink\"/>\n";
        assert_eq!(compact(&body), expected);
        let line = "<line stroke=\"a\" stroke-width=\"6\" x1=\"1\" y1=\"2\" x2=\"3\" y2=\"4\"/>";
        let twice = compact(&format!("{line}\n\n{line}"));
        assert!(twice.contains("d=\"M1 2L3 4M1 2L3 4\""), "{twice}");
        assert_eq!(compact(line), format!("{line}\n"));
    }

    #[test]
    fn a_text_keeps_what_it_says() {
        let text = "<text x=\"1\" font-size=\"88\" text-anchor=\"start\">\n&lt;circle a\n</text>";
        assert_eq!(compact(text), "<text x=\"1\">&lt;circle a</text>\n");
    }
}
