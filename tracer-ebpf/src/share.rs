//! How much of each table is whose: an entry is made only where its payer may have one more, so that nobody can
//! take all the room. A payer is counted in arrays, which the kernel looks up without a call.

use core::{arch::asm, ptr};

use tracer_common::{
    Flow, Process, Source,
    share::{self, Group, PAYERS},
};

use crate::{
    kernel::Sock,
    maps::{HELD, HOME_NETNS, PAID, REFUSED, ROOM},
};

/// A table that many share.
#[derive(Clone, Copy)]
pub(crate) enum Table {
    Connections,
    Listeners,
    Owners,
}

impl Table {
    /// How many there are.
    pub(crate) const COUNT: u32 = 3;
    /// Entries that the tables of listeners and of their owners have room for.
    pub(crate) const LISTENERS: u32 = 1 << 14;

    #[inline(always)]
    fn room(self) -> u32 {
        match self {
            Self::Connections => ROOM.load(),
            Self::Listeners | Self::Owners => Self::LISTENERS,
        }
    }

    #[inline(always)]
    fn place_of(self, payer: u32) -> u32 {
        self as u32 * PAYERS + share::place(payer)
    }

    /// Whether `payer` may have one more entry.
    #[inline(never)]
    pub(crate) fn has_room(self, payer: u32) -> bool {
        let (Some(own), Some(held)) = (PAID.get(self.place_of(payer)), HELD.get(self as u32))
        else {
            return false;
        };
        let [others, inbound, home, _] = &held.0;
        let of_group = read(&held.of(payer).count);
        let held = [&others.count, &inbound.count, &home.count].map(read);
        let free = share::free(of_group, held, self.room() as i32);
        let has_room = share::has_room(read(own), free);
        if !has_room
            && let Self::Connections = self
            && let Some(refused) = REFUSED.get_ptr_mut(0)
        {
            // SAFETY: a valid number; whoever writes last, it is one who was refused.
            unsafe { refused.write_volatile(payer) };
        }
        has_room
    }

    /// `payer` has one entry more.
    #[inline(always)]
    pub(crate) fn take(self, payer: u32) {
        self.add(payer, 1);
    }

    /// Or one less.
    #[inline(always)]
    pub(crate) fn give_back(self, payer: u32) {
        self.add(payer, -1);
    }

    #[inline(never)]
    fn add(self, payer: u32, entries: i32) {
        if let Some(own) = PAID.get(self.place_of(payer)) {
            add(own, entries);
        }
        if let Some(held) = HELD.get(self as u32) {
            add(&held.of(payer).count, entries);
        }
    }
}

/// How many entries of a table each group of payers has.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Held([Count; Held::COUNT]);

impl Held {
    /// The groups, and one that nobody is in: their number is a power of two.
    const COUNT: usize = 4;

    /// The count of the group of `payer`.
    #[inline(always)]
    fn of(&self, payer: u32) -> &Count {
        &self.0[Group::number(payer) as usize % Self::COUNT]
    }
}

/// A count that many processors write, on a line of their caches of its own: nothing else is within that.
#[repr(C)]
#[derive(Clone, Copy)]
struct Count {
    count: i32,
    _line: [u32; CACHE_LINE / 4 - 1],
}

/// Bytes of a line of a processor's cache.
const CACHE_LINE: usize = 64;

/// Who pays for what this process has, with `sock` at the local end of `flow`; `port` where connections come in,
/// else 0.
#[inline(always)]
pub(crate) fn payer(process: &Process, sock: Sock, flow: &Flow, port: u16) -> u32 {
    let uid = match process.netns_owner {
        0 if process.source == Source::UNKNOWN => sock.owner(),
        0 => Some(process.uid),
        // In a network namespace that a user made, that user may be as many others.
        owner => Some(owner),
    };
    of_user(uid, flow.netns, port)
}

/// Likewise, where it is known only whose the socket is.
#[inline(always)]
pub(crate) fn of_owner(sock: Sock, netns: u32, port: u16) -> u32 {
    of_user(sock.owner(), netns, port)
}

/// Likewise, of a user, if it is known which.
#[inline(never)]
pub(crate) fn of_user(uid: Option<u32>, netns: u32, port: u16) -> u32 {
    match uid {
        Some(uid) => share::payer(uid, netns, HOME_NETNS.load(), port),
        None => share::NOBODY,
    }
}

/// A count that other processors change meanwhile.
#[inline(always)]
fn read(count: &i32) -> i32 {
    // SAFETY: a valid number.
    unsafe { ptr::from_ref(count).read_volatile() }
}

/// In one instruction, as `emit` counts.
#[inline(always)]
fn add(to: &i32, entries: i32) {
    let counter = ptr::from_ref(to).cast_mut();
    // SAFETY: an element of an array, aligned, that stays mapped for the life of the program and is only ever
    // added to.
    unsafe {
        asm!(
            "lock *(u32 *)({counter} + 0) += {entries}",
            counter = in(reg) counter,
            entries = in(reg) i64::from(entries),
        );
    }
}
