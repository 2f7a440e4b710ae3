//! What a document is made of, without the texts in it, as a reader of its format sees it. Two documents
//! that differ in names only have one skeleton.

use html5gum::{Token, Tokenizer, emitters::default::DefaultEmitter};
use layout::gv::parser::{DotParser, ast};
use serde_json::Value;

/// A line for each part.
type Skeleton = Vec<String>;

pub(super) fn json(text: &str) -> Skeleton {
    let value = serde_json::from_str(text).expect("JSON");
    let mut out = Vec::new();
    json_value("", &value, &mut out);
    out
}

fn json_value(path: &str, value: &Value, out: &mut Skeleton) {
    match value {
        // Its keys are names from outside.
        Value::Object(members) if path.ends_with(".labels") => {
            out.push(format!("{path}: {} labels", members.len()));
        }
        Value::Object(members) => {
            out.push(format!("{path}: object"));
            for (key, value) in members {
                json_value(&format!("{path}.{key}"), value, out);
            }
        }
        Value::Array(items) => {
            out.push(format!("{path}: {} items", items.len()));
            for (at, value) in items.iter().enumerate() {
                json_value(&format!("{path}[{at}]"), value, out);
            }
        }
        Value::String(_) => out.push(format!("{path}: text")),
        other => out.push(format!("{path}: {other}")),
    }
}

pub(super) fn csv(text: &str) -> Skeleton {
    let rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes())
        .into_records();
    rows.map(|row| {
        let row = row.expect("a row with as many cells as the first");
        for cell in &row {
            let first = cell.trim_start().chars().next();
            assert!(
                !first.is_some_and(|it| "=+-@＝＋－＠".contains(it)),
                "a formula: {cell}"
            );
        }
        format!("{} cells", row.len())
    })
    .collect()
}

pub(super) fn xml(text: &str) -> Skeleton {
    let document = roxmltree::Document::parse(text).expect("XML");
    let elements = document.descendants().filter(|it| !it.is_text());
    elements
        .map(|it| {
            let attributes = it.attributes().map(|it| (it.name(), it.value()));
            let depth = it.ancestors().count();
            format!(
                "{depth} {:?} {:?} {:?}",
                it.node_type(),
                it.tag_name(),
                attributes.collect::<Vec<_>>()
            )
        })
        .collect()
}

pub(super) fn html(text: &str) -> Skeleton {
    let mut emitter = DefaultEmitter::default();
    // As a browser does: within a script there are no tags.
    emitter.naively_switch_states(true);
    let mut out = Vec::new();
    for token in Tokenizer::new_with_emitter(text, emitter) {
        match token.expect("no end of the input before its end") {
            Token::StartTag(tag) => out.push(format!(
                "<{:?} {:?}",
                tag.name,
                tag.attributes
                    .iter()
                    .map(|(name, value)| (name, &value.value))
                    .collect::<Vec<_>>()
            )),
            Token::EndTag(tag) => out.push(format!("</{:?}", tag.name)),
            Token::Comment(it) => out.push(format!("comment {it:?}")),
            Token::Doctype(it) => out.push(format!("doctype {:?}", it.name)),
            Token::Error(it) => out.push(format!("error {it:?}")),
            Token::String(_) => {}
        }
    }
    out
}

pub(super) fn dot(text: &str) -> Skeleton {
    let mut parser = DotParser::new(text);
    let graph = parser.process().unwrap_or_else(|error| {
        parser.print_error();
        panic!("{error}: {text}")
    });
    let mut out = Vec::new();
    dot_graph(&graph, &mut out);
    out
}

fn dot_graph(graph: &ast::Graph, out: &mut Skeleton) {
    out.push(format!("graph {:?} {{", graph.name));
    for it in &graph.list.list {
        match it {
            ast::Stmt::SubGraph(graph) => dot_graph(graph, out),
            ast::Stmt::Node(it) => out.push(format!("{:?} {}", it.id, dot_list(&it.list))),
            ast::Stmt::Edge(it) => {
                out.push(format!("{:?} {:?} {}", it.from, it.to, dot_list(&it.list)));
            }
            ast::Stmt::Attribute(it) => {
                out.push(format!("{:?} {}", it.target, dot_list(&it.list)));
            }
        }
    }
    out.push("}".to_owned());
}

/// All but the texts of labels.
fn dot_list(list: &ast::AttributeList) -> String {
    let shown = list.iter().map(|(name, value)| match &**name {
        "label" => "label".to_owned(),
        _ => format!("{name}={value:?}"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// There is no reader of Mermaid but its own: what is not within quotation marks, between which it knows no
/// escapes. `tests/unprivileged/formats.rs` asks Mermaid itself.
pub(super) fn mermaid(text: &str) -> Skeleton {
    let lines = text.lines();
    lines
        .map(|line| {
            let parts: Vec<&str> = line.split('"').collect();
            assert_eq!(parts.len() % 2, 1, "an open quotation mark: {line}");
            parts
                .into_iter()
                .step_by(2)
                .collect::<Vec<_>>()
                .join("\"\"")
        })
        .collect()
}
