//! `docs/output.md` and the stream agree, word for word: whatever is printed is
//! documented, and whatever is documented is printed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Format, Writer};
use crate::model::specimens::events;
use crate::model::{BlindId, Counter, Kind};

const DOCUMENT: &str = include_str!("../../../docs/output.md");

/// A field, and the kinds of event it is in.
type Fields = BTreeMap<String, BTreeSet<String>>;

fn line(event: &crate::model::Event) -> Value {
    let mut buf = Vec::new();
    Writer::new(Format::Json, false).write(event, &mut buf);
    serde_json::from_slice(&buf).expect("one JSON object")
}

/// Visits each value that is not an object or a list, with its path as the document
/// writes it.
fn leaves(value: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let of_kinds = matches!(path, "lost" | "totals");
                let name = if of_kinds && Counter::from_name(name).is_some() {
                    "<kind>"
                } else if path.ends_with(".labels") {
                    "<label>"
                } else {
                    name
                };
                let path = if path.is_empty() {
                    name.to_owned()
                } else {
                    format!("{path}.{name}")
                };
                leaves(value, &path, visit);
            }
        }
        Value::Array(values) => values
            .iter()
            .for_each(|value| leaves(value, &format!("{path}[]"), visit)),
        _ => visit(path, value),
    }
}

/// The rows of the document's tables whose first cell is `code`.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ");
            cells.map(str::trim).collect()
        })
}

fn code(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

fn documented_fields() -> Fields {
    let rows = rows().filter(|cells| cells.len() == 4);
    rows.map(|cells| {
        let path = code(cells[0]).next().expect("a path");
        let events = match cells[1] {
            "every" => Kind::ALL.map(|kind| kind.name().to_owned()).into(),
            cell => code(cell).collect(),
        };
        (path, events)
    })
    .collect()
}

#[test]
fn every_field_is_documented_with_its_events() {
    let mut printed = Fields::new();
    for event in events::all() {
        leaves(&line(&event), "", &mut |path, value| {
            assert!(!value.is_null(), "{path} is null");
            let name = event.body.kind().name().to_owned();
            printed.entry(path.to_owned()).or_default().insert(name);
        });
    }
    let documented = documented_fields();
    for (path, events) in &printed {
        assert_eq!(
            documented.get(path),
            Some(events),
            "documented and printed events of {path}"
        );
    }
    for path in documented.keys() {
        assert!(
            printed.contains_key(path),
            "{path} is documented, but no event has it"
        );
    }
}

#[test]
fn every_word_is_documented() {
    let fields = rows().filter(|cells| cells.len() == 4 && cells[2] == "word");
    let fields: BTreeSet<String> = fields.flat_map(|cells| code(cells[0])).collect();
    let mut printed = BTreeSet::new();
    for event in events::all() {
        leaves(&line(&event), "", &mut |path, value| {
            if fields.contains(path) {
                let word = value.as_str().expect("a word").to_owned();
                printed.insert((path.to_owned(), word));
            }
        });
    }
    let rows = rows().filter(|cells| cells.len() == 3);
    let documented: BTreeSet<_> = rows
        .flat_map(|cells| code(cells[0]).zip(code(cells[1])).collect::<Vec<_>>())
        .collect();
    assert_eq!(documented, printed);
}

#[test]
fn all_that_cannot_be_seen_is_documented() {
    let documented: Vec<(String, &str)> = rows()
        .filter(|cells| cells.len() == 2)
        .skip_while(|cells| cells[0] != "`blind[].id`")
        .skip(1)
        .map(|cells| (cells[0].trim_matches('`').to_owned(), cells[1]))
        .collect();
    let ids = BlindId::ALL.iter();
    let known: Vec<(String, &str)> = ids.map(|id| (id.name().to_owned(), id.what())).collect();
    assert_eq!(documented, known);
}

#[test]
fn the_example_is_a_line_of_the_stream() {
    let example = DOCUMENT
        .split("```json\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let example: Value = serde_json::from_str(example.expect("an example")).expect("JSON");
    let documented = documented_fields();
    leaves(&example, "", &mut |path, _| {
        assert!(documented.contains_key(path), "{path}");
    });
}

#[test]
fn every_limit_is_the_one_documented() {
    let limits = [crate::procfs::MAX_ARGS, crate::procfs::MAX_ARGS_BYTES];
    let [count, bytes] = limits;
    assert!(DOCUMENT.contains(&format!(
        "at most {count} of them and {bytes} bytes together"
    )));
}
