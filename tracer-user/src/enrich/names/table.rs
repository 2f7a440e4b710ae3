//! What name servers answered: which address goes by which names, for whom.
//!
//! A name is *living* for the process that asked for it, from its answer until as long after it
//! was last answered or used as it may be kept ([`life_ns`]): a program that remembers the address
//! keeps its name while it keeps dialling. It ends before where the process asks again and the
//! answer no longer has the address. Names of one address that live at the same time are all
//! kept, and none is preferred.
//!
//! What others of the network namespace asked for is kept beside that, for processes that did not
//! ask themselves: see [`Table::shared`]. Network namespaces never mix, and what a user's processes asked
//! for names nothing that others dial: whoever runs a name server gives any address any name. Accounts of the system
//! count as root: a resolver that asks for others runs as one.

use std::{net::IpAddr, num::NonZeroUsize, sync::Arc};

use super::message::{Answer, Question, Wanted};
use crate::{
    enrich::fair::Fair,
    model::{Payer, ProcessKey, is_of_system},
};

/// How many addresses are known by process, and how many by network namespace. Of who has most, those that
/// were neither learnt nor looked up for longest go first: nobody's answers push out another's.
pub(super) const CAPACITY: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// How many answers are remembered, to know what the next one to the same question leaves out.
const ANSWERS: NonZeroUsize = NonZeroUsize::new(8192).unwrap();
/// How many names of one address are kept.
pub(super) const MAX_NAMES: usize = 8;
/// How many addresses of an answer are remembered.
const MAX_ADDRESSES: usize = 64;
/// For how long a name may be used at least: between an answer and the dial are the attempts at
/// other addresses.
const MIN_LIFE_NS: u64 = 30 * 1_000_000_000;
/// And at most, whatever the name server says.
const MAX_LIFE_NS: u64 = 24 * 3600 * 1_000_000_000;

/// For how long a name may be used that has this TTL, seconds.
fn life_ns(ttl: u32) -> u64 {
    (u64::from(ttl) * 1_000_000_000).clamp(MIN_LIFE_NS, MAX_LIFE_NS)
}

/// What was learnt.
#[derive(Debug)]
pub(super) struct Table {
    own: Fair<(u32, ProcessKey, IpAddr), Names>,
    /// By who asked: see [`asker`].
    shared: Fair<(u32, Payer, IpAddr), Names>,
    /// Which addresses a process was told last of a name.
    answers: Fair<(u32, ProcessKey, Arc<str>, Wanted), Vec<IpAddr>>,
}

/// The names of one address.
#[derive(Debug, Default)]
struct Names {
    kept: Vec<Lives>,
    /// Others were living until then that are not kept.
    cut: Option<Span>,
}

/// One name of an address, and when it lives.
#[derive(Clone, Debug)]
struct Lives {
    name: Arc<str>,
    /// What that is an alias of.
    canonical: Option<Arc<str>>,
    /// Who asked for it; none if several did.
    asked_by: Option<ProcessKey>,
    span: Span,
    /// An answer said that it has this address no more: no use makes it live longer. If several asked
    /// for it, it may still be what others mean, and is in doubt for as long as it would live.
    is_over: bool,
}

/// From when until when, and how much longer at each use.
#[derive(Clone, Copy, Debug)]
struct Span {
    from_ns: u64,
    until_ns: u64,
    life_ns: u64,
}

/// The names that were living at some moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Living {
    /// Each with what it is an alias of, in their order.
    pub(super) names: Vec<(Arc<str>, Option<Arc<str>>)>,
    /// There were more.
    pub(super) is_cut: bool,
}

/// Whom others believe who stand for `payer`.
fn asker(payer: Payer, netns: u32) -> Payer {
    match payer {
        Payer::User(uid) if is_of_system(uid) => Payer::of(Some(0), netns, 0),
        other => other,
    }
}

impl Span {
    fn has(self, time_ns: u64) -> bool {
        (self.from_ns..self.until_ns).contains(&time_ns)
    }

    fn is_used(&mut self, time_ns: u64) {
        let until_ns = time_ns.saturating_add(self.life_ns);
        self.until_ns = self.until_ns.max(until_ns);
    }
}

impl Names {
    fn learn(&mut self, told: Lives) {
        let time_ns = told.span.from_ns;
        if let Some(known) = self.kept.iter_mut().find(|it| it.name == told.name) {
            let before = known.clone();
            *known = told;
            if before.span.until_ns > time_ns {
                known.asked_by = known.asked_by.filter(|by| before.asked_by == Some(*by));
                known.span.from_ns = before.span.from_ns;
                known.span.until_ns = before.span.until_ns.max(known.span.until_ns);
                known.is_over = before.is_over;
            }
            return;
        }
        if self.kept.len() >= MAX_NAMES {
            // What ended is of use only to connections that are older.
            let least = self.kept.iter().enumerate();
            let least = least.min_by_key(|(_, it)| it.span.until_ns);
            if let Some((place, _)) = least {
                let gone = self.kept.swap_remove(place).span;
                if gone.until_ns > time_ns {
                    let cut = self.cut.get_or_insert(gone);
                    cut.until_ns = cut.until_ns.max(gone.until_ns);
                    cut.life_ns = cut.life_ns.max(gone.life_ns);
                }
            }
        }
        self.kept.push(told);
    }

    /// `name` has this address no more, as `process` was told.
    fn end(&mut self, name: &str, process: ProcessKey, time_ns: u64) {
        for known in self.kept.iter_mut().filter(|it| *it.name == *name) {
            known.is_over = true;
            if known.asked_by == Some(process) {
                known.span.until_ns = known.span.until_ns.min(time_ns);
            }
        }
    }

