//! Patterns, and the files that are made of them.

use super::*;

fn nodes() -> View {
    let mut it = Draft::new();
    it.unit("app@1.service").uses("10.0.0.5").uses("fd00::5");
    it.unit("db.service").uses("10.0.1.7");
    it.remote("api.example", "203.0.113.9");
    it.view()
}

fn node<'a>(view: &'a View, name: &str) -> &'a Node {
    let mut all = view.nodes.iter();
    all.find(|it| *it.name == *name).expect("a node")
}

#[test]
fn a_pattern_is_a_name_an_id_or_a_network() {
    let view = nodes();
    let means = |pattern: &str| {
        let pattern: Pattern = pattern.parse().expect("a pattern");
        let all = view.nodes.iter().filter(|it| pattern.matches(it));
        all.map(|it| it.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(means("app@1.service"), ["app@1.service"]);
    assert_eq!(means("*.service"), ["app@1.service", "db.service"]);
    assert_eq!(means("one/*"), ["app@1.service", "db.service"]);
    assert_eq!(means("{db,api}.*"), ["api.example", "db.service"]);
    assert_eq!(means("10.0.0.0/16"), ["app@1.service", "db.service"]);
    assert_eq!(means("10.0.1.7"), ["db.service"]);
    assert_eq!(means("fd00::/8"), ["app@1.service"]);
    assert_eq!(means("app"), Vec::<String>::new());
}

#[test]
fn a_pattern_for_edges_may_have_a_port() {
    let view = nodes();
    let means = |pattern: &str, port: Option<u16>| {
        let pattern: EdgePattern = pattern.parse().expect("a pattern");
        pattern.matches(
            node(&view, "db.service"),
            node(&view, "app@1.service"),
            port,
        )
    };
    assert!(means("db* -> app*", Some(80)) && means("db*->app*:*", None));
    assert!(means("* -> app@1.service:80", Some(80)));
    assert!(!means("* -> app@1.service:80", Some(81)));
    assert!(
        !means("* -> app@1.service:80", None),
        "its port is not known"
    );
    assert!(!means("app* -> db*", Some(80)), "the other way");
    for server in [
        "10.0.0.5:80",
        "10.0.0.0/24:80",
        "[fd00::5]:80",
        "[fd00::/8]:80",
    ] {
        assert!(
            means(&format!("10.0.1.0/24 -> {server}"), Some(80)),
            "{server}"
        );
        assert!(
            !means(&format!("10.0.1.0/24 -> {server}"), Some(8)),
            "{server}"
        );
    }
    assert!(means("* -> fd00::5", Some(80)), "all of it is the address");
}

#[test]
fn patterns_that_cannot_be_meant_are_errors() {
    for wrong in ["", "a b", "a[", "{a"] {
        assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
    }
    for wrong in [
        "a",
        "a ->",
        "-> b",
        "a -> b -> c",
        "a->b->c",
        "a -> b:0",
        "a -> b:65536",
    ] {
        assert!(wrong.parse::<EdgePattern>().is_err(), "{wrong}");
    }
}

/// The number of the line that is not understood.
fn wrong_line<T: std::str::FromStr<Err = RuleError>>(text: &str) -> usize {
    match text.parse::<T>() {
        Ok(_) => panic!("{text} is understood"),
        Err(error) => {
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("line {}: ", error.line))
            );
            error.line
        }
    }
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line() {
    assert_eq!(wrong_line::<Allowed>("# known\n\nadmin -> db:x y\n"), 3);
    assert_eq!(wrong_line::<Allowed>("a -> b\r\nc ->\r\n"), 2);
    assert_eq!(wrong_line::<Policy>("allow a -> b\npermit a -> b"), 2);
    assert_eq!(wrong_line::<Policy>("allow"), 1);
    assert_eq!(wrong_line::<Policy>("deny a"), 1);
    assert_eq!(wrong_line::<Split>("east = a\nwest b"), 2);
    assert_eq!(wrong_line::<Split>("east = a\nwest ="), 2);
    assert_eq!(wrong_line::<Split>("= a"), 1);
}

#[test]
fn empty_lines_and_comments_say_nothing() {
    let view = nodes();
    let text = "# all\n\n  \t\napp@*  # the application\n10.0.1.0/24\t# the database\r\n";
    let allowed: Allowed = text.parse().expect("a file");
    assert!(allowed.has_node(node(&view, "app@1.service")));
    assert!(allowed.has_node(node(&view, "db.service")));
    assert!(!allowed.has_node(node(&view, "api.example")));
    let nothing: Allowed = "".parse().expect("a file");
    assert!(!nothing.has_node(node(&view, "app@1.service")));
}

#[test]
fn a_name_allows_what_changes_at_its_edges_and_an_edge_only_itself() {
    let view = nodes();
    let (app, db) = (node(&view, "app@1.service"), node(&view, "db.service"));
    let by_name: Allowed = "db*".parse().expect("a file");
    assert!(by_name.has_edge(app, db, Some(1)) && by_name.has_edge(db, app, None));
    let by_edge: Allowed = "app* -> db*:5432".parse().expect("a file");
    assert!(by_edge.has_edge(app, db, Some(5432)));
    assert!(!by_edge.has_edge(app, db, Some(5433)) && !by_edge.has_edge(db, app, Some(5432)));
    assert!(!by_edge.has_node(db));
}

#[test]
fn the_first_line_of_a_policy_that_matches_decides() {
    let view = nodes();
    let (app, db) = (node(&view, "app@1.service"), node(&view, "db.service"));
    let policy: Policy = "allow app* -> db*:5432\ndeny * -> db*\n"
        .parse()
        .expect("a policy");
    assert_eq!(policy.forbids(app, db, Some(5432)), None);
    assert_eq!(policy.forbids(app, db, Some(22)), Some("deny * -> db*"));
    assert_eq!(
        policy.forbids(db, app, Some(22)),
        None,
        "no line says anything"
    );
    let policy: Policy = "deny * -> *\nallow * -> *".parse().expect("a policy");
    assert_eq!(policy.forbids(app, db, None), Some("deny * -> *"));
}

#[test]
fn the_first_line_of_a_division_that_matches_decides() {
    let view = nodes();
    let split: Split = "east = app* nobody\nwest = *.service\neast = db*"
        .parse()
        .expect("one");
    assert_eq!(split.part(node(&view, "app@1.service")), Some("east"));
    assert_eq!(split.part(node(&view, "db.service")), Some("west"));
    assert_eq!(
        split.part(node(&view, "api.example")),
        None,
        "not ours, and not named"
    );
    assert_eq!(split.unused(&view.nodes), ["nobody"]);
    let split: Split = "east = api*".parse().expect("one");
    assert_eq!(split.part(node(&view, "api.example")), Some("east"));
    assert_eq!(split.part(node(&view, "db.service")), Some("rest"));
}
