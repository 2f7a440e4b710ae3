//! Bounded lists of a workload: processes, addresses, changes. Eviction goes by relevance, not by age, and is
//! counted.

use std::{cmp::Reverse, sync::Arc};

use super::room::{Owner, Paid};
use crate::model::{Address, Change, ExitStatus, Happened, Process, Timestamp};

/// Maximum of processes of a workload.
pub(super) const MAX_PROCESSES: usize = 64;
/// Maximum of addresses of a node.
pub(super) const MAX_ADDRESSES: usize = 4096;
/// Maximum of changes of a workload.
pub(super) const MAX_CHANGES: usize = 128;
/// Maximum of similar changes that concern listeners.
const MAX_ALIKE: usize = 32;
/// Maximum of other similar changes, such as the runs of a health check.
const MAX_ALIKE_MINOR: usize = 8;

/// The relevance of a process, in ascending order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Nothing of its own.
    #[default]
    Plain,
    /// An attempt of it failed.
    Failed,
    /// It was the first of its workload to have something with a remote: how it began is what
    /// `recovery-order` asks.
    First,
    /// It listened.
    Listened,
}

/// A process with what decides its rank.
#[derive(Clone, Debug)]
struct Kept {
    process: Arc<Process>,
    /// Who is charged: in a unit of root's may be processes of users.
    owner: Owner,
    /// Sockets that it listens with.
    listens: u32,
    /// Its open connections.
    holds: u32,
    standing: Standing,
    last_seen: Timestamp,
    /// How many other processes here run the same program.
    alike: u32,
}

impl Kept {
    /// The lowest rank is evicted first. The last process of a program ranks above any other with connections, so
    /// that every program can be found by its path.
    fn rank(&self) -> impl Ord + use<> {
        (
            self.listens > 0,
            self.alike == 0,
            self.holds > 0,
            self.standing,
            self.last_seen,
        )
    }
}

fn program(process: &Process) -> &str {
    process.exe.as_deref().unwrap_or(&process.comm)
}

fn is_same(one: &Process, other: &Process) -> bool {
    (one.pid, one.started) == (other.pid, other.started)
}

/// Index of a process in the list.
pub(super) type Place = u32;

/// The processes of a workload.
#[derive(Clone, Debug, Default)]
pub(super) struct Processes {
    kept: Vec<Kept>,
    /// Evicted ones; one that comes again may count twice.
    pub(super) cut: u64,
    /// Evicted ones that were the last of their program.
    pub(super) cut_programs: u64,
}

impl Processes {
    /// Adds `process` of `owner`, if the quota allows: `swap` charges the new bytes in place of the old. Evicts the
    /// lowest rank if the list is full, as a new process may gain rank. Returns its place.
    pub(super) fn add(
        &mut self,
        process: &Arc<Process>,
        owner: Owner,
        time: Timestamp,
        mut swap: impl FnMut(Option<Paid>, Paid) -> bool,
    ) -> Place {
        let known = self.find(process);
        let new = match known {
            Some(at) => Kept {
                process: Arc::clone(process),
                owner,
                last_seen: self.kept[at].last_seen.max(time),
                ..self.kept[at]
            },
            None => Kept {
                process: Arc::clone(process),
                owner,
                listens: 0,
                holds: 0,
                standing: Standing::default(),
                last_seen: time,
                alike: 0,
            },
        };
        let is_full = self.kept.len() >= MAX_PROCESSES;
        let mut place = known.or_else(|| self.least().filter(|_| is_full));
        let old = |at: Option<usize>| {
            let old = &self.kept[at?];
            Some((old.owner, old.process.bytes()))
        };
        let paid = (owner, process.bytes());
        if !swap(old(place), paid) {
            // What has the least makes room if that is enough.
            let least = place.or_else(|| self.least()).filter(|_| known.is_none());
            match least.filter(|at| swap(old(Some(*at)), paid)) {
                Some(at) => place = Some(at),
                None => return self.leave_out(known, process, time),
            }
        }
        if let Some(at) = place {
            self.count_alike(at, false);
            if known.is_none() {
                self.count_cut(at, Some(process));
            }
            self.kept[at] = new;
        } else {
            self.kept.push(new);
        }
        let place = place.unwrap_or(self.kept.len() - 1);
        self.count_alike(place, true);
        place as Place
    }

