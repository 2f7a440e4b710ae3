//! Every format with a system as it could be, with hostile names, and with any names at all.

use proptest::prelude::*;

use super::*;
use crate::model::specimens::views;
use crate::outputs::{readers::vocabulary, sanitise::is_printable};

fn bytes(view: &View, format: MapFormat) -> String {
    let mut buf = b"before\n".to_vec();
    write(view, format, false, None, &mut buf);
    let text = String::from_utf8(buf).expect("UTF-8");
    text.strip_prefix("before\n").expect("appended").to_owned()
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

    mermaid_is_whole(&bytes(view, MapFormat::Mermaid), view);
    for width in [1, 20, 40, 80, 120, 200] {
        fits(view, width);
    }
}

fn mermaid_is_whole(mermaid: &str, view: &View) {
    let arrows = mermaid.lines().filter(|it| it.contains("|\"")).count();
    assert!(
        arrows == view.edges.len() || mermaid.contains("showing "),
        "edges are missing, and nothing says so"
    );
    assert!(!mermaid.contains('\\'), "{mermaid}");
    assert!(mermaid.len() < 50_000 && arrows <= 500);
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
    check(&views::three_tiers());
}

#[test]
fn hostile_names() {
    let names = vocabulary::hostile();
    check(&views::named(&names));
    // Each of them once by itself, everywhere; what is long takes long, and was among them.
    for name in names {
        let name = name.chars().take(600).collect();
        check(&views::named(&[name]));
    }
}

#[test]
fn nothing_at_all() {
    check(&View::default());
}

#[test]
fn many_edges() {
    check(&views::many(700));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_names(names in prop::collection::vec(prop_oneof![any::<String>(), prop::sample::select(vocabulary::hostile())], 1..12)) {
        check(&views::named(&names));
    }
}

#[test]
fn table_for_people() {
    let mut buf = Vec::new();
    write(
        &views::three_tiers(),
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
    let mut view = views::three_tiers();
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
    let view = views::three_tiers();
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
    let mermaid = bytes(&views::many(10_000), MapFormat::Mermaid);
    assert!(mermaid.contains(" of 10,000 edges"), "{mermaid}");
    // Nor does it have the boxes that its layout may fail on.
    assert!(!mermaid.contains("subgraph"), "{mermaid}");
    assert!(mermaid.contains("<br/>on node-000"), "{mermaid}");
}

#[test]
fn mermaid_makes_no_line_break_of_a_name() {
    let mermaid = bytes(&views::named(&["a\\n\n".to_owned()]), MapFormat::Mermaid);
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
        ("tiers", views::three_tiers()),
        ("hostile", views::named(&vocabulary::hostile())),
        ("2000", views::many(2_000)),
        ("10000", views::many(10_000)),
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
