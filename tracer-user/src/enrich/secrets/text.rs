//! Secrets within one text: assignments, headers, URLs, tokens. All that counts is ASCII, so a
//! part that is found never begins or ends within a character.

use std::ops::Range;

use memchr::{memchr2_iter, memmem};

use super::{MASK, rules};

/// The longest name that is looked at, bytes.
const MAX_NAME: usize = 64;

/// No token is shorter, bytes.
const MIN_TOKEN: usize = 16;

/// So many assignments, and as many URLs, are looked at in one text. What is after the last of them is
/// masked as a whole: whoever writes more of them wants this to take long.
const MAX_FOUND: usize = 32;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// One argument: a value that it begins with goes to its end.
    Word,
    /// Commands, or anything else with several values.
    Prose,
}

/// Finds the secrets in `text`; they may overlap.
pub(super) fn find(text: &str, context: Context, found: &mut Vec<Range<usize>>) {
    assignments(text, context, found);
    if memchr::memchr(b':', text.as_bytes()).is_some() {
        urls(text, found);
    }
    if text.len() >= MIN_TOKEN {
        tokens(text, found);
        keys(text, found);
        bearers(text, found);
    }
}

/// `text` with a mask in the place of what was `found`; none if there is nothing to replace.
pub(super) fn replaced(text: &str, mut found: Vec<Range<usize>>) -> Option<String> {
    found.retain(|it| it.start < it.end && text.get(it.clone()).is_some_and(|it| it != MASK));
    if found.is_empty() {
        return None;
    }
    found.sort_unstable_by_key(|it| (it.start, it.end));
    let (mut out, mut told, mut at) = (String::with_capacity(text.len()), 0, 0);
    while let Some(first) = found.get(at) {
        // What overlaps or adjoins is one.
        let (start, mut end) = (first.start, first.end);
        while let Some(next) = found.get(at).filter(|it| it.start <= end) {
            end = end.max(next.end);
            at += 1;
        }
        out.push_str(text.get(told..start)?);
        out.push_str(MASK);
        told = end;
    }
    out.push_str(text.get(told..)?);
    Some(out)
}

/// Whether what is called `name` is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = lasting(name);
    let (before, last) = last_word(name);
    let has = |words: &[&str], word: &str| words.iter().any(|it| it.eq_ignore_ascii_case(word));
    rules::ENDINGS.iter().any(|ending| ends_with(last, ending))
        || has(&rules::WORDS, last)
        || (last.eq_ignore_ascii_case("key") && has(&rules::KEYS, last_word(before).1))
}

/// Whether the option `name` is one that no value follows: `no-password`.
pub(super) fn is_flag(name: &str) -> bool {
    let first = name.split(['-', '_', '.']).next().unwrap_or_default();
    first.len() < name.len() && rules::FLAGS.iter().any(|it| it.eq_ignore_ascii_case(first))
}

/// Whether `value` says nothing of a secret.
pub(super) fn is_plain(value: &str) -> bool {
    rules::PLAIN.iter().any(|it| it.eq_ignore_ascii_case(value))
        || rules::PLACES.iter().any(|it| value.starts_with(it))
}

/// Whether `value` of what is called `name` is the path of a file, or a directory, and no secret.
pub(super) fn is_path(name: &str, value: &str) -> bool {
    let (before, last) = last_word(lasting(name));
    let may_be = last.eq_ignore_ascii_case("key")
        || last.eq_ignore_ascii_case("privatekey")
        // `PWD=/srv`, which every shell sets.
        || (last.eq_ignore_ascii_case("pwd") && matches!(before, "" | "OLD"))
        || last.eq_ignore_ascii_case("oldpwd");
    may_be && (value.starts_with(['/', '~', '@']) || value.starts_with("./"))
}

/// Without a number after it: `password2`.
fn lasting(name: &str) -> &str {
    name.trim_end_matches(|it: char| it.is_ascii_digit())
}

