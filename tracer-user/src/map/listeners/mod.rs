//! History of listening sockets, looked up by address, port and time. Independent of the order of events: a late
//! one counts for its own time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use foldhash::HashMap;

use super::numbers::{HostId, NodeId};
use crate::model::{Address, Payer, Shares, Timestamp};

/// Maximum of words of one host; one user alone gets two thirds of it.
pub(super) const MAX_WORDS: usize = 131_072;
/// Maximum of words of all hosts.
const MAX_ALL_WORDS: usize = 16 * MAX_WORDS;
/// Maximum of words of one place; then the older half is evicted.
const MAX_HERE: usize = 1024;
/// Restarts of a socket in one place that are kept; further ones are compacted.
const MAX_RESTARTS: usize = 16;
/// Maximum of starts of runs of one host.
const MAX_RUNS: usize = 4096;

/// An address and a port of a network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) host: HostId,
    pub(super) netns: u32,
    pub(super) address: Address,
    pub(super) port: u16,
}

impl Place {
    /// Where a socket may listen that gets connections to this place, in the kernel's order of preference. `[::]`
    /// gets IPv4 as well, unless the socket is `IPV6_V6ONLY`, which is not reported.
    fn sockets(self) -> impl Iterator<Item = Self> {
        let any = match self.address.ip() {
            IpAddr::V4(_) => [Some(Ipv4Addr::UNSPECIFIED.into()), Some(IPV6_ANY)],
            IpAddr::V6(_) => [Some(IPV6_ANY), None],
        };
        let any = any.into_iter().flatten().map(Address::from);
        let any = any.filter(move |address| *address != self.address);
        let addresses = [self.address].into_iter().chain(any);
        addresses.map(move |address| Self { address, ..self })
    }

    /// Whether both places are of one address family.
    fn is_of_family(self, other: Self) -> bool {
        self.address.ip().is_ipv4() == other.address.ip().is_ipv4()
    }
}

const IPV6_ANY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// A word: a socket began to listen, or stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) time: Timestamp,
    /// Its owner.
    pub(super) node: NodeId,
    /// It began, or it stopped.
    pub(super) listens: bool,
    /// It was found by a scan: it began earlier.
    pub(super) is_found: bool,
    /// Who is charged for the word.
    pub(super) payer: Payer,
}

impl Word {
    /// What begins and ends at one time began before it ended: so one that is started again then is one more
    /// for a moment, and not one too many for good.
    fn order(&self) -> impl Ord + use<> {
        (self.time, self.node, !self.listens, self.is_found)
    }
}

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Socket {
    /// Where it listens.
    pub(super) place: Place,
    pub(super) node: NodeId,
}

/// The history of one place.
#[derive(Debug, Default)]
struct Here {
    /// In order of time.
    words: Vec<Word>,
    /// What was told until then is not here, but for who listened at that time.
    cut: Option<Timestamp>,
}

impl Here {
    /// Forgets the older half of what was told, where `runs` began, but for who listened at the end of it. Returns
    /// what is forgotten and what is in its place; nothing if that is as much.
    fn shorten(&mut self, runs: &[Timestamp]) -> Option<(Vec<Word>, Vec<Word>)> {
        let until = self.words.get(self.words.len() / 2)?.time;
        let gone = self.words.partition_point(|it| it.time <= until);
        let from = begin(&self.words, runs, until);
        let (open, _) = tally(&self.words[from..gone], until);
        let before = &self.words[..gone];
        let base = open.iter().flat_map(|(node, sockets)| {
            let last = before.iter().rfind(|it| it.node == *node);
            let found = last.map(|it| Word {
                time: until,
                listens: true,
                is_found: true,
                ..*it
            });
            std::iter::repeat_n(found, *sockets as usize).flatten()
        });
        let base: Vec<Word> = base.collect();
        if base.len() >= gone {
            return None;
        }
        self.cut = Some(until);
        let gone = self.words.splice(..gone, base.iter().copied()).collect();
        Some((gone, base))
    }
}

/// The history of one host.
#[derive(Debug)]
struct OfHost {
    words: usize,
    /// Whose these are: nobody's leave no room for another's.
    shares: Shares<Payer>,
    /// When runs of the tracer began, in order: each tells anew who listens.
    runs: Vec<Timestamp>,
    /// Words that did not fit.
    cut: u64,
    /// Listening sockets that did not fit, by owner.
    unkept: HashMap<NodeId, u64>,
}

impl Default for OfHost {
    fn default() -> Self {
        Self {
            words: 0,
            shares: Shares::new(MAX_WORDS),
            runs: Vec::new(),
            cut: 0,
            unkept: HashMap::default(),
        }
    }
}

