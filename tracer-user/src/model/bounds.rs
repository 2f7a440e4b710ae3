//! How much is kept of what others choose: labels, arguments, paths, names. Bounded as it is written: an escape takes
//! up to twelve bytes where the text has one, so bytes of the text alone bound no line.
//!
//! With these bounds a line of the stream stays below [`MAX_LINE_BYTES`]; a test builds the longest.

use std::{collections::BTreeMap, sync::Arc};

/// No line about a connection, a listener or a process is longer, bytes.
pub const MAX_LINE_BYTES: usize = 64 << 10;

/// How many labels of a container are kept; the first ones by their keys.
pub const MAX_LABELS: usize = 64;
/// How long a label's key may be, bytes: as long as Kubernetes allows. A longer one is left out.
pub const MAX_KEY_BYTES: usize = 317;
/// How many bytes of a label's value are kept.
pub const MAX_VALUE_BYTES: usize = 512;
/// What the labels of a container take together as they are written, bytes; the next are left out.
pub const MAX_LABELS_WRITTEN: usize = 8192;
/// How many arguments of a process are kept.
pub const MAX_ARGS: usize = 64;
/// What the arguments of a process take together as they are written, bytes.
pub const MAX_ARGS_WRITTEN: usize = 4608;
/// What a path takes as it is written, bytes: as many as the kernel allows of the plainest.
pub const MAX_PATH_WRITTEN: usize = 4096;
/// What a name takes as it is written, bytes.
pub const MAX_NAME_WRITTEN: usize = 512;

/// What stands for the rest of a text.
const REST: char = '…';

/// Bytes that `c` takes in JSON, the most that any writer needs.
fn written(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        ' '..='~' => 1,
        c if c.is_alphanumeric() => c.len_utf8(),
        // Escaped as one unit of UTF-16 or two.
        c => 6 * c.len_utf16(),
    }
}

/// Bytes that `text` takes in JSON, without its quotes.
pub fn written_bytes(text: &str) -> usize {
    // Most is plain.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    match text.as_bytes().iter().all(is_plain) {
        true => text.len(),
        false => text.chars().map(written).sum(),
    }
}

/// The beginning of `text` that takes at most `max` bytes as it is written, and ends with `…` if that is not all.
pub fn beginning(text: &str, max: usize) -> Arc<str> {
    if written_bytes(text) <= max {
        return text.into();
    }
    let mut left = max.saturating_sub(written(REST));
    let mut kept: String = text.chars().take_while(|c| fits(*c, &mut left)).collect();
    kept.push(REST);
    kept.into()
}

/// The end of a path, with the name of the file, that takes at most `max` bytes as it is written, and begins with `…`
/// if that is not all.
pub fn end_of_path(path: &str, max: usize) -> Arc<str> {
    if written_bytes(path) <= max {
        return path.into();
    }
    let mut left = max.saturating_sub(written(REST));
    let kept = path.chars().rev().take_while(|c| fits(*c, &mut left));
    let kept: Vec<char> = kept.chain([REST]).collect();
    kept.into_iter().rev().collect::<String>().into()
}

fn fits(c: char, left: &mut usize) -> bool {
    let rest = left.checked_sub(written(c));
    *left = rest.unwrap_or(0);
    rest.is_some()
}

/// The labels of `all` that are kept, which come in order of their keys, and how many are not.
pub fn labels<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
) -> (BTreeMap<Arc<str>, Arc<str>>, u64) {
    let (mut kept, mut cut) = (BTreeMap::new(), 0_u64);
    let mut left = MAX_LABELS_WRITTEN;
    for (key, value) in all {
        let value = value_of(value);
        // Two pairs of quotes, a colon and a comma.
        let takes = written_bytes(key) + written_bytes(&value) + 6;
        let has_room = kept.len() < MAX_LABELS && takes <= left;
        if (1..=MAX_KEY_BYTES).contains(&key.len()) && has_room {
            left -= takes;
            kept.insert(key.into(), value);
        } else {
            cut = cut.saturating_add(1);
        }
    }
    (kept, cut)
}

/// What is kept of the value of a label.
pub fn value_of(text: &str) -> Arc<str> {
    if text.len() <= MAX_VALUE_BYTES {
        return text.into();
    }
    let mut end = MAX_VALUE_BYTES - REST.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{REST}", &text[..end]).into()
}

