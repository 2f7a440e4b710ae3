//! What is on the screen, and what keys do to it. The screens are in `golden/`, as one sees them;
//! after a change, `TRACER_BLESS=1 cargo test -p tracer-user --lib tui` writes them anew: then look.

use std::{fs, path::PathBuf, time::Duration};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui_core::{
    backend::TestBackend, buffer::Buffer, layout::Rect, style::Color, terminal::Terminal,
};

use super::{
    App, Command, Input, Screen, Status,
    facts::Subject,
    sample::{self, shop, status},
    theme::Theme,
};
use crate::model::{EdgeState, Reason, View};

/// What a screen of that size shows.
fn screen(app: &mut App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal
        .draw(|frame| app.draw(frame.buffer_mut(), Theme::new(true)))
        .expect("a frame");
    text(terminal.backend().buffer())
}

fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in buffer
        .content()
        .chunks(usize::from(buffer.area.width).max(1))
    {
        let line: String = row.iter().map(|cell| cell.symbol()).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

pub(super) fn code(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

/// Presses a key for each word: the name of one, or else letters.
fn press(app: &mut App, keys: &str) -> Option<Command> {
    let mut command = None;
    for key in keys.split(' ') {
        let named = match key {
            "Enter" => Some(KeyCode::Enter),
            "Esc" => Some(KeyCode::Esc),
            "Tab" => Some(KeyCode::Tab),
            "Back" => Some(KeyCode::Backspace),
            "Left" => Some(KeyCode::Left),
            "Right" => Some(KeyCode::Right),
            "Up" => Some(KeyCode::Up),
            "Down" => Some(KeyCode::Down),
            "PgDn" => Some(KeyCode::PageDown),
            "PgUp" => Some(KeyCode::PageUp),
            "Home" => Some(KeyCode::Home),
            "End" => Some(KeyCode::End),
            _ => None,
        };
        match named {
            Some(named) => command = app.press(code(named)),
            None => {
                for char in key.chars() {
                    command = app.press(code(KeyCode::Char(char)));
                }
            }
        }
    }
    command
}

/// The shop, seen for a minute.
fn app() -> App {
    let mut app = App::new();
    app.show(shop(0), status(0));
    app.show(shop(60), status(60));
    app
}

/// The name of the node, or of client and server, that is chosen.
fn chosen(app: &App) -> String {
    match app.subject() {
        None => "nothing".to_owned(),
        Some(Subject::Node(node)) => app.map.node(node).0.name.to_string(),
        Some(Subject::Edge(edge)) => {
            let (client, server) = (app.map.client(edge), app.map.server(edge));
            format!("{} > {}", client.name, server.name)
        }
    }
}

/// The node in the middle of the focus.
fn focus(app: &App) -> String {
    app.focus.as_ref().map_or("none".to_owned(), |focus| {
        app.map.node(focus.node()).0.name.to_string()
    })
}

fn is_golden(name: &str, screen: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/tui/golden")
        .join(format!("{name}.txt"));
    if std::env::var_os("TRACER_BLESS").is_some() {
        fs::write(&path, screen).expect("written");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == screen, "not {}:\n{screen}", path.display());
}

#[test]
fn the_lists() {
    for (pane, name) in ["services", "edges", "failing"].into_iter().enumerate() {
        let mut app = app();
        press(&mut app, &(pane + 1).to_string());
        is_golden(&format!("{name}-80x24"), &screen(&mut app, 80, 24));
        is_golden(&format!("{name}-160x50"), &screen(&mut app, 160, 50));
    }
    is_golden("services-80x50", &screen(&mut app(), 80, 50));
}

#[test]
fn a_long_list() {
    let mut app = App::new();
    app.show(sample::large(10_000), status(60));
    press(&mut app, "2 s");
    screen(&mut app, 80, 24);
    press(&mut app, "PgDn PgDn Up");
    is_golden("long-80x24", &screen(&mut app, 80, 24));
}

#[test]
fn the_focus() {
    let mut app = app();
    press(&mut app, "/shop Enter Enter");
    is_golden("focus-80x24", &screen(&mut app, 80, 24));
    press(&mut app, "Right Down Down");
    is_golden("focus-160x50", &screen(&mut app, 160, 50));
}

#[test]
fn the_covers() {
    let mut app = app();
    press(&mut app, "3 d");
    is_golden("detail-80x24", &screen(&mut app, 80, 24));
    press(&mut app, "c");
    is_golden("coverage-80x24", &screen(&mut app, 80, 24));
    press(&mut app, "?");
    is_golden("help-80x24", &screen(&mut app, 80, 24));
    press(&mut app, "?");
    assert_eq!(app.cover, None);
}

#[test]
fn loss_is_loud_and_always_in_sight() {
    let mut app = App::new();
    let lossy = Status {
        lost: 1_204,
        missed: 7,
        paused: true,
        ..status(60)
    };
    app.show(shop(0), lossy);
    for (width, height) in [(80, 24), (40, 10), (30, 1), (200, 60)] {
        for keys in ["1", "?", "?", "c", "c", "Enter", "d"] {
            press(&mut app, keys);
            let shown = screen(&mut app, width, height);
            assert!(
                shown.contains("LOST 1,204"),
                "{width}x{height} {keys}\n{shown}"
            );
            assert!(shown.contains("PAUSED"), "{shown}");
        }
    }
    let shown = screen(&mut app, 80, 24);
    assert!(shown.contains("skipped 7"), "{shown}");
}

#[test]
fn what_was_left_out_is_in_sight() {
    let mut app = App::new();
    let mut view = shop(0);
    // What health checks run again and again is no reason to look up.
    view.nodes[0].cut.changes = 5_000;
    app.show(view.clone(), status(60));
    assert!(!screen(&mut app, 120, 24).contains("left out"));
    let nginx = view.nodes.iter_mut().find(|it| it.name.contains("nginx"));
    nginx.expect("nginx").cut.listeners = 1_204;
    view.coverage[0].cut.nodes = 3;
    app.show(view, status(61));
    let shown = screen(&mut app, 120, 24);
    assert!(shown.contains("! left out 1,207"), "{shown}");
    press(&mut app, "c");
    let shown = screen(&mut app, 120, 40);
    assert!(shown.contains("3 nodes had no room in the map"), "{shown}");
}

#[test]
fn what_one_walks_by_keys_is_the_graph() {
    let mut app = app();
    press(&mut app, "/shop Enter f");
    assert_eq!((focus(&app), chosen(&app)), ("shop".into(), "shop".into()));
    // To its only client, and on to that one's.
    press(&mut app, "Left");
    assert_eq!(chosen(&app), "nginx.service > shop");
    press(&mut app, "Left");
    assert_eq!(focus(&app), "nginx.service");
    assert_eq!(chosen(&app), "203.0.113.0/24 > nginx.service");
    press(&mut app, "Left");
    assert_eq!(focus(&app), "203.0.113.0/24");
    // Nobody dials that: the choice is on the node itself, and there is no way on.
    assert_eq!(chosen(&app), "203.0.113.0/24");
    press(&mut app, "Left Left Up Down");
    assert_eq!(focus(&app), "203.0.113.0/24");
    // Back the way one came, each place as it was.
    press(&mut app, "Back");
    assert_eq!(focus(&app), "nginx.service");
    assert_eq!(chosen(&app), "203.0.113.0/24 > nginx.service");
    press(&mut app, "Esc");
    assert_eq!(
        (focus(&app), chosen(&app)),
        ("shop".into(), "nginx.service > shop".into())
    );
    // To the second of its servers.
    press(&mut app, "Right Right Down Enter");
    assert_eq!(focus(&app), "postgresql.service");
    // The way one came is chosen on the other side.
    press(&mut app, "Left");
    assert_eq!(chosen(&app), "shop > postgresql.service");
    press(&mut app, "Back Back");
    assert_eq!((focus(&app), chosen(&app)), ("none".into(), "shop".into()));
}

#[test]
fn a_cycle_is_walked_for_ever_and_back() {
    let mut view = View {
        nodes: vec![sample::remote("a"), sample::remote("b")],
        edges: vec![
            sample::edge(0, 0, 1, 1, 1),
            sample::edge(0, 1, 1, 1, 1),
            sample::edge(1, 0, 1, 1, 1),
        ],
        ..View::default()
    };
    let mut app = App::new();
    app.show(view.clone(), status(0));
    press(&mut app, "f Right Down");
    for _ in 0..5_000 {
        press(&mut app, "Right");
    }
    assert_eq!(focus(&app), "a");
    // To itself leads nowhere.
    press(&mut app, "Up Right Right Right");
    assert_eq!(focus(&app), "a");
    // A node that is gone is left out on the way back.
    press(&mut app, "Down Right");
    assert_eq!(focus(&app), "b");
    view.nodes.pop();
    view.edges.truncate(1);
    app.show(view, status(1));
    assert_eq!(focus(&app), "a");
    app.show(View::default(), status(2));
    assert_eq!(
        (focus(&app), chosen(&app)),
        ("none".into(), "nothing".into())
    );
}

#[test]
fn the_choice_stays_when_rows_move() {
    let mut app = app();
    screen(&mut app, 80, 24);
    press(&mut app, "2 Down Down");
    let before = chosen(&app);
    // Others come before it.
    let mut view = shop(61);
    view.nodes.push(sample::remote("zzz"));
    let new = view.nodes.len() - 1;
    view.edges.insert(0, sample::edge(0, new, 1, 1, 1));
    app.show(view, status(61));
    assert_eq!(chosen(&app), before);
    // It is sorted otherwise.
    for _ in 0..9 {
        press(&mut app, "s");
        assert_eq!(chosen(&app), before);
        press(&mut app, "S");
        assert_eq!(chosen(&app), before);
    }
    // What was searched for and found stays chosen when the search is over.
    press(&mut app, "/:25 Esc");
    assert_eq!(chosen(&app), "report-sender > smtp.example.org");
    // It goes: another one is chosen.
    let mut view = shop(62);
    view.edges.clear();
    app.show(view, status(62));
    assert_eq!(chosen(&app), "nothing");
    app.show(shop(63), status(63));
    assert_ne!(chosen(&app), "nothing");
}

#[test]
fn search_and_filter_choose_rows() {
    let mut app = app();
    press(&mut app, "2 /POSTGRES");
    let rows = app.lists[1].list.order().len();
    assert_eq!(rows, 2);
    // `q` is a letter while one types.
    assert_eq!(press(&mut app, "q"), None);
    assert!(screen(&mut app, 80, 24).contains("Esc clears"));
    press(&mut app, "Back Enter");
    assert!(screen(&mut app, 80, 24).contains("search \"POSTGRES\""));
    press(&mut app, "F");
    let only: Vec<_> = app.lists[1].list.order().to_vec();
    assert_eq!(only.len(), 1);
    assert_eq!(app.map.edge(only[0]).0.state, EdgeState::Mixed);
    press(&mut app, "Esc F");
    assert_eq!(app.lists[1].list.order().len(), 8);
    // What is written large or small is the same.
    press(&mut app, "/GRÖ Enter");
    assert_eq!(app.lists[1].list.order().len(), 0);
    let mut view = shop(61);
    view.nodes[0].name = "größe".into();
    app.show(view, status(61));
    assert_eq!(app.lists[1].list.order().len(), 1);
    press(&mut app, "Esc");
    // Ports and reasons are found too.
    press(&mut app, "/:6379 Enter");
    assert_eq!(app.lists[1].list.order().len(), 1);
    press(&mut app, "Esc 3 /timed Enter");
    assert_eq!(app.lists[2].list.order().len(), 1);
    assert_eq!(chosen(&app), "report-sender > smtp.example.org");
}

#[test]
fn lists_are_sorted_by_any_column() {
    let mut app = app();
    press(&mut app, "2 sss");
    // By live connections, the most first.
    let live = |app: &App| -> Vec<u64> {
        let order = app.lists[1].list.order().iter();
        order.map(|edge| app.map.edge(*edge).0.live()).collect()
    };
    let before = live(&app);
    assert!(before.is_sorted_by(|a, b| a >= b), "{before:?}");
    assert!(screen(&mut app, 80, 24).contains("LIVE▼"));
    press(&mut app, "S");
    assert!(live(&app).is_sorted());
    assert!(screen(&mut app, 80, 24).contains("LIVE▲"));
}

#[test]
fn rates_are_between_snapshots() {
    let mut app = App::new();
    app.show(shop(0), status(0));
    assert!(app.map.edge(0).1.rate.is_none());
    app.show(shop(10), status(10));
    let (edge, facts) = app
        .map
        .view()
        .edges
        .iter()
        .enumerate()
        .map(|(index, _)| app.map.edge(index))
        .find(|(edge, _)| edge.port == Some(8080))
        .expect("an edge");
    assert_eq!((edge.established, facts.rate), (1_480, Some(38.0)));
}

#[test]
fn a_pause_keeps_the_snapshot_and_not_the_status() {
    let mut app = app();
    assert_eq!(press(&mut app, "p"), Some(Command::Pause));
    let before = app.map.view().clone();
    let paused = Status {
        paused: true,
        lost: 5,
        ..status(70)
    };
    app.show(shop(70), paused);
    assert_eq!(app.map.view(), &before);
    assert!(screen(&mut app, 80, 24).contains("LOST 5"));
    // Rates after it are over all of it.
    app.show(shop(80), status(80));
    assert_eq!(app.map.view(), &shop(80));
}

#[test]
fn q_and_control_c_quit_from_everywhere() {
    for keys in ["1", "?", "c", "d", "Enter", "3 d"] {
        let mut app = app();
        press(&mut app, keys);
        assert_eq!(press(&mut app, "q"), Some(Command::Quit), "{keys}");
    }
    let mut app = app();
    press(&mut app, "/abc");
    let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(app.press(key), Some(Command::Quit));
}

#[test]
fn hostile_text_is_shown_and_not_obeyed() {
    let evil = "\x1b[2J\u{202e}evil\nname\t\u{200b}\\日本語".repeat(40);
    let mut view = shop(0);
    for node in &mut view.nodes {
        node.name = evil.as_str().into();
        node.id = format!("{evil}{}", node.id).into();
        for process in &mut node.processes {
            let process = std::sync::Arc::make_mut(process);
            process.comm = evil.as_str().into();
            process.exe = Some(evil.as_str().into());
            process.args = Some(vec![evil.clone(); 50].into());
        }
    }
    let mut app = App::new();
    let hooks = evil.clone();
    app.show(view, Status { hooks, ..status(0) });
    for keys in [
        "1",
        "d",
        "2",
        "d",
        "3",
        "d",
        "1 f",
        "Right",
        "/\u{202e}\u{200b}",
        "Enter",
    ] {
        press(&mut app, keys);
        for (width, height) in [(80, 24), (160, 50), (20, 5)] {
            let shown = screen(&mut app, width, height);
            assert!(
                shown.chars().all(|char| char == '\n'
                    || !(char.is_control() || "\u{202e}\u{200b}".contains(char))),
                "{shown}"
            );
        }
    }
}

#[test]
fn wide_text_keeps_columns_in_their_places() {
    let mut view = shop(0);
    for node in &mut view.nodes {
        node.name = format!("日本語のサービス名{}", node.name).into();
    }
    let mut app = App::new();
    app.show(view, status(0));
    let mut buffer = Buffer::empty(Rect::new(0, 0, 80, 24));
    app.draw(&mut buffer, Theme::new(false));
    let column = |title: &str| {
        let head: Vec<&str> = (0..80).map(|x| buffer[(x, 1)].symbol()).collect();
        let letters: Vec<String> = title.chars().map(String::from).collect();
        head.windows(letters.len())
            .position(|window| window == letters)
            .expect("a title")
    };
    let kind = u16::try_from(column("KIND")).expect("small");
    for row in 2..10 {
        assert!(
            ["s", "p", "e", "c", "r"].contains(&buffer[(kind, row)].symbol()),
            "{}",
            text(&buffer)
        );
    }
}

#[test]
fn any_screen_will_do() {
    for (width, height) in [(0, 0), (1, 1), (2, 3), (20, 5), (5, 40), (300, 3), (121, 8)] {
        let mut app = app();
        for keys in ["1", "2", "3", "d", "?", "c", "1", "f", "Right", "d", "/x"] {
            press(&mut app, keys);
            screen(&mut app, width, height);
        }
    }
}

#[test]
fn no_colour_is_no_colour() {
    let mut app = app();
    let mut buffer = Buffer::empty(Rect::new(0, 0, 160, 50));
    app.draw(&mut buffer, Theme::new(false));
    assert!(
        buffer
            .content()
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
}

#[test]
fn a_state_is_told_in_signs_and_words() {
    let mut app = app();
    let shown = screen(&mut app, 80, 24);
    assert!(shown.contains('✗') && shown.contains('!'), "{shown}");
    press(&mut app, "2");
    let shown = screen(&mut app, 160, 24);
    assert!(
        shown.contains("✗ failed") && shown.contains("! mixed"),
        "{shown}"
    );
    assert!(shown.contains(Reason::TimedOut.name()), "{shown}");
}

/// How long ten thousand edges take. Not a test: times are of the machine.
/// `cargo test -p tracer-user --lib --release -- --ignored --nocapture fluid`
#[test]
#[ignore = "prints times"]
fn fluid() {
    let view = sample::large(10_000);
    let mut app = App::new();
    let mut buffer = Buffer::empty(Rect::new(0, 0, 160, 50));
    let timed = |what: &str, act: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        for _ in 0..20 {
            act();
        }
        println!("{what}: {:?}", start.elapsed() / 20);
    };
    press(&mut app, "2 /service");
    let mut seconds = 0;
    let mut views: Vec<View> = (0..20).map(|_| view.clone()).collect();
    timed("a snapshot, searched and sorted", &mut || {
        seconds += 1;
        app.show(views.pop().unwrap_or_default(), status(seconds));
    });
    timed("a frame", &mut || app.draw(&mut buffer, Theme::new(true)));
    press(&mut app, "Enter");
    timed("a step", &mut || {
        press(&mut app, "Down");
    });
    timed("a sort", &mut || {
        press(&mut app, "s");
    });
}

/// The view on this terminal, of a shop that lives. Not a test: look at it.
/// `cargo test -p tracer-user --lib -- --ignored --nocapture on_a_terminal`
#[test]
#[ignore = "needs a terminal and somebody to look"]
fn on_a_terminal() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut screen = Screen::open()?;
        let mut app = App::new();
        let (mut seconds, mut paused) = (0, false);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    seconds += 1;
                    let lost = if seconds % 40 > 30 { 17 } else { 0 };
                    app.show(shop(seconds), Status { paused, lost, ..status(seconds) });
                }
                input = screen.key() => match input {
                    None => return Ok(()),
                    Some(Input::Redraw) => {}
                    Some(Input::Key(key)) if key.code == KeyCode::Char('!') => panic!("as asked"),
                    Some(Input::Key(key)) => match app.press(key) {
                        Some(Command::Quit) => return Ok(()),
                        Some(Command::Pause) => {
                            paused = !paused;
                            app.show(shop(seconds), Status { paused, ..status(seconds) });
                        }
                        None => {}
                    },
                }
            }
            screen.draw(&mut app)?;
        }
    })
}