impl OfHost {
    /// A socket of `node` listens that is not kept, or does so no more.
    fn leave_out(&mut self, node: NodeId, listens: bool) {
        match listens {
            true => *self.unkept.entry(node).or_default() += 1,
            false => {
                if let Some(sockets) = self.unkept.get_mut(&node) {
                    *sockets = sockets.saturating_sub(1);
                }
            }
        }
    }

    /// Whether one more word of that time is kept of `place`; what is older makes room for it.
    fn has_room_in(
        &mut self,
        places: &mut HashMap<Place, Here>,
        place: Place,
        time: Timestamp,
    ) -> bool {
        let Some(here) = places.get_mut(&place) else {
            return true;
        };
        if here.words.len() < MAX_HERE {
            return here.cut.is_none_or(|cut| cut < time);
        }
        let Some((gone, base)) = here.shorten(&self.runs) else {
            return false;
        };
        self.words -= gone.len() - base.len();
        self.cut += (gone.len() - base.len()) as u64;
        gone.iter().for_each(|it| self.shares.give_back(it.payer));
        base.iter().for_each(|it| self.shares.add(it.payer));
        here.cut.is_none_or(|cut| cut < time)
    }

    /// Takes in what is told of a socket in `place` of this host; for no more than what makes room where
    /// `is_full`.
    fn tell(&mut self, places: &mut HashMap<Place, Here>, place: Place, word: Word, is_full: bool) {
        let is_full =
            is_full || !self.has_room_in(places, place, word.time) || !self.shares.take(word.payer);
        if is_full && (word.listens || !places.contains_key(&place)) {
            self.cut += 1;
            self.leave_out(word.node, word.listens);
            return;
        }
        let here = places.entry(place).or_default();
        let words = &mut here.words;
        if is_full {
            self.cut += 1;
            // That it listened is forgotten, so that nobody takes it for one that still does.
            let mut before = words.iter();
            match before.rposition(|it| it.listens && it.node == word.node) {
                Some(at) => {
                    let gone = words.remove(at);
                    self.shares.give_back(gone.payer);
                    self.words -= 1;
                    if words.is_empty() {
                        places.remove(&place);
                    }
                }
                None => self.leave_out(word.node, false),
            }
            return;
        }
        let has_unkept = |it: &Self| it.unkept.get(&word.node).is_some_and(|it| *it > 0);
        if !word.listens && !words.is_empty() && has_unkept(self) {
            let from = begin(words, &self.runs, word.time);
            if !tally(&words[from..], word.time).0.contains_key(&word.node) {
                // All of it that are kept are over: its beginning is not kept.
                self.shares.give_back(word.payer);
                self.leave_out(word.node, false);
                return;
            }
        }
        if words.is_empty() && !word.listens {
            // One that was not kept, as a rule.
            self.leave_out(word.node, false);
        }
        let at = words.partition_point(|it| it.order() <= word.order());
        words.insert(at, word);
        self.words += 1;
        let runs = &self.runs;
        // One that goes and comes again at once is the same as one that stays, after the first few times: so
        // what is started over and over takes no more room.
        let is_pair = |two: &[Word]| {
            let [ends, begins] = [two[0], two[1]];
            let run = |time| runs.partition_point(|run| *run <= time);
            ends.node == begins.node
                && (ends.listens, begins.listens) == (false, true)
                && run(ends.time) == run(begins.time)
        };
        if words.len() > MAX_RESTARTS {
            let last = (at + 1).min(words.len() - 1);
            let pair = (at.saturating_sub(1)..last).find(|at| is_pair(&words[*at..at + 2]));
            if let Some(at) = pair {
                let gone = words.drain(at..at + 2);
                gone.for_each(|it| self.shares.give_back(it.payer));
                self.words -= 2;
            }
        }
    }
}

/// How many sockets of a node listen that are not kept.
pub(super) type Unkept = HashMap<NodeId, u64>;

#[derive(Debug, Default)]
pub(super) struct Listeners {
    places: HashMap<Place, Here>,
    hosts: HashMap<HostId, OfHost>,
    /// When runs began, and where.
    began: BTreeSet<(Timestamp, HostId)>,
    words: usize,
}

impl Listeners {
    /// Takes in what is told of a socket in `place`.
    pub(super) fn tell(&mut self, place: Place, word: Word) {
        let of_host = self.hosts.entry(place.host).or_default();
        let before = of_host.words;
        let is_full = self.words >= MAX_ALL_WORDS;
        of_host.tell(&mut self.places, place, word, is_full);
        self.words = self.words + of_host.words - before;
    }

