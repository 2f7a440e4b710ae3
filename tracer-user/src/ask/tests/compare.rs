//! What changed, and whether all is back.

use super::*;
use crate::ask::{
    diff::{Changed, What, count, diff},
    verify::verify,
};

/// A change in one line.
fn told(it: &Changed) -> String {
    let how = it.change.name();
    let (what, to) = match &it.what {
        What::Workload { who, to } => (who.name.to_string(), to),
        What::Listener { who, port, to } => (format!("{} at {port}", who.name), to),
        What::Edge { before, after, to } => {
            let link = after.as_ref().or(before.as_ref()).expect("one of both");
            (line(link), to)
        }
    };
    match to {
        Some(to) => format!("{how} {what}: {} {} -> {}", to.of, to.from, to.to),
        None => format!("{how} {what}"),
    }
}

fn changes(before: &View, after: &View) -> Vec<String> {
    let found = diff(before, after, &Allowed::default()).found;
    assert_eq!(
        count(&found.changes).values().sum::<usize>(),
        found.changes.len()
    );
    found.changes.iter().map(told).collect()
}

fn pair() -> Draft {
    let mut it = Draft::new();
    it.unit("app");
    it.unit("db").listens(5432);
    it
}

#[test]
fn what_is_gone_and_what_is_new_is_told_with_its_listeners_and_edges() {
    let mut before = pair();
    before.edge("app", "db", 5432, 5);
    let mut after = Draft::new();
    after.unit("app");
    after.unit("store").listens(3306).listens(33_060);
    after.edge("app", "store", 3306, 5);
    assert_eq!(
        changes(&before.view(), &after.view()),
        [
            "gone db",
            "gone db at 5432",
            "gone app -> db:5432",
            "new store",
            "new store at 3306",
            "new store at 33060",
            "new app -> store:3306",
        ]
    );
}

#[test]
fn what_moved_is_the_same_elsewhere() {
    let mut before = Draft::new();
    before
        .unit("exe")
        .runs(1, "/opt/1.0/app", None)
        .uses("10.0.0.5");
    before.container("image", "app:1");
    before.unit("port").listens(80);
    before.unit("host");
    before.edge("exe", "port", 80, 1);
    let mut after = Draft::new();
    after.watched("two");
    let exe = after.unit("exe");
    exe.runs(7, "/opt/2.0/app", None).uses("10.0.0.6");
    after.container("image", "app:2");
    after.unit("port").listens(8080);
    after.unit_on("two", "host");
    after.edge("exe", "port", 8080, 1);
    assert_eq!(
        changes(&before.view(), &after.view()),
        [
            "moved image: image app:1 -> app:2",
            "moved exe: address 10.0.0.5 -> 10.0.0.6",
            "moved exe: executable /opt/1.0/app -> /opt/2.0/app",
            "moved host: host one -> two",
            "moved port at 8080: port 80 -> 8080",
            "moved exe -> port:8080: port 80 -> 8080",
        ]
    );
}

#[test]
fn what_every_start_changes_is_no_change() {
    let mut before = Draft::new();
    before
        .pod("api", "7d9f")
        .uses("10.42.0.3")
        .runs(1, "/app", None);
    let peer = before.unit("peer").listens(111).listens(41_001);
    peer.runs(2, "/usr/bin/peer (deleted)", None);
    before.edge("api", "peer", 41_001, 3);
    let mut after = Draft::new();
    after
        .pod("api", "x1c2")
        .uses("10.42.7.9")
        .runs(901, "/app", None);
    let peer = after.unit("peer").listens(111).listens(55_001);
    peer.runs(902, "/usr/bin/peer", None);
    after.edge("api", "peer", 55_001, 8);
    assert_eq!(changes(&before.view(), &after.view()), Vec::<String>::new());
}

#[test]
fn processes_of_one_unit_are_told_apart_by_what_they_are_called() {
    // A map by process, in which pids say nothing.
    let by_process = |pids: &[(&str, u32)]| {
        let mut it = Draft::new();
        it.unit("db");
        it.unit("cache");
        for (comm, pid) in pids {
            let node = it.unit("app.service");
            let name = format!("{comm}[{pid}]");
            node.id = format!("one/process/{name}").into();
            node.name = name.as_str().into();
            node.runs(*pid, &format!("/bin/{comm}"), None);
            match *comm {
                "reader" => _ = it.edge(&name, "cache", 6379, 1),
                "writer" => _ = it.edge(&name, "db", 5432, 1),
                _ => {}
            }
        }
        it.view()
    };
    let before = by_process(&[("reader", 99), ("writer", 100)]);
    let after = by_process(&[("archiver", 7), ("reader", 1_000), ("writer", 98)]);
    assert_eq!(changes(&before, &after), ["new archiver[7]"]);
}

