//! Quantities for people: three digits are enough to judge one.

use std::fmt::{self, Display};

/// A number of bytes, in decimal units.
pub(crate) struct Bytes(pub(crate) u64);

/// A time span in nanoseconds.
pub(crate) struct Nanos(pub(crate) u64);

/// A count, its digits in groups of three.
pub(crate) struct Count(pub(crate) u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(
            f,
            self.0,
            &[
                (1, "B"),
                (1_000, "kB"),
                (1_000_000, "MB"),
                (1_000_000_000, "GB"),
                (1_000_000_000_000, "TB"),
            ],
        )
    }
}

impl Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND: u64 = 1_000_000_000;
        let seconds = self.0 / SECOND;
        match seconds {
            0..60 => scaled(
                f,
                self.0,
                &[(1, "ns"), (1_000, "µs"), (1_000_000, "ms"), (SECOND, "s")],
            ),
            60..3_600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            3_600..86_400 => write!(f, "{} h {} min", seconds / 3_600, seconds / 60 % 60),
            _ => write!(f, "{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
        }
    }
}

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut out = String::with_capacity(digits.len() + digits.len() / 3);
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        f.pad(&out)
    }
}

/// When an attempt last succeeded, where none did while it was watched: connections may be older.
pub(crate) fn no_success(live_at_start: u64, live: u64, bytes: u64) -> String {
    let carried = match bytes {
        0 => String::new(),
        bytes => format!(" ({})", Bytes(bytes)),
    };
    match (live_at_start, live) {
        (0, 0) => "never seen".to_owned(),
        (0, _) => "still open".to_owned(),
        (_, 0) => format!("before watching{carried}"),
        (_, _) => format!("open since before watching{carried}"),
    }
}

/// That nobody answered so many SYNs, of an attempt of that long.
pub(crate) fn no_answer(duration_ns: Option<u64>, syns: u32) -> String {
    let plural = if syns == 1 { "" } else { "s" };
    let syns = Count(syns.into());
    match duration_ns {
        Some(ns) => format!("no answer in {}, {syns} SYN{plural}", Nanos(ns)),
        None => format!("no answer to {syns} SYN{plural}"),
    }
}

/// Writes `value` in the largest unit of which it has at least one, with one decimal below
/// a hundred. Cut, not rounded: 999,999 B are not yet 1 MB.
fn scaled(f: &mut fmt::Formatter<'_>, value: u64, units: &[(u64, &str)]) -> fmt::Result {
    let fitting = units.iter().rev().find(|(size, _)| value >= *size);
    match fitting.or(units.first()) {
        Some((size, unit)) if *size > 1 && value / size < 100 => {
            write!(f, "{}.{} {unit}", value / size, value % size / (size / 10))
        }
        Some((size, unit)) => write!(f, "{} {unit}", value / size),
        None => write!(f, "{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes() {
        let shown = [
            0,
            1,
            999,
            1_000,
            1_204,
            88_172,
            999_999,
            123_456_789,
            u64::MAX,
        ]
        .map(|it| Bytes(it).to_string());
        let expected = [
            "0 B",
            "1 B",
            "999 B",
            "1.0 kB",
            "1.2 kB",
            "88.1 kB",
            "999 kB",
            "123 MB",
            "18446744 TB",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn time_spans() {
        let shown = [
            0,
            999,
            184_223,
            9_120_331,
            59_999_999_999,
            60_000_000_000,
            3_725_000_000_000,
            90_000_000_000_000,
        ]
        .map(|it| Nanos(it).to_string());
        let expected = [
            "0 ns",
            "999 ns",
            "184 µs",
            "9.1 ms",
            "59.9 s",
            "1 min 0 s",
            "1 h 2 min",
            "1 d 1 h",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_was_open_before_succeeded_before() {
        assert_eq!(no_success(0, 0, 0), "never seen");
        assert_eq!(
            no_success(2, 1, 1_204),
            "open since before watching (1.2 kB)"
        );
        assert_eq!(no_success(2, 0, 1_204), "before watching (1.2 kB)");
        assert_eq!(no_success(1, 1, 0), "open since before watching");
    }

    #[test]
    fn counts() {
        let shown = [0, 999, 1_000, 1_234_567].map(|it| Count(it).to_string());
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}
