//! The list of the netlink sockets of one protocol that are in a group, `netlink_table.mc_list`, of all
//! network namespaces; and who keeps those. The list changes while it is read: a socket that is not
//! in it any more, or no socket at all, is an end of it.

use tracer_common::Observer;

use super::{follow, of_socket, offset, read, task};

/// The user who made the user namespace that the network namespace at address `net` belongs to
/// (`user_namespace.owner`), in the initial user namespace: 0 of all that root made, which is all that an
/// unprivileged user has not made with a user namespace of its own. Whoever has that one may give the
/// network namespace any address. 0 where this kernel has no such members.
#[inline(always)]
pub(super) fn owner(typed: bool, net: u64) -> u32 {
    // No structure has that member first.
    if offset!(net_user_ns) == 0 {
        return 0;
    }
    let namespace: u64 = follow(typed, net, offset!(net_user_ns));
    follow(typed, namespace, offset!(user_ns_owner))
}

/// A `struct hlist_node` of the list: `next`, and `pprev`, where the one before points here.
#[derive(Clone, Copy)]
pub(crate) struct Node(u64);

impl Node {
    /// The one at an address, if it is in the list.
    #[inline(always)]
    pub(crate) fn at(address: u64) -> Option<Self> {
        let before: u64 = read(address, 8);
        (address != 0 && read::<u64>(before, 0) == address).then_some(Self(address))
    }

    /// That of the socket that the current process has at descriptor `fd`.
    #[inline(always)]
    pub(crate) fn of(fd: u32) -> Option<Self> {
        let files: u64 = read(task::address(), offset!(task_files));
        let table: u64 = read(files, offset!(files_table));
        let open: u64 = read(table, offset!(table_files));
        let file: u64 = read(open + 8 * u64::from(fd), 0);
        let socket: u64 = read(file, offset!(held_socket));
        // A socket knows its file: what does not is something else.
        if file == 0 || read::<u64>(socket, offset!(held_file)) != file {
            return None;
        }
        Self::at(of_socket(socket).address + u64::from(offset!(sock_listed)))
    }

    /// The one before it; none if it is the first: what points to that is no node.
    #[inline(always)]
    pub(crate) fn before(self) -> Option<Self> {
        Self::at(read(self.0, 8))
    }

    /// Where the one after it is, 0 if it is the last.
    #[inline(always)]
    pub(crate) fn after(self) -> u64 {
        read(self.0, 0)
    }

    /// Its address.
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.0
    }

    /// Writes which namespace it is of, and how many keep that, to `to`.
    #[inline(always)]
    pub(crate) fn read_to(self, to: &mut Observer) {
        let sock = self.0 - u64::from(offset!(sock_listed));
        let namespace: u64 = read(sock, offset!(sock_net));
        to.netns = read(namespace, offset!(net_inum));
        to.references = read(namespace, offset!(net_references));
    }
}
