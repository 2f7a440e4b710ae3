//! Model → model: what comes from outside is replaced by made-up words, the same for the same, or left
//! out, so that a recording can be given away, as with a report of a bug. What it shows stays: who
//! talks to whom, when, by which ports, how much, how it fails; and so do answers.
//!
//! Words are made under a key of this run ([`key`]), which is not kept. Of words that stay, each is of a
//! list ([`words`]). A field that is new has to be put here: a test holds every field that there is
//! against what may stay.

mod key;
#[cfg(test)]
mod tests;
mod words;

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use self::key::Key;
use crate::model::{
    Address, AddressClass, Blind, Body, ByIdentity, Called, ConnectionEvent, Container, Event,
    Host, Kubernetes, Name, Outer, Owner, Process, Start, Tracer, Workload, WorkloadKind, program,
};

/// Addresses that are told apart; the rest is one.
const MAX_ADDRESSES: usize = 1 << 20;
/// Processes, and hosts, whose replacement is kept, so that the same stays the same value.
const MAX_KEPT: usize = 4096;

/// What replaces what.
#[derive(Debug, Default)]
pub struct Anonymiser {
    key: Key,
    addresses: HashMap<IpAddr, IpAddr>,
    hosts: HashMap<Host, Arc<Host>>,
    processes: ByIdentity<Process, Arc<Process>>,
}

impl Anonymiser {
    /// `event` as a stranger may see it.
    pub fn replace(&mut self, mut event: Event) -> Event {
        event.host = self.host(&event.host);
        match &mut event.body {
            Body::Existing(it)
            | Body::Connect(it)
            | Body::Accept(it)
            | Body::Totals(it)
            | Body::Close(it)
            | Body::Fail(it) => self.connection(it),
            Body::Listen(it) | Body::Unlisten(it) => {
                it.listener.local = self.end(it.listener.local);
                it.process = it.process.take().map(|it| self.process(&it));
            }
            Body::Exec(it) | Body::Exit(it) => it.process = self.process(&it.process),
            Body::Start(it) => *it = start(it),
            Body::Loss(_) | Body::Stop(_) => {}
        }
        event
    }

    fn connection(&mut self, event: &mut ConnectionEvent) {
        let connection = &mut event.connection;
        // Whoever saw the packets could make it of their numbers.
        connection.handshake = connection.handshake.map(|it| self.key.number(it));
        connection.ends.local = self.end(connection.ends.local);
        connection.ends.remote = self.end(connection.ends.remote);
        if let Some(translation) = &mut connection.translation {
            translation.dialled = self.end(translation.dialled);
            translation.server = self.end(translation.server);
        }
        if let Some(name) = &mut connection.name {
            let called = match &name.called {
                Called::One { name, canonical } => Called::One {
                    name: self.name(name),
                    canonical: canonical.as_deref().map(|it| self.name(it)),
                },
                Called::OneOf { names, is_cut } => {
                    let mut names: Vec<_> = names.iter().map(|it| self.name(it)).collect();
                    names.sort_unstable();
                    Called::OneOf {
                        names,
                        is_cut: *is_cut,
                    }
                }
            };
            *name = Arc::new(Name {
                called,
                source: name.source,
            });
        }
        event.process = event.process.take().map(|it| self.process(&it));
        event.peer = event.peer.take().map(|it| self.process(&it));
    }

    fn host(&mut self, host: &Host) -> Arc<Host> {
        if let Some(known) = self.hosts.get(host) {
            return Arc::clone(known);
        }
        let made_up = Arc::new(Host {
            id: self.key.id(&host.id),
            name: self.key.name(&host.name),
        });
        if self.hosts.len() >= MAX_KEPT {
            self.hosts.clear();
        }
        self.hosts.insert(host.clone(), Arc::clone(&made_up));
        made_up
    }

