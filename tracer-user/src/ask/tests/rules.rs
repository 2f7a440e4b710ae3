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

/// What a user does who wants to be taken for others: programs, remotes and units by their names.
fn neighbours() -> View {
    let mut it = Draft::new();
    it.unit("secpg.service");
    let theirs = it.unit("secpg.service@1000");
    theirs.id = "one/systemd@1000/secpg.service@1000".into();
    theirs.workload = Some(Arc::new(Workload {
        uid: Some(1000),
        ..workload(WorkloadKind::Systemd, "secpg.service@1000")
    }));
    let theirs = it.container("payments-db@1000", "postgres:16");
    let workload = theirs.workload.as_mut().map(Arc::make_mut);
    workload.expect("it has one").uid = Some(1000);
    for (name, shown) in [
        ("secpg.service", "secpg.service (/srv)"),
        ("nginx", "nginx"),
        ("nginx@1000", "nginx@1000"),
    ] {
        let program = it.unit(shown);
        program.id = format!("one/executable/{shown}").into();
        program.workload = Some(Arc::new(super::workload(WorkloadKind::Executable, name)));
    }
    it.container("payments-db", "postgres:16");
    it.pod("coredns", "x2x9z");
    it.remote("secpg.service", "203.0.113.9").id = "remote/secpg.service".into();
    it.remote("nginx", "203.0.113.10");
    it.view()
}

fn meant(view: &View, pattern: &str, is_meant: fn(&Pattern, &Node) -> bool) -> Vec<String> {
    let pattern: Pattern = pattern.parse().expect("a pattern");
    let all = view.nodes.iter().filter(|it| is_meant(&pattern, it));
    all.map(|it| it.id.to_string()).collect()
}

#[test]
fn a_pattern_without_a_kind_means_nothing_that_only_calls_itself_so() {
    let view = neighbours();
    let means = |pattern: &str| meant(&view, pattern, Pattern::matches);
    assert_eq!(means("secpg.service"), ["one/systemd/secpg.service"]);
    assert_eq!(means("secpg*"), ["one/systemd/secpg.service"]);
    assert_eq!(means("*.service"), ["one/systemd/secpg.service"]);
    let containers = means("payments*");
    assert_eq!(containers, ["one/container/payments-db"]);
    assert_eq!(means("nginx"), ["nginx", "one/executable/nginx"]);
    assert_eq!(
        means("*"),
        view.nodes
            .iter()
            .map(|it| it.id.to_string())
            .collect::<Vec<_>>()
    );
    let theirs = ["one/systemd@1000/secpg.service@1000"];
    assert_eq!(means("secpg.service@1000"), theirs);
    assert_eq!(means("secpg.service@any"), theirs);
    assert_eq!(means("secpg.service@1001"), Vec::<String>::new());
    // A program may be called as if it were a user's.
    assert_eq!(means("nginx@1000"), Vec::<String>::new());
}

#[test]
fn a_pattern_with_a_kind_means_that_alone() {
    let view = neighbours();
    let means = |pattern: &str| meant(&view, pattern, Pattern::matches);
    let kinds = ["systemd", "container", "pod", "executable", "remote"];
    let found = kinds.map(|kind| means(&format!("{kind}:*")));
    assert_eq!(
        found,
        [
            vec!["one/systemd/secpg.service"],
            vec!["one/container/payments-db"],
            vec!["one/pod/shop/coredns"],
            vec![
                "one/executable/nginx",
                "one/executable/nginx@1000",
                "one/executable/secpg.service (/srv)"
            ],
            vec!["nginx", "remote/secpg.service"],
        ]
    );
    assert_eq!(means("pod:shop/core*"), ["one/pod/shop/coredns"]);
    assert_eq!(means("pod:kube-system/core*"), Vec::<String>::new());
    assert_eq!(means("executable:secpg.service").len(), 1);
    assert_eq!(
        means("systemd:*@any"),
        ["one/systemd@1000/secpg.service@1000"]
    );
    for wrong in ["sytemd:a", "pod:", "kind:x"] {
        let error = wrong.parse::<Pattern>().expect_err(wrong);
        assert!(error.contains("write "), "{error}");
    }
    assert!("dbus-:1.2".parse::<Pattern>().is_ok(), "a name");
}

#[test]
fn what_is_forbidden_is_forbidden_by_whatever_name_it_gave_itself() {
    let view = neighbours();
    let by_id = |id: &str| view.nodes.iter().find(|it| *it.id == *id).expect("a node");
    let unit = by_id("one/systemd/secpg.service");
    let theirs = by_id("one/systemd@1000/secpg.service@1000");
    let program = by_id("one/executable/secpg.service (/srv)");
    let policy = "allow secpg.service -> payments-db\ndeny * -> payments-db";
    let policy: Policy = policy.parse().expect("a policy");
    let database = by_id("one/container/payments-db");
    assert_eq!(policy.forbids(unit, database, None), None);
    for forged in [theirs, program] {
        assert!(
            policy.forbids(forged, database, None).is_some(),
            "{}",
            forged.id
        );
    }
    let policy: Policy = "deny secpg* -> *\nallow * -> *".parse().expect("a policy");
    for client in [unit, theirs, program] {
        assert!(
            policy.forbids(client, database, None).is_some(),
            "{}",
            client.id
        );
    }
    let allowed: Allowed = "secpg.service".parse().expect("a file");
    assert!(allowed.has_node(unit) && !allowed.has_node(theirs) && !allowed.has_node(program));
    let split: Split = "east = secpg.service".parse().expect("a division");
    assert_eq!(split.part(unit), Some("east"));
    assert_eq!(split.part(theirs), Some("rest"));
    assert_eq!(split.part(program), Some("rest"));
}

