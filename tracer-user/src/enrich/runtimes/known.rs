//! What is known of containers, and when to ask again: a table for the administrator's, and one for
//! each user's, so that nobody's displace another's.

use std::{num::NonZeroUsize, sync::Arc, time::Instant};

use lru::LruCache;

use super::Found;

/// How many containers of the administrator are remembered; those that were not asked for longest go
/// first.
const OF_SYSTEM: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// And of a user.
const OF_USER: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Of how many users; those whose were not asked for longest go first.
const USERS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// What is known of a container.
#[derive(Debug)]
pub(super) struct Known {
    /// What runs it, as far as that was said.
    pub(super) runtime: Option<Arc<str>>,
    pub(super) found: Option<Arc<Found>>,
    /// When to ask again; none while an answer is awaited, or if there is no need.
    pub(super) retry: Option<Instant>,
    /// How often it was asked.
    pub(super) tries: u32,
}

type Table = LruCache<Arc<str>, Known>;

/// All of them, by owner and id.
#[derive(Debug)]
pub(super) struct Tables {
    system: Table,
    users: LruCache<u32, Table>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            system: LruCache::new(OF_SYSTEM),
            users: LruCache::new(USERS),
        }
    }
}

impl Tables {
    pub(super) fn get_mut(&mut self, id: &str, owner: Option<u32>) -> Option<&mut Known> {
        match owner {
            None => self.system.get_mut(id),
            Some(uid) => self.users.get_mut(&uid)?.get_mut(id),
        }
    }

    pub(super) fn peek(&self, id: &str, owner: Option<u32>) -> Option<&Known> {
        match owner {
            None => self.system.peek(id),
            Some(uid) => self.users.peek(&uid)?.peek(id),
        }
    }

    pub(super) fn put(&mut self, id: &str, owner: Option<u32>, known: Known) {
        let table = match owner {
            None => &mut self.system,
            Some(uid) => self.users.get_or_insert_mut(uid, || LruCache::new(OF_USER)),
        };
        table.put(id.into(), known);
    }

    /// Hands all of them to `each`, those of the administrator first.
    pub(super) fn each(&mut self, mut each: impl FnMut(Option<u32>, &Arc<str>, &mut Known)) {
        for (id, known) in &mut self.system {
            each(None, id, known);
        }
        for (uid, table) in &mut self.users {
            for (id, known) in table {
                each(Some(*uid), id, known);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known {
            runtime: None,
            found: None,
            retry: None,
            tries: 0,
        }
    }

    #[test]
    fn nobody_displaces_what_is_anothers() {
        let mut tables = Tables::default();
        tables.put("payments", None, known());
        tables.put("payments", Some(7), known());
        for n in 0..2 * OF_SYSTEM.get() {
            tables.put(&n.to_string(), Some(1000), known());
        }
        assert!(tables.get_mut("payments", None).is_some());
        assert!(tables.get_mut("payments", Some(7)).is_some());
        let mut of_user = 0;
        tables.each(|owner, _, _| of_user += usize::from(owner == Some(1000)));
        assert_eq!(of_user, OF_USER.get());
        // Of many users those go of whom nobody hears; the administrator's stay.
        for uid in 2000..2000 + 2 * USERS.get() as u32 {
            tables.put("payments", Some(uid), known());
        }
        assert!(tables.get_mut("payments", None).is_some());
        assert!(tables.get_mut("payments", Some(7)).is_none());
        assert_eq!(tables.users.len(), USERS.get());
    }
}