    /// A run of the tracer begins: from then on all is told anew.
    pub(super) fn begins(&mut self, host: HostId, time: Timestamp) {
        let OfHost {
            runs, cut, unkept, ..
        } = self.hosts.entry(host).or_default();
        let at = runs.partition_point(|it| *it < time);
        if runs.get(at) == Some(&time) {
            return;
        }
        if runs.len() >= MAX_RUNS {
            *cut += 1;
            return;
        }
        if at == runs.len() {
            unkept.clear();
        }
        runs.insert(at, time);
        self.began.insert((time, host));
    }

    /// Whether a run began on another host than `host` between these: it found what was open then, and did not
    /// see it begin.
    pub(super) fn began_elsewhere(&self, host: HostId, [from, to]: [Timestamp; 2]) -> bool {
        // As many as one host has at most are looked at in vain.
        let from = Timestamp::from_ns(from.as_ns().saturating_add(1));
        let first = HostId::at(0);
        let mut between = match from < to {
            true => self.began.range((from, first)..(to, first)),
            false => return false,
        };
        between.any(|it| it.1 != host)
    }

    /// How often there was no room on `host`.
    pub(super) fn cut(&self, host: HostId) -> u64 {
        self.hosts.get(&host).map_or(0, |it| it.cut)
    }

    /// How many sockets of each node listen that are not kept, on hosts that count.
    pub(super) fn unkept(&self, counts: impl Fn(HostId) -> bool) -> Unkept {
        let mut all = Unkept::default();
        let hosts = self.hosts.iter().filter(|(host, _)| counts(**host));
        for (node, sockets) in hosts.flat_map(|(_, it)| &it.unkept) {
            let sum = all.entry(*node).or_default();
            *sum = sum.saturating_add(*sockets);
        }
        all
    }

    /// What was told of a place in the run that `time` is in.
    fn words(&self, place: Place, time: Timestamp) -> &[Word] {
        let is_kept = |it: &&Here| it.cut.is_none_or(|cut| cut <= time);
        let Some(Here { words, .. }) = self.places.get(&place).filter(is_kept) else {
            return &[];
        };
        let Some(OfHost { runs, .. }) = self.hosts.get(&place.host) else {
            return words;
        };
        // What is found when the first one begins was there before.
        let run = runs.partition_point(|it| *it <= time);
        let begin = |run: &Timestamp| words.partition_point(|it| it.time < *run);
        let from = run.checked_sub(1).map_or(0, |run| begin(&runs[run]));
        let until = runs.get(run.max(1)).map_or(words.len(), begin);
        &words[from..until]
    }

    /// Whether any socket was told of that takes, or took, what comes in there.
    pub(super) fn has(&self, place: Place) -> bool {
        place.sockets().any(|it| self.places.contains_key(&it))
    }

    /// Whether a socket of `node` listens just there at that time.
    pub(super) fn holds(&self, place: Place, node: NodeId, time: Timestamp) -> bool {
        holders(self.words(place, time), time).contains(&node)
    }

    /// Whether anything was told of sockets that could take what comes to `place`.
    pub(super) fn knows(&self, place: Place, time: Timestamp) -> bool {
        let mut sockets = place.sockets();
        sockets.any(|it| !self.words(it, time).is_empty())
    }

    /// Whether any socket takes what comes to `place`.
    pub(super) fn takes(&self, place: Place, time: Timestamp) -> bool {
        let mut sockets = place.sockets();
        sockets.any(|it| !holders(self.words(it, time), time).is_empty())
    }

    /// The socket that takes what comes to `place`; none if it may be of one of several.
    pub(super) fn taker(&self, place: Place, time: Timestamp) -> Option<Socket> {
        let mut sockets = place.sockets();
        sockets.find_map(|place| match holders(self.words(place, time), time)[..] {
            [] => None,
            [node] => Some(Some(Socket { place, node })),
            _ => Some(None),
        })?
    }

    /// The same of what was refused: a socket of the other family may have said that it takes its own
    /// only.
    pub(super) fn refuser(&self, place: Place, time: Timestamp) -> Option<Socket> {
        self.taker(place, time)
            .filter(|it| it.place.is_of_family(place))
    }

    /// Whose socket was the first to begin after that time to take what comes to `place`, in the same run, and
    /// when.
    pub(super) fn first_after(&self, place: Place, time: Timestamp) -> Option<(NodeId, Timestamp)> {
        let first = |place| {
            let mut words = self.words(place, time).iter();
            // What is found was there before.
            let next = words.find(|it| it.time > time && it.listens)?;
            (!next.is_found).then_some((next.node, next.time))
        };
        // Of two at once, the one that is preferred.
        let all = place.sockets().filter_map(first);
        all.reduce(|one, other| if other.1 < one.1 { other } else { one })
    }

