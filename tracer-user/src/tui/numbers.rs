//! Quantities in few columns, for tables. Where there is room, those of the other outputs are used.

use crate::outputs::units::Count;

/// A count in at most six columns.
pub(super) fn count(number: u64) -> String {
    if number < 100_000 {
        return Count(number).to_string();
    }
    scaled(number)
}

/// `number` with the letter of its magnitude: three digits, cut, not rounded.
fn scaled(number: u64) -> String {
    const LETTERS: [char; 6] = ['k', 'M', 'G', 'T', 'P', 'E'];
    let (mut size, mut letter) = (1_000, LETTERS[0]);
    for next in &LETTERS[1..] {
        if number / size < 1_000 {
            break;
        }
        size *= 1_000;
        letter = *next;
    }
    if number / size < 10 {
        format!("{}.{}{letter}", number / size, number % size / (size / 10))
    } else {
        format!("{}{letter}", number / size)
    }
}

/// So many a second, in at most six columns; `-` if it is not known yet.
pub(super) fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => "-".to_owned(),
        Some(rate) if rate <= 0.0 => "0".to_owned(),
        Some(rate) if rate < 0.1 => "<0.1".to_owned(),
        Some(rate) if rate < 9.95 => format!("{rate:.1}"),
        // Floats saturate when they are cast.
        Some(rate) => count(rate.round() as u64),
    }
}

/// A time span in at most five columns: `184µs`, `9.1ms`, `127s`.
pub(super) fn span(ns: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "µs"),
        (1, "ns"),
    ];
    match UNITS.iter().find(|(size, _)| ns >= *size) {
        None => "0".to_owned(),
        Some((size, unit)) if *size > 1 && ns / size < 10 => {
            format!("{}.{}{unit}", ns / size, ns % size / (size / 10))
        }
        Some((1_000_000_000, _)) if ns / 1_000_000_000 >= 10_000 => ">9ks".to_owned(),
        Some((size, unit)) => format!("{}{unit}", ns / size),
    }
}

/// How long ago, in at most six columns: `now`, `59 s`, `12 min`, `3 h`, `200 d`.
pub(super) fn age(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds {
        0 => "now".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", (seconds / 86_400).min(9_999)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        let shown = [0, 999, 1_000, 99_999, 100_000, 1_234_567, 12_345_678].map(count);
        assert_eq!(
            shown,
            ["0", "999", "1,000", "99,999", "100k", "1.2M", "12M"]
        );
        assert_eq!(count(u64::MAX), "18E");
        for power in 0..64 {
            assert!(count(1 << power).len() <= 6, "{}", count(1 << power));
        }
    }

    #[test]
    fn rates_are_short() {
        let rates = [0.0, 0.01, 0.25, 9.94, 9.96, 1234.5, f64::INFINITY, f64::NAN];
        let shown = rates.map(|it| rate(Some(it)));
        assert_eq!(
            shown,
            ["0", "<0.1", "0.2", "9.9", "10", "1,235", "18E", "0"]
        );
        assert_eq!(rate(None), "-");
    }

    #[test]
    fn spans_are_short() {
        let shown = [0, 999, 184_223, 9_120_331, 59_999_999_999, u64::MAX].map(span);
        assert_eq!(shown, ["0", "999ns", "184µs", "9.1ms", "59s", ">9ks"]);
    }

    #[test]
    fn ages_are_short() {
        let second = 1_000_000_000;
        let shown =
            [0, 1, 59, 60, 3_599, 3_600, 86_400, u64::MAX / second].map(|it| age(it * second));
        assert_eq!(
            shown,
            [
                "now", "1 s", "59 s", "1 min", "59 min", "1 h", "1 d", "9999 d"
            ]
        );
    }
}
