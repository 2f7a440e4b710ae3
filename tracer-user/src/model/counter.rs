//! What the kernel side counts.

use super::Kind;

/// A counter of the kernel side: one for each kind of record that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    /// Lines of [`Kind::Existing`].
    Existing,
    /// Lines of [`Kind::Connect`].
    Connect,
    /// Lines of [`Kind::Accept`].
    Accept,
    /// Lines of [`Kind::Totals`].
    Totals,
    /// Lines of [`Kind::Close`].
    Close,
    /// Lines of [`Kind::Fail`].
    Fail,
    /// Lines of [`Kind::Listen`].
    Listen,
    /// Lines of [`Kind::Unlisten`].
    Unlisten,
    /// Lines of [`Kind::Exec`].
    Exec,
    /// Lines of [`Kind::Exit`].
    Exit,
    /// A process made another one; a [`Fact`](super::Fact), so it has no line.
    Fork,
    /// A control group was made; a fact as well.
    Cgroup,
    /// A process exchanged something with a name server; a fact as well.
    Dns,
    /// The address that a process dialled was replaced; a fact as well.
    Redirect,
}

impl Counter {
    /// All of them, in the order of their declaration, which is that of the account.
    pub const ALL: [Self; 14] = [
        Self::Existing,
        Self::Connect,
        Self::Accept,
        Self::Totals,
        Self::Close,
        Self::Fail,
        Self::Listen,
        Self::Unlisten,
        Self::Exec,
        Self::Exit,
        Self::Fork,
        Self::Cgroup,
        Self::Dns,
        Self::Redirect,
    ];

    /// The word in the account.
    pub fn name(self) -> &'static str {
        match self {
            Self::Existing => "existing",
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Totals => "totals",
            Self::Close => "close",
            Self::Fail => "fail",
            Self::Listen => "listen",
            Self::Unlisten => "unlisten",
            Self::Exec => "exec",
            Self::Exit => "exit",
            Self::Fork => "fork",
            Self::Cgroup => "cgroup",
            Self::Dns => "dns",
            Self::Redirect => "redirect",
        }
    }

    /// The counter that `name` means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The kind of the lines that it counts; none if it counts facts.
    pub fn kind(self) -> Option<Kind> {
        Kind::from_name(self.name())
    }

    /// The counter of lines of this kind; none if they do not come from the kernel.
    pub fn of(kind: Kind) -> Option<Self> {
        Self::from_name(kind.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_of_a_kind_of_line_or_of_a_fact() {
        for (at, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, at);
            assert_eq!(Counter::from_name(counter.name()), Some(counter));
        }
        let facts = Counter::ALL.into_iter().filter(|it| it.kind().is_none());
        assert_eq!(
            facts.collect::<Vec<_>>(),
            [
                Counter::Fork,
                Counter::Cgroup,
                Counter::Dns,
                Counter::Redirect
            ]
        );
        let ours = Kind::ALL
            .into_iter()
            .filter(|it| Counter::of(*it).is_none());
        assert_eq!(
            ours.collect::<Vec<_>>(),
            [Kind::Start, Kind::Loss, Kind::Stop]
        );
    }
}
