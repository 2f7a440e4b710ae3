//! The event stream as JSON Lines. `docs/output.md` has every field.

mod connection;
mod plain;

use std::sync::Arc;

use serde::Serialize;

use self::plain::Times;
use super::json::value;
use crate::model::{
    Body, ByIdentity, Connection, ConnectionEvent, Event, Evidence, Host, ListenerEvent, Process,
    ProcessEvent,
};

/// How every line begins. The version of the stream changes when a field goes away or changes
/// its meaning.
const HEAD: &[u8] = b"{\"v\":1,\"time\":";

/// Renderings of processes that are kept; a host has few that are busy at once.
const MAX_RENDERED: usize = 1024;

/// Writes lines. Keeps the rendering of a process and of the host while it is the same value, as
/// these are half of a line and the same on thousands of them.
#[derive(Debug, Default)]
pub(in crate::outputs) struct Lines {
    times: Times,
    host: Option<(Arc<Host>, Box<[u8]>)>,
    rendered: ByIdentity<Process, Rendered>,
}

impl Lines {
    /// Appends `event` to `buf` as one line.
    pub(in crate::outputs) fn write(&mut self, event: &Event, buf: &mut Vec<u8>) {
        let start = buf.len();
        match self.try_write(event, buf) {
            Ok(()) => buf.extend_from_slice(b"}\n"),
            Err(error) => {
                // Writing to memory does not fail, and neither do these types: a test
                // writes each of them. Should it happen all the same, half a line must
                // not go out.
                buf.truncate(start);
                tracing::error!("cannot write an event as JSON: {error}");
            }
        }
    }

    fn try_write(&mut self, event: &Event, buf: &mut Vec<u8>) -> serde_json::Result<()> {
        buf.extend_from_slice(HEAD);
        self.times.write(event.time, buf);
        name("event", buf);
        plain::word(event.body.kind().name(), buf);
        self.host(&event.host, buf)?;
        match &event.body {
            Body::Start(start) => {
                field("tracer", &start.tracer, buf)?;
                field("blind", &start.blind, buf)
            }
            Body::Existing(event)
            | Body::Connect(event)
            | Body::Accept(event)
            | Body::Totals(event)
            | Body::Close(event)
            | Body::Fail(event) => self.connection(event, buf),
            Body::Exec(event) | Body::Exit(event) => self.process_event(event, buf),
            Body::Listen(event) | Body::Unlisten(event) => self.listener(event, buf),
            Body::Loss(loss) => {
                field("lost", &loss.lost, buf)?;
                field("missed", &loss.missed, buf)?;
                field("from", &loss.interval.from, buf)?;
                field("to", &loss.interval.to, buf)
            }
            Body::Stop(stop) => {
                field("totals", &stop.totals, buf)?;
                field("missed", &stop.missed, buf)?;
                field("repaired", &stop.repaired, buf)?;
                if stop.unread > 0 {
                    field("unread", &stop.unread, buf)?;
                }
                if stop.unattributed > 0 {
                    field("unattributed", &stop.unattributed, buf)?;
                }
                field("cost", &stop.cost, buf)?;
                if let Some(lines) = &stop.lines {
                    field("lines", lines, buf)?;
                }
                field("coverage", &stop.coverage, buf)
            }
        }
    }

    fn connection(&mut self, event: &ConnectionEvent, buf: &mut Vec<u8>) -> serde_json::Result<()> {
        name("connection", buf);
        connection::write(&event.connection, &mut self.times, buf)?;
        if let Some(failure) = &event.failure {
            field("failure", failure, buf)?;
        }
        self.process(event.process.as_ref(), buf)?;
        if let Some(peer) = &event.peer {
            buf.extend_from_slice(&self.rendered(peer)?.peer);
        }
        evidence(&event.evidence, Some(&event.connection), buf);
        Ok(())
    }

    fn listener(&mut self, event: &ListenerEvent, buf: &mut Vec<u8>) -> serde_json::Result<()> {
        field("listener", &event.listener, buf)?;
        self.process(event.process.as_ref(), buf)?;
        evidence(&event.evidence, None, buf);
        Ok(())
    }

    fn host(&mut self, host: &Arc<Host>, buf: &mut Vec<u8>) -> serde_json::Result<()> {
        name("host", buf);
        if let Some((known, rendered)) = &self.host
            && Arc::ptr_eq(known, host)
        {
            buf.extend_from_slice(rendered);
            return Ok(());
        }
        let start = buf.len();
        value(&**host, buf)?;
        self.host = Some((Arc::clone(host), buf[start..].into()));
        Ok(())
    }

    fn process_event(&mut self, event: &ProcessEvent, buf: &mut Vec<u8>) -> serde_json::Result<()> {
        self.process(Some(&event.process), buf)?;
        match &event.exit {
            Some(exit) => field("exit", exit, buf),
            None => Ok(()),
        }
    }

    /// Appends the process of this end, with its workload.
    fn process(
        &mut self,
        process: Option<&Arc<Process>>,
        buf: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        if let Some(process) = process {
            buf.extend_from_slice(&self.rendered(process)?.own);
        }
        Ok(())
    }

    fn rendered(&mut self, process: &Arc<Process>) -> serde_json::Result<&Rendered> {
        if self.rendered.len() >= MAX_RENDERED {
            self.rendered.clear();
        }
        self.rendered
            .get_or_try_insert(process, || Rendered::of(process))
    }
}

