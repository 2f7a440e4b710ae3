//! Facts with an interval: which namespace has an address, who accepts at a port, who serves what clients dial.
//! Bounded, and independent of the order of events.

use std::hash::Hash;

use foldhash::HashMap;
use smallvec::SmallVec;

use super::remotes::Charged;
use crate::model::{Shares, Timestamp};

/// Of one place. The first gives way if it was gone when the next one came, as with pods that have an
/// address one after the other; else nobody is named.
const MAX_HERE: usize = 64;

/// Number of a sighting, to extend it without a look-up; may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SightingId {
    number: u32,
    generation: u32,
}

impl SightingId {
    pub(super) const NONE: Self = Self {
        number: u32::MAX,
        generation: 0,
    };
}

/// Somebody in a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting<W> {
    pub(super) who: W,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// Changes when the number is reused.
    generation: u32,
}

impl<W> Sighting<W> {
    fn see(&mut self, [first, last]: [Timestamp; 2]) {
        self.first = self.first.min(first);
        self.last = self.last.max(last);
    }
}

#[derive(Debug)]
pub(super) struct Sightings<P, W> {
    all: Vec<Sighting<W>>,
    places: HashMap<P, Here>,
    /// Who is charged.
    shares: Shares<Charged>,
}

#[derive(Debug, Default)]
struct Here {
    /// Usually one.
    numbers: SmallVec<[u32; 4]>,
    /// Sightings up to then were evicted.
    cut: Option<Timestamp>,
}

impl<P: Hash + Eq, W: Copy + PartialEq> Sightings<P, W> {
    /// Keeps at most `max` sightings.
    pub(super) fn new(max: usize) -> Self {
        Self {
            all: Vec::new(),
            places: HashMap::default(),
            shares: Shares::new(max),
        }
    }

    /// `who` is seen in `place`, all the time from `first` to `last`, and `of` pays for it. None if there is no
    /// room for it.
    pub(super) fn tell(
        &mut self,
        of: Charged,
        place: P,
        who: W,
        [first, last]: [Timestamp; 2],
    ) -> SightingId {
        let Some(here) = self.places.get_mut(&place) else {
            if !self.shares.take(of) {
                return SightingId::NONE;
            }
            let number = self.all.len() as u32;
            self.all.push(Sighting {
                who,
                first,
                last,
                generation: 0,
            });
            let here = self.places.entry(place).or_default();
            here.numbers.push(number);
            return SightingId {
                number,
                generation: 0,
            };
        };
        let mut numbers = here.numbers.iter().copied();
        if let Some(number) = numbers.find(|number| self.all[*number as usize].who == who) {
            let known = &mut self.all[number as usize];
            known.see([first, last]);
            return SightingId {
                number,
                generation: known.generation,
            };
        }
        let new = |generation| Sighting {
            who,
            first,
            last,
            generation,
        };
        if here.numbers.len() >= MAX_HERE {
            let numbers = here.numbers.iter().copied();
            let oldest = numbers.min_by_key(|number| self.all[*number as usize].last);
            let gone = oldest.filter(|number| self.all[*number as usize].last < first);
            if let Some(number) = gone {
                let known = &mut self.all[number as usize];
                here.cut = here.cut.max(Some(known.last));
                *known = new(known.generation.wrapping_add(1));
                return SightingId {
                    number,
                    generation: known.generation,
                };
            }
        }
        if here.numbers.len() >= MAX_HERE || !self.shares.take(of) {
            here.cut = Some(Timestamp::from_ns(u64::MAX));
            return SightingId::NONE;
        }
        let number = self.all.len() as u32;
        here.numbers.push(number);
        self.all.push(new(0));
        SightingId {
            number,
            generation: 0,
        }
    }

    /// Extends a sighting. Returns whether it is still there.
    pub(super) fn see(&mut self, id: SightingId, times: [Timestamp; 2]) -> bool {
        let Some(known) = self.all.get_mut(id.number as usize) else {
            return true;
        };
        let is_kept = known.generation == id.generation;
        if is_kept {
            known.see(times);
        }
        is_kept
    }

    pub(super) fn has(&self, place: &P) -> bool {
        self.places.contains_key(place)
    }

    /// How many places have a sighting; never decreases.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// All of them, with the places; of those in which there were more, what is known.
    pub(super) fn all(&self) -> impl Iterator<Item = (&P, &Sighting<W>)> {
        self.places.iter().flat_map(move |(place, here)| {
            let numbers = here.numbers.iter();
            numbers.map(move |at| (place, &self.all[*at as usize]))
        })
    }

    /// The sightings of `place`.
    pub(super) fn of(&self, place: &P) -> impl Iterator<Item = &Sighting<W>> {
        self.here(place).into_iter().flatten()
    }

    fn here(&self, place: &P) -> Option<impl Iterator<Item = &Sighting<W>> + Clone> {
        let here = self.places.get(place)?;
        Some(here.numbers.iter().map(|at| &self.all[*at as usize]))
    }

    /// The time up to which sightings of `place` were evicted.
    fn cut(&self, place: &P) -> Option<Timestamp> {
        self.places.get(place)?.cut
    }

    /// Who of those that `counts` was in `place` then, or was the last one there before; none if
    /// others were seen there meanwhile. Who came later is never it.
    pub(super) fn last(
        &self,
        place: &P,
        time: Timestamp,
        counts: impl Fn(W) -> bool + Copy,
    ) -> Option<Sighting<W>> {
        let here = self.here(place)?.filter(move |it| counts(it.who));
        let before = here.filter(|it| it.first <= time);
        let last = before.clone().max_by_key(|it| it.last.min(time))?;
        let mut others = before.filter(|it| it.who != last.who);
        let is_alone = others.all(|it| it.last < last.first || last.last.min(time) < it.first);
        (is_alone && self.cut(place) < Some(last.first)).then_some(*last)
    }

