//! The only map and global declarations.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use tracer_common::{
    Connection, Counts, Flow, Kind, Listening, Observers, Offsets, Span, share::PAYERS,
};

use crate::{
    kernel::Room,
    life::Visit,
    names::Receiving,
    share::{Held, Table},
};

/// Records on their way to user space. Size set by user space.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 24, 0);

/// Connections and attempts that live, by address of their `struct sock`. An entry
/// is removed when its socket closes or is destroyed, so an address that the kernel
/// hands out again never meets an old entry. Size set by user space.
#[map]
pub(crate) static CONNECTIONS: HashMap<u64, Connection> = HashMap::with_max_entries(1 << 17, 0);

/// Sockets that listen, by address of their `struct sock`, as they were reported; the time in the
/// header is when.
#[map]
pub(crate) static LISTENERS: HashMap<u64, Listening> =
    HashMap::with_max_entries(Table::LISTENERS, 0);

/// Processes that are named as owners in LISTENERS, by start and id, until they end: who owns a
/// socket that stays is asked again. With who pays for the place.
#[map]
pub(crate) static OWNERS: HashMap<[u64; 2], u32> = HashMap::with_max_entries(Table::LISTENERS, 0);

/// How many entries of each `Table` each payer has.
#[map]
pub(crate) static PAID: Array<i32> = Array::with_max_entries(Table::COUNT * PAYERS, 0);

/// And each group of payers.
#[map]
pub(crate) static HELD: Array<Held> = Array::with_max_entries(Table::COUNT, 0);

/// What was seen and lost, by `Kind`.
#[map]
pub(crate) static COUNTS: PerCpuArray<Counts> =
    PerCpuArray::with_max_entries(Kind::COUNT as u32, 0);

/// Calls of connect() under way, by thread, where only their return can be hooked: the
/// `struct socket`, the address that is dialled and its length. One that ends before its steps leaves its
/// entry, until the thread dials again or others need the place.
#[map]
pub(crate) static DIALS: LruHashMap<u64, [u64; 3]> = LruHashMap::with_max_entries(1 << 10, 0);

/// Calls that may receive an answer of a name server, by thread. Each leaves its entry, until the
/// thread waits again or others need the place. An answer that needs one that is gone is counted.
#[map]
pub(crate) static RECEIVING: LruHashMap<u64, Receiving> = LruHashMap::with_max_entries(1 << 12, 0);

/// A message while it is put together.
#[map]
pub(crate) static MESSAGE: PerCpuArray<Room> = PerCpuArray::with_max_entries(1, 0);

/// What the calls of connect() under way were told to dial, by thread.
#[map]
pub(crate) static INTENDED: LruHashMap<u64, Flow> = LruHashMap::with_max_entries(1 << 10, 0);

/// The time that is told of. Set by user space before anything is attached.
#[map]
pub(crate) static SPAN: Array<Span> = Array::with_max_entries(1, 0);

/// How often CONNECTIONS had no room, and after how many of these user space found room for all. Where they
/// differ, a socket without an entry may be one that did not fit, and is no longer only one that is older than the
/// programs.
#[map]
pub(crate) static OVERFLOWS: Array<u64> = Array::with_max_entries(2, 0);

/// Who was refused an entry of CONNECTIONS last: one who has most of them.
#[map]
pub(crate) static REFUSED: Array<u32> = Array::with_max_entries(1, 0);

/// How far a look around has come.
#[map]
pub(crate) static VISIT: Array<Visit> = Array::with_max_entries(1, 0);

/// A listener as it was told of before, while its heir is told of: there is no room on the stack.
#[map]
pub(crate) static PREVIOUS: Array<Listening> = Array::with_max_entries(1, 0);

/// What the last run of `observers` found.
#[map]
pub(crate) static OBSERVED: Array<Observers> = Array::with_max_entries(1, 0);

/// Where this kernel keeps what the programs read.
#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Global<Offsets> =
    Global::new(Offsets::from_array([0; Offsets::MEMBERS.len()]));

/// Which facts have a program of their own: `hooks::*` bits. What has none is inferred
/// from changes of state.
#[unsafe(no_mangle)]
pub(crate) static HOOKS: Global<u32> = Global::new(0);

/// Not zero where the kernel hands out the current task with its type (Linux 5.11).
#[unsafe(no_mangle)]
pub(crate) static TYPED_TASK: Global<u32> = Global::new(0);

/// Inode number of the network namespace that is the host's own and root's, where most sockets are: whose it
/// is need not be read, and what root has there has room of its own. 0 if it is not known.
#[unsafe(no_mangle)]
pub(crate) static HOME_NETNS: Global<u32> = Global::new(0);

/// How many entries CONNECTIONS has room for.
#[unsafe(no_mangle)]
pub(crate) static ROOM: Global<u32> = Global::new(1 << 17);

/// How many unread bytes in EVENTS are worth waking the reader for.
#[unsafe(no_mangle)]
pub(crate) static WAKE_BYTES: Global<u64> = Global::new(1 << 22);
