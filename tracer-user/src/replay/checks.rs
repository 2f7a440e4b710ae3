//! What must hold of any recording, for property tests and fuzzing. Compiled for these only.

use std::sync::Arc;

use super::Parser;
use crate::{
    map::{Map, Options},
    model::{Body, EdgeState, Event, Process, View},
    outputs::{Format, Writer},
};

/// Lines that tracer writes: what to begin from.
const EXAMPLES: [&str; 6] = [
    r#"{"v":1,"time":"2026-11-22T01:02:03.123456789Z","event":"start","host":{"id":"6f1c","name":"web-1"},"tracer":{"version":"0.1.0","hooks":"fentry","kernel":"6.12","arch":"x86_64"},"blind":[{"what":"names","why":"no"}]}"#,
    r#"{"v":1,"time":"2026-11-22T01:02:04.123456789Z","event":"connect","host":{"id":"6f1c","name":"web-1"},"connection":{"id":"9c410000002f","handshake":"0123456789abcdef","direction":"outbound","family":"ipv4","netns":4026531840,"client":{"address":"10.0.0.5","port":41532},"server":{"address":"10.0.0.9","port":5432,"name":"db.internal","canonical":"db1.internal"},"remote_class":"private","dialled":{"address":"10.96.0.17","port":5432},"opened":"2026-11-22T01:02:03.123456789Z","existing":false,"connect_ns":184223},"process":{"pid":812,"ppid":1,"uid":33,"comm":"nginx","exe":"/usr/sbin/nginx","args":["nginx: worker process"],"cwd":"/srv/shop","started":"2026-11-22T01:02:03.123456789Z"},"workload":{"kind":"pod","name":"web","container":{"id":"abc","around":{"id":"def","name":"ci"},"labels":{"a":"b"}},"k8s":{"namespace":"shop"}},"evidence":{"process":"hook","direction":"handshake","address":"conntrack","name":"dns"}}"#,
    r#"{"v":1,"time":"2026-11-22T01:02:05.123456789Z","event":"close","host":{"id":"6f1c","name":"web-1"},"connection":{"id":"9c420000002f","handshake":"0123456789abcdef","direction":"inbound","family":"ipv6","netns":4026531840,"client":{"address":"fd00::5","port":41532},"server":{"address":"fd00::9","port":5432},"remote_class":"private","existing":true,"duration_ns":9,"sent_bytes":1204,"received_bytes":88172,"rtt_ns":201000,"retransmits":0,"closed_by":"local","errno":"ECONNRESET"},"process":{"pid":812,"comm":"postgres"},"peer":{"process":{"pid":9,"comm":"app"},"workload":{"kind":"systemd","name":"app.service"}},"evidence":{"process":"close","direction":"listener","end":"scan"}}"#,
    r#"{"v":1,"time":"2026-11-22T01:02:06.123456789Z","event":"fail","host":{"id":"6f1c","name":"web-1"},"connection":{"id":"9c430000002f","direction":"outbound","family":"ipv4","netns":4026531840,"client":{},"server":{"address":"10.0.0.9","port":5432},"existing":false},"failure":{"phase":"remote","reason":"refused","errno":"ECONNREFUSED"},"process":{"pid":812,"comm":"nginx"},"evidence":{"process":"hook","direction":"handshake"}}"#,
    r#"{"v":1,"time":"2026-11-22T01:02:07.123456789Z","event":"listen","host":{"id":"6f1c","name":"web-1"},"listener":{"address":"::","port":5432,"backlog":128,"netns":4026531840},"process":{"pid":812,"comm":"postgres"},"evidence":{"process":"scan"}}"#,
    r#"{"v":1,"time":"2026-11-22T01:02:08.123456789Z","event":"stop","host":{"id":"6f1c","name":"web-1"},"totals":{"close":{"seen":3,"delivered":1,"ring_full":2,"table_full":0,"undecodable":0}},"missed":1,"repaired":{"opened":0,"closed":0},"cost":{"cpu_ns":1},"coverage":{"from":"2026-11-22T01:02:03.123456789Z","to":"2026-11-22T01:02:08.123456789Z"}}"#,
];

/// What to begin from.
pub(crate) fn examples() -> Vec<Vec<u8>> {
    let all = EXAMPLES.join("\n");
    let lines = EXAMPLES.iter().map(|line| line.as_bytes().to_vec());
    lines.chain([all.into_bytes()]).collect()
}

/// The map of the examples.
pub(crate) fn view(options: Options) -> View {
    let (mut parser, mut map) = (Parser::default(), Map::new(options));
    for line in EXAMPLES {
        if let Ok(Some(event)) = parser.parse(line.as_bytes()) {
            map.push(&event);
        }
    }
    map.view()
}

/// An event at both of whose ends is what `change` makes of a process.
pub(crate) fn with_processes(change: impl Fn(&mut Process)) -> Event {
    let event = Parser::default().parse(EXAMPLES[1].as_bytes());
    let mut event = event.expect("a line").expect("an event");
    if let Body::Connect(it) = &mut event.body {
        let process = it.process.as_mut().map(|it| {
            change(Arc::make_mut(it));
            Arc::clone(it)
        });
        it.peer = process;
    }
    event
}

fn written(event: &Event) -> Vec<u8> {
    let mut line = Vec::new();
    Writer::new(Format::Json, false).write(event, &mut line);
    line.pop();
    line
}

/// An event that was written comes back as it was, the short way and the long way.
///
/// # Panics
/// If it does not.
pub(crate) fn comes_back(event: &Event) {
    let line = written(event);
    let mut parser = Parser::default();
    let text = str::from_utf8(&line).expect("JSON is text");
    if let Some(short) = parser.canonical(text) {
        assert_eq!(written(&short), line);
    }
    let long = parser.any(&line).expect("a line that tracer wrote");
    assert_eq!(written(&long.expect("an event")), line);
}

/// Any bytes as a recording: what can be read of it comes back as it was, and makes a map whose
/// sums hold.
///
/// # Panics
/// If something does not hold.
pub(crate) fn recording(bytes: &[u8]) {
    let mut parser = Parser::default();
    let mut map = Map::new(Options {
        waiting: 3,
        connections: 5,
        ..Options::ONE_HOST
    });
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(Some(event)) = parser.parse(line) else {
            continue;
        };
        comes_back(&event);
        map.push(&event);
    }
    sums_hold(&map.view());
    sums_hold(&map.folded(1));
}

/// A recording as a map, of several hosts; what cannot be read of it is left out.
pub(crate) fn map_of(bytes: &[u8]) {
    let mut parser = Parser::default();
    let mut map = Map::new(Options {
        counts_lines: true,
        ..Options::SEVERAL_HOSTS
    });
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(Some(event)) = parser.parse(line) {
            map.push(&event);
        }
    }
    map.view();
}

/// What holds of every view.
///
/// # Panics
/// If it does not.
pub(crate) fn sums_hold(view: &View) {
    assert!(view.nodes.windows(2).all(|two| two[0].id < two[1].id));
    for edge in &view.edges {
        assert!(edge.client < view.nodes.len() && edge.server < view.nodes.len());
        let opened = edge.live_at_start + edge.established;
        assert!(opened >= edge.terminated, "{edge:?}");
        assert_eq!(edge.live(), opened - edge.terminated);
        assert!(edge.first_seen <= edge.last_seen, "{edge:?}");
        assert_eq!(edge.state == EdgeState::Ok, edge.failures() == 0);
    }
}