#[test]
fn of_twins_the_one_with_the_same_id_is_the_same() {
    // Containers without a name go by their image.
    let twins = |ids: &[&str]| {
        let mut it = Draft::new();
        it.unit("queue");
        it.unit("mail");
        for id in ids {
            let node = it.container(id, "worker:3");
            let mut workload = Workload::clone(node.workload.as_deref().expect("a container"));
            workload.container.as_mut().expect("a container").name = None;
            node.workload = Some(Arc::new(workload));
        }
        it
    };
    let mut before = twins(&["aaaa", "bbbb"]);
    before.edge("aaaa", "queue", 5672, 1);
    before.edge("bbbb", "mail", 25, 1);
    let mut after = twins(&["bbbb", "cccc"]);
    after.edge("cccc", "queue", 5672, 1);
    after.edge("bbbb", "mail", 25, 1);
    assert_eq!(changes(&before.view(), &after.view()), Vec::<String>::new());
}

#[test]
fn an_edge_fails_newly_only_if_it_did_not_fail_before() {
    let with = |port: u16, fails: bool| {
        let mut it = pair();
        let edge = it.edge("app", "db", port, 5);
        if fails {
            edge.fails(2, at(3_100));
        }
        it.view()
    };
    let of = |before: &View, after: &View| changes(before, after);
    let (well, ill) = (with(5432, false), with(5432, true));
    assert_eq!(of(&well, &ill), ["failing app -> db:5432"]);
    assert_eq!(of(&ill, &well), ["recovered app -> db:5432"]);
    assert_eq!(of(&ill, &ill), Vec::<String>::new());
    let moved = "app -> db:5433: port 5432 -> 5433";
    assert_eq!(of(&well, &with(5433, true)), [format!("failing {moved}")]);
    assert_eq!(of(&ill, &with(5433, true)), [format!("moved {moved}")]);
}

#[test]
fn an_edge_whose_opener_is_not_known_is_no_change_where_another_one_is_known() {
    let with = |client: &str, server: &str, port: Option<u16>| {
        let mut it = pair();
        it.edge(client, server, port, 5);
        it.view()
    };
    let known = with("app", "db", Some(5432));
    // Whoever was watched is told as the client of connections that were open already.
    for unknown in [with("app", "db", None), with("db", "app", None)] {
        assert_eq!(changes(&known, &unknown), Vec::<String>::new());
        assert_eq!(changes(&unknown, &known), Vec::<String>::new());
        assert!(verify(&unknown, &known).found.complete);
        assert!(verify(&known, &unknown).found.complete);
    }
}

#[test]
fn connections_that_were_open_before_are_back_with_those_of_which_more_is_known() {
    let mut before = pair();
    before.edge("app", "db", 5432, 5);
    let now = before.clone();
    before.edge("app", "db", None, 2);
    let mut ill = pair();
    ill.edge("app", "db", 5432, 5).fails(1, at(3_100));
    let before = before.view();
    let found = verify(&before, &now.view()).found;
    assert_eq!((found.back.len(), found.expected()), (2, 2));
    let found = verify(&before, &ill.view()).found;
    assert_eq!((found.failing.len(), found.expected()), (2, 2));
}

#[test]
fn what_is_allowed_is_counted_and_left_out() {
    let mut before = pair();
    before.edge("app", "db", 5432, 5);
    let mut after = pair();
    after.unit("agent").listens(9100);
    after.edge("app", "agent", 9100, 5);
    let (before, after) = (before.view(), after.view());
    let allowed: Allowed = "app -> db:5432\nagent".parse().expect("a file");
    let found = diff(&before, &after, &allowed).found;
    assert_eq!((found.changes.len(), found.allowed), (0, 4));
    // A line with an edge allows no change of its ends.
    let allowed: Allowed = "* -> agent".parse().expect("a file");
    let found = diff(&before, &after, &allowed).found;
    assert_eq!(found.allowed, 1);
}

