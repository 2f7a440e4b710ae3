//! Model → model: names and addresses replaced by made-up ones, the same for the same, so that a
//! recording can be given away, as with a report of a bug. What it shows stays: who talks to
//! whom, when, by which ports, how much, how it fails.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use crate::model::{
    Address, AddressClass, Body, Called, ConnectionEvent, Container, Event, Host, Kubernetes, Name,
    Outer, Owner, Process, Workload,
};

/// Names, and addresses, that are told apart; the rest is one.
const MAX_KNOWN: usize = 1 << 20;
/// Processes whose replacement is kept, so that the same stays the same value.
const MAX_PROCESSES: usize = 4096;
/// What units of systemd end in: it says what they are.
const SUFFIXES: [&str; 5] = ["service", "scope", "slice", "socket", "mount"];

/// What replaces what.
#[derive(Debug, Default)]
pub struct Anonymiser {
    names: HashMap<Arc<str>, Arc<str>>,
    addresses: HashMap<IpAddr, IpAddr>,
    /// By id and name: several may have one id, and the made-up ones as well.
    hosts: HashMap<Host, Arc<Host>>,
    host_ids: HashMap<String, usize>,
    /// By address of the value, which is kept so that no other takes the address.
    processes: HashMap<usize, (Arc<Process>, Arc<Process>)>,
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
            Body::Start(_) | Body::Loss(_) | Body::Stop(_) => {}
        }
        event
    }

    fn connection(&mut self, event: &mut ConnectionEvent) {
        let connection = &mut event.connection;
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
        let number = self.hosts.len() + 1;
        let id = *self.host_ids.entry(host.id.clone()).or_insert(number);
        let made_up = Arc::new(Host {
            id: format!("id-{id}"),
            name: format!("host-{number}"),
        });
        self.hosts.insert(host.clone(), Arc::clone(&made_up));
        made_up
    }

    /// Its arguments and labels may hold anything, and are left out.
    fn process(&mut self, process: &Arc<Process>) -> Arc<Process> {
        let place = Arc::as_ptr(process).addr();
        if let Some((_, made_up)) = self.processes.get(&place) {
            return Arc::clone(made_up);
        }
        let made_up = Arc::new(Process {
            comm: self.name(&process.comm),
            exe: process.exe.as_deref().map(|exe| {
                let file = exe.rsplit('/').next().unwrap_or(exe);
                format!("/{}", self.name(file)).into()
            }),
            args: None,
            cwd: None,
            workload: process
                .workload
                .as_ref()
                .map(|it| Arc::new(self.workload(it))),
            ..Process::clone(process)
        });
        if self.processes.len() >= MAX_PROCESSES {
            self.processes.clear();
        }
        self.processes
            .insert(place, (Arc::clone(process), Arc::clone(&made_up)));
        made_up
    }

    fn workload(&mut self, workload: &Workload) -> Workload {
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
        Workload {
            kind: *kind,
            name: self.name(name),
            uid: *uid,
            unit: self.some(unit),
            slice: self.some(slice),
            container: container.as_ref().map(|it| Container {
                id: self.name(&it.id),
                name: self.some(&it.name),
                image: self.some(&it.image),
                runtime: it.runtime.clone(),
                around: it.around.as_ref().map(|around| Outer {
                    id: self.name(&around.id),
                    name: self.some(&around.name),
                }),
                labels: Default::default(),
            }),
            k8s: k8s.as_ref().map(|it| Kubernetes {
                namespace: self.some(&it.namespace),
                pod: self.some(&it.pod),
                uid: self.some(&it.uid),
                qos: it.qos.clone(),
                owner: it.owner.as_ref().map(|owner| Owner {
                    kind: Arc::clone(&owner.kind),
                    name: self.name(&owner.name),
                }),
                node: self.some(&it.node),
            }),
            role: role.clone(),
        }
    }

    fn some(&mut self, name: &Option<Arc<str>>) -> Option<Arc<str>> {
        name.as_deref().map(|name| self.name(name))
    }

    /// The same text has the same replacement, wherever it stands.
    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        if self.names.len() >= MAX_KNOWN {
            return "another-name".into();
        }
        let number = self.names.len() + 1;
        let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix);
        let made_up: Arc<str> = match suffix.filter(|suffix| SUFFIXES.contains(suffix)) {
            Some(suffix) => format!("name-{number}.{suffix}").into(),
            None => format!("name-{number}").into(),
        };
        self.names.insert(name.into(), Arc::clone(&made_up));
        made_up
    }

    /// The index of an interface says nothing, and stays.
    fn end(&mut self, end: SocketAddr) -> SocketAddr {
        let scope = Address::from(end).scope().unwrap_or(0);
        Address::new(self.address(end.ip()), scope).with_port(end.port())
    }

    /// Of the same family and class. What is the same everywhere stays.
    fn address(&mut self, address: IpAddr) -> IpAddr {
        let class = AddressClass::of(address);
        if address.is_unspecified()
            || matches!(
                class,
                AddressClass::Loopback | AddressClass::Metadata | AddressClass::Multicast
            )
        {
            return address;
        }
        if let Some(known) = self.addresses.get(&address) {
            return *known;
        }
        if self.addresses.len() >= MAX_KNOWN {
            return made_up(address, class, 0);
        }
        let number = self.addresses.len() as u32 + 1;
        let made_up = made_up(address, class, number);
        self.addresses.insert(address, made_up);
        made_up
    }
}