    /// There is no room for what is said of `process`, which is `known` or not.
    fn leave_out(&mut self, known: Option<usize>, process: &Process, time: Timestamp) -> Place {
        if let Some(at) = known {
            self.kept[at].last_seen = self.kept[at].last_seen.max(time);
            return at as Place;
        }
        let mut kept = self.kept.iter();
        let is_last = !kept.any(|it| program(&it.process) == program(process));
        self.cut = self.cut.saturating_add(1);
        self.cut_programs += u64::from(is_last);
        Place::MAX
    }

    fn find(&self, process: &Process) -> Option<usize> {
        let mut kept = self.kept.iter();
        kept.position(|it| is_same(&it.process, process))
    }

    fn least(&self) -> Option<usize> {
        let kept = self.kept.iter().enumerate();
        kept.min_by_key(|(_, it)| it.rank()).map(|(at, _)| at)
    }

    /// Counts the one at `at` with those that run the same, or no more.
    fn count_alike(&mut self, at: usize, is_there: bool) {
        let process = Arc::clone(&self.kept[at].process);
        let mut alike = 0;
        for (other, it) in self.kept.iter_mut().enumerate() {
            if other != at && program(&it.process) == program(&process) {
                it.alike = match is_there {
                    true => it.alike + 1,
                    false => it.alike.saturating_sub(1),
                };
                alike += 1;
            }
        }
        self.kept[at].alike = alike;
    }

    /// The one at `at` is left out, for `new` if that is known.
    fn count_cut(&mut self, at: usize, new: Option<&Process>) {
        let left_out = &self.kept[at];
        let goes_on = new.is_some_and(|new| program(new) == program(&left_out.process));
        self.cut = self.cut.saturating_add(1);
        self.cut_programs += u64::from(left_out.alike == 0 && !goes_on);
    }

    /// The entry at `place`, if it is still of `process`.
    fn at(&mut self, place: Place, process: &Arc<Process>) -> Option<&mut Kept> {
        let kept = self.kept.get_mut(place as usize)?;
        let is_it = Arc::ptr_eq(&kept.process, process) || is_same(&kept.process, process);
        is_it.then_some(kept)
    }

    /// Notes an event of the process.
    pub(super) fn see(&mut self, place: Place, process: &Arc<Process>, time: Timestamp) {
        if let Some(kept) = self.at(place, process) {
            kept.last_seen = kept.last_seen.max(time);
        }
    }

    /// Counts a connection: one more, or one less.
    pub(super) fn hold(&mut self, place: Place, process: &Arc<Process>, is_end: bool) {
        if let Some(kept) = self.at(place, process) {
            kept.holds = match is_end {
                true => kept.holds.saturating_sub(1),
                false => kept.holds.saturating_add(1),
            };
        }
    }

    /// Raises its relevance.
    pub(super) fn stand(&mut self, place: Place, process: &Arc<Process>, standing: Standing) {
        if let Some(kept) = self.at(place, process) {
            kept.standing = kept.standing.max(standing);
        }
    }

    /// Counts a listening socket: one more, or one less.
    pub(super) fn listen(&mut self, process: &Process, listens: bool) {
        if let Some(at) = self.find(process) {
            let kept = &mut self.kept[at];
            kept.standing = Standing::Listened;
            kept.listens = match listens {
                true => kept.listens.saturating_add(1),
                false => kept.listens.saturating_sub(1),
            };
        }
    }

    /// The process ended. Returns whether it is known to have listened.
    pub(super) fn end(&mut self, process: &Process) -> bool {
        let Some(at) = self.find(process) else {
            return false;
        };
        let kept = &mut self.kept[at];
        (kept.listens, kept.holds) = (0, 0);
        kept.standing == Standing::Listened
    }