/// The arguments that are kept of `all`; the last one ends with `…` if there were more, or if `is_cut` says so.
pub fn args(mut all: impl Iterator<Item = String>, is_cut: bool) -> Arc<[String]> {
    let mut kept: Vec<String> = all.by_ref().take(MAX_ARGS).collect();
    let is_cut = is_cut || all.next().is_some();
    // A pair of quotes and a comma.
    let takes = |arg: &String| written_bytes(arg) + 3;
    let room = |is_cut| MAX_ARGS_WRITTEN - if is_cut { written(REST) } else { 0 };
    let fits_all = kept.iter().map(takes).sum::<usize>() <= room(is_cut);
    if !fits_all {
        let mut left = room(true);
        let whole = kept.iter().take_while(|arg| {
            let rest = left.checked_sub(takes(arg));
            left = rest.unwrap_or(left);
            rest.is_some()
        });
        let whole = whole.count();
        kept.truncate(whole + 1);
        if let Some(mut left) = left.checked_sub(3)
            && let Some(last) = kept.get_mut(whole)
        {
            *last = last.chars().take_while(|c| fits(*c, &mut left)).collect();
        } else {
            kept.truncate(whole);
        }
    }
    if let Some(last) = kept.last_mut().filter(|_| is_cut || !fits_all) {
        last.push(REST);
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> usize {
        serde_json::to_string(text).expect("JSON").len() - 2
    }

    #[test]
    fn what_is_written_is_never_more_than_is_said() {
        for c in '\0'..=char::MAX {
            let text = c.to_string();
            assert!(json(&text) <= written_bytes(&text), "{c:?}");
        }
        assert_eq!(written_bytes("a\"b\\c"), 7);
        assert_eq!(written_bytes("größe"), "größe".len());
    }

    #[test]
    fn texts_are_cut_one_past_the_bound() {
        assert_eq!(&*beginning(&"x".repeat(10), 10), "xxxxxxxxxx");
        assert_eq!(&*beginning(&"x".repeat(11), 10), "xxxx…");
        assert_eq!(&*end_of_path("/123456789", 10), "/123456789");
        assert_eq!(&*end_of_path("/1234567890", 10), "…7890");
        assert_eq!(&*beginning("\u{1}\u{1}", 12), "\u{1}\u{1}");
        assert_eq!(&*beginning("\u{1}\u{1}\u{1}", 12), "\u{1}…");
    }

    #[test]
    fn labels_are_bounded_as_they_are_written() {
        let evil = "\u{1}".repeat(MAX_VALUE_BYTES);
        let keys: Vec<String> = (0..64).map(|n| format!("k{n:02}")).collect();
        let all = keys.iter().map(|key| (&**key, &*evil));
        let (kept, cut) = labels(all);
        let text = serde_json::to_string(&kept).expect("JSON");
        assert!(text.len() <= MAX_LABELS_WRITTEN + 2, "{}", text.len());
        assert_eq!((kept.len(), cut), (2, 62));
        // As many plain ones as there may be, and one more.
        for more in [0, 1] {
            let keys: Vec<String> = (0..MAX_LABELS + more).map(|n| format!("k{n:02}")).collect();
            let (kept, cut) = labels(keys.iter().map(|key| (&**key, "v")));
            assert_eq!((kept.len(), cut), (MAX_LABELS, more as u64));
        }
        // At the bound of bytes, and one past it.
        let value = |len: usize| "v".repeat(len);
        let rest = MAX_LABELS_WRITTEN - 15 * (512 + 3 + 6) - (3 + 6);
        for more in [0, 1] {
            let values: Vec<String> = (0..16)
                .map(|n| value(if n == 15 { rest + more } else { 512 }))
                .collect();
            let all = keys.iter().zip(&values);
            let (kept, cut) = labels(all.map(|(key, value)| (&**key, &**value)));
            assert_eq!((kept.len(), cut), (16 - more, more as u64));
        }
    }

    #[test]
    fn arguments_are_bounded_as_they_are_written() {
        let many = |count, text: &str| args(std::iter::repeat_n(text.to_owned(), count), false);
        assert_eq!(many(MAX_ARGS, "a").len(), MAX_ARGS);
        assert_eq!(many(MAX_ARGS, "a")[MAX_ARGS - 1], "a");
        assert_eq!(many(MAX_ARGS + 1, "a").len(), MAX_ARGS);
        assert_eq!(many(MAX_ARGS + 1, "a")[MAX_ARGS - 1], "a…");
        let most = MAX_ARGS_WRITTEN - 3;
        assert_eq!(many(1, &"x".repeat(most))[0], "x".repeat(most));
        assert_eq!(
            many(1, &"x".repeat(most + 1))[0],
            "x".repeat(most - 6) + "…"
        );
        for evil in ["\u{1}", "\"", "\u{2028}", "\u{e0001}", "é"] {
            let text = serde_json::to_string(&many(100, &evil.repeat(100))).expect("JSON");
            assert!(
                text.len() <= MAX_ARGS_WRITTEN + 2,
                "{evil:?}: {}",
                text.len()
            );
        }
        assert_eq!(
            *args(std::iter::once("x".to_owned()), true),
            ["x…".to_owned()]
        );
    }
}
