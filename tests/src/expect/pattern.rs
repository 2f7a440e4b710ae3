//! Lines that look like this: patterns, and when none fits, the closest line and where it
//! differs.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// Where `value` differs from `pattern`. A pattern's object needs its members only, `null`
/// means absent, and `{"$any": [..]}` is one of several patterns.
pub fn differences(pattern: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", pattern, Some(value), &mut found);
    found
}

fn compare(path: &str, pattern: &Value, value: Option<&Value>, found: &mut Vec<String>) {
    let shown = value.map_or("absent".to_owned(), Value::to_string);
    match (pattern, value) {
        (Value::Null, None) => {}
        (Value::Null, Some(_)) => found.push(format!("{path}: expected absent, got {shown}")),
        (Value::Object(members), _) if members.contains_key("$any") => {
            let any = members["$any"].as_array().map_or(&[][..], Vec::as_slice);
            let one = any.iter().any(|pattern| {
                let mut differs = Vec::new();
                compare(path, pattern, value, &mut differs);
                differs.is_empty()
            });
            if !one {
                found.push(format!(
                    "{path}: expected one of {}, got {shown}",
                    members["$any"]
                ));
            }
        }
        (Value::Object(members), Some(Value::Object(have))) => {
            for (name, pattern) in members {
                compare(&format!("{path}.{name}"), pattern, have.get(name), found);
            }
        }
        (pattern, Some(value)) if pattern == value => {}
        (pattern, _) => found.push(format!("{path}: expected {pattern}, got {shown}")),
    }
}

/// The lines that match `pattern`; fails unless there are exactly `count`.
pub fn exactly<'a>(
    count: usize,
    what: &str,
    pattern: &Value,
    events: &'a [Value],
) -> Result<Vec<&'a Value>> {
    let found: Vec<&Value> = events
        .iter()
        .filter(|event| differences(pattern, event).is_empty())
        .collect();
    if found.len() == count {
        return Ok(found);
    }
    let mut message = format!(
        "{what}: expected {count} such line(s), got {}\npattern: {pattern}\n",
        found.len()
    );
    for event in found.iter().take(5) {
        message += &format!("got: {event}\n");
    }
    if found.len() < count {
        let mut near: Vec<(Vec<String>, usize)> = events
            .iter()
            .enumerate()
            .map(|(n, event)| (differences(pattern, event), n))
            .collect();
        near.retain(|(differs, _)| !differs.is_empty());
        near.sort_by_key(|(differs, n)| (differs.len(), *n));
        if let Some((differs, n)) = near.first() {
            message += &format!("closest: {}\n  {}\n", events[*n], differs.join("\n  "));
            message += "around it:\n";
            for event in &events[n.saturating_sub(4)..events.len().min(n + 5)] {
                message += &format!("  {}\n", brief(event));
            }
        }
    }
    bail!(message);
}

/// The one line that matches `pattern`.
pub fn one<'a>(what: &str, pattern: &Value, events: &'a [Value]) -> Result<&'a Value> {
    exactly(1, what, pattern, events)?.pop().context("a line")
}

/// Fails if a line matches `pattern`.
pub fn none(what: &str, pattern: &Value, events: &[Value]) -> Result<()> {
    exactly(0, what, pattern, events).map(drop)
}

/// The lines of one network namespace.
pub fn within(netns: u64, events: &[Value]) -> Vec<Value> {
    let of = |event: &Value| {
        event["connection"]["netns"] == netns || event["listener"]["netns"] == netns
    };
    events.iter().filter(|event| of(event)).cloned().collect()
}

/// An address as tracer prints it.
pub fn endpoint(address: SocketAddr) -> Value {
    json!({"address": address.ip().to_canonical().to_string(), "port": address.port()})
}

/// An event in a few words.
fn brief(event: &Value) -> String {
    let end = |end: &Value| format!("{}:{}", end["address"].as_str().unwrap_or("?"), end["port"]);
    let connection = &event["connection"];
    format!(
        "{} {} pid {} {} {} -> {} netns {} {}",
        event["time"].as_str().unwrap_or("?"),
        event["event"].as_str().unwrap_or("?"),
        event["process"]["pid"],
        event["process"]["comm"],
        end(&connection["client"]),
        end(&connection["server"]),
        connection["netns"],
        event["failure"]["reason"].as_str().unwrap_or(""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_say_where_they_differ() {
        let value = json!({"a": {"b": 1, "c": 2}, "d": "x"});
        assert!(
            differences(
                &json!({"a": {"b": 1}, "e": null, "d": {"$any": ["y", "x"]}}),
                &value
            )
            .is_empty()
        );
        let differs = differences(&json!({"a": {"b": 2, "c": null}, "d": "y"}), &value);
        assert_eq!(
            differs,
            [
                ".a.b: expected 2, got 1",
                ".a.c: expected absent, got 2",
                ".d: expected \"y\", got \"x\""
            ]
        );
        let error = one("a line", &json!({"d": "y"}), &[value])
            .expect_err("no such line")
            .to_string();
        assert!(error.contains("closest"), "{error}");
    }
}