    fn living(&self, time_ns: u64) -> Living {
        let living = self.kept.iter().filter(|it| it.span.has(time_ns));
        let mut names: Vec<_> = living
            .map(|it| (Arc::clone(&it.name), it.canonical.clone()))
            .collect();
        names.sort_unstable();
        Living {
            names,
            is_cut: self.cut.is_some_and(|cut| cut.has(time_ns)),
        }
    }

    /// All that live then live longer.
    fn is_used(&mut self, time_ns: u64) {
        for known in &mut self.kept {
            if known.span.has(time_ns) && !known.is_over {
                known.span.is_used(time_ns);
            }
        }
        if let Some(cut) = self.cut.as_mut().filter(|cut| cut.has(time_ns)) {
            cut.is_used(time_ns);
        }
    }
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            own: Fair::new(CAPACITY),
            shared: Fair::new(CAPACITY),
            answers: Fair::new(ANSWERS),
        }
    }

    /// `process` was told at `time_ns` what answers its question, for which `payer` pays. Of the addresses only
    /// those count that `is_nameable` says so of.
    pub(super) fn learn(
        &mut self,
        (netns, process, payer): (u32, ProcessKey, Payer),
        question: &Question,
        answer: &Answer,
        time_ns: u64,
        is_nameable: impl Fn(IpAddr) -> bool,
    ) {
        let name = &question.name;
        let addresses = answer.addresses.iter();
        let mut told: Vec<IpAddr> = Vec::new();
        for (address, ttl) in addresses.filter(|(address, _)| is_nameable(*address)) {
            told.push(*address);
            let life_ns = life_ns(*ttl);
            let lives = Lives {
                name: Arc::clone(name),
                canonical: answer.canonical.clone(),
                asked_by: Some(process),
                span: Span {
                    from_ns: time_ns,
                    until_ns: time_ns.saturating_add(life_ns),
                    life_ns,
                },
                is_over: false,
            };
            let place = (netns, process, *address);
            let own = self.own.get_or_insert_mut(payer, &place, Names::default);
            own.into_iter().for_each(|it| it.learn(lives.clone()));
            let place = (netns, asker(payer, netns), *address);
            let shared = &mut self.shared;
            let shared = shared.get_or_insert_mut(payer, &place, Names::default);
            shared.into_iter().for_each(|it| it.learn(lives.clone()));
        }
        if told.is_empty() && !answer.is_whole {
            return;
        }
        let place = (netns, process, Arc::clone(name), question.wanted);
        let before = self.answers.pop(&place).unwrap_or_default();
        for address in before {
            if told.contains(&address) {
                continue;
            }
            if answer.is_whole {
                self.end((netns, process, payer), address, name, time_ns);
            } else if told.len() < MAX_ADDRESSES {
                told.push(address);
            }
        }
        if !told.is_empty() {
            self.answers.put(payer, place, told);
        }
    }

    /// `name` has `address` no more, as `process` was told.
    fn end(
        &mut self,
        (netns, process, payer): (u32, ProcessKey, Payer),
        address: IpAddr,
        name: &str,
        time_ns: u64,
    ) {
        if let Some(own) = self.own.peek_mut(&(netns, process, address)) {
            own.end(name, process, time_ns);
        }
        if let Some(shared) = self.shared.peek_mut(&(netns, asker(payer, netns), address)) {
            shared.end(name, process, time_ns);
        }
    }

    /// What `process`, which is of `payer`, itself asked for that has this address, and was living at `time_ns`,
    /// when it dialled it. None if it never asked for anything that has it.
    pub(super) fn own(
        &mut self,
        (netns, process, payer): (u32, ProcessKey, Payer),
        address: IpAddr,
        time_ns: u64,
    ) -> Option<Living> {
        let own = self.own.get_mut(&(netns, process, address))?;
        let living = own.living(time_ns);
        own.is_used(time_ns);
        // It lives on for others as well.
        if let Some(shared) = self.shared.peek_mut(&(netns, asker(payer, netns), address)) {
            for own in own.kept.iter().filter(|it| it.span.has(time_ns)) {
                let same = shared.kept.iter_mut().find(|it| it.name == own.name);
                if let Some(known) = same {
                    known.span.until_ns = known.span.until_ns.max(own.span.until_ns);
                }
            }
        }
        Some(living)
    }

    /// The one name that this address has for all in the network namespace who asked for any and count for
    /// `payer`: root, and `payer` itself. None if it has several: it is not known which one is meant by who
    /// did not ask.
    pub(super) fn shared(
        &mut self,
        (netns, payer): (u32, Payer),
        address: IpAddr,
        time_ns: u64,
    ) -> Option<(Arc<str>, Option<Arc<str>>)> {
        let root = Payer::of(Some(0), netns, 0);
        let own = Some(asker(payer, netns)).filter(|it| *it != root);
        let mut only: Option<(Arc<str>, Option<Arc<str>>)> = None;
        for who in [Some(root), own].into_iter().flatten() {
            let Some(shared) = self.shared.get_mut(&(netns, who, address)) else {
                continue;
            };
            if shared.cut.is_some_and(|cut| cut.has(time_ns)) {
                return None;
            }
            for known in shared.kept.iter().filter(|it| it.span.has(time_ns)) {
                if known.is_over || only.as_ref().is_some_and(|(name, _)| *name != known.name) {
                    return None;
                }
                only = Some((Arc::clone(&known.name), known.canonical.clone()));
            }
        }
        only
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn len(&self) -> usize {
        self.own.len().max(self.shared.len())
    }
}

#[cfg(test)]
mod tests;