    /// Its arguments may hold anything, and are left out. What they say of an interpreter's program is
    /// kept in what replaces the name of the executable: two programs stay two.
    fn process(&mut self, process: &Arc<Process>) -> Arc<Process> {
        if let Some(made_up) = self.processes.get(process) {
            return Arc::clone(made_up);
        }
        let file = |program: String| match program.contains(['/', ' ']) {
            true => self.key.word(&program),
            false => self.key.name(&program),
        };
        let exe = program::identity(process).map(|it| format!("/{}", file(it)).into());
        let made_up = Arc::new(Process {
            key: process.key,
            exec_id: process.exec_id,
            cgroup: process.cgroup,
            netns_owner: None,
            workload: process
                .workload
                .as_ref()
                .map(|it| Arc::new(self.workload(it, process))),
            pid: process.pid,
            ppid: process.ppid,
            uid: process.uid.map(|it| self.key.user(it)),
            comm: self.name(&process.comm),
            exe,
            args: None,
            cwd: None,
            started: process.started,
        });
        if self.processes.len() >= MAX_KEPT {
            self.processes.clear();
        }
        self.processes
            .insert(Arc::clone(process), Arc::clone(&made_up));
        made_up
    }

    /// The workload of `process`.
    fn workload(&self, workload: &Workload, process: &Process) -> Workload {
        let Workload {
            kind,
            name,
            uid,
            unit,
            slice,
            container,
            k8s,
            role,
        } = workload;
        let place = match kind {
            WorkloadKind::Executable => program::place(process),
            WorkloadKind::Systemd | WorkloadKind::Container | WorkloadKind::Pod => None,
        };
        // The user who chose it stands behind it.
        let of_user = |name: &Arc<str>| {
            let chosen = uid.and_then(|uid| Some((name.strip_suffix(&format!("@{uid}"))?, uid)));
            match chosen {
                Some((name, uid)) => {
                    let name = self.key.name(name);
                    format!("{name}@{}", self.key.user(uid)).into()
                }
                None => self.name(name),
            }
        };
        Workload {
            kind: *kind,
            name: match place {
                // By name and place: the latter is left out.
                Some(place) => {
                    let name = self.key.word(&format!("{name} {}", place.text));
                    match uid {
                        Some(uid) => format!("{name}@{}", self.key.user(*uid)).into(),
                        None => name.into(),
                    }
                }
                None => of_user(name),
            },
            uid: uid.map(|it| self.key.user(it)),
            unit: unit.as_ref().map(of_user),
            slice: self.some(slice),
            container: container.as_ref().map(|it| self.container(it)),
            k8s: k8s.as_ref().map(|it| Kubernetes {
                namespace: self.some(&it.namespace),
                pod: self.some(&it.pod),
                uid: self.some(&it.uid),
                qos: self.one_of(&it.qos, &words::QUALITIES),
                owner: it.owner.as_ref().map(|owner| Owner {
                    kind: self.word(&owner.kind, &words::OWNERS),
                    name: self.name(&owner.name),
                }),
                node: self.some(&it.node),
            }),
            role: self.one_of(role, &words::ROLES),
        }
    }

    fn container(&self, container: &Container) -> Container {
        let Container {
            id,
            name,
            image,
            runtime,
            around,
            labels,
            labels_cut,
        } = container;
        Container {
            id: self.name(id),
            name: self.some(name),
            image: self.some(image),
            runtime: self.one_of(runtime, &words::RUNTIMES),
            around: around.as_ref().map(|around| Outer {
                id: self.name(&around.id),
                name: self.some(&around.name),
            }),
            labels: self.labels(labels),
            labels_cut: *labels_cut,
        }
    }

    /// Those by which containers are one service, without what they say; the rest is left out.
    fn labels(&self, labels: &BTreeMap<Arc<str>, Arc<str>>) -> BTreeMap<Arc<str>, Arc<str>> {
        let known = labels
            .iter()
            .filter(|(name, _)| words::LABELS.contains(&&***name));
        let replaced = known.map(|(name, value)| {
            let value = match words::TRUTHS
                .iter()
                .find(|it| it.eq_ignore_ascii_case(value))
            {
                Some(truth) => (*truth).into(),
                None => self.name(value),
            };
            (Arc::clone(name), value)
        });
        replaced.collect()
    }

    fn some(&self, name: &Option<Arc<str>>) -> Option<Arc<str>> {
        name.as_deref().map(|name| self.name(name))
    }

