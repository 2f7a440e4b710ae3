//! Makes text from outside harmless for a terminal: whatever has no visible form of its
//! own, or changes how its surroundings look, becomes a visible escape.

use std::fmt::{self, Display, Write};

/// `text` fit for a terminal, at most `max` columns of it: control, format, bidirectional,
/// combining, invisible and unassigned characters as `\n`, `\x1b` or `\u{202e}`, and the
/// backslash doubled so that an escape can be told from its imitation.
/// What is cut off shows as `…`.
pub fn sanitise(text: &str, max: usize) -> impl Display {
    Sanitised { text, max }
}

struct Sanitised<'a> {
    text: &'a str,
    max: usize,
}

impl Display for Sanitised<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        let mut width = 0;
        // Where to cut so that the ellipsis still fits.
        let mut cut = 0;
        for char in self.text.chars() {
            let start = out.len();
            push(char, &mut out);
            // Escapes are ASCII. Whatever else is shown may be two columns wide.
            width += out[start..]
                .chars()
                .map(|it| if it.is_ascii() { 1 } else { 2 })
                .sum::<usize>();
            if width > self.max {
                out.truncate(cut);
                out.push('…');
                break;
            }
            if width < self.max {
                cut = out.len();
            }
        }
        f.pad(&out)
    }
}

fn push(char: char, out: &mut String) {
    // Writing to a String does not fail.
    let _ = match char {
        '\\' => write!(out, "\\\\"),
        _ if is_printable(char) => write!(out, "{char}"),
        '\t' | '\n' | '\r' => write!(out, "{}", char.escape_default()),
        '\0'..='\u{ff}' => write!(out, "\\x{:02x}", u32::from(char)),
        _ => write!(out, "{}", char.escape_unicode()),
    };
}

/// Whether `char` shows as itself and leaves its surroundings alone.
pub(super) fn is_printable(char: char) -> bool {
    match char {
        ' '..='~' => true,
        // Letters by category, yet they show as nothing.
        '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' => false,
        // The standard library knows the categories Cc, Cf, Cn, Co, Zs, Zl, Zp and the
        // combining marks: it escapes these.
        _ => char > '\u{7f}' && char.escape_debug().len() == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        sanitise(text, 200).to_string()
    }

    #[test]
    fn leaves_ordinary_text_alone() {
        for text in [
            "",
            "nginx",
            "kworker/0:1",
            "a b",
            "it's \"quoted\"",
            "größe",
            "日本語",
            "Ωmega",
            "a\u{fffd}b",
        ] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn shows_what_a_terminal_would_obey() {
        assert_eq!(clean("a\nb\tc\r"), "a\\nb\\tc\\r");
        assert_eq!(clean("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m");
        assert_eq!(
            clean("\0\x07\x7f\u{80}\u{9b}\u{9f}"),
            "\\x00\\x07\\x7f\\x80\\x9b\\x9f"
        );
        assert_eq!(clean("a\\nb"), "a\\\\nb");
    }

    #[test]
    fn shows_what_cannot_be_seen() {
        let hidden = [
            '\u{a0}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{301}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e000}',
            '\u{e0041}',
            '\u{10ffff}',
        ];
        for char in hidden {
            let out = clean(&char.to_string());
            assert!(
                out.starts_with('\\') && out.is_ascii(),
                "{:x}: {out}",
                u32::from(char)
            );
        }
    }

    #[test]
    fn nothing_unprintable_comes_out() {
        for char in '\0'..=char::MAX {
            let out = clean(&char.to_string());
            assert!(
                out.chars().all(is_printable),
                "{:x}: {out:?}",
                u32::from(char)
            );
        }
    }

    #[test]
    fn cuts_long_text() {
        assert_eq!(sanitise("abcdef", 6).to_string(), "abcdef");
        assert_eq!(sanitise("abcdefg", 6).to_string(), "abcde…");
        assert_eq!(sanitise("abcd\x1bxyz", 6).to_string(), "abcd…");
        assert_eq!(sanitise("日本語日本語", 6).to_string(), "日本…");
        let long = "\u{202e}".repeat(100_000);
        assert!(sanitise(&long, 40).to_string().len() < 60);
    }

    #[test]
    fn can_be_padded() {
        assert_eq!(format!("{:<6}|", sanitise("a\n", 9)), "a\\n   |");
    }
}