    /// Whether it is known to have listened.
    pub(super) fn has_listened(&self, process: &Process) -> bool {
        let known = self.find(process);
        known.is_some_and(|at| self.kept[at].standing == Standing::Listened)
    }

    /// Clears who listens and who has connections.
    pub(super) fn forget(&mut self) {
        for kept in &mut self.kept {
            (kept.listens, kept.holds) = (0, 0);
        }
    }

    /// Takes in those of another part of the same workload.
    pub(super) fn merge(&mut self, other: &Self) {
        self.cut = self.cut.saturating_add(other.cut);
        self.cut_programs = self.cut_programs.saturating_add(other.cut_programs);
        for it in &other.kept {
            match self.find(&it.process) {
                Some(at) => {
                    self.count_alike(at, false);
                    let known = &self.kept[at];
                    let newest = if known.last_seen >= it.last_seen {
                        known
                    } else {
                        it
                    };
                    self.kept[at] = Kept {
                        process: Arc::clone(&newest.process),
                        owner: newest.owner,
                        listens: known.listens.saturating_add(it.listens),
                        holds: known.holds.saturating_add(it.holds),
                        standing: known.standing.max(it.standing),
                        last_seen: newest.last_seen,
                        alike: 0,
                    };
                    self.count_alike(at, true);
                }
                None => {
                    self.kept.push(it.clone());
                    self.count_alike(self.kept.len() - 1, true);
                }
            }
        }
        while self.kept.len() > MAX_PROCESSES
            && let Some(at) = self.least()
        {
            self.count_alike(at, false);
            self.count_cut(at, None);
            self.kept.swap_remove(at);
        }
    }

    /// In order of pid.
    pub(super) fn list(&self) -> Vec<Arc<Process>> {
        let kept = self.kept.iter();
        let mut all: Vec<_> = kept.map(|it| Arc::clone(&it.process)).collect();
        all.sort_by_key(|it| (it.pid, it.started));
        all
    }

    /// The process with the last event.
    pub(super) fn latest(&self) -> Option<&Arc<Process>> {
        let latest = self.kept.iter().max_by_key(|it| it.last_seen);
        latest.map(|it| &it.process)
    }
}

/// Addresses, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    kept: Vec<Address>,
    /// How many did not fit; a lower bound.
    pub(super) cut: u64,
}

impl Addresses {
    /// Where it is, or where it would be.
    pub(super) fn find(&self, address: Address) -> Result<usize, usize> {
        // Nearly all nodes have one or two.
        self.kept.binary_search(&address)
    }

    /// Whether one more is kept here.
    pub(super) fn has_room(&self) -> bool {
        self.kept.len() < MAX_ADDRESSES
    }

    /// Keeps `address` where [`find`](Self::find) says that it would be.
    pub(super) fn insert(&mut self, at: usize, address: Address) {
        self.kept.insert(at, address);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Address> {
        self.kept.iter().copied()
    }
}

/// All `addresses`, in order, as far as they are kept; and how many are left out.
pub(super) fn bounded(mut addresses: Vec<Address>) -> (Vec<Address>, u64) {
    addresses.sort_unstable();
    addresses.dedup();
    let surplus = addresses.len().saturating_sub(MAX_ADDRESSES) as u64;
    addresses.truncate(MAX_ADDRESSES);
    (addresses, surplus)
}

/// What happened to a workload.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// Each with whether it concerns who listens, and who pays for it.
    kept: Vec<(Change, bool, Owner)>,
    /// Those that were left out.
    pub(super) cut: u64,
}

/// What tells changes apart that come again and again.
#[derive(PartialEq, Eq)]
enum Alike<'a> {
    Listen(u16),
    Unlisten(u16),
    Exec(&'a str),
    Exit(Option<ExitStatus>),
}

