//! When to scan: at the start, at every `--rescan`, and for listeners whose owners have ended.

use std::time::{Duration, Instant};

use aya::Ebpf;

use super::{
    account::Account,
    clock,
    scan::{self, Scan},
    share::{self, WithoutRoom},
};

/// How often the holders of listeners whose owners have ended are looked for, at most: every descriptor of
/// the host is looked at.
const HEIRS: Duration = Duration::from_secs(1);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing, or a scan is under way.
    Nothing,
    /// A scan for everything.
    Everything,
    /// A scan for listeners alone, if owners of some have ended.
    Heirs,
}

/// The scans of a run.
pub(super) struct Rescan {
    /// Whether the plan can scan.
    is_possible: bool,
    /// From the end of a scan for everything to the beginning of the next.
    interval: Duration,
    /// The scan under way.
    scan: Option<Scan>,
    /// When the last scan for everything ended.
    scanned: Instant,
    /// What there was no room for when it began.
    without_room: WithoutRoom,
    /// When the holders of listeners whose owners have ended were last looked for.
    heirs_asked: Instant,
}

impl Rescan {
    pub(super) fn new(is_possible: bool, interval: Duration) -> Self {
        Self {
            is_possible,
            interval,
            scan: None,
            scanned: Instant::now(),
            without_room: WithoutRoom::default(),
            heirs_asked: Instant::now(),
        }
    }

    /// Begins to scan for pre-existing and missed connections.
    pub(super) fn begin(&mut self, ebpf: &mut Ebpf, account: &Account) {
        if !self.is_possible {
            return;
        }
        // Before it begins: what it finds no room for counts.
        self.without_room = count_without_room(ebpf, account);
        match Scan::start(ebpf) {
            Ok(scan) => self.scan = Some(scan),
            Err(error) => tracing::warn!(%error, "cannot look at what is there already"),
        }
    }

    /// Begins to scan for listeners alone.
    pub(super) fn begin_heirs(&mut self, ebpf: &mut Ebpf) {
        self.heirs_asked = Instant::now();
        match Scan::start_listeners(ebpf) {
            Ok(scan) => self.scan = Some(scan),
            Err(error) => tracing::warn!(%error, "cannot look who holds a listener"),
        }
    }

    /// Whether the scan under way, if any, has found all that listen.
    pub(super) fn knows_listeners(&self) -> bool {
        self.scan.as_ref().is_none_or(Scan::knows_listeners)
    }

    /// Concludes a scan that is over, and says what is due.
    pub(super) fn due(&mut self, ebpf: &mut Ebpf, account: &Account) -> Due {
        if let Some(scan) = self.scan.take_if(|scan| scan.is_over()) {
            if scan.is_for_all() {
                self.scanned = Instant::now();
                self.recover(ebpf, account);
            }
            Due::Nothing
        } else if self.scan.is_some() {
            Due::Nothing
        } else if self.scanned.elapsed() >= self.interval {
            Due::Everything
        } else if self.is_possible && self.heirs_asked.elapsed() >= HEIRS {
            Due::Heirs
        } else {
            Due::Nothing
        }
    }

    /// The scan has found all that is there, and all had room: a socket without an entry is older than the
    /// programs again, and no longer one of those that did not fit.
    fn recover(&self, ebpf: &mut Ebpf, account: &Account) {
        let now = count_without_room(ebpf, account);
        let Some(overflows) = self.without_room.is_all(now) else {
            return;
        };
        if let Err(error) = share::recover(ebpf, overflows) {
            tracing::warn!(%error, "cannot forget that the table of connections was full");
        }
    }

    /// Whether no scan is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.scan.as_ref().is_none_or(Scan::is_over)
    }

    /// Ends the scans of this run; to be called when none is under way.
    pub(super) fn end(&mut self) {
        self.scan = None;
    }

    /// Looks for connections whose end was missed.
    pub(super) fn examine(&self, ebpf: &Ebpf) {
        if self.is_possible
            && let Err(error) = scan::examine(ebpf)
        {
            tracing::warn!(%error, "cannot look for connections whose end was missed");
        }
    }

    /// When the youngest of the connections that are followed is old enough to be examined, nanoseconds on the
    /// kernel's clock: in a tenth of a second at most. The clock is that of the table's times, as finding the
    /// youngest of many takes a while.
    pub(super) fn settled_at(&self, ebpf: &Ebpf) -> u64 {
        if !self.is_possible {
            return 0;
        }
        // An error shows again when it is examined.
        let table = scan::Table::open(ebpf);
        let youngest = table.ok().and_then(|table| table.youngest());
        youngest.map_or(0, |begun_ns| {
            begun_ns.min(clock::now_ns()) + tracer_common::SETTLED_NS
        })
    }
}

/// What there was no room for in the table of connections until now.
fn count_without_room(ebpf: &Ebpf, account: &Account) -> WithoutRoom {
    // An error shows again when the account is asked for.
    let tallies = account.tallies().ok();
    WithoutRoom::of(share::overflows(ebpf).ok(), tallies.as_ref())
}
