//! What goes to standard error, as people read it there: a terminal, or a log.
//!
//! Errors and warnings quote what others chose (names, arguments, lines of files, answers of sockets), and
//! some have several lines. All of them come through here, so nobody who makes one has to think of it.

use super::sanitise;

/// Columns that a complaint may take; of what is longer, the middle is left out, as what to do is at
/// the end.
const MAX_COLUMNS: usize = 8_192;

/// The same of a page.
const MAX_PAGE: usize = 256 << 10;

/// `text` harmless for a terminal, and bounded. Its lines stay lines; all but the first are set in, so
/// that none looks like a complaint of its own.
pub fn complaint(text: &str) -> String {
    harmless(text, MAX_COLUMNS, "  ")
}

/// `text` harmless for a terminal, and bounded, with its lines as they are: for what is a page of its own.
pub fn lines(text: &str) -> String {
    harmless(text, MAX_PAGE, "")
}

fn harmless(text: &str, max: usize, indent: &str) -> String {
    // Looked at only as far as it could be shown: a character takes a column at least.
    let text = middle_out(text.trim_end_matches('\n'), max);
    let mut out = String::new();
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
            if !line.starts_with(indent) {
                out.push_str(indent);
            }
        }
        out.push_str(&sanitise(line, usize::MAX).to_string());
    }
    middle_out(&out, max).into_owned()
}

/// `text` in so many bytes at most, about: what is too much is taken out of its middle.
fn middle_out(text: &str, max: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= max {
        return text.into();
    }
    let (mut head, mut tail) = (max / 2, text.len() - max / 2);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{} … {}", &text[..head], &text[tail..]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::sanitise::is_printable;

    #[test]
    fn leaves_ordinary_text_alone() {
        for text in [
            "",
            "impact: nothing in this map is called that",
            "making tables in the kernel: no\n  fix: ask for less",
            "größe \"x\" → 日本",
        ] {
            assert_eq!(complaint(text), text);
        }
        assert_eq!(complaint("a\n"), "a");
        assert_eq!(lines("✗ a\n    why: b\nc"), "✗ a\n    why: b\nc");
    }

    #[test]
    fn no_name_is_obeyed_and_none_begins_a_line() {
        let name = "x\u{1b}]0;t\u{7}\u{9b}2J\r\u{202e}\u{2028}\ntracer: all is well";
        let text = complaint(&format!("nothing is called {name}"));
        assert!(
            text.chars().all(|it| is_printable(it) || it == '\n'),
            "{text:?}"
        );
        assert!(text.contains("\n  tracer: all is well"), "{text:?}");
    }

    #[test]
    fn is_bounded_and_keeps_its_end() {
        for name in ["x", "\u{202e}", "日", "\n", "\0\n"] {
            let text = complaint(&format!("what {}: do this", name.repeat(1 << 20)));
            assert!(text.len() <= MAX_COLUMNS + 8, "{}", text.len());
            assert!(text.starts_with("what ") && text.ends_with(": do this"));
        }
    }
}
