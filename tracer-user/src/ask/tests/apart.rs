//! What must move together, and what a division cuts.

use super::*;
use crate::ask::groups::{Shared, SharedBy, groups};

#[test]
fn what_all_share_ties_nothing_together() {
    let mut it = Draft::new();
    for name in ["web", "app", "cron", "mail", "alone", "ldap"] {
        it.unit(name);
    }
    it.remote("resolver", "10.0.0.2");
    it.remote("api.example", "203.0.113.9");
    it.remote("legacy", "10.9.9.9");
    it.edge("web", "app", 80, 7);
    it.edge("cron", "mail", 25, 2);
    it.edge("app", "legacy", 1521, 1);
    for client in ["web", "app", "cron"] {
        it.edge(client, "resolver", 53, 1);
    }
    // A directory has more than one port.
    it.edge("mail", "ldap", 389, 1);
    it.edge("app", "ldap", 636, 1);
    it.edge("mail", "api.example", 443, 1);
    it.edge("web", "api.example", 443, 1);
    let view = it.view();
    let found = groups(&view, &Shared::default(), None).found;
    let members: Vec<_> = found.groups.iter().map(|it| names(&it.members)).collect();
    assert_eq!(
        members,
        [
            vec!["legacy", "app", "web"],
            vec!["cron", "mail"],
            vec!["alone"]
        ]
    );
    assert_eq!(found.groups[0].connections, 8);
    assert_eq!(found.groups[0].bytes, 8 * 110);
    assert_eq!(names(&found.groups[0].shared), ["ldap", "resolver"]);
    let shared: Vec<_> = found
        .shared
        .iter()
        .map(|it| (&*it.who.name, it.why))
        .collect();
    assert_eq!(
        shared,
        [("ldap", SharedBy::Directory), ("resolver", SharedBy::Names)]
    );
    assert_eq!(names(&found.outside), ["api.example"]);
    // The user knows better.
    let asked = Shared {
        yes: vec!["legacy".parse().expect("a pattern")],
        no: vec!["ldap".parse().expect("a pattern")],
    };
    let found = groups(&view, &asked, None).found;
    assert_eq!(found.groups[0].members.len(), 5);
    assert!(found.shared.iter().any(|it| it.why == SharedBy::Asked));
}

#[test]
fn what_looks_at_nearly_everything_is_a_monitor_unless_somebody_else_needs_it() {
    let system = || {
        let mut it = Draft::new();
        for name in ["web", "app", "db", "cache", "queue", "watcher"] {
            it.unit(name);
        }
        it.remote("user", "198.51.100.7");
        it.edge("user", "web", 443, 9);
        it.edge("web", "app", 80, 9);
        for server in ["db", "cache", "queue"] {
            it.edge("app", server, 1_000, 9);
        }
        it
    };
    let shared = |it: Draft| {
        let found = groups(&it.view(), &Shared::default(), None).found;
        let shared = found.shared.iter();
        let shared: Vec<_> = shared.map(|it| it.who.name.to_string()).collect();
        (shared, found.groups[0].members.len())
    };
    let mut it = system();
    // It talks to four of five, and the one before it needs it.
    it.edge("app", "watcher", 1_000, 9);
    assert_eq!(shared(it), (Vec::new(), 6));
    let mut it = system();
    for server in ["web", "app", "db", "cache"] {
        it.edge("watcher", server, 9_100, 9);
    }
    it.edge("web", "watcher", 9_090, 9);
    assert_eq!(shared(it), (vec!["watcher".to_owned()], 5));
}

#[test]
fn a_division_tells_what_it_cuts_and_which_patterns_mean_nothing() {
    let mut it = Draft::new();
    it.unit("web").uses("10.0.0.1");
    it.unit("app").uses("10.0.0.2");
    it.unit("db");
    it.remote("api.example", "203.0.113.9");
    it.edge("web", "app", 80, 7);
    it.edge("app", "db", None, 9);
    it.edge("app", "api.example", 443, 1);
    let split: Split = "east = web ap nobody*\n".parse().expect("a division");
    let found = groups(&it.view(), &Shared::default(), Some(&split)).found;
    let cut = found.split.expect("it was asked for");
    assert_eq!(cut.unused, ["ap", "nobody*"]);
    assert_eq!(names(&cut.parts["east"]), ["web"]);
    assert_eq!(names(&cut.parts["rest"]), ["app", "db"]);
    assert_eq!(cut.crossing.len(), 1);
    let crossing = &cut.crossing[0];
    assert_eq!((&*crossing.from, &*crossing.to), ("east", "rest"));
    assert_eq!(
        crossing.client_addresses,
        [IpAddr::from([10, 0, 0, 1]).into()]
    );
    assert_eq!(
        crossing.server_addresses,
        [IpAddr::from([10, 0, 0, 2]).into()]
    );
}