    /// The socket that listened last for what comes to `place`, and no longer did at `time`.
    pub(super) fn stopped(&self, place: Place, time: Timestamp) -> Option<Socket> {
        let stops = place.sockets().filter_map(|place| {
            let (open, stops) = tally(self.words(place, time), time);
            let over = stops
                .into_iter()
                .filter(|(node, _)| !open.contains_key(node));
            let (node, time) = over.max_by_key(|(_, time)| *time)?;
            Some((Socket { place, node }, time))
        });
        // The first of those that stopped at the same time is the one that was preferred.
        let last = stops.reduce(|one, other| if other.1 > one.1 { other } else { one });
        last.map(|(socket, _)| socket)
    }

    /// The sockets that took what came to `place`, first and last at these times, where `server` served it,
    /// if that is known: its own, where it had one. What `was_there` before the first of them may have come in
    /// by a socket that was closed since.
    pub(super) fn took(
        &self,
        place: Place,
        server: Option<NodeId>,
        [first, last]: [Timestamp; 2],
        was_there: bool,
    ) -> Vec<Socket> {
        let mut found = Vec::new();
        for time in [first, last] {
            let own = server.and_then(|node| {
                let mut sockets = place.sockets();
                let is_own = |it: &Place| holders(self.words(*it, time), time).contains(&node);
                Some(Socket {
                    place: sockets.find(is_own)?,
                    node,
                })
            });
            // Of several that share one place, any may have.
            let sockets = place.sockets();
            let mut holders = sockets.map(|it| (it, holders(self.words(it, time), time)));
            let sockets = match own {
                Some(own) => vec![own],
                None => match holders.find(|(_, nodes)| !nodes.is_empty()) {
                    Some((place, nodes)) => {
                        let socket = |node| Socket { place, node };
                        nodes.into_iter().map(socket).collect()
                    }
                    None if was_there && time == first => {
                        self.stopped(place, time).into_iter().collect()
                    }
                    None => Vec::new(),
                },
            };
            for socket in sockets {
                if !found.contains(&socket) {
                    found.push(socket);
                }
            }
        }
        found
    }

    /// All sockets that listen when nothing more is told, and since when, as far as that was seen.
    pub(super) fn open(&self) -> impl Iterator<Item = (Socket, Option<Timestamp>)> {
        let end = Timestamp::from_ns(u64::MAX);
        self.places.keys().flat_map(move |place| {
            let words = self.words(*place, end);
            let (open, stops) = tally(words, end);
            open.into_keys().map(move |node| {
                let stopped = stops.get(&node);
                let mut begins = words.iter().filter(|it| it.node == node && it.listens);
                let first = begins.find(|it| stopped.is_none_or(|stopped| it.time >= *stopped));
                let since = first.filter(|it| !it.is_found).map(|it| it.time);
                (
                    Socket {
                        place: *place,
                        node,
                    },
                    since,
                )
            })
        })
    }
}

/// Where in `words` the run that `time` is in begins.
fn begin(words: &[Word], runs: &[Timestamp], time: Timestamp) -> usize {
    let run = runs[..runs.partition_point(|run| *run <= time)].last();
    run.map_or(0, |run| words.partition_point(|it| it.time < *run))
}

/// How many sockets each has at `time`, of those that have any, and who stopped listening when.
fn tally(words: &[Word], time: Timestamp) -> (BTreeMap<NodeId, u32>, BTreeMap<NodeId, Timestamp>) {
    let mut open: BTreeMap<NodeId, u32> = BTreeMap::new();
    let mut stops = BTreeMap::new();
    for it in words.iter().take_while(|it| it.time <= time) {
        if it.listens {
            *open.entry(it.node).or_default() += 1;
            continue;
        }
        // Whose it is may be told otherwise by now, or no more; there is one that it can be.
        let node = match (open.contains_key(&it.node), open.first_key_value()) {
            (false, Some((only, _))) if open.len() == 1 => *only,
            _ => it.node,
        };
        if let Some(count) = open.get_mut(&node) {
            *count -= 1;
            if *count > 0 {
                continue;
            }
        }
        open.remove(&node);
        stops.insert(node, it.time);
    }
    (open, stops)
}

/// Who listens at `time`.
fn holders(words: &[Word], time: Timestamp) -> Vec<NodeId> {
    let (open, _) = tally(words, time);
    let mut nodes: Vec<NodeId> = open.into_keys().collect();
    if nodes.is_empty() {
        // What is found later, or stops without having been told to begin, was there before; but not
        // before what was seen to begin here.
        let later = &words[words.partition_point(|it| it.time <= time)..];
        let first = later.first().filter(|it| it.is_found || !it.listens);
        let alike = |it: &&Word| {
            first.is_some_and(|first| it.listens == first.listens && it.is_found == first.is_found)
        };
        nodes = later.iter().take_while(alike).map(|it| it.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
    }
    nodes
}

#[cfg(test)]
mod tests;
