//! What the names in cgroup paths look like: units, ids, pods. Each is judged by itself.

use std::sync::Arc;

use super::{MAX_ID_BYTES, MAX_UNIT_BYTES, Qos};

/// `SLICE:PREFIX:ID`.
pub(super) fn triple(component: &str) -> Option<(&str, &str, &str)> {
    let mut parts = component.splitn(3, ':');
    let all = (parts.next()?, parts.next()?, parts.next()?);
    (all.0.is_empty() || all.0.ends_with(".slice")).then_some(all)
}

/// `PREFIX-ID`: where the id has no hyphen, the last one is before it.
pub(super) fn prefixed(stem: &str) -> Option<(&str, &str)> {
    match stem.rsplit_once('-') {
        Some((prefix, id)) if is_long_id(id) => Some((prefix, id)),
        _ => stem.split_once('-'),
    }
}

/// `qemu-7-NAME` → `NAME`: the number is another one after each start.
pub(super) fn numbered<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?;
    match rest.split_once('-') {
        Some((number, name))
            if !name.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            Some(name)
        }
        _ => Some(rest).filter(|rest| !rest.is_empty()),
    }
}

/// `[…-]kubepods[-QOS][-podUID]`, where the uid has underscores for hyphens.
pub(super) fn kubepods_slice(stem: &str) -> Option<(Qos, Option<Arc<str>>)> {
    let (before, rest) = stem.split_once("kubepods")?;
    if !before.is_empty() && !before.ends_with('-') {
        return None;
    }
    let mut rest = rest.strip_prefix('-').unwrap_or(rest);
    let (first, others) = rest.split_once('-').unwrap_or((rest, ""));
    let qos = Qos::from_folder(first);
    if qos.is_some() {
        rest = others;
    }
    let qos = qos.unwrap_or_default();
    if rest.is_empty() {
        return Some((qos, None));
    }
    Some((qos, Some(pod_uid(rest.strip_prefix("pod")?)?)))
}

/// A UUID, or the hash that static pods have for one.
pub(super) fn pod_uid(text: &str) -> Option<Arc<str>> {
    let is_hash = text.len() == 32 && is_hex(text);
    let is_uuid = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => matches!(byte, b'-' | b'_'),
            _ => byte.is_ascii_hexdigit(),
        });
    (is_hash || is_uuid).then(|| text.replace('_', "-").into())
}

/// A transient unit, or one that a desktop makes for each start of a program.
pub(super) fn is_generated(unit: &str) -> bool {
    let Some(name) = unit.strip_suffix(".service") else {
        return false;
    };
    let is_transient = ["run-u", "run-r", "run-p"]
        .iter()
        .filter_map(|prefix| name.strip_prefix(prefix))
        .any(|rest| {
            rest.starts_with(|it: char| it.is_ascii_digit()) || (rest.len() == 32 && is_hex(rest))
        });
    let instance = name.split_once('@').map_or("", |(_, instance)| instance);
    is_transient || name.starts_with("dbus-:") || (instance.len() == 32 && is_hex(instance))
}

/// What systemd numbers the instances of a socket with `Accept=yes` by:
/// `7-192.0.2.1:22-192.0.2.2:51234`, `7-PID-UID`.
pub(super) fn is_of_one_connection(instance: &str) -> bool {
    let instance = instance.strip_suffix(".service").unwrap_or("");
    let mut parts = instance.split('-');
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    let is_counted = parts.next().is_some_and(is_number);
    let is_address = instance.contains(':') && instance.contains('-');
    is_counted && (is_address || (parts.clone().count() == 2 && parts.all(is_number)))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What docker, containerd, CRI-O and podman name containers by.
pub(super) fn is_long_id(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

/// Task and number, on Fargate.
pub(super) fn is_fargate_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(task, number)| {
        task.len() == 32
            && is_hex(task)
            && (1..=20).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Random enough to be made by a program: garden's and buildkit's.
pub(super) fn is_guid(text: &str) -> bool {
    (20..=MAX_ID_BYTES).contains(&text.len())
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-'))
}

/// What people name containers and machines by.
pub(super) fn is_name(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@+".contains(&byte))
}

/// The unit `stem` + `suffix`, if that can be one.
pub(super) fn unit_name(stem: &str, suffix: &str) -> Option<Arc<str>> {
    let is_valid = !stem.is_empty()
        && !stem.starts_with('.')
        && stem.len() + suffix.len() <= MAX_UNIT_BYTES
        && stem
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte));
    is_valid.then(|| (unescape(stem) + suffix).into())
}

/// Resolves `\xNN` where it is printable ASCII and no slash; leaves the rest as it is.
pub(super) fn unescape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("\\x") {
        out.push_str(before);
        let code = after.get(..2).filter(|digits| is_hex(digits));
        let byte = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|byte| byte.is_ascii_graphic() && *byte != b'/') {
            Some(byte) => {
                out.push(byte.into());
                rest = after.get(2..).unwrap_or("");
            }
            None => {
                out.push_str("\\x");
                rest = after;
            }
        }
    }
    out + rest
}
