//! Every format with a system as it could be, with hostile names, and with any names at all.

use proptest::prelude::*;

use super::{specimens, *};
use crate::outputs::{sanitise, sanitise::is_printable};

fn bytes(view: &View, format: MapFormat) -> String {
    let mut buf = b"before\n".to_vec();
    write(view, format, false, None, &mut buf);
    let text = String::from_utf8(buf).expect("UTF-8");
    text.strip_prefix("before\n").expect("appended").to_owned()
}

/// The rows of a table as RFC 4180 has it.
fn rows(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = csv.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, quoted) {
            ('"', true) if chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            ('"', true) => quoted = false,
            ('"', false) => {
                assert_eq!(cell, "", "a quote within a cell that has none around it");
                quoted = true;
            }
            (',', false) => row.push(std::mem::take(&mut cell)),
            ('\r', false) => {
                assert_eq!(chars.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            _ => cell.push(char),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !quoted, "half a row");
    rows
}

/// What is within the element of this id, as JSON.
fn embedded(page: &str, id: &str) -> serde_json::Value {
    let start = format!("<script type=\"application/json\" id=\"{id}\">");
    let (_, rest) = page.split_once(&start).expect("the element");
    let (data, _) = rest.split_once("</script>").expect("its end");
    assert!(!data.contains('<'), "an HTML parser would look at this");
    serde_json::from_str(data).expect("JSON")
}

/// What must hold of every format, whatever the names.
fn check(view: &View) {
    for format in MapFormat::ALL {
        let text = bytes(view, format);
        assert_eq!(
            text,
            bytes(view, format),
            "{format:?} is not the same each time"
        );
        assert!(text.ends_with('\n'), "{format:?} has no last line end");
        let harmless = text.lines().all(|line| line.chars().all(is_printable));
        assert!(harmless, "{format:?} would reach a terminal: {text:?}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&bytes(view, MapFormat::Json)).expect("JSON");
    for (node, written) in view
        .nodes
        .iter()
        .zip(json["nodes"].as_array().expect("nodes"))
    {
        assert_eq!(written["name"], *node.name);
        assert_eq!(written["id"], *node.id);
    }

    let page = bytes(view, MapFormat::Html);
    assert_eq!(embedded(&page, "data"), json);
    assert_eq!(embedded(&page, "line"), coverage::line(&view.coverage));

    let csv = rows(&bytes(view, MapFormat::Csv));
    assert_eq!(csv.len(), view.edges.len() + 1);
    for (row, edge) in csv.iter().skip(1).zip(&view.edges) {
        assert_eq!(row.len(), csv[0].len());
        let name = &view.nodes[edge.client].name;
        let name = sanitise(name, usize::MAX).to_string();
        assert_eq!(
            row[1].strip_prefix('\'').unwrap_or(&row[1]),
            name.strip_prefix('\'').unwrap_or(&name)
        );
        for cell in row {
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                "a formula: {cell}"
            );
        }
    }

    dot_is_quoted(&bytes(view, MapFormat::Dot), view);
    mermaid_is_quoted(&bytes(view, MapFormat::Mermaid), view);
    graphml_is_escaped(&bytes(view, MapFormat::Graphml), view);
    for width in [1, 20, 40, 80, 120, 200] {
        fits(view, width);
    }
}

/// Takes the quoted parts out of a line, which must end outside of them.
fn unquoted(line: &str) -> String {
    let (mut out, mut quoted, mut chars) = (String::new(), false, line.chars());
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                quoted = !quoted;
                out.push(char);
            }
            '\\' if quoted => {
                chars.next().expect("something after a backslash");
            }
            _ if quoted => {}
            _ => out.push(char),
        }
    }
    assert!(!quoted, "an open quote: {line}");
    out
}

fn dot_is_quoted(dot: &str, view: &View) {
    let bare: Vec<_> = dot.lines().map(unquoted).collect();
    let arrows = bare.iter().filter(|line| line.contains(" -> ")).count();
    assert_eq!(arrows, view.edges.len());
    let nodes = bare.iter().filter(|line| {
        line.trim_start().starts_with('n') && line.contains(" [label=") && !line.contains("->")
    });
    // `node [` of the head is no node, and has no label.
    assert_eq!(nodes.count(), view.nodes.len());
    assert_eq!(bare.last().map(String::as_str), Some("}"));
}

fn mermaid_is_quoted(mermaid: &str, view: &View) {
    let lines: Vec<_> = mermaid.lines().map(unquoted).collect();
    let arrows = lines.iter().filter(|line| line.contains("|\"\"|")).count();
    assert!(
        arrows == view.edges.len() || mermaid.contains("showing "),
        "edges are missing, and nothing says so"
    );
    for line in mermaid.lines() {
        assert_eq!(line.matches('"').count() % 2, 0, "{line}");
        assert!(!line.contains('\\'), "{line}");
    }
    assert!(mermaid.len() < 50_000 && arrows <= 500);
}

