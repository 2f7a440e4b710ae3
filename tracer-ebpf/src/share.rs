//! How much of each table is whose: an entry is made only where its payer may have one more, so that nobody can
//! take all the room. A payer is counted in arrays, which the kernel looks up without a call.

use core::{arch::asm, ptr};

use tracer_common::{
    Flow, Process, Source,
    share::{self, PAYERS},
};

use crate::maps::{HELD, PAID, REFUSED, ROOM};

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
        self as u32 * PAYERS + payer
    }

    /// Whether `payer` may have one more entry.
    #[inline(always)]
    pub(crate) fn has_room(self, payer: u32) -> bool {
        let (Some(own), Some(all)) = (PAID.get(self.place_of(payer)), HELD.get(self as u32)) else {
            return false;
        };
        // SAFETY: valid numbers, which other processors change meanwhile.
        let (own, all) = unsafe {
            (
                (&raw const *own).read_volatile(),
                (&raw const *all).read_volatile(),
            )
        };
        let has_room = share::has_room(own, all, self.room() as i32);
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

    #[inline(always)]
    fn add(self, payer: u32, entries: i32) {
        if let Some(own) = PAID.get(self.place_of(payer)) {
            add(own, entries);
        }
        if let Some(all) = HELD.get(self as u32) {
            add(all, entries);
        }
    }
}

/// Who pays for what this process has, at the local end of `flow`; `port` where connections come in, else 0.
#[inline(always)]
pub(crate) fn payer(process: &Process, flow: &Flow, port: u16) -> u32 {
    if process.source == Source::UNKNOWN {
        return share::NOBODY;
    }
    share::payer(process.uid, flow.netns, port)
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
