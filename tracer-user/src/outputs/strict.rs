//! Names where a reader could take them for more than names: in comments of rules and units, and in
//! their values.

use std::fmt;

/// A name in the strictest form: `[A-Za-z0-9._@:-]`, all else as `_`. It ends no comment, no string
/// and no line of any language, has no space to form a sentence with, and is bounded.
///
/// There is no other way to make one, so whatever takes it takes nothing from outside as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Strict(String);

impl Strict {
    /// Characters at most; of what is longer, the end shows as `..`.
    pub(super) const MAX: usize = 40;

    pub(super) fn of(name: &str) -> Self {
        let allowed = |it: char| it.is_ascii_alphanumeric() || "._@:-".contains(it);
        let strict = |it: char| if allowed(it) { it } else { '_' };
        let mut out: String = name.chars().take(Self::MAX).map(strict).collect();
        if name.chars().nth(Self::MAX).is_some() {
            out.truncate(Self::MAX - 2);
            out.push_str("..");
        }
        if out.is_empty() {
            out.push('_');
        }
        Self(out)
    }
}

impl fmt::Display for Strict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(name: &str) -> String {
        Strict::of(name).to_string()
    }

    #[test]
    fn leaves_names_as_they_are() {
        for name in [
            "nginx.service",
            "app@1.service",
            "web-1",
            "secpg.service@1000",
            "2001:db8::1",
        ] {
            assert_eq!(strict(name), name);
        }
    }

    #[test]
    fn nothing_else_gets_through() {
        for char in '\0'..=char::MAX {
            let out = strict(&format!("a{char}b"));
            assert!(
                out.bytes()
                    .all(|it| it.is_ascii_alphanumeric() || b"._@:-_".contains(&it)),
                "{char:?}: {out}"
            );
            assert_eq!(out.len(), 3);
        }
        assert_eq!(strict(""), "_");
        assert_eq!(strict("x: y # Proven"), "x:_y___Proven");
        assert_eq!(strict(&"x".repeat(65_536)).len(), Strict::MAX);
        assert_eq!(strict(&"x".repeat(Strict::MAX)), "x".repeat(Strict::MAX));
    }
}