/// Address `number` of a family and class, at most [`MAX_KNOWN`].
fn made_up(like: IpAddr, class: AddressClass, number: u32) -> IpAddr {
    let (v4, v6) = match class {
        AddressClass::Private => ([10, 0, 0, 0], 0xfd00),
        // The smallest of them: the number goes round.
        AddressClass::LinkLocal => ([169, 254, 0, 0], 0xfe80),
        AddressClass::Shared => ([100, 64, 0, 0], 0xfd00),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::{Format, Writer, specimens};

    fn text(event: &Event) -> String {
        let mut line = Vec::new();
        Writer::new(Format::Json, false).write(event, &mut line);
        String::from_utf8(line).expect("JSON is text")
    }

    #[test]
    fn nothing_that_names_anybody_is_left() {
        let secrets = [
            "nginx", "web-1", "6f1c", "10.0.0.", "10.96.", "db", "shop", "postgres", "8.8.8.8",
        ];
        let mut anonymiser = Anonymiser::default();
        let events = specimens::all();
        for secret in secrets {
            let told = events.iter().any(|event| text(event).contains(secret));
            assert!(told, "no specimen has {secret}");
        }
        for event in events {
            let kind = event.body.kind();
            let line = text(&anonymiser.replace(event));
            // Numbers that were made up may look like others.
            let line = line.replace("\"10.0.0.", "\"made.up.");
            for secret in secrets {
                assert!(!line.contains(secret), "{secret} in {kind:?}: {line}");
            }
        }
    }

    #[test]
    fn the_same_stays_the_same_and_another_another() {
        let mut anonymiser = Anonymiser::default();
        let names = ["a", "b", "a.service", "a"].map(|name| anonymiser.name(name));
        assert_eq!(names[0], names[3]);
        assert_ne!(names[0], names[1]);
        assert!(names[2].ends_with(".service"));
        for event in specimens::all() {
            let once = text(&anonymiser.replace(event.clone()));
            assert_eq!(once, text(&anonymiser.replace(event)));
        }
    }

    #[test]
    fn an_address_on_another_link_stays_another() {
        let mut anonymiser = Anonymiser::default();
        let mut end = |text: &str| anonymiser.end(text.parse().expect(text));
        let [two, three, again] =
            ["[fe80::1%2]:80", "[fe80::1%3]:80", "[fe80::1%2]:80"].map(&mut end);
        assert_eq!(two, again);
        assert_ne!(two, three);
        assert_ne!(two.ip(), "fe80::1".parse::<IpAddr>().expect("an address"));
    }

    #[test]
    fn addresses_keep_their_class_and_differ() {
        let mut anonymiser = Anonymiser::default();
        let mut seen = std::collections::HashSet::new();
        for text in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.2.1",
            "8.8.8.8",
            "1.1.1.1",
            "fd12::1",
            "fe80::1",
            "2001:db8::1",
            "2606:4700::1111",
            "224.0.0.1",
            "ff02::1",
        ] {
            let address: IpAddr = text.parse().expect(text);
            let made_up = anonymiser.address(address);
            assert_eq!(
                AddressClass::of(made_up),
                AddressClass::of(address),
                "{text}"
            );
            assert_eq!(made_up.is_ipv4(), address.is_ipv4(), "{text}");
            assert!(seen.insert(made_up), "{text} is {made_up} like another one");
            assert_eq!(anonymiser.address(address), made_up);
        }
        for number in [0, 1, 0x9fff, 0xa000, MAX_KNOWN as u32] {
            for (like, class) in [
                ("10.0.0.1", AddressClass::Private),
                ("169.254.1.1", AddressClass::LinkLocal),
                ("100.64.0.1", AddressClass::Shared),
                ("8.8.8.8", AddressClass::Public),
                ("fe80::1", AddressClass::LinkLocal),
            ] {
                let address = made_up(like.parse().expect(like), class, number);
                assert_eq!(AddressClass::of(address), class, "{address}");
            }
        }
    }
}