fn alike(what: &Happened) -> Alike<'_> {
    match what {
        Happened::Listen { port, .. } => Alike::Listen(*port),
        Happened::Unlisten { port, .. } => Alike::Unlisten(*port),
        Happened::Exec { exe, .. } => Alike::Exec(exe),
        Happened::Exit { status, .. } => Alike::Exit(*status),
    }
}

/// Kinds of changes, in places of a table: those of who listens, then those of others.
const KINDS: usize = 8;

fn kind((change, is_major, _): &(Change, bool, Owner)) -> usize {
    let kind = match change.what {
        Happened::Listen { .. } => 0,
        Happened::Unlisten { .. } => 1,
        Happened::Exec { .. } => 2,
        Happened::Exit { .. } => 3,
    };
    kind + if *is_major { 0 } else { KINDS / 2 }
}

/// What `change` takes.
fn bytes(change: &Change) -> usize {
    let text = match &change.what {
        Happened::Exec { exe, .. } => exe.len(),
        Happened::Exit { .. } | Happened::Listen { .. } | Happened::Unlisten { .. } => 0,
    };
    size_of::<(Change, bool, Owner)>() + text
}

impl Changes {
    /// Keeps `change`, if `swap` has room for it: for so many bytes of `owner` in the place of so many. It is major
    /// if it concerns who listens. What came again and again makes room for it: first what is alike, then
    /// the kind of which there is most. So neither the runs of a health check push out the end of a
    /// server, nor many listeners that of a process.
    pub(super) fn add(
        &mut self,
        change: Change,
        is_major: bool,
        owner: Owner,
        mut swap: impl FnMut(Option<Paid>, Paid) -> bool,
    ) {
        let max = match is_major {
            true => MAX_ALIKE,
            false => MAX_ALIKE_MINOR,
        };
        let is_alike = |it: &(Change, bool, Owner)| {
            it.1 == is_major && alike(&it.0.what) == alike(&change.what)
        };
        let alike = self.kept.iter().filter(|it| is_alike(it)).count();
        let first = if alike >= max {
            self.kept.iter().position(is_alike)
        } else if self.kept.len() >= MAX_CHANGES {
            self.first_of_most()
        } else {
            None
        };
        let old = |at: Option<usize>| {
            let (change, _, owner) = &self.kept[at?];
            Some((*owner, bytes(change)))
        };
        let paid = (owner, bytes(&change));
        let first = if swap(old(first), paid) {
            first
        } else {
            let first = first.or_else(|| self.first_of_most());
            if !swap(old(first), paid) {
                self.cut = self.cut.saturating_add(1);
                return;
            }
            first
        };
        if let Some(first) = first {
            self.kept.remove(first);
            self.cut = self.cut.saturating_add(1);
        }
        self.kept.push((change, is_major, owner));
    }

    /// The oldest one of the kind of which there is most.
    fn first_of_most(&self) -> Option<usize> {
        let mut counts = [0_usize; KINDS];
        self.kept.iter().for_each(|it| counts[kind(it)] += 1);
        let most = (0..KINDS).max_by_key(|kind| (counts[*kind], Reverse(KINDS - kind)));
        self.kept.iter().position(|it| Some(kind(it)) == most)
    }

    /// Takes in those of another part of the same workload.
    pub(super) fn merge(&mut self, other: &Self) {
        self.cut = self.cut.saturating_add(other.cut);
        let mut all = std::mem::take(&mut self.kept);
        all.extend(other.kept.iter().cloned());
        all.sort_by_key(|(change, ..)| change.time);
        for (change, is_major, owner) in all {
            self.add(change, is_major, owner, |_, _| true);
        }
    }

    /// Oldest first.
    pub(super) fn list(&self) -> Vec<Change> {
        let kept = self.kept.iter();
        let mut all: Vec<_> = kept.map(|(change, ..)| change.clone()).collect();
        all.sort_by_key(|it| it.time);
        all
    }
}

#[cfg(test)]
mod tests;
