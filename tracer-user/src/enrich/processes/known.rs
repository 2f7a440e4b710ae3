//! Processes as they are known: bounded, and found again by what they run.

use std::{collections::BTreeSet, num::NonZeroUsize, ops::RangeInclusive, sync::Arc};

use lru::LruCache;

use crate::model::{Process, ProcessKey, ProgramKey};

/// A program in a process, in this control group: a process may change both. And whose the network
/// namespace of its socket is: a process may have sockets in several.
pub(super) type Key = (ProgramKey, u64, Option<u32>);

pub(super) fn key(process: &Process) -> Key {
    (process.program(), process.cgroup, process.netns_owner)
}

/// A process as it is known, and as it is to be found out about again.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) process: Arc<Process>,
    /// Its `/proc/PID/cgroup`, where the kernel does not tell all of it.
    pub(super) cgroups: Option<Arc<[u8]>>,
    /// The program whose look told what it runs: its own, or the one that it was inherited from.
    pub(super) origin: ProgramKey,
}

/// A program, in an order.
type Ordered = (u32, u64, u16);

fn ordered(program: ProgramKey) -> Ordered {
    let ProcessKey { pid, start_ns } = program.process;
    (pid, start_ns, program.exec_id)
}

/// What is found by a program, of a key.
type Found = (Ordered, Ordered, u64, Option<u32>);

fn found(by: ProgramKey, (program, cgroup, owner): Key) -> Found {
    (ordered(by), ordered(program), cgroup, owner)
}

fn all(by: ProgramKey) -> RangeInclusive<Found> {
    let by = ordered(by);
    let last = (u32::MAX, u64::MAX, u16::MAX);
    (by, (0, 0, 0), 0, None)..=(by, last, u64::MAX, Some(u32::MAX))
}

fn key_of((_, (pid, start_ns, exec_id), cgroup, owner): Found) -> Key {
    let process = ProcessKey { pid, start_ns };
    (ProgramKey { process, exec_id }, cgroup, owner)
}

/// Those that were not seen for longest go first.
#[derive(Debug)]
pub(super) struct Table {
    entries: LruCache<Key, Known>,
    /// The same keys, by the program.
    own: BTreeSet<Found>,
    /// And by the origin.
    inherited: BTreeSet<Found>,
}

impl Table {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        Self {
            entries: LruCache::new(capacity),
            own: BTreeSet::new(),
            inherited: BTreeSet::new(),
        }
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<&Known> {
        self.entries.get(key)
    }

    pub(super) fn put(&mut self, key: Key, known: Known) {
        let origin = known.origin;
        if let Some((key, before)) = self.entries.push(key, known) {
            self.forget(key, before.origin);
        }
        self.own.insert(found(key.0, key));
        self.inherited.insert(found(origin, key));
    }

    pub(super) fn pop(&mut self, key: &Key) {
        if let Some(before) = self.entries.pop(key) {
            self.forget(*key, before.origin);
        }
    }

    fn forget(&mut self, key: Key, origin: ProgramKey) {
        self.own.remove(&found(key.0, key));
        self.inherited.remove(&found(origin, key));
    }

    /// Those that run `program` themselves.
    pub(super) fn of_program(&self, program: ProgramKey) -> Vec<(Key, Known)> {
        self.in_range(&self.own, program)
    }

    /// Those that run what the look at `origin` told of.
    pub(super) fn of_origin(&self, origin: ProgramKey) -> Vec<(Key, Known)> {
        self.in_range(&self.inherited, origin)
    }

    fn in_range(&self, of: &BTreeSet<Found>, by: ProgramKey) -> Vec<(Key, Known)> {
        let keys = of.range(all(by)).map(|it| key_of(*it));
        keys.filter_map(|key| Some((key, self.entries.peek(&key)?.clone())))
            .collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Known)> {
        self.entries.iter()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.own.len(), self.entries.len());
        assert_eq!(self.inherited.len(), self.entries.len());
        self.entries.len()
    }
}
