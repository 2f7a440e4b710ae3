//! Whatever comes and whatever is pressed: nothing panics, and what is chosen is there.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::{collection::vec, prelude::*};
use ratatui_core::{buffer::Buffer, layout::Rect};

use super::{App, Status, columns::Pane, facts::Subject, sample, sample::status, theme::Theme};
use crate::model::{Reason, View, WorkloadKind};

/// What happens to a view.
#[derive(Clone, Debug)]
enum Step {
    Press(KeyEvent),
    Show(View, Status),
    Draw(u16, u16),
}

fn keys() -> impl Strategy<Value = KeyEvent> {
    let code = prop_oneof![
        8 => prop::sample::select("123sS/FpdcfhjklgGq? a\u{202e}日".chars().collect::<Vec<_>>())
            .prop_map(KeyCode::Char),
        8 => prop::sample::select(vec![
            KeyCode::Up, KeyCode::Down, KeyCode::Left, KeyCode::Right, KeyCode::PageUp,
            KeyCode::PageDown, KeyCode::Home, KeyCode::End, KeyCode::Enter, KeyCode::Esc,
            KeyCode::Tab, KeyCode::BackTab, KeyCode::Backspace, KeyCode::Delete, KeyCode::F(5),
        ]),
        1 => any::<char>().prop_map(KeyCode::Char),
    ];
    let modifiers = prop_oneof![
        9 => Just(KeyModifiers::NONE),
        1 => Just(KeyModifiers::CONTROL),
        1 => Just(KeyModifiers::ALT),
    ];
    (code, modifiers).prop_map(|(code, modifiers)| KeyEvent::new(code, modifiers))
}

/// Maps over the same few names, so that nodes and edges come, go and move.
fn views() -> impl Strategy<Value = View> {
    let nodes = vec((0..12_u8, any::<bool>(), "\\PC{0,3}|.{0,30}"), 0..9);
    let edges = vec(
        (
            0..12_usize,
            0..12_usize,
            0..4_u16,
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
        ),
        0..20,
    );
    (nodes, edges).prop_map(|(nodes, edges)| {
        let mut nodes: Vec<_> = nodes
            .into_iter()
            .map(|(number, local, suffix)| {
                let name = format!("{number}{suffix}");
                let mut node = if local {
                    sample::service("a", WorkloadKind::Pod, &name, &suffix)
                } else {
                    sample::remote(&name)
                };
                node.id = number.to_string().into();
                node
            })
            .collect();
        nodes.sort_by(|one, other| one.id.cmp(&other.id));
        nodes.dedup_by(|one, other| one.id == other.id);
        let count = nodes.len();
        let edges = edges
            .into_iter()
            // Some without ends: nobody should make them, and nothing should come of it.
            .filter(|(client, server, ..)| count > 0 && (*client < count || server % 3 == 0))
            .map(|(client, server, port, opened, failed, at)| {
                let mut edge = sample::edge(client, server, port, opened >> 20, failed % 9);
                edge.port = (port > 0).then_some(port);
                if failed % 3 == 0 {
                    let reasons = [(Reason::Refused, failed >> 8), (Reason::TimedOut, 1)];
                    edge = sample::failing(edge, &reasons, "ECONNREFUSED", at % 1_000_000);
                }
                edge
            })
            .collect();
        View {
            generated: Some(sample::time(60)),
            nodes,
            edges,
            ..View::default()
        }
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let show = (views(), 0..100_u64, any::<bool>(), any::<u64>()).prop_map(
        |(view, seconds, paused, lost)| {
            let status = Status {
                paused,
                lost,
                ..status(seconds)
            };
            Step::Show(view, status)
        },
    );
    prop_oneof![
        20 => keys().prop_map(Step::Press),
        2 => show,
        2 => (0..200_u16, 0..60_u16).prop_map(|(width, height)| Step::Draw(width, height)),
    ]
}

/// What is chosen is in the snapshot, and in its list.
fn check(app: &App) -> Result<(), TestCaseError> {
    let view = app.map.view();
    match app.subject() {
        Some(Subject::Node(node)) => prop_assert!(node < view.nodes.len()),
        Some(Subject::Edge(edge)) => prop_assert!(edge < view.edges.len()),
        None => prop_assert!(app.focus.is_none()),
    }
    let list = &app.lists[app.index()].list;
    let rows = list.order();
    prop_assert_eq!(list.chosen().is_none(), rows.is_empty());
    let most = match app.pane {
        Pane::Services => view.nodes.len(),
        Pane::Edges | Pane::Failing => view.edges.len(),
    };
    prop_assert!(rows.iter().all(|row| *row < most));
    prop_assert!(app.skip <= app.most_skip);
    Ok(())
}

proptest! {
    #[test]
    fn any_keys_and_any_views_are_survived(steps in vec(steps(), 1..80)) {
        let mut app = App::new();
        for step in steps {
            match step {
                Step::Press(key) => { app.press(key); }
                Step::Show(view, status) => app.show(view, status),
                Step::Draw(width, height) => {
                    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                    app.draw(&mut buffer, Theme::new(true));
                }
            }
            check(&app)?;
        }
    }
}
