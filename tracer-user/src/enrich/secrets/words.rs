//! Secrets among the arguments of a program: the values of its options, and of those that it was told
//! to run.

use std::ops::Range;

use super::{
    rules::{GROUPED, ROWS, Row, Where},
    text::{self, Context},
};

/// Commands within arguments within arguments, such as `ssh host "sh -c 'mysql -p…'"`.
const MAX_DEPTH: u32 = 3;
/// How far a value is looked for after the word that says what it is.
const MAX_LATER: usize = 16;
/// What the last argument ends with if there are more.
const CUT: char = '…';

/// `args` of the program in the file `exe` without secrets; none if there are none.
pub(super) fn masked(exe: Option<&str>, args: &[String]) -> Option<Vec<String>> {
    let mut words: Vec<&str> = args.iter().map(String::as_str).collect();
    let is_cut = words
        .last_mut()
        .is_some_and(|last| match last.strip_suffix(CUT) {
            Some(rest) => {
                *last = rest;
                true
            }
            None => false,
        });
    let mut found = Found::new(words.len());
    let rows = exe.map_or(0, rows_of);
    search(&words, rows, 0, &mut found);
    if found.0.iter().all(Vec::is_empty) {
        return None;
    }
    let last = words.len() - 1;
    let mut changed = false;
    let told = words.iter().zip(found.0).enumerate();
    let told: Vec<String> = told
        .map(|(at, (word, found))| {
            let masked = text::replaced(word, found);
            changed |= masked.is_some();
            let mut told = masked.unwrap_or_else(|| (*word).to_owned());
            if is_cut && at == last {
                told.push(CUT);
            }
            told
        })
        .collect();
    changed.then_some(told)
}

/// What is secret of each word.
struct Found(Vec<Vec<Range<usize>>>);

impl Found {
    fn new(words: usize) -> Self {
        Self(vec![Vec::new(); words])
    }

    /// All of word `at` from byte `from` on, unless that says nothing.
    fn add(&mut self, words: &[&str], at: usize, from: usize) {
        let value = words.get(at).and_then(|it| it.get(from..));
        if let (Some(value), Some(found)) = (value, self.0.get_mut(at))
            && !text::is_plain(value)
        {
            found.push(from..from + value.len());
        }
    }
}

/// Rows of the table, a bit each.
type Rows = u64;

const _: () = assert!(ROWS.len() <= Rows::BITS as usize, "a row has no bit");

/// A row that is looked for from one word to before another one.
struct Active {
    row: &'static Row,
    within: Range<usize>,
}

/// `rows` are those of the programs that run all this.
fn search(words: &[&str], rows: Rows, depth: u32, found: &mut Found) {
    // Whatever is started by something else is a word of it.
    let rows = words.iter().fold(rows, |rows, word| rows | rows_of(word));
    let active = active(words, rows);
    let mut is_command = false;
    for (at, word) in words.iter().enumerate() {
        let has_space = word.bytes().any(|it| it.is_ascii_whitespace());
        let context = match is_command && has_space {
            true => Context::Prose,
            false => Context::Word,
        };
        text::find(word, context, &mut found.0[at]);
        pair(word, &mut found.0[at]);
        option(words, at, found);
        for it in active.iter().filter(|it| it.within.contains(&at)) {
            apply(it.row, words, at, found);
        }
        if has_space && depth < MAX_DEPTH {
            within(word, rows, depth, &mut found.0[at]);
        }
        is_command = is_command_option(word);
    }
}

/// The same of the words of one.
fn within(text: &str, rows: Rows, depth: u32, found: &mut Vec<Range<usize>>) {
    let parts = text::words(text);
    let words: Vec<&str> = parts.iter().map(|it| &text[it.clone()]).collect();
    let mut inner = Found::new(words.len());
    search(&words, rows, depth + 1, &mut inner);
    for (part, ranges) in parts.iter().zip(inner.0) {
        let moved = ranges.into_iter();
        found.extend(moved.map(|it| part.start + it.start..part.start + it.end));
    }
}

fn active(words: &[&str], rows: Rows) -> Vec<Active> {
    let mut active = Vec::with_capacity(rows.count_ones() as usize);
    let meant = ROWS
        .iter()
        .enumerate()
        .filter(|(at, _)| rows >> at & 1 == 1);
    for (_, row) in meant {
        let begin = match row.command {
            None => 0,
            Some(command) => words
                .iter()
                .position(|it| *it == command)
                .unwrap_or(words.len()),
        };
        let end = match row.leads {
            true => command_after(row, words),
            false => words.len(),
        };
        active.push(Active {
            row,
            within: begin..end,
        });
    }
    active
}

/// Whether commands follow: `-c`, `-lc`, `--command`.
fn is_command_option(word: &str) -> bool {
    let letters = word.strip_prefix('-').unwrap_or_default();
    word == "--command"
        || word == "--eval"
        || (1..=4).contains(&letters.len())
            && letters.bytes().all(|it| it.is_ascii_alphabetic())
            && letters.ends_with(['c', 'e'])
}

/// `USER:PASSWORD@HOST`, as without a scheme in a connection string.
fn pair(word: &str, found: &mut Vec<Range<usize>>) {
    let Some(at) = word.find('@') else { return };
    let (user, host) = (&word[..at], &word[at + 1..]);
    if let Some(slash) = user.find('/').filter(|_| user.starts_with("jdbc:oracle:")) {
        found.push(slash + 1..at);
        return;
    }
    let Some((name, password)) = user.split_once(':') else {
        return;
    };
    // `nginx:1.27@sha256:…` is an image.
    let is_digest = host.starts_with("sha256:") || host.starts_with("sha512:");
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"_-.".contains(&it));
    let is_one = |it: char| it.is_whitespace() || it == '/';
    if is_name && !is_digest && !password.is_empty() && !user.contains(is_one) && !host.is_empty() {
        found.push(name.len() + 1..at);
    }
}

