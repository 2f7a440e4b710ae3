//! Who keeps network namespaces alive by observing them.

use tracer_common::OBSERVERS;

use crate::{kernel::Node, maps::OBSERVED};

/// How far one run goes back to where the list begins.
const BACK: usize = 1024;

/// Finds sockets of the list that the one at descriptor `fd` is in, if `next` is 0; else goes on
/// there.
#[inline(never)]
pub(crate) fn observers(fd: u32, next: u64) {
    let Some(observed) = OBSERVED.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the one entry of an array, which user space reads only between runs.
    let observed = unsafe { &mut *observed };
    (observed.next, observed.count) = (0, 0);
    let node = match next {
        0 => first(fd),
        next => Node::at(next),
    };
    let Some(mut node) = node else { return };
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

/// The first of the list that the socket at descriptor `fd` is in: the newest one. One that is
/// further away than [`BACK`] is not found, nor are those on the way.
#[inline(never)]
fn first(fd: u32) -> Option<Node> {
    let mut node = Node::of(fd)?;
    for _ in 0..BACK {
        match node.before() {
            Some(before) => node = before,
            None => break,
        }
    }
    Some(node)
}