/// The last word of `name`, and what is before it: of `db-password`, `dbPassword` and `db.password`.
fn last_word(name: &str) -> (&str, &str) {
    let bytes = name.as_bytes();
    let mut at = bytes.len();
    while at > 0 {
        let byte = bytes[at - 1];
        if !byte.is_ascii_alphanumeric() {
            return (name.get(..at - 1).unwrap_or_default(), &name[at..]);
        }
        at -= 1;
        let is_hump = byte.is_ascii_uppercase() && at > 0 && bytes[at - 1].is_ascii_lowercase();
        if is_hump && at < bytes.len() {
            return (&name[..at], &name[at..]);
        }
    }
    ("", name)
}

fn ends_with(word: &str, ending: &str) -> bool {
    let from = word.len().checked_sub(ending.len());
    from.and_then(|from| word.get(from..))
        .is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

/// Where the name begins that ends at `end`.
fn name_before(bytes: &[u8], end: usize) -> usize {
    let first = end.saturating_sub(MAX_NAME);
    let name = bytes[first..end].iter().rev();
    end - name.take_while(|it| is_name_byte(**it)).count()
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// `NAME=VALUE`, `NAME: VALUE`, `"NAME": "VALUE"`, `PASSWORD 'VALUE'`.
fn assignments(text: &str, context: Context, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let before = found.len();
    for at in memchr2_iter(b'=', b':', bytes) {
        if found.len() - before >= MAX_FOUND {
            found.push(at..bytes.len());
            break;
        }
        let next = bytes.get(at + 1).copied();
        if bytes[at] == b':' && bytes[at + 1..].starts_with(b"//") {
            continue;
        }
        let mut end = at;
        while end > 0 && bytes[end - 1] == b' ' && at - end < 4 {
            end -= 1;
        }
        let escaped = |end: usize| end > 0 && bytes[end - 1] == b'\\';
        let is_quoted = end > 0 && is_quote(bytes[end - 1]);
        if is_quoted {
            end -= 1;
            end -= usize::from(escaped(end));
        }
        let start = name_before(bytes, end);
        let previous = start.checked_sub(1).map(|it| bytes[it]);
        let name = text[start..end].trim_start_matches(['-', '.']);
        if name.is_empty() {
            continue;
        }
        let is_query = bytes[at] == b'=' && matches!(previous, Some(b'?' | b'&'));
        if !(is_secret(name) || is_query && is_in_query(name)) {
            continue;
        }
        let is_first = start == 0;
        // `a == b` gives nothing a value.
        if next == Some(b'=') && !is_first {
            continue;
        }
        let (is_space, is_word) = (
            next.is_some_and(|it| it.is_ascii_whitespace()),
            is_first || previous.is_some_and(|it| it.is_ascii_whitespace() || is_quote(it)),
        );
        // `registry/token:v1` is an image.
        if bytes[at] == b':' && !(is_quoted || is_space || is_word) {
            continue;
        }
        // `-Dname=value` begins with an option as well.
        let reaches_end = is_first && context == Context::Word;
        let is_header = bytes[at] == b':' && !is_quoted;
        let value = match (is_query, is_header) {
            (true, _) => query_value(bytes, at + 1),
            (_, true) => header_value(bytes, start, at + 1),
            _ if reaches_end => at + 1..bytes.len(),
            _ => value(bytes, at + 1),
        };
        let told = &text[value.clone()];
        // What is in it has names of its own.
        let is_nested = !reaches_end && told.starts_with('{');
        if !is_nested && !is_plain(told.trim()) && !is_path(name, told) {
            found.push(value);
        }
    }
    // SQL, and options in commands: `IDENTIFIED BY 'x'`, `--password "x"`.
    for at in memchr2_iter(b'\'', b'"', bytes) {
        if found.len() - before >= 2 * MAX_FOUND {
            found.push(at..bytes.len());
            break;
        }
        let end = bytes[..at].trim_ascii_end().len();
        let name = &text[name_before(bytes, end)..end];
        let is_sql = name.eq_ignore_ascii_case("by")
            && ends_with(text[..end - 2].trim_ascii_end(), "identified");
        if end < at && (is_sql || is_secret(name) && !is_flag(name.trim_start_matches('-'))) {
            found.push(value(bytes, at));
        }
    }
}

fn is_in_query(name: &str) -> bool {
    let last = last_word(lasting(name)).1;
    rules::QUERY.iter().any(|it| it.eq_ignore_ascii_case(last))
}

/// To the end of the parameter.
fn query_value(bytes: &[u8], from: usize) -> Range<usize> {
    let ends = |it: &u8| matches!(it, b'&' | b'#') || is_quote(*it) || it.is_ascii_whitespace();
    let len = bytes[from..].iter().take_while(|it| !ends(it)).count();
    from..from + len
}

/// To the end of the line, or of what is quoted with the name.
fn header_value(bytes: &[u8], name: usize, colon: usize) -> Range<usize> {
    let blank = bytes[colon..].iter().take_while(|it| **it == b' ').count();
    let from = colon + blank;
    let quote = name
        .checked_sub(1)
        .map(|it| bytes[it])
        .filter(|it| is_quote(*it));
    match bytes.get(from).copied().filter(|it| is_quote(*it)) {
        // A value that is quoted alone.
        Some(_) if quote.is_none() => value(bytes, from),
        _ => {
            let ends = |it: &u8| matches!(it, b'\n' | b'\r') || quote == Some(*it);
            let len = bytes[from..].iter().take_while(|it| !ends(it)).count();
            from..from + len
        }
    }
}

/// One value: what is quoted, or a word. What follows `;`, `&` and `,` is another one only if it has
/// a name.
fn value(bytes: &[u8], from: usize) -> Range<usize> {
    let blank = bytes[from..].iter().take_while(|it| **it == b' ').count();
    let mut from = from + blank;
    from += usize::from(bytes.get(from) == Some(&b'\\'));
    if let Some(quote) = bytes.get(from).copied().filter(|it| is_quote(*it)) {
        let len = memchr::memchr(quote, &bytes[from + 1..]);
        return from + 1..len.map_or(bytes.len(), |len| from + 1 + len);
    }
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        let is_end = byte.is_ascii_whitespace()
            || is_quote(*byte)
            || matches!(byte, b';' | b'&' | b',') && begins_another(bytes, at + 1);
        if is_end {
            break;
        }
        at += 1;
    }
    from..at
}

/// Whether another name begins at `from`, or nothing more comes.
fn begins_another(bytes: &[u8], from: usize) -> bool {
    let rest = bytes[from..].trim_ascii_start();
    // Names have spaces in connection strings: `User ID=`.
    let name = |it: &&u8| is_name_byte(**it) || **it == b' ';
    let len = rest.iter().take(MAX_NAME).take_while(name).count();
    rest.is_empty() || (len > 0 && rest.get(len) == Some(&b'='))
}

/// `SCHEME://USER:PASSWORD@HOST`, and `SCHEME://TOKEN@HOST`.
fn urls(text: &str, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut count = 0;
    for at in memmem::find_iter(bytes, "://") {
        count += 1;
        if count > MAX_FOUND {
            found.push(at..bytes.len());
            break;
        }
        let from = at + 3;
        let ends = |it: &u8| is_quote(*it) || matches!(it, b'<' | b'>') || it.is_ascii_whitespace();
        let len = bytes[from..].iter().take_while(|it| !ends(it)).count();
        let url = &bytes[from..from + len];
        let is_slash = |it: &u8| matches!(it, b'/' | b'?' | b'#');
        let authority = url.iter().position(is_slash).unwrap_or(url.len());
        let is_cut = from + len == bytes.len();
        let Some(user) = user_info(url, authority, is_cut) else {
            continue;
        };
        match memchr::memchr(b':', &url[..user]) {
            Some(colon) => found.push(from + colon + 1..from + user),
            // Names of users are shorter.
            None if user >= 20 => found.push(from..from + user),
            None => {}
        }
    }
    if count > 0 {
        secrets_of_hooks(bytes, found);
    }
}

/// How long the name and password before the host are.
fn user_info(url: &[u8], authority: usize, reaches_end: bool) -> Option<usize> {
    if let Some(at) = memchr::memrchr(b'@', &url[..authority]) {
        return Some(at);
    }
    let colon = memchr::memchr(b':', &url[..authority])?;
    let is_port = url[colon + 1..authority].iter().all(u8::is_ascii_digit);
    let is_address = url.first() == Some(&b'[');
    if is_port || is_address {
        return None;
    }
    // A password may have a slash that nobody escaped; or what follows was cut.
    memchr::memrchr(b'@', url).or((reaches_end && authority == url.len()).then_some(url.len()))
}

/// The path of a web hook is all that it takes to use it.
fn secrets_of_hooks(bytes: &[u8], found: &mut Vec<Range<usize>>) {
    for hook in ["hooks.slack.com/services/", "discord.com/api/webhooks/"] {
        for at in memmem::find_iter(bytes, hook).take(MAX_FOUND) {
            let from = at + hook.len();
            found.push(query_value(bytes, from));
        }
    }
}

/// Tokens that are known by what they begin with.
fn tokens(text: &str, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let is_part = |it: &u8| it.is_ascii_alphanumeric() || b"_-.".contains(it);
        if !is_part(&bytes[at]) {
            at += 1;
            continue;
        }
        let len = bytes[at..].iter().take_while(|it| is_part(it)).count();
        let run = &bytes[at..at + len];
        let begins = |start: usize| {
            let is_part = |at: usize| run[at].is_ascii_alphanumeric();
            is_part(start) && (start == 0 || !is_part(start - 1))
        };
        let digit = run.iter().rposition(u8::is_ascii_digit).unwrap_or(0);
        // The shortest of them, as most words are shorter.
        let starts = 0..(len + 1).saturating_sub(MIN_TOKEN);
        let token = starts
            .filter(|it| begins(*it))
            .find(|it| is_token(&run[*it..], digit.saturating_sub(*it)));
        found.extend(token.map(|start| at + start..at + len));
        at += len;
    }
}

