//! The identity of shared values: two `Arc`s are the same if they share one allocation.
//!
//! Stages hand one `Arc` on for as long as a process (a host, a name) stays what it is: the capture interns
//! processes, and the replay interns texts. So whoever keeps something by process compares an address, not
//! two dozen fields. An address is only good as a key while the value is alive: another value may be
//! allocated there later.

use std::{collections::hash_map::Entry, sync::Arc};

use foldhash::HashMap;

/// The address of a value behind an `Arc`. Whoever keeps it must keep the `Arc` as well, as
/// [`ByIdentity`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArcId(usize);

impl ArcId {
    /// That of `value`.
    pub fn of<T>(value: &Arc<T>) -> Self {
        Self(Arc::as_ptr(value).addr())
    }
}

/// A table by identity of an `Arc`. It holds each key, so no other value takes its address.
#[derive(Debug)]
pub struct ByIdentity<T, V>(HashMap<ArcId, (Arc<T>, V)>);

impl<T, V> Default for ByIdentity<T, V> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T, V> ByIdentity<T, V> {
    /// What is kept of `key`.
    pub fn get(&self, key: &Arc<T>) -> Option<&V> {
        let (_, value) = self.0.get(&ArcId::of(key))?;
        Some(value)
    }

    /// What is kept of `key`, else what `make` gives, which is kept from now on.
    ///
    /// # Errors
    /// That of `make`.
    pub fn get_or_try_insert<E>(
        &mut self,
        key: &Arc<T>,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<&V, E> {
        let (_, value) = match self.0.entry(ArcId::of(key)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert((Arc::clone(key), make()?)),
        };
        Ok(value)
    }

    /// Keeps `value` of `key`, in place of what was kept.
    pub fn insert(&mut self, key: Arc<T>, value: V) {
        self.0.insert(ArcId::of(&key), (key, value));
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: &Arc<T>) {
        self.0.remove(&ArcId::of(key));
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T, V> FromIterator<(Arc<T>, V)> for ByIdentity<T, V> {
    fn from_iter<I: IntoIterator<Item = (Arc<T>, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter();
        Self(
            pairs
                .map(|(key, value)| (ArcId::of(&key), (key, value)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_two_keys() {
        let [one, other] = [Arc::new("nginx"), Arc::new("nginx")];
        let mut table = ByIdentity::default();
        table.insert(Arc::clone(&one), 1);
        assert_eq!(table.get(&Arc::clone(&one)), Some(&1));
        assert_eq!(table.get(&other), None);
        let made = table.get_or_try_insert(&other, || Ok::<_, ()>(2));
        assert_eq!(made, Ok(&2));
        let known = table.get_or_try_insert(&other, || Err(()));
        assert_eq!(known, Ok(&2));
        table.remove(&one);
        assert_eq!((table.get(&one), table.len()), (None, 1));
    }

    #[test]
    fn no_value_takes_the_address_of_a_key() {
        let mut table = ByIdentity::default();
        for n in 0..1000 {
            let key = Arc::new([n; 64]);
            assert_eq!(table.get(&key), None, "an address came again");
            table.insert(key, n);
        }
        assert_eq!(table.len(), 1000);
    }
}