#[test]
fn nothing_compared_with_nothing_has_not_changed() {
    let nothing = View::default();
    let answer = diff(&nothing, &nothing, &Allowed::default());
    assert_eq!(answer.found.changes, []);
    assert!(!answer.proof.proven, "nobody watched");
    assert!(verify(&nothing, &nothing).found.complete);
}

#[test]
fn what_worked_is_back_failing_or_missing() {
    let mut before = pair();
    for name in ["cache", "mail", "dead"] {
        before.unit(name);
    }
    let nodes = before.clone();
    before.edge("app", "db", 5432, 5);
    before.edge("app", "cache", 6379, 5);
    before.edge("app", "mail", 25, 5);
    before.edge("app", "dead", 80, 0).fails(9, at(50));
    let mut now = nodes;
    now.edge("app", "db", 5432, 1);
    now.edge("app", "cache", 6379, 1).fails(2, at(3_100));
    now.edge("db", "mail", 25, 1);
    let found = verify(&before.view(), &now.view()).found;
    assert!(!found.complete);
    assert_eq!(found.expected(), 3);
    assert_eq!(lines(&found.back), ["app -> db:5432"]);
    assert_eq!(lines(&found.failing), ["app -> cache:6379"]);
    assert_eq!(lines(&found.missing), ["app -> mail:25"]);
    assert_eq!(lines(&found.new), ["db -> mail:25"]);
}

#[test]
fn an_address_whose_name_became_known_is_the_same() {
    let with = |name: &str| {
        let mut it = Draft::new();
        it.unit("app");
        it.remote(name, "203.0.113.9");
        it.edge("app", name, 443, 5);
        it.view()
    };
    let (unnamed, named) = (with("203.0.113.9"), with("api.example"));
    assert_eq!(changes(&unnamed, &named), Vec::<String>::new());
    assert_eq!(changes(&named, &unnamed), Vec::<String>::new());
    assert!(verify(&unnamed, &named).found.complete);
    // Many names share the addresses of a balancer.
    assert_eq!(
        changes(&named, &with("other.example")),
        [
            "gone app -> api.example:443",
            "new app -> other.example:443"
        ]
    );
}

#[test]
fn a_server_that_is_down_is_dialled_by_its_address_and_so_fails() {
    let mut before = pair();
    let db = before.index("db");
    before.view.nodes[db].uses("10.0.0.7");
    before.edge("app", "db", 5432, 5);
    let mut now = Draft::new();
    now.unit("app");
    now.remote("10.0.0.7", "10.0.0.7");
    now.edge("app", "10.0.0.7", 5432, 0).fails(4, at(3_000));
    let (before, now) = (before.view(), now.view());
    let found = verify(&before, &now).found;
    assert_eq!(lines(&found.failing), ["app -> 10.0.0.7:5432"]);
    assert_eq!((found.missing.len(), found.new.len()), (0, 0));
    assert_eq!(
        changes(&before, &now),
        ["failing app -> 10.0.0.7:5432", "gone db", "gone db at 5432"]
    );
}

#[test]
fn what_is_dialled_at_another_port_of_an_address_is_another_service() {
    let mut before = pair();
    let db = before.index("db");
    before.view.nodes[db].uses("10.0.0.7");
    before.edge("app", "db", 5432, 5);
    let mut now = Draft::new();
    now.unit("app");
    now.remote("10.0.0.7", "10.0.0.7");
    now.edge("app", "10.0.0.7", 9_999, 0).fails(4, at(3_000));
    let found = verify(&before.view(), &now.view()).found;
    assert_eq!(lines(&found.missing), ["app -> db:5432"]);
    assert_eq!(lines(&found.new), ["app -> 10.0.0.7:9999"]);
}

#[test]
fn what_nobody_answered_may_have_come_to_a_listener_that_is_gone() {
    let mut before = pair();
    before.edge("app", "db", 5432, 5);
    let doubts = |address: &str| {
        let mut after = Draft::new();
        after.unit("app");
        after.remote("far", address);
        after.edge("app", "far", 5432, 1).evidence.unanswered = 1;
        diff(&before.clone().view(), &after.view(), &Allowed::default())
            .proof
            .doubts
    };
    let doubt = Doubt::Unanswered { connections: 1 };
    assert!(doubts("10.0.0.9").contains(&doubt));
    assert!(!doubts("127.0.0.1").contains(&doubt));
}
