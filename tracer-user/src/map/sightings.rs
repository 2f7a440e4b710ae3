//! Who was seen in a place, from when until when: which namespace has an address, who accepts at a
//! port, who serves what clients dial. Bounded, and the same in whatever order it is told.

use std::hash::Hash;

use foldhash::HashMap;

use crate::model::Timestamp;

/// Of one place; where more were seen, nobody is named.
const MAX_HERE: usize = 16;

/// Number of a sighting, for those who see the same again; there may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SightingId(u32);

impl SightingId {
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// Somebody in a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting<W> {
    pub(super) who: W,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

#[derive(Debug)]
pub(super) struct Sightings<P, W> {
    all: Vec<Sighting<W>>,
    places: HashMap<P, Here>,
    max: usize,
}

#[derive(Debug, Default)]
struct Here {
    numbers: Vec<u32>,
    /// There were more.
    is_cut: bool,
}

impl<P: Hash + Eq, W: Copy + PartialEq> Sightings<P, W> {
    /// Keeps at most `max` sightings.
    pub(super) fn new(max: usize) -> Self {
        Self {
            all: Vec::new(),
            places: HashMap::default(),
            max,
        }
    }

    /// `who` is seen in `place`, all the time from `first` to `last`. None if there is no room for it.
    pub(super) fn tell(&mut self, place: P, who: W, [first, last]: [Timestamp; 2]) -> SightingId {
        let has_room = self.all.len() < self.max;
        let here = match self.places.get_mut(&place) {
            Some(here) => here,
            None if has_room => self.places.entry(place).or_default(),
            None => return SightingId::NONE,
        };
        let mut numbers = here.numbers.iter();
        if let Some(at) = numbers.find(|at| self.all[**at as usize].who == who) {
            let id = SightingId(*at);
            self.see(id, [first, last]);
            return id;
        }
        if !has_room || here.numbers.len() >= MAX_HERE {
            here.is_cut = true;
            return SightingId::NONE;
        }
        let number = self.all.len() as u32;
        here.numbers.push(number);
        self.all.push(Sighting { who, first, last });
        SightingId(number)
    }

    /// The same is seen again.
    pub(super) fn see(&mut self, id: SightingId, [first, last]: [Timestamp; 2]) {
        if let Some(it) = self.all.get_mut(id.0 as usize) {
            it.first = it.first.min(first);
            it.last = it.last.max(last);
        }
    }

    pub(super) fn has(&self, place: &P) -> bool {
        self.places.contains_key(place)
    }

    /// In how many places somebody was seen: never fewer than before.
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

    fn here(&self, place: &P) -> Option<impl Iterator<Item = &Sighting<W>> + Clone> {
        let here = self.places.get(place).filter(|here| !here.is_cut)?;
        Some(here.numbers.iter().map(|at| &self.all[*at as usize]))
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
        is_alone.then_some(*last)
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
        let is_cut = |here: &Here| here.is_cut;
        let mut here = self.here(place).into_iter().flatten();
        here.any(|it| counts(it.who) && it.first <= time)
            || self.places.get(place).is_some_and(is_cut)
    }

    /// Whether `who` was seen in `place` both by then and after.
    pub(super) fn covers(&self, place: &P, who: W, time: Timestamp) -> bool {
        let mut here = self.here(place).into_iter().flatten();
        here.any(|it| it.who == who && it.first <= time && time <= it.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_ns(second * 1_000_000_000)
    }

    fn seen(sightings: &[(char, u64)]) -> Sightings<(), char> {
        let mut all = Sightings::new(100);
        for (who, second) in sightings {
            all.tell((), *who, [at(*second); 2]);
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
        let told: Vec<_> = (0..=MAX_HERE)
            .map(|who| all.tell((), who, [at(who as u64); 2]) == SightingId::NONE)
            .collect();
        assert_eq!(told.iter().filter(|is_cut| **is_cut).count(), 1);
        assert!(told[MAX_HERE] && all.last(&(), at(3), |_| true).is_none());
        let mut all = Sightings::new(1);
        all.tell(1, 'a', [at(1); 2]);
        assert_eq!(all.tell(2, 'a', [at(1); 2]), SightingId::NONE);
        assert_eq!(all.len(), 1);
    }
}
