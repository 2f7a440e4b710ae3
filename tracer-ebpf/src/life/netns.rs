//! Who keeps network namespaces alive by observing them.

use tracer_common::OBSERVERS;

use crate::{kernel::Node, maps::OBSERVED};

/// How far one run goes back to where the list begins.
const BACK: usize = 32;

/// Looks for where the list begins that the socket at descriptor `fd` is in, from there on if `next` is
/// 0, else from that one on; if `forth`, finds sockets from there on.
#[inline(never)]
pub(crate) fn observers(fd: u32, next: u64, forth: bool) {
    let Some(observed) = OBSERVED.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the one entry of an array, which user space reads only between runs.
    let observed = unsafe { &mut *observed };
    (observed.next, observed.forth, observed.count) = (0, forth.into(), 0);
    let node = match next {
        0 => Node::of(fd),
        next => Node::at(next),
    };
    let Some(mut node) = node else { return };
    if !forth {
        for _ in 0..BACK {
            match node.before() {
                Some(before) => node = before,
                None => {
                    observed.forth = 1;
                    break;
                }
            }
        }
        observed.next = node.address();
        return;
    }
    for found in 0..OBSERVERS {
        node.read_to(&mut observed.found[found]);
        observed.count = found as u64 + 1;
        match Node::at(node.after()) {
            Some(after) => node = after,
            None => return,
        }
    }
    observed.next = node.address();
}