    fn one_of(&self, word: &Option<Arc<str>>, known: &[&str]) -> Option<Arc<str>> {
        word.as_ref().map(|word| self.word(word, known))
    }

    /// A word that may stay if it is `known`.
    fn word(&self, word: &Arc<str>, known: &[&str]) -> Arc<str> {
        match known.contains(&&**word) {
            true => Arc::clone(word),
            false => self.name(word),
        }
    }

    /// The same text has the same replacement, wherever it stands.
    fn name(&self, name: &str) -> Arc<str> {
        self.key.name(name).into()
    }

    /// The index of an interface says nothing, and stays.
    fn end(&mut self, end: SocketAddr) -> SocketAddr {
        let scope = Address::from(end).scope().unwrap_or(0);
        Address::new(self.address(end.ip()), scope).with_port(end.port())
    }

    /// Of the same family and class. What is the same everywhere stays.
    fn address(&mut self, address: IpAddr) -> IpAddr {
        let class = AddressClass::of(address);
        let is_common = address == IpAddr::V4(Ipv4Addr::LOCALHOST)
            || address == IpAddr::V6(Ipv6Addr::LOCALHOST)
            || class == AddressClass::Metadata;
        if address.is_unspecified() || is_common {
            return address;
        }
        if let Some(known) = self.addresses.get(&address) {
            return *known;
        }
        if self.addresses.len() >= MAX_ADDRESSES {
            return made_up(address, class, 0);
        }
        let number = self.addresses.len() as u32 + 1;
        let made_up = made_up(address, class, number);
        self.addresses.insert(address, made_up);
        made_up
    }
}

/// What may be told of a tracer: numbers, and words of its own.
fn start(start: &Start) -> Start {
    let Start { tracer, blind } = start;
    let numbers = |text: &str| {
        let end = text.find(|it: char| !it.is_ascii_digit() && it != '.');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let word = |word: &String, known: &[&str]| match known.contains(&word.as_str()) {
        true => word.clone(),
        false => "other".to_owned(),
    };
    let blind = blind.iter().map(|it| match it.id {
        Some(id) => Blind::new(id, "left out"),
        None => Blind {
            id: None,
            what: "what another version of tracer cannot see".into(),
            why: "left out".into(),
        },
    });
    Start {
        tracer: Tracer {
            version: numbers(&tracer.version).into(),
            hooks: word(&tracer.hooks, &words::HOOKS),
            // What is after the number may be the name of whoever built it.
            kernel: numbers(&tracer.kernel),
            arch: word(&tracer.arch, &words::MACHINES),
        },
        blind: blind.collect(),
    }
}

/// Address `number` of a family and class, at most [`MAX_ADDRESSES`].
fn made_up(like: IpAddr, class: AddressClass, number: u32) -> IpAddr {
    let (v4, v6) = match class {
        AddressClass::Private => ([10, 0, 0, 0], 0xfd00),
        // The smallest of them: the number goes round.
        AddressClass::LinkLocal => ([169, 254, 0, 0], 0xfe80),
        AddressClass::Shared => ([100, 64, 0, 0], 0xfd00),
        AddressClass::Loopback => ([127, 1, 0, 0], 0xfd00),
        AddressClass::Multicast => ([239, 0, 0, 0], 0xff05),
        AddressClass::Reserved => ([240, 0, 0, 0], 0x3fff),
        _ => ([11, 0, 0, 0], 0x2600),
    };
    match like {
        IpAddr::V4(_) => {
            let number = match class {
                // Without those that have a meaning of their own in clouds.
                AddressClass::LinkLocal => number % 0xa000,
                _ => number,
            };
            Ipv4Addr::from_bits(Ipv4Addr::from(v4).to_bits() + number).into()
        }
        IpAddr::V6(_) => {
            let [_, _, .., high, low] = Ipv6Addr::from_bits(number.into()).segments();
            // Not mapped and not translated, whatever it was.
            Ipv6Addr::new(v6, 0, 0, 1, 0, 0, high, low).into()
        }
    }
}