/// `--password VALUE`: that of any program. With `=` it is an assignment.
fn option(words: &[&str], at: usize, found: &mut Found) {
    let word = words[at];
    let Some(name) = word.strip_prefix('-') else {
        return;
    };
    let name = name.trim_start_matches('-');
    let takes_next = !name.contains(['=', ':']) && name.len() > 1;
    if !takes_next || !text::is_secret(name) || text::is_flag(name) {
        return;
    }
    let Some(value) = words.get(at + 1) else {
        return;
    };
    if !is_option(value) && !text::is_path(name, value) {
        found.add(words, at + 1, 0);
    }
}

/// Whether `word` is an option rather than a value that begins with a hyphen.
fn is_option(word: &str) -> bool {
    let Some(name) = word.strip_prefix('-') else {
        return false;
    };
    let name = name.strip_prefix('-').unwrap_or(name);
    let name = name.split('=').next().unwrap_or_default();
    name.bytes().all(|it| it.is_ascii_lowercase() || it == b'-') || name.len() == 1
}

/// Those of the program that `word` may be.
fn rows_of(word: &str) -> Rows {
    let file = file_name(word);
    // No program in the table begins otherwise.
    let Some(first) = file.bytes().next().filter(u8::is_ascii_alphanumeric) else {
        return 0;
    };
    if word.starts_with('-') || word.contains('=') {
        return 0;
    }
    let is = |it: &&str| {
        it.as_bytes()[0] == first
            && match it.strip_suffix('*') {
                Some(beginning) => file.starts_with(beginning),
                None => file == *it,
            }
    };
    let rows = ROWS.iter().enumerate();
    let rows = rows.filter(|(_, row)| row.programs.iter().any(is));
    rows.fold(0, |rows, (at, _)| rows | 1 << at)
}

fn file_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// What `row` says of word `at`.
fn apply(row: &Row, words: &[&str], at: usize, found: &mut Found) {
    let word = words[at];
    for option in row.options {
        if option.is_empty() {
            if !word.starts_with('-')
                && let Where::After(separator) = row.place
            {
                after(words, at, 0, separator, found);
            }
            continue;
        }
        match row.place {
            Where::Later(count) => {
                if file_name(word) == *option {
                    later(words, at, count, found);
                }
            }
            Where::Last => {
                if word == *option && at + 1 < words.len() {
                    found.add(words, words.len() - 1, 0);
                }
            }
            Where::Attached => {
                if let Some(value) = word.strip_prefix(option).filter(|it| !it.is_empty()) {
                    found.add(words, at, word.len() - value.len());
                }
            }
            Where::Value | Where::After(_) => {
                let Some(value) = value_of(row, words, at, option) else {
                    continue;
                };
                match row.place {
                    Where::After(separator) => after(words, value.0, value.1, separator, found),
                    _ => found.add(words, value.0, value.1),
                }
            }
        }
    }
}

/// Where the command begins that follows the options of `row`.
fn command_after(row: &Row, words: &[&str]) -> usize {
    let own = |it: &&str| row.programs.contains(&file_name(it));
    let mut at = words.iter().position(own).map_or(1, |it| it + 1);
    while let Some(word) = words.get(at).filter(|it| it.starts_with('-')) {
        at += 1 + usize::from(row.options.contains(word));
    }
    at
}

/// The word in which the value of `option` is, and from which byte on.
fn value_of(row: &Row, words: &[&str], at: usize, option: &str) -> Option<(usize, usize)> {
    let word = words[at];
    if word == option {
        let next = words.get(at + 1)?;
        // What takes a value has one, whatever it begins with, but for another option.
        return (!is_long_option(next)).then_some((at + 1, 0));
    }
    let is_short = option.len() == 2 && option.starts_with('-');
    let rest = word.strip_prefix('-').filter(|it| !it.starts_with('-'))?;
    if !is_short {
        return None;
    }
    let letter = &option[1..];
    let others = match row.programs.contains(&"curl") {
        true => rest.trim_start_matches(|it| GROUPED.contains(it)),
        false => rest,
    };
    let value = others.strip_prefix(letter)?;
    match value.is_empty() {
        true => words.get(at + 1).map(|_| (at + 1, 0)),
        false => Some((at, word.len() - value.len())),
    }
}

fn is_long_option(word: &str) -> bool {
    word.strip_prefix("--")
        .is_some_and(|it| it.starts_with(|it: char| it.is_ascii_lowercase()))
}

/// What comes after the first `separator`; before the host, if that follows.
fn after(words: &[&str], at: usize, from: usize, separator: char, found: &mut Found) {
    let Some(value) = words.get(at).and_then(|it| it.get(from..)) else {
        return;
    };
    let Some(user) = value
        .find(separator)
        .filter(|user| *user > 0 || separator != '/')
    else {
        return;
    };
    let start = from + user + separator.len_utf8();
    let password = &value[user + separator.len_utf8()..];
    let len = match separator {
        '/' => password.rfind('@').unwrap_or(password.len()),
        _ => password.len(),
    };
    if !text::is_plain(&password[..len])
        && let Some(found) = found.0.get_mut(at)
    {
        found.push(start..start + len);
    }
}

/// The word `count` after word `at`, without options.
fn later(words: &[&str], at: usize, count: usize, found: &mut Found) {
    let next = (at + 1..words.len()).take(MAX_LATER);
    let mut plain = next.filter(|it| !words[*it].starts_with('-'));
    if let Some(place) = plain.nth(count - 1) {
        found.add(words, place, 0);
    }
}
