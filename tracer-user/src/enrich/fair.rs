//! A table for what many put in, in which whoever puts in much pushes out his own.

use std::{collections::HashMap, hash::Hash, num::NonZeroUsize};

use lru::LruCache;

use crate::model::Payer;

/// Where there is no room, what gives way is the oldest of the payer who has most.
#[derive(Debug)]
pub(super) struct Fair<K: Hash + Eq, V> {
    capacity: usize,
    payers: HashMap<K, Payer>,
    /// Never an empty one.
    of: HashMap<Payer, LruCache<K, V>>,
}

impl<K: Hash + Eq + Clone, V> Fair<K, V> {
    /// An empty one.
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self {
            capacity: capacity.get(),
            payers: HashMap::new(),
            of: HashMap::new(),
        }
    }

    /// How many entries it has.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn len(&self) -> usize {
        self.payers.len()
    }

    /// All values.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.of.values().flat_map(|of| of.iter().map(|(_, it)| it))
    }

    /// What is there, which becomes the youngest of its payer.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.of.get_mut(self.payers.get(key)?)?.get_mut(key)
    }

    /// The same, as old as it is.
    pub(super) fn peek_mut(&mut self, key: &K) -> Option<&mut V> {
        self.of.get_mut(self.payers.get(key)?)?.peek_mut(key)
    }

    /// Takes out what is there.
    pub(super) fn pop(&mut self, key: &K) -> Option<V> {
        let payer = self.payers.remove(key)?;
        let of = self.of.get_mut(&payer)?;
        let value = of.pop(key);
        if of.is_empty() {
            self.of.remove(&payer);
        }
        value
    }

    /// Puts `value` there, in the place of another.
    pub(super) fn put(&mut self, payer: Payer, key: K, value: V) {
        self.pop(&key);
        self.insert(payer, key, value);
    }

    /// What is there, else what `make` gives. What several put in is of the one who has less, so that nobody
    /// takes over what is another's to push it out.
    pub(super) fn get_or_insert_mut(
        &mut self,
        payer: Payer,
        key: &K,
        make: impl FnOnce() -> V,
    ) -> Option<&mut V> {
        let has = |payer| self.of.get(&payer).map_or(0, LruCache::len);
        match self.payers.get(key) {
            Some(known) if *known == payer || has(*known) <= has(payer) + 1 => {}
            Some(_) => {
                if let Some(value) = self.pop(key) {
                    self.insert(payer, key.clone(), value);
                }
            }
            None => self.insert(payer, key.clone(), make()),
        }
        self.get_mut(key)
    }

    /// Puts in what is not there.
    fn insert(&mut self, payer: Payer, key: K, value: V) {
        if self.payers.len() >= self.capacity {
            self.make_room_for(payer);
        }
        let of = self.of.entry(payer);
        of.or_insert_with(LruCache::unbounded)
            .put(key.clone(), value);
        self.payers.insert(key, payer);
    }

    fn make_room_for(&mut self, payer: Payer) {
        // Few pay: users, and network namespaces. Nobody gives way to one who has as much.
        let has = |(of, entries): &(&Payer, &LruCache<K, V>)| (entries.len(), **of == payer);
        let most = self.of.iter().max_by_key(has);
        let Some(payer) = most.map(|(payer, _)| *payer) else {
            return;
        };
        let oldest = self.of.get(&payer).and_then(LruCache::peek_lru);
        if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
            self.pop(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: Payer = Payer::User(1000);
    const FEW: Payer = Payer::User(1001);

    fn room_for(capacity: usize) -> Fair<u32, u32> {
        Fair::new(NonZeroUsize::new(capacity).expect("not zero"))
    }

    #[test]
    fn who_puts_in_much_pushes_out_his_own() {
        let mut fair = room_for(100);
        for key in 0..10 {
            fair.put(FEW, key, key);
        }
        for key in 100..10_100 {
            fair.put(MANY, key, key);
            assert!(fair.len() <= 100);
        }
        assert!((0..10).all(|key| fair.get_mut(&key) == Some(&mut key.clone())));
        assert!(fair.get_mut(&10_010).is_some() && fair.get_mut(&10_009).is_none());
        // Who comes later has room as well, and as much as others.
        for key in 20..90 {
            fair.put(FEW, key, key);
        }
        assert_eq!((fair.of[&FEW].len(), fair.of[&MANY].len()), (50, 50));
        assert!(fair.pop(&89).is_some() && fair.pop(&89).is_none());
        assert_eq!((fair.len(), fair.values().count()), (99, 99));
    }

    #[test]
    fn what_several_put_in_is_not_pushed_out_by_one() {
        let mut fair = room_for(10);
        fair.get_or_insert_mut(FEW, &1, || 1);
        for key in 100..105 {
            fair.get_or_insert_mut(MANY, &key, || 0);
        }
        // He puts it in as well, and then much more.
        assert_eq!(fair.get_or_insert_mut(MANY, &1, || 2), Some(&mut 1));
        for key in 200..300 {
            fair.get_or_insert_mut(MANY, &key, || 0);
        }
        assert_eq!(fair.peek_mut(&1), Some(&mut 1));
        // What he put in first is another's as well.
        fair.get_or_insert_mut(FEW, &299, || 0);
        for key in 300..400 {
            fair.get_or_insert_mut(MANY, &key, || 0);
        }
        assert!(fair.peek_mut(&299).is_some());
        assert_eq!(fair.len(), 10);
    }
}