/// A process as it is in a line.
#[derive(Debug)]
struct Rendered {
    /// As that of this end: `,"process":…,"workload":…`.
    own: Box<[u8]>,
    /// As that of the other end: `,"peer":{…}`, without what its own lines have at length.
    peer: Box<[u8]>,
}

impl Rendered {
    fn of(process: &Process) -> serde_json::Result<Self> {
        let mut own = Vec::new();
        field("process", process, &mut own)?;
        let brief = Process {
            args: None,
            cwd: None,
            ..process.clone()
        };
        let mut peer = b",\"peer\":{".to_vec();
        name("process", &mut peer);
        // What follows a comma elsewhere begins an object here.
        peer.remove(b",\"peer\":{".len());
        value(&brief, &mut peer)?;
        if let Some(workload) = &process.workload {
            field("workload", &**workload, &mut own)?;
            field("workload", &**workload, &mut peer)?;
        }
        peer.push(b'}');
        Ok(Self {
            own: own.into(),
            peer: peer.into(),
        })
    }
}

fn evidence(evidence: &Evidence, of: Option<&Connection>, buf: &mut Vec<u8>) {
    name("evidence", buf);
    connection::write_evidence(evidence, of, buf);
}

/// Appends `,"name":value`.
fn field(
    field_name: &str,
    field_value: &(impl Serialize + ?Sized),
    buf: &mut Vec<u8>,
) -> serde_json::Result<()> {
    name(field_name, buf);
    value(field_value, buf)
}

/// Appends `,"name":`, for a name that needs no escape.
fn name(name: &str, buf: &mut Vec<u8>) {
    buf.extend_from_slice(b",\"");
    buf.extend_from_slice(name.as_bytes());
    buf.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::specimens::events, outputs::sanitise::is_printable};

    fn line(comm: &str) -> String {
        let mut event = events::connect();
        event.process = Some(events::process(comm));
        let mut buf = b"before\n".to_vec();
        Lines::default().write(&events::event(Body::Connect(event)), &mut buf);
        let text = String::from_utf8(buf).expect("UTF-8");
        text.strip_prefix("before\n").expect("appended").to_owned()
    }

    #[test]
    fn one_line_in_the_order_of_the_contract() {
        let line = line("nginx");
        let expected = r#"{"v":1,"time":"2026-11-22T01:02:03.123456789Z","event":"connect","host":{"id":"6f1c0b6e","name":"web-1"},"connection":{"id":"9c410000002f","handshake":"0123456789abcdef","direction":"outbound","family":"ipv4","netns":4026531840,"client":{"address":"10.0.0.5","port":41532},"server":{"address":"10.0.0.9","port":5432},"remote_class":"private","opened":"2026-11-22T01:02:03.123456789Z","existing":false,"connect_ns":184223},"process":{"pid":812,"ppid":1,"uid":33,"comm":"nginx","exe":"/usr/sbin/nginx","args":["nginx: worker process"],"cwd":"/srv/shop","started":"2026-11-22T01:02:03.123456789Z"},"evidence":{"process":"hook","direction":"handshake"}}"#;
        assert_eq!(line, format!("{expected}\n"));
    }

    #[test]
    fn hostile_names_come_back_as_they_were_and_touch_no_terminal() {
        let names = [
            "a\nb",
            "\"quoted\"\\",
            "\x1b[31mred\x1b]0;title\x07",
            "\0\x7f\u{80}\u{9b}31m",
            "\u{202e}gpj.exe\u{2028}\u{2029}\u{feff}",
            "\u{e0041}\u{10ffff}x",
            "größe 日本語 \u{fffd}",
        ];
        for name in names {
            let line = line(name);
            assert!(
                line.trim_end_matches('\n').chars().all(is_printable),
                "{line:?}"
            );
            let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(value["process"]["comm"], name);
        }
    }

    #[test]
    fn a_process_is_rendered_once_and_told_apart() {
        let (mut lines, mut buf) = (Lines::default(), Vec::new());
        for comm in ["one", "two"] {
            let mut event = events::connect();
            event.process = Some(events::process(comm));
            let event = events::event(Body::Connect(event));
            for _ in 0..2 {
                buf.clear();
                lines.write(&event, &mut buf);
                let line: serde_json::Value = serde_json::from_slice(&buf).expect("JSON");
                assert_eq!(line["process"]["comm"], comm);
            }
        }
        assert_eq!(lines.rendered.len(), 2);
    }

    #[test]
    fn renderings_are_bounded() {
        let (mut lines, mut buf) = (Lines::default(), Vec::new());
        for _ in 0..3 * MAX_RENDERED {
            let mut event = events::connect();
            event.process = Some(events::process("x"));
            lines.write(&events::event(Body::Connect(event)), &mut buf);
        }
        assert!(lines.rendered.len() <= MAX_RENDERED);
    }

    #[test]
    fn every_specimen_is_one_line() {
        for event in events::all() {
            let mut buf = Vec::new();
            Lines::default().write(&event, &mut buf);
            let text = String::from_utf8(buf).expect("UTF-8");
            assert_eq!(text.matches('\n').count(), 1);
            assert!(text.starts_with("{\"v\":1,\"time\":\"") && text.ends_with("}\n"));
        }
    }
}