fn graphml_is_escaped(xml: &str, view: &View) {
    assert_eq!(xml.matches("<node ").count(), view.nodes.len());
    assert_eq!(xml.matches("<edge ").count(), view.edges.len());
    let allowed = [
        "?xml",
        "graphml",
        "key ",
        "graph ",
        "node ",
        "edge ",
        "data ",
        "/data>",
        "/node>",
        "/edge>",
        "/graph>",
        "/graphml>",
    ];
    for tag in xml.split('<').skip(1) {
        assert!(allowed.iter().any(|it| tag.starts_with(it)), "{tag}");
    }
    for reference in xml.split('&').skip(1) {
        let (name, _) = reference.split_once(';').expect("the end of a reference");
        let number = name
            .strip_prefix('#')
            .map(|it| it.parse::<u32>().expect("a number"));
        match number {
            None => assert!(["lt", "gt", "amp"].contains(&name), "{name}"),
            Some(number) => {
                let char = char::from_u32(number).expect("a character");
                assert!(matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..));
            }
        }
    }
}

fn fits(view: &View, width: usize) {
    let mut buf = Vec::new();
    write(view, MapFormat::Table, false, Some(width), &mut buf);
    let text = String::from_utf8(buf).expect("UTF-8");
    for line in text.lines() {
        let columns: usize = line
            .chars()
            .map(|it| if it >= '\u{2e80}' { 2 } else { 1 })
            .sum();
        assert!(columns <= width, "{columns} > {width}: {line}");
        assert_eq!(line.trim_end(), line);
    }
    let mut buf = Vec::new();
    write(view, MapFormat::Table, true, Some(width), &mut buf);
    assert_eq!(
        crate::outputs::checks::without_colours(str::from_utf8(&buf).expect("UTF-8")),
        text
    );
}

#[test]
fn a_system_as_it_could_be() {
    check(&specimens::three_tiers());
}

#[test]
fn hostile_names() {
    let names = specimens::hostile();
    check(&specimens::named(&names));
    // Each of them once by itself, everywhere.
    for name in names {
        check(&specimens::named(&[name]));
    }
}

#[test]
fn nothing_at_all() {
    check(&View::default());
}

#[test]
fn many_edges() {
    check(&specimens::many(700));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_names(names in prop::collection::vec(prop_oneof![any::<String>(), prop::sample::select(specimens::hostile())], 1..12)) {
        check(&specimens::named(&names));
    }
}

#[test]
fn table_for_people() {
    let mut buf = Vec::new();
    write(
        &specimens::three_tiers(),
        MapFormat::Table,
        false,
        Some(100),
        &mut buf,
    );
    let text = String::from_utf8(buf).expect("UTF-8");
    let mut lines = text.lines();
    assert!(lines.next().expect("a header").starts_with("client "));
    // Failing ones first, and visible without colour.
    assert!(
        lines.next().expect("an edge").contains("✗ failed"),
        "{text}"
    );
    assert!(
        lines.next().expect("an edge").contains("✗ failed"),
        "{text}"
    );
    assert!(lines.next().expect("an edge").contains("! mixed"), "{text}");
    assert!(lines.next().expect("an edge").contains("  ok"), "{text}");
    assert!(text.contains("refused 3"), "{text}");
    assert!(text.replace('\n', " ").contains("12 events lost"), "{text}");
}

#[test]
fn the_table_says_what_was_left_out_and_which_hosts_have_one_id() {
    let mut view = specimens::three_tiers();
    let text = |view: &View| bytes(view, MapFormat::Table).replace('\n', " ");
    assert!(!text(&view).contains("no room"));
    view.nodes[0].cut.listeners = 1_000;
    view.nodes[1].cut.listeners = 234;
    view.nodes[2].cut.processes = 5;
    view.coverage[0].cut.nodes = 7;
    let table = text(&view);
    assert!(table.contains("no room for 7 nodes"), "{table}");
    assert!(
        table.contains("no room for 1,234 listeners, 5 processes"),
        "{table}"
    );
    for (at, other) in [(0, "web-1"), (1, "data-1")] {
        view.coverage[at].twins = vec![other.to_owned()];
        let mut host = (*view.coverage[at].host).clone();
        host.id = "c".to_owned();
        view.coverage[at].host = host.into();
    }
    view.coverage[1].taken_for_one = true;
    let table = text(&view);
    assert!(
        table.contains("data-1 has one id with web-1: told apart by name"),
        "{table}"
    );
    assert_eq!(table.matches("has one id").count(), 1, "{table}");
    assert!(table.contains("two runs at once as web-1"), "{table}");
}

