//! Impact and the order of recovery.

use globset::Glob;

use std::collections::BTreeSet;

use super::*;
use crate::ask::{
    impact::{Impact, Target, Way, impact, picture},
    recovery_order::{RecoveryOrder, When, recovery_order},
};

/// web → shop → db, shop → cache, backup → db, and a diamond to the cache.
fn shop() -> Draft {
    let mut it = Draft::new();
    for name in ["web", "shop", "db", "cache", "backup"] {
        it.unit(name);
    }
    it.edge("web", "shop", 8080, 100);
    it.edge("web", "cache", 6379, 5);
    it.edge("shop", "db", 5432, 10);
    it.edge("shop", "db", 5433, 2);
    it.edge("shop", "cache", 6379, 50);
    it.edge("backup", "db", 5432, 1);
    it
}

fn reached(found: &Impact) -> Vec<(&str, u32, usize, u64)> {
    let all = found.reached.iter();
    all.map(|it| (&*it.who.name, it.distance, it.by.len(), it.connections))
        .collect()
}

#[test]
fn dependents_come_nearest_first_with_the_edges_that_lead_there() {
    let view = shop().view();
    let db = Target::Who("db".to_owned()).find(&view).expect("it is one");
    let answer = impact(&view, &db, Way::Dependents, None);
    assert_eq!(
        reached(&answer.found),
        [("shop", 1, 2, 12), ("backup", 1, 1, 1), ("web", 2, 1, 100)]
    );
    assert_eq!(answer.proof.verdict, Verdict::ProvenButFor);
    let nearest = impact(&view, &db, Way::Dependents, Some(1)).found;
    assert_eq!(reached(&nearest).len(), 2);
    assert_eq!(
        reached(&impact(&view, &db, Way::Dependents, Some(0)).found),
        []
    );
}

#[test]
fn dependencies_are_the_other_way_and_only_nearer_nodes_lead_there() {
    let view = shop().view();
    let web = Target::Who("web".to_owned())
        .find(&view)
        .expect("it is one");
    let found = impact(&view, &web, Way::Dependencies, None).found;
    assert_eq!(
        reached(&found),
        [("shop", 1, 1, 100), ("cache", 1, 1, 5), ("db", 2, 2, 12)]
    );
    assert_eq!(lines(&found.reached[1].by), ["web -> cache:6379"]);
}

#[test]
fn what_is_asked_about_is_never_its_own_dependent() {
    let mut it = shop();
    it.edge("db", "db", 5432, 3);
    it.edge("db", "web", 80, 3);
    let view = it.view();
    let db = Target::Who("db".to_owned()).find(&view).expect("it is one");
    let found = impact(&view, &db, Way::Dependents, None).found;
    assert!(found.reached.iter().all(|it| &*it.who.name != "db"));
    assert_eq!(found.reached.len(), 3);
}

#[test]
fn a_picture_has_only_what_the_answer_names() {
    let view = shop().view();
    let cache = Target::Who("cache".to_owned())
        .find(&view)
        .expect("it is one");
    let found = impact(&view, &cache, Way::Dependents, None).found;
    let picture = picture(&view, &found);
    let names: Vec<&str> = picture.nodes.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["cache", "shop", "web"]);
    assert_eq!(
        picture.edges.len(),
        3,
        "ends that are left out take their edges along"
    );
    for edge in &picture.edges {
        assert!(edge.client < 3 && edge.server < 3);
    }
}

#[test]
fn a_name_that_is_unknown_has_neighbours_and_one_of_several_has_ids() {
    let mut it = shop();
    it.watched("two");
    it.unit_on("two", "db");
    let view = it.view();
    let find = |who: &str| Target::Who(who.to_owned()).find(&view);
    assert_eq!(
        find("db"),
        Err(WhoError::Ambiguous(vec![
            "one/systemd/db".to_owned(),
            "two/systemd/db".to_owned()
        ]))
    );
    assert_eq!(find("two/systemd/db").map(|it| it.len()), Ok(1));
    match find("shopp") {
        Err(WhoError::Unknown(nearest)) => assert_eq!(nearest[0], "shop"),
        other => panic!("{other:?}"),
    }
    let nothing = Target::Who("db".to_owned()).find(&View::default());
    assert_eq!(nothing, Err(WhoError::Unknown(Vec::new())));
}

