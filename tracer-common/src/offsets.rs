//! Where the running kernel keeps what the programs read.

/// What a member is read for. Without a member that is needed for one thing, the rest
/// still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Everything.
    Core,
    /// Nothing, on a kernel that lacks it: what it holds cannot occur there, or a look-up
    /// by what is read in its place finds nothing, or the programs ask whether its offset is 0.
    Nothing,
    /// Looking through the descriptors of all processes.
    Scan,
    /// What is in packets: attempts from outside that this host turns away, and answers.
    Packets,
    /// Errors that processes are shown.
    Errors,
    /// Programs that processes run.
    Processes,
    /// Control groups that are made.
    Cgroups,
    /// What processes ask name servers.
    Names,
    /// Who keeps a network namespace.
    Namespaces,
    /// Whose a network namespace is.
    Owners,
}

macro_rules! offsets {
    ($($need:ident { $($(#[$doc:meta])* $name:ident: $type:literal . $path:literal, $size:literal;)* })*) => {
        /// Byte offsets into kernel structures, read from the running kernel's BTF by
        /// user space and handed to the programs as the read-only global `OFFSETS`.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Offsets {
            $($($(#[$doc])* pub $name: u32,)*)*
        }

        impl Offsets {
            /// What each field means, in the order of the fields: `(structure, path
            /// of members, size in bytes, what for)`. Where kernels call a member by different
            /// names, `|` is between the paths, and the first that is there counts. A kernel where one is missing or
            /// has another size is one where the programs cannot do what it is for.
            pub const MEMBERS: &'static [(&'static str, &'static str, u32, Need)] =
                &[$($(($type, $path, $size, Need::$need),)*)*];

            /// Builds the offsets from numbers in the order of [`Self::MEMBERS`].
            pub const fn from_array(values: [u32; Self::MEMBERS.len()]) -> Self {
                let mut i = 0;
                $($(let $name = values[i]; #[allow(unused_assignments)] { i += 1; })*)*
                Self { $($($name,)*)* }
            }
        }
    };
}

offsets! {
    Core {
        /// Peer's IPv4 address, network byte order.
        sock_daddr: "sock"."__sk_common.skc_daddr", 4;
        /// Own IPv4 address, network byte order.
        sock_saddr: "sock"."__sk_common.skc_rcv_saddr", 4;
        /// Peer's port, network byte order.
        sock_dport: "sock"."__sk_common.skc_dport", 2;
        /// Index of the interface it is bound to; 0 if to none.
        sock_bound_dev_if: "sock"."__sk_common.skc_bound_dev_if", 4;
        /// Address family.
        sock_family: "sock"."__sk_common.skc_family", 2;
        /// TCP state.
        sock_state: "sock"."__sk_common.skc_state", 1;
        /// Network namespace: a pointer to `struct net`.
        sock_net: "sock"."__sk_common.skc_net.net", 8;
        /// Not null while the socket is in a table of sockets.
        sock_hashed: "sock"."__sk_common.skc_node.pprev", 8;
        /// `enum sock_flags` bits; bit 1 (`SOCK_DONE`) says that the peer's FIN was received.
        sock_flags: "sock"."__sk_common.skc_flags", 8;
        /// Not 0 while a process is within a call on the socket.
        sock_owned: "sock"."sk_lock.owned", 4;
        /// Its `struct socket`, while a process holds it.
        sock_socket: "sock"."sk_socket", 8;
        /// Pending error, a positive errno.
        sock_err: "sock"."sk_err", 4;
        /// Error that decides nothing yet, a positive errno; reading it by `SO_ERROR` clears it.
        sock_err_soft: "sock"."sk_err_soft", 4;
        /// IP protocol: MPTCP's outer sockets share the tracepoint.
        sock_protocol: "sock"."sk_protocol", 2;
        /// Limit of the accept queue.
        sock_backlog: "sock"."sk_max_ack_backlog", 4;
        /// Length of the accept queue.
        sock_queued: "sock"."sk_ack_backlog", 4;
        /// Own port, network byte order; still set when the socket is unhashed.
        inet_sport: "inet_sock"."inet_sport", 2;
        /// Namespace inode number.
        net_inum: "net"."ns.inum", 4;
        /// Payload bytes sent, retransmissions included.
        tcp_bytes_sent: "tcp_sock"."bytes_sent", 8;
        /// Payload bytes sent again.
        tcp_bytes_retrans: "tcp_sock"."bytes_retrans", 8;
        /// Sequence numbers received, so a FIN counts as one.
        tcp_bytes_received: "tcp_sock"."bytes_received", 8;
        /// Sequence numbers of ours that were acknowledged, so a SYN counts as one.
        tcp_bytes_acked: "tcp_sock"."bytes_acked", 8;
        /// First sequence number not acknowledged.
        tcp_snd_una: "tcp_sock"."snd_una", 4;
        /// First sequence number not received.
        tcp_rcv_nxt: "tcp_sock"."rcv_nxt", 4;
        /// First sequence number not sent.
        tcp_snd_nxt: "tcp_sock"."snd_nxt", 4;
        /// First sequence number not written; 0 in a socket that was never connected.
        tcp_write_seq: "tcp_sock"."write_seq", 4;
        /// Smoothed round-trip time, microseconds times 8.
        tcp_srtt_us: "tcp_sock"."srtt_us", 4;
        /// Segments retransmitted.
        tcp_total_retrans: "tcp_sock"."total_retrans", 4;
        /// Segments sent.
        tcp_segs_out: "tcp_sock"."segs_out", 4;
        /// The request that a socket of TCP Fast Open was made of, until its handshake is complete.
        tcp_fastopen_rsk: "tcp_sock"."fastopen_rsk", 8;
        /// `struct sock` of a `struct socket`.
        socket_sk: "socket"."sk", 8;
        /// Thread group leader.
        task_group_leader: "task_struct"."group_leader", 8;
        /// Start, nanoseconds of `CLOCK_BOOTTIME`.
        task_start_boottime: "task_struct"."start_boottime", 8;
        /// Name.
        task_comm: "task_struct"."comm", 16;
        /// How many programs it and its ancestors ran (Linux 5.7).
        task_self_exec_id: "task_struct"."self_exec_id", 8;
        /// `PF_*` bits.
        task_flags: "task_struct"."flags", 4;
    }
    Nothing {
        /// Peer's IPv6 address.
        sock_v6_daddr: "sock"."__sk_common.skc_v6_daddr", 16;
        /// Own IPv6 address.
        sock_v6_saddr: "sock"."__sk_common.skc_v6_rcv_saddr", 16;
        /// The user who made it.
        sock_uid: "sock"."sk_uid.val", 4;
        /// A list head that points at itself in a listener, and so at the listener in a fresh clone of it.
        tcp_tsorted_sent_queue: "tcp_sock"."tsorted_sent_queue", 16;
        /// Memory of whoever has the packet, a `struct tcp_skb_cb` here.
        skb_cb: "sk_buff"."cb", 48;
        /// Index of the interface that an IPv6 packet came in by, or of the one that has the
        /// address where it came from this host.
        tcp_cb_v6_iif: "tcp_skb_cb"."header.h6.iif", 4;
    }
    Scan {
        /// Open files of a task.
        task_files: "task_struct"."files", 8;
        /// Their table.
        files_table: "files_struct"."fdt", 8;
        /// The array of its files.
        table_files: "fdtable"."fd", 8;
        /// How many places that has.
        table_size: "fdtable"."max_fds", 4;
        /// `struct inode` of an open file.
        file_inode: "file"."f_inode", 8;
        /// `struct socket` of an open file that is one.
        file_private_data: "file"."private_data", 8;
        /// Kind of file and its permissions.
        inode_mode: "inode"."i_mode", 2;
        /// The open file of a `struct socket`.
        socket_file: "socket"."file", 8;
        /// Process id.
        task_tgid: "task_struct"."tgid", 4;
        /// Credentials.
        task_cred: "task_struct"."cred", 8;
        /// Real user id.
        cred_uid: "cred"."uid.val", 4;
        /// Memberships in control groups.
        task_cgroups: "task_struct"."cgroups", 8;
        /// The one in the v2 hierarchy.
        css_set_dfl_cgrp: "css_set"."dfl_cgrp", 8;
        /// Its node in the file system.
        cgroup_kn: "cgroup"."kn", 8;
        /// Its inode number.
        kernfs_node_id: "kernfs_node"."id", 8;
    }
    Packets {
        /// Start of a packet's memory.
        skb_head: "sk_buff"."head", 8;
        /// Offset of its IP header there.
        skb_network_header: "sk_buff"."network_header", 2;
        /// Offset of its TCP or UDP header there.
        skb_transport_header: "sk_buff"."transport_header", 2;
        /// The device it came in by.
        skb_dev: "sk_buff"."dev", 8;
        /// First sequence number of the client, of a handshake under way.
        request_rcv_isn: "tcp_request_sock"."rcv_isn", 4;
        /// Network namespace of a device.
        net_device_net: "net_device"."nd_net.net", 8;
    }
    Errors {
        /// What a process can read by `MSG_ERRQUEUE`: a list of packets, beginning with the first.
        sock_error_queue: "sock"."sk_error_queue.next", 8;
        /// The last one.
        sock_error_last: "sock"."sk_error_queue.prev", 8;
        /// What a packet carries for who handles it; there, a `struct sock_exterr_skb`.
        exterr_cb: "sk_buff"."cb", 48;
        /// The error, a positive errno.
        exterr_errno: "sock_exterr_skb"."ee.ee_errno", 4;
        /// Where it comes from: one of `SO_EE_ORIGIN_*`.
        exterr_origin: "sock_exterr_skb"."ee.ee_origin", 1;
    }
    Processes {
        /// The parent.
        task_real_parent: "task_struct"."real_parent", 8;
        /// Process id, once more: that of a parent or a child.
        parent_tgid: "task_struct"."tgid", 4;
        /// Memory of a process.
        task_mm: "task_struct"."mm", 8;
        /// Where its arguments begin.
        mm_arg_start: "mm_struct"."arg_start", 8;
        /// Where its arguments end.
        mm_arg_end: "mm_struct"."arg_end", 8;
        /// The file that it executes.
        mm_exe_file: "mm_struct"."exe_file", 8;
        /// Where a file is: the name of it.
        file_dentry: "file"."f_path.dentry", 8;
        /// Where a file is: the mount that it was reached by.
        file_mnt: "file"."f_path.mnt", 8;
        /// The folder of a name; of one that is in none, the name itself.
        dentry_parent: "dentry"."d_parent", 8;
        /// The name.
        dentry_name: "dentry"."d_name.name", 8;
        /// The name that is at the root of a mount.
        vfsmount_root: "vfsmount"."mnt_root", 8;
        /// The same, from the beginning of the structure around it.
        mount_root: "mount"."mnt.mnt_root", 8;
        /// The mount that it is mounted on; of one that is on none, the mount itself.
        mount_parent: "mount"."mnt_parent", 8;
        /// The name that it is mounted at.
        mount_mountpoint: "mount"."mnt_mountpoint", 8;
        /// What the threads of a process share.
        task_signal: "task_struct"."signal", 8;
        /// How many threads live.
        signal_live: "signal_struct"."live.counter", 4;
        /// Status of the whole process, if it was ended as one.
        signal_group_exit_code: "signal_struct"."group_exit_code", 4;
        /// `SIGNAL_*` bits.
        signal_flags: "signal_struct"."flags", 4;
        /// Status of one thread.
        task_exit_code: "task_struct"."exit_code", 4;
    }
    Cgroups {
        /// Node in the file system, once more.
        made_kn: "cgroup"."kn", 8;
        /// Its inode number.
        made_id: "kernfs_node"."id", 8;
        /// The hierarchy.
        cgroup_root: "cgroup"."root", 8;
        /// Its number.
        root_hierarchy: "cgroup_root"."hierarchy_id", 4;
    }
    Names {
        /// The address a message goes to or came from, a `struct sockaddr`.
        msghdr_name: "msghdr"."msg_name", 8;
        /// Where its bytes are: the bytes themselves, or a list of pieces.
        msghdr_buffer: "msghdr"."msg_iter.kvec", 8;
        /// How many pieces there are, where they are a list.
        msghdr_pieces: "msghdr"."msg_iter.nr_segs", 8;
        /// How many bytes of the first piece are done with.
        msghdr_offset: "msghdr"."msg_iter.iov_offset", 8;
        /// How many bytes of a packet are in pages beside its memory.
        skb_data_len: "sk_buff"."data_len", 4;
        /// First sequence number not handed to the process.
        tcp_copied_seq: "tcp_sock"."copied_seq", 4;
    }
    Namespaces {
        /// References that keep a network namespace: at none it is taken apart.
        net_references: "net"."ns.__ns_ref|ns.count|count", 4;
        /// Its place in the list of the sockets of its protocol that are in a group.
        sock_listed: "sock"."__sk_common.skc_bind_node", 16;
        /// `struct socket` of an open file, once more.
        held_socket: "file"."private_data", 8;
        /// Its open file, once more.
        held_file: "socket"."file", 8;
    }
    Owners {
        /// The user namespace that a network namespace belongs to.
        net_user_ns: "net"."user_ns", 8;
        /// Who made it: a uid in the initial user namespace.
        user_ns_owner: "user_namespace"."owner.val", 4;
        /// The namespaces of a task.
        task_nsproxy: "task_struct"."nsproxy", 8;
        /// The one for networks.
        nsproxy_net: "nsproxy"."net_ns", 8;
    }
}

const _: () = assert!(size_of::<Offsets>() == 4 * Offsets::MEMBERS.len());
