//! What watching costs and what it missed: the one line that is always in sight, because no number
//! above it is worth anything without.

use std::{fmt::Write, time::Duration};

use ratatui_core::layout::Rect;

use super::{
    numbers,
    paint::{Painter, from},
    theme::Tone,
};
use crate::{model::View, outputs::units::Count};

/// How the capture goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Since watching began. Rates are told by it, so it must be of the moment of the snapshot.
    pub elapsed: Duration,
    /// Events of late.
    pub events_per_second: f64,
    /// Events that were lost, of all kinds and causes.
    pub lost: u64,
    /// How often the kernel skipped a program.
    pub missed: u64,
    /// What all of tracer takes of one processor.
    pub cpu_percent: Option<f32>,
    /// The most memory that tracer had at once, with what it shares with the kernel.
    pub memory_bytes: Option<u64>,
    /// The set of hooks, or what else the events come from.
    pub hooks: String,
    /// Whether the snapshot stands still.
    pub paused: bool,
}

/// Draws the line. What comes first in it matters most: the end goes where there is no room.
pub(super) fn draw(painter: &mut Painter<'_>, place: Rect, status: &Status, view: &View) {
    let mut at = place;
    let mut first = true;
    for (text, tone) in parts(status, view) {
        let separator = if first { " " } else { " · " };
        let columns = separator.chars().count() + text.chars().count();
        if !first && columns > usize::from(at.width) {
            break;
        }
        at = from(at, painter.text(at, separator, Tone::Faint));
        at = from(at, painter.text(at, &text, tone));
        first = false;
    }
}

fn parts(status: &Status, view: &View) -> Vec<(String, Tone)> {
    let mut parts = Vec::new();
    parts.push(match status.lost {
        0 => ("lost 0".to_owned(), Tone::Good),
        lost => (format!(" LOST {} ", Count(lost)), Tone::Loud),
    });
    if status.paused {
        parts.push((" PAUSED ".to_owned(), Tone::Loud));
    }
    parts.push(match status.missed {
        0 => ("skipped 0".to_owned(), Tone::Good),
        missed => (format!("! skipped {}", Count(missed)), Tone::Warn),
    });
    let untracked: u64 = view.coverage.iter().map(|it| it.untracked).sum();
    if untracked > 0 {
        let text = format!("! untracked {}", Count(untracked));
        parts.push((text, Tone::Warn));
    }
    // What comes again and again makes room by design, and is no reason to look up.
    let is_telling = |what: &str| !matches!(what, "changes" | "processes");
    let cuts = view.coverage.iter().flat_map(|it| it.cut.parts());
    let cuts = cuts.chain(view.nodes.iter().flat_map(|it| it.cut.parts()));
    let cuts = cuts.filter(|(what, _)| is_telling(what));
    let cut = cuts.map(|(_, number)| number).fold(0, u64::saturating_add);
    if cut > 0 {
        parts.push((format!("! left out {}", Count(cut)), Tone::Warn));
    }
    let gaps: usize = view.coverage.iter().map(|it| it.gaps.len()).sum();
    if gaps > 0 {
        parts.push((format!("! gaps {gaps}"), Tone::Warn));
    }
    if let Some(cpu) = status.cpu_percent {
        parts.push((format!("cpu {cpu:.1} %"), Tone::Plain));
    }
    if let Some(memory) = status.memory_bytes {
        parts.push((format!("{} MiB", memory >> 20), Tone::Plain));
    }
    if !status.hooks.is_empty() {
        parts.push((status.hooks.clone(), Tone::Plain));
    }
    let rate = numbers::rate(Some(status.events_per_second));
    parts.push((format!("{rate} events/s"), Tone::Plain));
    parts.push((clock(status.elapsed), Tone::Plain));
    parts
}

/// `0:12:34`, and days if there are any.
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let mut out = String::new();
    if seconds >= 86_400 {
        // Writing to a String does not fail.
        let _ = write!(out, "{} d ", seconds / 86_400);
    }
    let _ = write!(
        out,
        "{}:{:02}:{:02}",
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_has_days_when_it_needs_them() {
        assert_eq!(clock(Duration::from_secs(754)), "0:12:34");
        assert_eq!(clock(Duration::from_secs(90_061)), "1 d 1:01:01");
    }
}