#[test]
fn executables_and_images_mean_all_that_run_them() {
    let glob = |it: &str| Glob::new(it).expect("a glob").compile_matcher();
    let mut it = shop();
    let index = it.index("web");
    it.view.nodes[index].runs(1, "/usr/sbin/nginx", None);
    let index = it.index("shop");
    // Replaced on disk, and still running: whoever asks about an update means it above all.
    it.view.nodes[index].runs(2, "/usr/sbin/nginx (deleted)", None);
    it.container("mail", "registry.example/mail:2.1");
    let view = it.view();
    let of = |target: Target| {
        let found = target.find(&view)?;
        Ok::<_, WhoError>(
            found
                .iter()
                .map(|at| &*view.nodes[*at].name)
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(of(Target::Exe(glob("*/nginx"))), Ok(vec!["shop", "web"]));
    assert_eq!(of(Target::Image(glob("*/mail:*"))), Ok(vec!["mail"]));
    assert_eq!(
        of(Target::Image(glob("*/post:*"))),
        Err(WhoError::Nobody(vec![
            "registry.example/mail:2.1".to_owned()
        ]))
    );
    let files_of = |host: &str, pids: &[u32], path: &str| Target::Files {
        host: host.to_owned(),
        pids: pids.iter().copied().collect(),
        paths: [path.to_owned()].into(),
        running: None,
        unread: 0,
    };
    let files = |pids: &[u32], path: &str| files_of("id-of-one", pids, path);
    assert!(of(files_of("id-of-another", &[1], "/usr/sbin/nginx")).is_err());
    assert_eq!(of(files(&[1], "/none")), Ok(vec!["web"]));
    assert_eq!(of(files(&[], "/usr/sbin/nginx")), Ok(vec!["shop", "web"]));
}

#[test]
fn what_ran_a_file_of_a_package_is_found_though_it_runs_no_more() {
    let mut it = Draft::new();
    it.unit("web").runs(1, "/usr/sbin/nginx (deleted)", None);
    let tool = it.unit("tool");
    tool.runs(2, "/usr/bin/python3.11", None);
    let script = Arc::make_mut(&mut tool.processes[0]);
    let args = ["/usr/bin/python3", "-u", "/usr/bin/tool", "/usr/bin/other"];
    script.args = Some(args.map(str::to_owned).to_vec().into());
    it.unit("daemon").runs(3, "/usr/sbin/daemon", None);
    let view = it.view();
    let files = |path: &str, running: Option<&[&str]>| Target::Files {
        host: "id-of-one".to_owned(),
        pids: BTreeSet::new(),
        paths: [path.to_owned()].into(),
        running: running.map(|it| it.iter().map(|it| (*it).to_owned()).collect()),
        unread: 0,
    };
    for (path, name) in [("/usr/sbin/nginx", "web"), ("/usr/bin/tool", "tool")] {
        let found = files(path, None).find(&view).expect("it is there");
        let names: Vec<&str> = found.iter().map(|at| &*view.nodes[*at].name).collect();
        assert_eq!(names, [name]);
    }
    // That it has the path of a file as its second argument is no use of it as a program.
    assert!(files("/usr/bin/other", None).find(&view).is_err());
    // Which libraries a program had is known of what runs now only.
    let library = files("/usr/lib/libssl.so.3", Some(&["/usr/sbin/daemon"]));
    assert_eq!(library.unknown(&view), 2);
    let tool = files("/usr/bin/tool", Some(&["/usr/sbin/daemon"]));
    assert_eq!(tool.unknown(&view), 1);
    assert_eq!(files("/usr/bin/tool", None).unknown(&view), 0);
}

/// The waves, each step as its members in order.
fn waves(found: &RecoveryOrder) -> Vec<Vec<String>> {
    let step = |it: &recovery_order::Step| names(&it.members).join(" ");
    let waves = found.waves.iter();
    waves
        .map(|it| it.steps.iter().map(step).collect())
        .collect()
}

#[test]
fn what_others_need_comes_first_and_what_is_beyond_is_told_apart() {
    let mut it = shop();
    it.remote("api.example", "203.0.113.9");
    it.remote("client", "198.51.100.7");
    it.edge("shop", "api.example", 443, 3);
    it.edge("client", "web", 443, 3);
    it.edge("db", "db", 5432, 3);
    let answer = recovery_order(&it.view(), SECOND);
    assert_eq!(
        waves(&answer.found),
        [vec!["cache", "db"], vec!["backup", "shop"], vec!["web"],]
    );
    let outside = &answer.found.outside;
    assert_eq!(outside.len(), 1);
    assert_eq!(&*outside[0].who.name, "api.example");
    assert_eq!(names(&outside[0].needed_by), ["shop"]);
}

#[test]
fn a_cycle_is_cut_where_it_is_weakest_and_only_there() {
    let mut it = Draft::new();
    for name in ["a", "b", "c", "d"] {
        it.unit(name);
    }
    // Two circles over b → c: cutting that one is not needed once both others are cut.
    it.edge("a", "b", 1, 50);
    it.edge("b", "c", 1, 100);
    it.edge("b", "c", 2, 1);
    it.edge("c", "a", 1, 3);
    it.edge("c", "d", 1, 70);
    it.edge("d", "b", 1, 2);
    let found = recovery_order(&it.view(), SECOND).found;
    assert_eq!(waves(&found), [["d c b a"]]);
    let step = &found.waves[0].steps[0];
    assert_eq!(lines(&step.weakest), ["d -> b:1", "c -> a:1"]);
}

#[test]
fn numbers_of_connections_do_not_overflow() {
    let mut it = Draft::new();
    it.unit("a");
    it.unit("b");
    it.edge("a", "b", 1, 1).live_at_start = u64::MAX - 1;
    it.edge("a", "b", 2, 1).established = u64::MAX / 1_000;
    it.edge("b", "a", 1, 1).fails(1, at(5));
    let view = it.view();
    let found = recovery_order(&view, u64::MAX).found;
    assert_eq!(lines(&found.waves[0].steps[0].weakest), ["b -> a:1"]);
}

/// When an edge is dialled that was first and last seen then, by processes that began then.
fn when(begun: &[u64], first: u64, success: Option<u64>, failure: Option<u64>) -> When {
    let mut it = Draft::new();
    let client = it.unit("client");
    for (pid, started) in (1..).zip(begun) {
        client.runs(pid, "/bin/client", Some(at(*started)));
    }
    it.unit("server");
    let edge = it.edge("client", "server", 80, 1);
    edge.first_seen = at(first);
    edge.last_success = success.map(at);
    if let Some(failure) = failure {
        edge.fails(1, at(failure));
    }
    let found = recovery_order(&it.view(), 10 * SECOND).found;
    found.waves[1].steps[0].needs[0].when
}

#[test]
fn what_is_dialled_at_the_start_is_told_from_what_is_dialled_later() {
    assert_eq!(when(&[100], 105, Some(110), None), When::StartUp);
    assert_eq!(when(&[100], 105, Some(111), None), When::Both);
    assert_eq!(when(&[100], 500, Some(600), None), When::Steady);
    assert_eq!(when(&[], 105, Some(106), None), When::Unknown);
    // A later attempt counts, whether it fails or not.
    assert_eq!(when(&[100], 105, Some(106), Some(900)), When::Both);
    // Each process dials when it begins.
    assert_eq!(when(&[100, 200], 101, Some(202), None), When::EachRun);
    // The newer process dialled at its start what the older one dialled at some other time.
    assert_eq!(when(&[100, 500], 300, Some(501), None), When::Both);
}

#[test]
fn of_connections_that_were_there_before_nobody_knows_when_they_were_dialled() {
    let mut it = Draft::new();
    it.unit("client").runs(1, "/bin/client", Some(at(100)));
    it.unit("server");
    it.edge("client", "server", 80, 1).live_at_start = 1;
    let found = recovery_order(&it.view(), SECOND).found;
    assert_eq!(found.waves[1].steps[0].needs[0].when, When::Unknown);
}

#[test]
fn processes_that_were_cut_are_a_doubt_only_where_one_of_them_may_have_dialled_first() {
    let order = |dialled: u64, cut: u64| {
        let mut it = Draft::new();
        it.unit("app")
            .runs(1, "/bin/app", Some(at(100)))
            .cut
            .processes = cut;
        it.unit("db");
        let edge = it.edge("app", "db", 5432, 5);
        (edge.first_seen, edge.last_success) = (at(dialled), Some(at(dialled + 1)));
        let answer = recovery_order(&it.view(), 10 * SECOND);
        let steps = answer.found.waves.iter().flat_map(|it| &it.steps);
        let when = steps.flat_map(|it| &it.needs).map(|it| it.when).next();
        (when.expect("a need"), answer.proof.doubts.is_empty())
    };
    assert_eq!(order(101, 0), (When::StartUp, true));
    assert_eq!(order(101, 7), (When::StartUp, true));
    assert_eq!(order(500, 0), (When::Steady, true));
    // One that is not known may have begun just before.
    assert_eq!(order(500, 7), (When::Unknown, false));
}
