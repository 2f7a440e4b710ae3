//! The keys, and the page that says what they do.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::columns::Pane;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    First,
    Last,
    Enter,
    Focus,
    Back,
    Escape,
    Detail,
    Coverage,
    Help,
    Sort,
    Reverse,
    Search,
    Failing,
    Pause,
    Next,
    Previous,
    Show(Pane),
}

/// What a key does to the text that is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Char(char),
    Delete,
    Clear,
    /// Keeps it.
    Done,
    /// Gives it up.
    Cancel,
    /// Not for the text.
    Other(Option<Action>),
}

/// The lines of the help page.
pub(super) const HELP: &[(&str, &str)] = &[
    ("1 2 3, Tab", "services, edges, failing edges"),
    (
        "↑ ↓ j k",
        "choose; PgUp PgDn Home End g G: by pages, to the ends",
    ),
    ("Enter", "of a service: focus on it; of an edge: its detail"),
    ("f", "focus: clients on the left, servers on the right"),
    ("← → h l", "in focus: to a client, to a server"),
    ("Backspace Esc", "back the way you came"),
    ("d", "detail: processes, listeners, container, evidence"),
    ("c", "coverage: what was watched, lost, and cannot be seen"),
    ("/", "search; Enter keeps it, Esc clears it"),
    ("F", "only what fails or failed"),
    ("s S", "sort by the next column; the other way around"),
    ("p", "pause: the map stands still, watching goes on"),
    ("Ctrl-L", "draw everything anew"),
    ("?", "this page"),
    ("q Ctrl-C", "quit"),
    ("", ""),
    (
        "EST.",
        "connections opened since watching began; LIVE: open now",
    ),
    (
        "P50/P95",
        "time to connect: half, and 95 %, took at most that",
    ),
    (
        "✗ failed",
        "the last attempt failed; ! mixed: some did, not the last",
    ),
    ("→ ↔", "dials; connected, and who dialled is not known"),
];

/// What `key` asks for while no text is being typed.
pub(super) fn action(key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'C') => Some(Action::Quit),
            _ => None,
        };
    }
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    Some(match key.code {
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Up | KeyCode::Char('k') => Action::Up,
        KeyCode::Down | KeyCode::Char('j') => Action::Down,
        KeyCode::Left | KeyCode::Char('h') => Action::Left,
        KeyCode::Right | KeyCode::Char('l') => Action::Right,
        KeyCode::PageUp => Action::PageUp,
        KeyCode::PageDown | KeyCode::Char(' ') => Action::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        KeyCode::Enter => Action::Enter,
        KeyCode::Char('f') => Action::Focus,
        KeyCode::Backspace => Action::Back,
        KeyCode::Esc => Action::Escape,
        KeyCode::Char('d') => Action::Detail,
        KeyCode::Char('c') => Action::Coverage,
        KeyCode::Char('?') => Action::Help,
        KeyCode::Char('s') => Action::Sort,
        KeyCode::Char('S') => Action::Reverse,
        KeyCode::Char('/') => Action::Search,
        KeyCode::Char('F') => Action::Failing,
        KeyCode::Char('p') => Action::Pause,
        KeyCode::Tab => Action::Next,
        KeyCode::BackTab => Action::Previous,
        KeyCode::Char('1') => Action::Show(Pane::Services),
        KeyCode::Char('2') => Action::Show(Pane::Edges),
        KeyCode::Char('3') => Action::Show(Pane::Failing),
        _ => return None,
    })
}

/// What `key` does while text is being typed: letters are text, the rest keeps its meaning.
pub(super) fn typed(key: KeyEvent) -> Typed {
    if key.kind == KeyEventKind::Release {
        return Typed::Other(None);
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('u') if control => Typed::Clear,
        KeyCode::Char(char) if !control && !key.modifiers.contains(KeyModifiers::ALT) => {
            Typed::Char(char)
        }
        KeyCode::Backspace => Typed::Delete,
        KeyCode::Enter => Typed::Done,
        KeyCode::Esc => Typed::Cancel,
        KeyCode::Left | KeyCode::Right => Typed::Other(None),
        _ => Typed::Other(action(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(char: char, modifiers: KeyModifiers) -> Option<Action> {
        action(KeyEvent::new(KeyCode::Char(char), modifiers))
    }

    #[test]
    fn every_letter_that_does_something_is_on_the_help_page() {
        let page: String = HELP.iter().map(|(keys, _)| *keys).collect();
        let text: String = HELP.iter().map(|(_, text)| *text).collect();
        for char in '!'..='~' {
            if press(char, KeyModifiers::NONE).is_some() {
                assert!(
                    page.contains(char) || text.contains(&format!(" {char}")),
                    "{char}"
                );
            }
        }
    }

    #[test]
    fn control_and_alt_are_other_keys() {
        assert_eq!(press('c', KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(press('s', KeyModifiers::CONTROL), None);
        assert_eq!(press('q', KeyModifiers::ALT), None);
    }

    #[test]
    fn letters_are_text_while_one_types() {
        let key = |code| typed(KeyEvent::new(code, KeyModifiers::NONE));
        assert_eq!(key(KeyCode::Char('q')), Typed::Char('q'));
        assert_eq!(key(KeyCode::Down), Typed::Other(Some(Action::Down)));
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(typed(control), Typed::Other(Some(Action::Quit)));
    }
}
