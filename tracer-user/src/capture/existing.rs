//! What listened before the programs were there, from /proc: in every network
//! namespace that has a process.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{BufRead, BufReader, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use super::clock::Clock;
use crate::{
    model::{Evidence, Listener, ListenerEvent, Process, ProcessEvidence, ProcessKey},
    procfs::Proc,
};

/// `TCP_LISTEN` in /proc/net/tcp.
const LISTEN: &str = "0A";
/// More than a namespace with millions of sockets shows; a file that goes on is cut.
const MAX_TABLE_BYTES: u64 = 1 << 30;
/// Listeners that are looked for; a host has hundreds.
const MAX_LISTENERS: usize = 65_536;

/// The sockets that listen now, each with the process that has held it longest. No
/// processes unless /proc shows `host_pids`: others would be taken for those that the
/// kernel tells of.
pub(super) fn listeners(proc: &Proc, host_pids: bool, clock: &Clock) -> Vec<ListenerEvent> {
    let pids: Vec<u32> = proc.pids().collect();
    let mut found: HashMap<u64, Listener> = HashMap::new();
    let mut namespaces = HashSet::new();
    for pid in &pids {
        let process = proc.root().join(pid.to_string());
        let Some(netns) = inode(&process.join("ns/net"), "net") else {
            continue;
        };
        let Ok(netns) = u32::try_from(netns) else {
            continue;
        };
        if !namespaces.insert(netns) {
            continue;
        }
        for table in ["net/tcp", "net/tcp6"] {
            let Ok(file) = File::open(process.join(table)) else {
                continue;
            };
            for line in BufReader::new(file.take(MAX_TABLE_BYTES))
                .lines()
                .map_while(Result::ok)
            {
                if let Some((inode, local)) = listening(&line)
                    && found.len() < MAX_LISTENERS
                {
                    found.insert(
                        inode,
                        Listener {
                            local,
                            backlog: None,
                            netns,
                        },
                    );
                }
            }
        }
    }
    let mut owners = if host_pids {
        owners(proc, &pids, &found, clock)
    } else {
        HashMap::new()
    };
    found
        .into_iter()
        .map(|(inode, listener)| {
            let process = owners.remove(&inode);
            ListenerEvent {
                listener,
                evidence: Evidence {
                    process: process
                        .as_ref()
                        .map_or(ProcessEvidence::Unknown, |_| ProcessEvidence::Scan),
                    direction: None,
                },
                process,
            }
        })
        .collect()
}

/// The process that has held each socket longest: of a server and its workers, the one
/// that opened it.
fn owners(
    proc: &Proc,
    pids: &[u32],
    sockets: &HashMap<u64, Listener>,
    clock: &Clock,
) -> HashMap<u64, Arc<Process>> {
    let mut owners: HashMap<u64, Arc<Process>> = HashMap::new();
    if sockets.is_empty() {
        return owners;
    }
    for pid in pids {
        // Another user's process cannot be looked at without CAP_SYS_PTRACE.
        let Ok(descriptors) = std::fs::read_dir(proc.root().join(pid.to_string()).join("fd"))
        else {
            continue;
        };
        let mut process = None;
        for descriptor in descriptors.map_while(Result::ok) {
            let Some(inode) =
                inode(&descriptor.path(), "socket").filter(|inode| sockets.contains_key(inode))
            else {
                continue;
            };
            if process.is_none() {
                process = describe(proc, *pid, clock);
            }
            let Some(process) = &process else { break };
            let owner = owners.entry(inode).or_insert_with(|| Arc::clone(process));
            if (process.key.start_ns, process.pid) < (owner.key.start_ns, owner.pid) {
                *owner = Arc::clone(process);
            }
        }
    }
    owners
}

fn describe(proc: &Proc, pid: u32, clock: &Clock) -> Option<Arc<Process>> {
    let entry = proc.open(pid)?;
    let stat = entry.stat()?;
    let start_ns = stat.start_ns();
    Some(Arc::new(Process {
        key: ProcessKey { pid, start_ns },
        pid,
        ppid: stat.ppid,
        uid: entry.uid(),
        comm: stat.comm.into(),
        exe: entry.exe(),
        args: entry.args(),
        started: Some(clock.wall(start_ns)),
    }))
}

/// The number in a link like `socket:[1234]`.
fn inode(link: &Path, kind: &str) -> Option<u64> {
    let target = std::fs::read_link(link).ok()?;
    let rest = target.to_str()?.strip_prefix(kind)?.strip_prefix(":[")?;
    rest.strip_suffix(']')?.parse().ok()
}

/// Inode and own address of a line of /proc/net/tcp that tells of a listening socket.
fn listening(line: &str) -> Option<(u64, SocketAddr)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((inode, SocketAddr::new(address(ip)?, port)))
}

/// An address as the kernel prints it there: words of this machine's byte order, in hex.
fn address(hex: &str) -> Option<IpAddr> {
    let mut bytes = [0; 16];
    if !hex.is_ascii() || hex.len() > 32 {
        return None;
    }
    for (at, word) in hex.as_bytes().chunks(8).enumerate() {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes[4 * at..4 * at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    match hex.len() {
        8 => {
            let [a, b, c, d, ..] = bytes;
            Some(Ipv4Addr::new(a, b, c, d).into())
        }
        32 => Some(Ipv6Addr::from(bytes).to_canonical()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_of_proc_net_tcp() {
        let line = "   0: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0";
        assert_eq!(
            listening(line),
            Some((12345, "127.0.0.1:53".parse().expect("an address")))
        );
        let line = "   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0";
        assert_eq!(
            listening(line),
            Some((77, "[::1]:8080".parse().expect("an address")))
        );
    }

    #[test]
    fn passes_over_what_it_does_not_know() {
        for line in [
            "",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
            "   0: 0100007F:0035 0100007F:1234 01 0:0 00:0 0 0 0 12345",
            "   0: 0100007F 00000000:0000 0A 0:0 00:0 0 0 0 12345",
            "   0: 01:0035 00000000:0000 0A 0:0 00:0 0 0 0 12345",
            "   0: zzzzzzzz:0035 00000000:0000 0A 0:0 00:0 0 0 0 12345",
            "   0: 0100007F:0035 00000000:0000 0A 0:0 00:0 0 0 0 x",
            "   0: éééé:0035 00000000:0000 0A 0:0 00:0 0 0 0 1",
        ] {
            assert_eq!(listening(line), None, "{line}");
        }
    }
}
