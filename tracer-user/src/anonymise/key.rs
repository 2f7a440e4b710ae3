//! A key that is made for one run and is not kept, and what it makes of words and numbers: the same for
//! the same, and nothing that leads back.

use std::hash::{BuildHasher as _, RandomState};

use super::words::{BEGINNINGS, SUFFIXES};
use crate::ask::is_made_up_name;

/// Letters of made-up words: none is a digit of a hash.
const LETTERS: &[u8; 20] = b"ghijklmnopqrstuvwxyz";
/// How many of them make a word: two of a million words are one with a chance of one in a million.
const WORD: usize = 14;
/// Numbers of so many digits stay: instances, versions, users of the system.
const SHORT: usize = 3;

/// A key of the operating system's random numbers. SipHash under it is a pseudo-random function, so
/// whoever does not have it can neither undo what it makes nor try words until one fits.
#[derive(Debug, Default)]
pub(super) struct Key(RandomState);

impl Key {
    fn hash(&self, purpose: u8, text: &[u8]) -> u64 {
        self.0.hash_one((purpose, text))
    }

    /// Instead of `number`: the same for the same.
    pub(super) fn number(&self, number: u64) -> u64 {
        self.hash(0, &number.to_ne_bytes())
    }

    /// A word instead of all of `text`, whatever is in it.
    pub(super) fn word(&self, text: &str) -> String {
        let letter = |rest: &mut u64| {
            let letter = LETTERS[(*rest % 20) as usize];
            *rest /= 20;
            char::from(letter)
        };
        let mut rest = self.hash(1, text.as_bytes());
        (0..WORD).map(|_| letter(&mut rest)).collect()
    }

    /// 32 hexadecimal digits.
    pub(super) fn id(&self, text: &str) -> String {
        let part = |purpose| self.hash(purpose, text.as_bytes());
        format!("{:016x}{:016x}", part(2), part(3))
    }

    /// A name of the same shape: word by word and number by number, so that what belongs together by
    /// its name still does, and what a program made up still looks so.
    pub(super) fn name(&self, text: &str) -> String {
        if is_made_up_name(text) && text.contains('_') {
            // An adjective and a surname: a hash says as little.
            return format!("a0{:014x}", self.hash(4, text.as_bytes()) >> 8);
        }
        // As systemd writes a hyphen.
        let text = text.replace("\\x2d", "-");
        let is_unit = |suffix: &str| matches!(suffix, "scope" | "service");
        let beginning = text
            .rsplit_once('.')
            .filter(|(_, suffix)| is_unit(suffix))
            .and_then(|_| BEGINNINGS.iter().find(|it| text.starts_with(**it)))
            .or_else(|| ["ecs-"].iter().find(|it| text.starts_with(**it)));
        let (mut out, rest) = match beginning {
            Some(beginning) => ((*beginning).to_owned(), &text[beginning.len()..]),
            None => (String::new(), &*text),
        };
        let mut from = 0;
        for (at, other) in rest.char_indices().filter(|(_, it)| !it.is_alphanumeric()) {
            out.push_str(&self.part(&rest[from..at], out.ends_with('.')));
            // Others say something by themselves.
            out.push(match other {
                '-' | '_' | '.' | '/' | ':' | '@' | '#' | '*' | ' ' => other,
                _ => '_',
            });
            from = at + other.len_utf8();
        }
        out.push_str(&self.part(&rest[from..], out.ends_with('.')));
        out
    }

    /// A part of a name, without what stands between parts.
    fn part(&self, part: &str, is_suffix: bool) -> String {
        let is = |test: fn(&u8) -> bool| part.bytes().any(|it| test(&it));
        let (digits, letters) = (is(u8::is_ascii_digit), is(u8::is_ascii_alphabetic));
        let plain = part.bytes().all(|it| it.is_ascii_alphanumeric());
        let hexadecimal = part.bytes().all(|it| it.is_ascii_hexdigit());
        let many = part.bytes().filter(u8::is_ascii_digit).count() > 1;
        let is_hash =
            digits && letters && plain && (hexadecimal && part.len() > 3 || many && part.len() > 4);
        if part.is_empty() || part == "sha256" || (is_suffix && SUFFIXES.contains(&part)) {
            return part.to_owned();
        }
        if is_hash {
            return self.alike(part, hexadecimal);
        }
        let stem = part.trim_end_matches(|it: char| it.is_ascii_digit());
        let number = &part[stem.len()..];
        let number = match number.len() {
            0..=SHORT => number.to_owned(),
            _ => self.alike(number, true),
        };
        match stem.is_empty() {
            true => number,
            false => self.word(stem) + &number,
        }
    }

    /// A user or another number that names somebody.
    pub(super) fn user(&self, uid: u32) -> u32 {
        let text = uid.to_string();
        let told = match text.len() {
            0..=SHORT => return uid,
            // The first digit stays within what a number can be.
            _ => self.alike(&text, true),
        };
        let number: u64 = told.parse().unwrap_or_default();
        // Those of ten digits may be too large.
        u32::try_from(number).unwrap_or((number % 1_000_000_000) as u32)
    }

    /// Digits for digits and letters for letters. What begins alike still does, as the short form of an
    /// id; and two never become one.
    fn alike(&self, text: &str, hexadecimal: bool) -> String {
        let mut out = String::with_capacity(text.len());
        for (at, byte) in text.bytes().enumerate() {
            let moved = self.hash(5, &text.as_bytes()[..at]);
            let turn = |first: u8, count: u64| {
                let turned = (u64::from(byte - first) + moved) % count;
                char::from(first + turned as u8)
            };
            let letters = if hexadecimal { 6 } else { 26 };
            out.push(match byte {
                // A number does not begin with zero.
                b'1'..=b'9' if at == 0 => turn(b'1', 9),
                b'0'..=b'9' => turn(b'0', 10),
                b'a'..=b'z' => turn(b'a', letters),
                _ => turn(b'A', letters),
            });
        }
        out
    }
}
