use super::*;
use crate::model::specimens::events;

fn plain(body: Body) -> String {
    let mut buf = Vec::new();
    write(&events::event(body), false, &mut buf);
    String::from_utf8(buf).expect("UTF-8")
}

#[test]
fn a_connection_and_its_end() {
    assert_eq!(
        plain(Body::Connect(events::connect())),
        "01:02:03.123 connect  out nginx[812]               10.0.0.5:41532 → 10.0.0.9:5432                \
         connected in 184 µs\n"
    );
    assert_eq!(
        plain(Body::Close(events::close())),
        "01:02:03.123 close    out nginx[812]               10.0.0.5:41532 → 10.0.0.9:5432                \
         connected in 184 µs, open for 9.1 ms, sent 1.2 kB, received 88.1 kB, rtt 201 µs, 2 sent again, \
         closed by this end\n"
    );
}

#[test]
fn what_a_connection_has_carried_so_far() {
    assert_eq!(
        plain(Body::Totals(events::totals())),
        "01:02:03.123 totals   out nginx[812]               10.0.0.5:41532 → 10.0.0.9:5432                \
         connected in 184 µs, open for 9.1 ms, sent 1.2 kB, received 88.1 kB, rtt 201 µs, 2 sent again\n"
    );
}

#[test]
fn an_inbound_connection_shows_how_its_process_was_found() {
    assert_eq!(
        plain(Body::Accept(events::accept())),
        "01:02:03.123 accept   in  nginx[812]               [2001:db8::5]:41532 → [2001:db8::9]:443       \
         (process by listener)\n"
    );
}

#[test]
fn what_is_not_known_shows_as_a_question_mark() {
    assert_eq!(
        plain(Body::Close(events::close_existing())),
        "01:02:03.123 close    ?   ?                        10.0.0.5:41532 ↔ 10.0.0.9:5432                \
         older than tracer, sent 1.2 kB, received 88.1 kB, rtt 201 µs, 2 sent again, \
         closed by the other end, ECONNRESET\n"
    );
}

#[test]
fn a_failure_says_why_and_where() {
    let line = plain(Body::Fail(events::fail(
        Phase::Remote,
        Reason::Refused,
        Some("ECONNREFUSED"),
    )));
    assert!(
        line.ends_with(" refused by the other end, ECONNREFUSED, after 12.3 ms\n"),
        "{line}"
    );
    let line = plain(Body::Fail(events::fail(
        Phase::Abandoned,
        Reason::Abandoned,
        None,
    )));
    assert!(
        line.ends_with(" abandoned by the caller, after 12.3 ms\n"),
        "{line}"
    );
    for (syns, said) in [(1, "1 SYN"), (2, "2 SYNs")] {
        let mut event = events::unanswered(Reason::Abandoned, syns);
        let line = plain(Body::Fail(event.clone()));
        let end = format!(" abandoned by the caller, no answer in 3.0 s, {said}\n");
        assert!(line.ends_with(&end), "{line}");
        event.connection.duration_ns = None;
        let line = plain(Body::Fail(event));
        assert!(
            line.ends_with(&format!(", no answer to {said}\n")),
            "{line}"
        );
    }
}

#[test]
fn listeners() {
    assert_eq!(
        plain(Body::Listen(events::listener())),
        "01:02:03.123 listen       nginx[812]               0.0.0.0:80                                    \
         backlog 511 (process by scan)\n"
    );
}

#[test]
fn start_names_what_stays_invisible() {
    assert_eq!(
        plain(Body::Start(events::start())),
        "01:02:03.123 start    tracer 0.1.0 on web-1, fentry hooks, kernel 6.1.0-18-amd64 x86_64, \
         2026-11-22, times in UTC\n             blind to (`tracer doctor` says why)\n\
         \x20            - what cannot be seen\n"
    );
}

#[test]
fn loss_and_the_final_account() {
    assert_eq!(
        plain(Body::Loss(Box::new(events::loss()))),
        "01:02:03.123 loss     1,235 events lost in 1 min 30 s: \
         1,234 close (ring full 1,200, table full 30, undecodable 4), 1 fail (ring full 1); \
         hooks were skipped by the kernel 3 times\n"
    );
    assert_eq!(
        plain(Body::Stop(Box::new(events::stop(true)))),
        "01:02:03.123 stop     watched for 1 min 30 s, 1,234 events lost; hooks were skipped by the kernel 3 times; \
         found later: 0 connections, 1 ends; processes left unread: 2; processes of unknown workload: 1; took 1.2 s of processor time and 24.1 MB of memory\n\
         \x20            connect       20,000 seen\n\
         \x20            close         20,000 seen, 18,766 delivered, ring full 1,200, table full 30, undecodable 4\n"
    );
    assert!(
        plain(Body::Stop(Box::new(events::stop(false))))
            .contains("watched for 1 min 30 s, nothing lost; took")
    );
}

#[test]
fn no_name_reaches_the_terminal_as_it_is() {
    let mut event = events::connect();
    event.process = Some(events::process("\x1b]0;x\x07\n\u{9b}31m\u{202e}\u{fffd}"));
    let line = plain(Body::Connect(event));
    assert!(line.contains(" \\x1b]0;x\\x07\\n\\x9b31m…[812] "), "{line}");
    assert_eq!(line.matches('\n').count(), 1);
}

#[test]
fn colour_is_all_that_colour_adds() {
    for event in events::all() {
        let (mut plain, mut coloured) = (Vec::new(), Vec::new());
        write(&event, false, &mut plain);
        write(&event, true, &mut coloured);
        assert!(!plain.contains(&0x1b));
        let coloured = String::from_utf8(coloured).expect("UTF-8");
        let mut parts = coloured.split('\x1b');
        let mut stripped = parts.next().unwrap_or_default().to_owned();
        stripped.extend(
            parts
                .filter_map(|part| part.split_once('m'))
                .map(|(_, text)| text),
        );
        assert_eq!(stripped.as_bytes(), plain);
    }
}
