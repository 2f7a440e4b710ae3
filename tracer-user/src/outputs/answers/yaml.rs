//! Text as YAML, the same for readers of 1.1 and of 1.2.

use std::fmt::{self, Display, Write as _};

/// A scalar in double quotes, in ASCII: the only form that can hold any text, and that is a text to every
/// reader. A plain one can be a number, a truth value (`no`, `on`) or a time, depending on who reads it.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for char in self.0.chars() {
            let code = u32::from(char);
            match char {
                '"' | '\\' => write!(f, "\\{char}")?,
                ' '..='~' => f.write_char(char)?,
                // Unlike JSON's, an escape of YAML is a character of its own, never half of a pair.
                '\0'..='\u{ff}' => write!(f, "\\x{code:02X}")?,
                '\u{100}'..='\u{ffff}' => write!(f, "\\u{code:04X}")?,
                _ => write!(f, "\\U{code:08X}")?,
            }
        }
        f.write_char('"')
    }
}