/// Whether `run`, of which the last digit is at `digit`, is one.
fn is_token(run: &[u8], digit: usize) -> bool {
    let is = |(prefix, least): &(&str, usize)| {
        let prefix = prefix.as_bytes();
        // Most differ in the first byte.
        prefix[0] == run[0]
            && run.len() >= prefix.len() + least
            && digit >= prefix.len()
            && run.starts_with(prefix)
    };
    rules::TOKENS.iter().any(is)
}

/// `-----BEGIN PRIVATE KEY-----`, to the end of it or of the text.
fn keys(text: &str, found: &mut Vec<Range<usize>>) {
    const MARK: &str = "PRIVATE KEY-----";
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) = memmem::find(&bytes[from..], MARK.as_bytes()) {
        let start = from + at + MARK.len();
        let end = memmem::find(&bytes[start..], b"-----END");
        let end = end.map_or(bytes.len(), |it| start + it);
        found.push(start..end);
        from = memmem::find(&bytes[end..], MARK.as_bytes())
            .map_or(bytes.len(), |it| end + it + MARK.len());
    }
}

/// `Bearer TOKEN`, as a header has it, without the header's name.
fn bearers(text: &str, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    for at in memmem::find_iter(bytes, "earer ").take(MAX_FOUND) {
        let is_word = at > 0 && bytes[at - 1].eq_ignore_ascii_case(&b'b');
        let token = value(bytes, at + "earer ".len());
        // Words are shorter.
        if is_word && token.len() >= MIN_TOKEN {
            found.push(token);
        }
    }
}

/// The words of `text`, as a shell splits it, without their quotes.
pub(super) fn words(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let is_between = |it: u8| it.is_ascii_whitespace() || b";|&()<>".contains(&it);
        if is_between(bytes[at]) {
            at += 1;
            continue;
        }
        if is_quote(bytes[at]) {
            let end = memchr::memchr(bytes[at], &bytes[at + 1..]);
            let end = end.map_or(bytes.len(), |len| at + 1 + len);
            out.push(at + 1..end);
            at = end + 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && !is_between(bytes[at]) && !is_quote(bytes[at]) {
            at += 1;
        }
        // `-p'secret'` is one word.
        if bytes.get(at).is_some_and(|it| is_quote(*it)) {
            let end = memchr::memchr(bytes[at], &bytes[at + 1..]);
            at = end.map_or(bytes.len(), |len| at + 2 + len);
        }
        out.push(start..at);
    }
    out
}