#[test]
fn who_is_asked_for_is_told_apart_by_kind() {
    let view = neighbours();
    let find = |who: &str| {
        let found = find(&view, who).map_err(|error| error.to_string());
        found.map(|at| view.nodes[at].id.to_string())
    };
    let error = find("secpg.service").expect_err("several");
    assert!(
        error.contains("one/systemd/secpg.service or remote/secpg.service")
            || error.contains("remote/secpg.service or"),
        "{error}"
    );
    let unit = "one/systemd/secpg.service".to_owned();
    assert_eq!(find("systemd:secpg.service"), Ok(unit.clone()));
    assert_eq!(find(&unit), Ok(unit));
    assert_eq!(
        find("remote:secpg.service"),
        Ok("remote/secpg.service".to_owned())
    );
    assert_eq!(
        find("pod:shop/coredns"),
        Ok("one/pod/shop/coredns".to_owned())
    );
    assert_eq!(
        find("container:payments-db"),
        Ok("one/container/payments-db".to_owned())
    );
    assert_eq!(
        find("executable:secpg.service"),
        Ok("one/executable/secpg.service (/srv)".to_owned())
    );
    // A user's has its user in its name, and no kind takes it for root's.
    let theirs = "one/systemd@1000/secpg.service@1000".to_owned();
    assert_eq!(find("secpg.service@1000"), Ok(theirs.clone()));
    assert_eq!(find("systemd:secpg.service@1000"), Ok(theirs));
    assert_eq!(
        find("executable:nginx@1000"),
        Ok("one/executable/nginx@1000".to_owned())
    );
    for wrong in [
        "pod:kube-system/coredns",
        "systemd:nginx",
        "container:secpg.service@1000",
        "systemd:secpg.service@1001",
        "service:secpg.service",
        ":secpg.service",
        "systemd:",
    ] {
        assert!(find(wrong).is_err(), "{wrong}");
    }
}

/// What calls itself as if it said of what kind it is, is one of several.
#[test]
fn a_name_with_a_kind_in_it_takes_nobodys_place() {
    let mut it = Draft::new();
    it.unit("shop.service");
    let program = it.unit("systemd:shop.service");
    program.id = "one/executable/systemd:shop.service".into();
    let workload = workload(WorkloadKind::Executable, "systemd:shop.service");
    program.workload = Some(Arc::new(workload));
    let view = it.view();
    let error = find(&view, "systemd:shop.service").expect_err("several");
    assert_eq!(
        error,
        WhoError::Ambiguous(vec![
            "one/executable/systemd:shop.service".to_owned(),
            "one/systemd/shop.service".to_owned(),
        ])
    );
}

/// A kind is no server, whatever port follows it.
#[test]
fn all_of_a_kind_may_be_forbidden() {
    let mut it = Draft::new();
    it.unit("app");
    it.remote("far", "198.51.100.7");
    it.edge("app", "far", 443, 1);
    let view = it.view();
    let [app, far] = ["app", "far"].map(|name| node(&view, name));
    let means = |text: &str| {
        let pattern: EdgePattern = text.parse().expect(text);
        pattern.may_match(app, far, Some(443))
    };
    assert!(means("* -> remote:*"));
    assert!(means("* -> remote:*:443"));
    assert!(!means("* -> remote:*:80"));
    for kind in ["systemd", "container", "pod", "executable"] {
        assert!(!means(&format!("* -> {kind}:*")), "{kind}");
    }
    // Of which port it was is not told apart any more.
    let forbidden: EdgePattern = "* -> remote:far:443".parse().expect("a pattern");
    assert!(forbidden.may_match(app, far, None));
}

#[test]
fn a_user_is_in_no_network_by_an_address_of_its_own_choice() {
    let mut it = Draft::new();
    let node = it.unit("x");
    node.addresses = vec!["10.0.5.9".parse().expect("an address")];
    let mut theirs = node.clone();
    let workload = Arc::make_mut(theirs.workload.as_mut().expect("it has one"));
    workload.uid = Some(1000);
    let net: Pattern = "10.0.5.0/24".parse().expect("a pattern");
    assert!(net.matches(node) && !net.matches(&theirs) && net.may_match(&theirs));
    // Yet it is there, and what it crosses is told.
    let split: Split = "a = 10.0.5.0/24".parse().expect("a division");
    assert_eq!(split.part(&theirs), Some("a"));
}