#[test]
fn failing_edges_are_marked_in_pictures() {
    let view = specimens::three_tiers();
    let dot = bytes(&view, MapFormat::Dot);
    assert!(dot.contains("[label=\"FAILED :5432 12×, refused 3\", color=\"#c62828\", fontcolor=\"#c62828\", style=\"dashed,bold\", penwidth=2]"), "{dot}");
    assert!(
        dot.contains("[label=\"mixed :5672 44×, timed_out 5\", color=\"#d9730d\""),
        "{dot}"
    );
    let mermaid = bytes(&view, MapFormat::Mermaid);
    assert!(
        mermaid.contains("-.->|\"FAILED :5432 12×, refused 3\"|"),
        "{mermaid}"
    );
    assert!(
        mermaid.contains("==>|\"mixed :5672 44×, timed#95;out 5\"|"),
        "{mermaid}"
    );
}

#[test]
fn mermaid_says_what_it_leaves_out() {
    let mermaid = bytes(&specimens::many(10_000), MapFormat::Mermaid);
    assert!(mermaid.contains(" of 10,000 edges"), "{mermaid}");
    // Nor does it have the boxes that its layout may fail on.
    assert!(!mermaid.contains("subgraph"), "{mermaid}");
    assert!(mermaid.contains("<br/>on node-000"), "{mermaid}");
}

#[test]
fn mermaid_makes_no_line_break_of_a_name() {
    let mermaid = bytes(
        &specimens::named(&["a\\n\n".to_owned()]),
        MapFormat::Mermaid,
    );
    // `a\\n\n` to the eye: Mermaid breaks the line at a backslash and an n, though they be entities.
    assert!(
        mermaid.contains("a#92;#92;#8203;n#92;#8203;n<br/>"),
        "{mermaid}"
    );
}

#[test]
fn the_document_has_every_column_and_attribute() {
    let document = include_str!("../../../../docs/formats.md");
    let mut blocks = document.split("```").skip(1).step_by(2);
    let columns = blocks.next().expect("the columns").split_whitespace();
    assert!(columns.eq(csv::COLUMNS));
    let attributes = blocks.next().expect("the attributes").trim().lines();
    let attributes = attributes.flat_map(|line| {
        let (of, names) = line.split_once(": ").expect("what they belong to");
        names.split(' ').map(move |name| (of, name))
    });
    assert!(attributes.eq(graphml::KEYS.iter().map(|(of, name, _)| (*of, *name))));
    for format in MapFormat::ALL {
        let row = format!("| `{}` |", format!("{format:?}").to_lowercase());
        assert!(document.contains(&row), "{row}");
    }
}

#[test]
fn the_page_asks_the_network_for_nothing() {
    let page = bytes(&View::default(), MapFormat::Html);
    assert!(page.contains("default-src 'none'"));
    // The name of a format that browsers know, not an address.
    let rest = page.replace("http://www.w3.org/2000/svg", "");
    for word in [
        "http:",
        "https:",
        "//cdn",
        "import(",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
        "innerHTML",
        "eval(",
    ] {
        assert!(!rest.contains(word), "{word}");
    }
}

/// Not a test: writes specimens in every format, to look at and to feed to their readers, and says
/// how long it took. `TRACER_MAP_FOLDER=… cargo test --release --lib map::tests::show -- --ignored`
#[test]
#[ignore = "for people: writes files, and measures"]
fn show() {
    let folder = std::env::var_os("TRACER_MAP_FOLDER").expect("TRACER_MAP_FOLDER");
    let folder = std::path::PathBuf::from(folder);
    std::fs::create_dir_all(&folder).expect("the folder");
    let views = [
        ("tiers", specimens::three_tiers()),
        ("hostile", specimens::named(&specimens::hostile())),
        ("2000", specimens::many(2_000)),
        ("10000", specimens::many(10_000)),
    ];
    for (name, view) in &views {
        for format in MapFormat::ALL {
            let mut best = std::time::Duration::MAX;
            let mut buf = Vec::new();
            for _ in 0..5 {
                buf.clear();
                let start = std::time::Instant::now();
                write(view, format, false, None, &mut buf);
                best = best.min(start.elapsed());
            }
            println!("{name:>8} {format:?}: {best:?}, {} bytes", buf.len());
            let ending = format!("{format:?}").to_lowercase();
            std::fs::write(folder.join(format!("{name}.{ending}")), buf).expect("a file");
        }
    }
}