    /// The same, but none either if somebody else may have come already: who was seen there next.
    pub(super) fn at(
        &self,
        place: &P,
        time: Timestamp,
        counts: impl Fn(W) -> bool + Copy,
    ) -> Option<W> {
        let last = self.last(place, time, counts)?;
        let mut here = self.here(place)?.filter(|it| counts(it.who));
        let is_there = last.last >= time;
        let comes = |it: &Sighting<W>| it.who != last.who && it.first > time;
        (is_there || !here.any(comes)).then_some(last.who)
    }

    /// Whether anybody that `counts` was seen in `place` by then.
    pub(super) fn is_seen(
        &self,
        place: &P,
        time: Timestamp,
        counts: impl Fn(W) -> bool + Copy,
    ) -> bool {
        let mut here = self.here(place).into_iter().flatten();
        here.any(|it| counts(it.who) && it.first <= time) || self.cut(place).is_some()
    }

    /// Whether `who` was seen in `place` both by then and after.
    pub(super) fn covers(&self, place: &P, who: W, time: Timestamp) -> bool {
        let mut here = self.here(place).into_iter().flatten();
        here.any(|it| it.who == who && it.first <= time && time <= it.last)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::numbers::HostId, *};
    use crate::model::Payer;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_ns(second * 1_000_000_000)
    }

    /// Who pays.
    const OF: Charged = (HostId::at(0), Payer::Nobody);

    fn seen(sightings: &[(char, u64)]) -> Sightings<(), char> {
        let mut all = Sightings::new(100);
        for (who, second) in sightings {
            all.tell(OF, (), *who, [at(*second); 2]);
        }
        all
    }

    #[test]
    fn who_was_there_last_is_known_and_who_came_later_is_not_blamed() {
        let told = [('a', 1), ('a', 5), ('b', 8), ('b', 10)];
        let back: Vec<_> = told.iter().rev().copied().collect();
        for all in [seen(&told), seen(&back)] {
            let last = |second| all.last(&(), at(second), |_| true).map(|it| it.who);
            let here = |second| all.at(&(), at(second), |_| true);
            assert_eq!([0, 1, 3, 6, 8, 12].map(last), {
                let [a, b] = [Some('a'), Some('b')];
                [None, a, a, a, b, b]
            });
            // Between the two it may have been either.
            assert_eq!([0, 3, 6, 9, 12].map(here), {
                let [a, b] = [Some('a'), Some('b')];
                [None, a, None, b, b]
            });
        }
    }

    #[test]
    fn of_two_at_once_none_is_named() {
        let all = seen(&[('a', 1), ('b', 3), ('a', 5), ('b', 7)]);
        let last = |second| all.last(&(), at(second), |_| true).map(|it| it.who);
        assert_eq!([2, 4, 6, 9].map(last), [Some('a'), None, None, None]);
        assert!(all.covers(&(), 'a', at(4)) && !all.covers(&(), 'a', at(6)));
        // Of those that count there is one.
        let only = all.last(&(), at(9), |who| who == 'a');
        assert_eq!(only.map(|it| it.who), Some('a'));
    }

    #[test]
    fn where_there_is_no_room_nobody_is_named() {
        let mut all = Sightings::new(usize::MAX);
        let more = at(MAX_HERE as u64);
        let ids: Vec<_> = (0..=MAX_HERE)
            .map(|who| all.tell(OF, (), who, [at(1), more]))
            .collect();
        assert!(ids[MAX_HERE] == SightingId::NONE && ids[0] != SightingId::NONE);
        assert!(all.last(&(), at(99), |_| true).is_none());
        let mut all = Sightings::new(1);
        all.tell(OF, 1, 'a', [at(1); 2]);
        assert_eq!(all.tell(OF, 2, 'a', [at(1); 2]), SightingId::NONE);
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn one_who_fills_it_leaves_room_for_others() {
        let mut all = Sightings::new(80);
        let user = (HostId::at(0), Payer::User(1000));
        let told = (0..200).filter(|place| {
            let id = all.tell(user, *place, 'a', [at(1); 2]);
            id != SightingId::NONE
        });
        assert!((40..=70).contains(&told.count()), "most of it, and not all");
        let root = (HostId::at(0), Payer::Root { netns: 1, port: 0 });
        assert_ne!(all.tell(root, 300, 'b', [at(1); 2]), SightingId::NONE);
        assert!(all.has(&300) && !all.has(&199));
        // What he sees that is known already takes no room.
        assert_ne!(all.tell(user, 300, 'b', [at(2); 2]), SightingId::NONE);
    }

    #[test]
    fn who_is_gone_gives_way() {
        let mut all = Sightings::new(usize::MAX);
        let last = |all: &Sightings<(), usize>, second: usize| {
            let last = all.last(&(), at(second as u64), |_| true);
            last.map(|it| it.who)
        };
        let tell = |all: &mut Sightings<_, _>, who| all.tell(OF, (), who, [at(who as u64); 2]);
        let first = tell(&mut all, 0);
        (1..=MAX_HERE).for_each(|who| _ = tell(&mut all, who));
        assert_eq!(last(&all, MAX_HERE), Some(MAX_HERE));
        assert_eq!([1, 0].map(|second| last(&all, second)), [Some(1), None]);
        // Who it was before does not count for who has its number now.
        assert!(!all.see(first, [at(500); 2]) && all.see(SightingId::NONE, [at(500); 2]));
        assert_eq!(last(&all, 501), Some(MAX_HERE));
        // Somebody who comes back is told again.
        all.tell(OF, (), 0, [at(600); 2]);
        assert_eq!(last(&all, 600), Some(0));
    }
}
