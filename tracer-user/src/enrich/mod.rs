//! Model → model: who is behind each end.
//!
//! The identity of a process comes from the kernel, at the time of the event. This only
//! adds to it, and only what is certain to be of the same process. `workload` chooses what
//! an operator would name it by.

mod cgroups;
mod fair;
mod looks;
pub mod names;
mod owners;
mod peers;
mod processes;
pub mod runtimes;
mod secrets;
mod translations;
pub mod workload;
mod workloads;

use std::{
    num::NonZeroUsize,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use lru::LruCache;
use rustix::time::{ClockId, clock_gettime};

use self::{
    names::{Names, Networks, Reverse},
    peers::Peers,
    processes::Processes,
    runtimes::{Host, Runtimes},
    translations::Translations,
    workload::Roles,
    workloads::Workloads,
};
pub use self::{secrets::Arguments, translations::AskObservers};
use crate::model::{
    Blind, Body, ConnectionEvent, ConnectionId, Direction, Event, Fact, Kind, Name, NameSource,
};

/// Knows who is who on this host.
pub struct Enricher {
    processes: Processes,
    /// None if nobody asks who is at the other end.
    peers: Option<Peers>,
    names: Names,
    /// What the servers of connections were called when they began: that holds to their end.
    called: LruCache<ConnectionId, Arc<Name>>,
    translations: Translations,
    proc_root: PathBuf,
    arguments: Arguments,
}

/// How many connections keep the name that they began with. Those that were not heard of for longest
/// lose it first: what is called so at their end may be less than was known.
const MAX_CALLED: NonZeroUsize = NonZeroUsize::new(32_768).unwrap();

/// What completes events, and with what.
pub struct Options {
    /// Where /proc is mounted.
    pub proc_root: PathBuf,
    /// What the user calls networks.
    pub networks: Networks,
    /// What programs are for.
    pub roles: Roles,
    /// Asks name servers what servers are called of which nothing else has a name; none not to.
    pub reverse: Option<Reverse>,
    /// What Kubernetes calls this host.
    pub node: Option<Arc<str>>,
    /// What is told of the arguments of processes.
    pub arguments: Arguments,
    /// Whether events say who is at the other end: not for those who match the two ends by themselves.
    pub peers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            proc_root: "/proc".into(),
            networks: Networks::default(),
            roles: Roles::builtin(),
            reverse: None,
            node: None,
            arguments: Arguments::default(),
            peers: true,
        }
    }
}

impl Enricher {
    /// Completes events as these options say.
    pub fn new(options: Options) -> Self {
        let Options {
            proc_root,
            networks,
            roles,
            reverse,
            node,
            arguments,
            peers,
        } = options;
        let host = Host {
            root: root(&proc_root).to_owned(),
            node: node.clone(),
        };
        let runtimes = Runtimes::new(&host)
            .inspect_err(|error| tracing::warn!(%error, "containers go by their ids"))
            .ok();
        let workloads = Workloads::new(&proc_root, roles, runtimes, node);
        let mut processes = Processes::new(proc_root.clone(), workloads);
        processes.tell_arguments(arguments);
        let mut names = Names::new(home(&proc_root), Some("/etc/hosts".into()), networks);
        if let Some(reverse) = reverse {
            names.ask(reverse);
        }
        let mut enricher = Self {
            processes,
            peers: peers.then(Peers::default),
            names,
            called: LruCache::new(MAX_CALLED),
            translations: Translations::new(),
            proc_root,
            arguments,
        };
        enricher.refresh();
        enricher
    }

    /// Listens to what this host translates, in other network namespaces only if `ask` tells when
    /// nobody else keeps them.
    pub fn listen(&mut self, ask: Option<AskObservers>) {
        self.translations.listen(self.proc_root.clone(), ask);
    }

    /// How many processes were left unread in `/proc`, in all or in part, as that took too long; so far.
    pub fn unread(&self) -> u64 {
        self.processes.unread()
    }

    /// The end of the run, of which no more events come: waits up to a second for reads that are under way. How many
    /// processes were left unread, and [`Stop::unattributed`](crate::model::Stop::unattributed).
    pub fn finish(&mut self) -> (u64, u64) {
        self.processes.finish()
    }

    /// Whether it knows what was translated before it listened.
    pub fn is_settled(&mut self) -> bool {
        self.translations.is_settled()
    }

    /// Takes in what container runtimes answered meanwhile, and reads again what may have changed
    /// on disk. To be called now and then; cheap most times.
    pub fn refresh(&mut self) {
        let changed = self.processes.refresh();
        if let Some(peers) = &mut self.peers {
            peers.replace(&changed);
        }
        self.names.refresh(boottime_ns());
    }

    /// What cannot be seen, and why.
    pub fn blind(&self) -> Vec<Blind> {
        let mut blind = self.translations.blind();
        blind.extend(self.processes.blind());
        blind
    }

    /// Remembers what later events are completed with.
    pub fn learn(&mut self, fact: &Fact<'_>) {
        match fact {
            Fact::Fork(fork) => self.processes.learn_forked(fork),
            Fact::Cgroup(made) => self.processes.learn_cgroup(made),
            Fact::Opened(opened) => {
                let process = self.processes.complete(&opened.process);
                if let Some(peers) = &mut self.peers {
                    peers.open(opened.handshake, opened.is_client, &process);
                }
            }
            Fact::Dns(piece) => self.names.learn(piece),
            Fact::Redirect(redirect) => self.translations.learn(redirect),
        }
    }

    /// Adds to `event` all that is known of who is behind it, and learns from it: to be called
    /// with every event, in their order.
    pub fn complete(&mut self, event: &mut Event) {
        let kind = event.body.kind();
        match &mut event.body {
            Body::Existing(it)
            | Body::Connect(it)
            | Body::Accept(it)
            | Body::Totals(it)
            | Body::Close(it)
            | Body::Fail(it) => {
                self.processes.complete_if_known(&mut it.process);
                self.translations.complete(kind, it, event.time);
                self.name(kind, it);
                if let Some(peers) = self.peers.as_mut().filter(|_| kind != Kind::Fail) {
                    it.peer = peers.meet(kind, &it.connection, it.process.as_ref());
                }
            }
            Body::Listen(it) | Body::Unlisten(it) => {
                if let Some(process) = it.process.as_ref().filter(|_| kind == Kind::Listen) {
                    let port = it.listener.local.port();
                    self.processes.learn_listening(process, port);
                }
                self.processes.complete_if_known(&mut it.process);
            }
            Body::Exec(it) => {
                it.process = self.arguments.keep_of(&it.process);
                self.processes.learn_executed(&it.process);
                it.process = self.processes.complete(&it.process);
            }
            Body::Exit(it) => it.process = self.processes.complete(&it.process),
            Body::Start(_) | Body::Loss(_) | Body::Stop(_) => {}
        }
    }

    /// Names the server of an outbound connection as its process, or at least somebody in its network
    /// namespace, asked for it.
    fn name(&mut self, kind: Kind, event: &mut ConnectionEvent) {
        let connection = &mut event.connection;
        if connection.direction != Some(Direction::Outbound) {
            return;
        }
        let called = match kind {
            Kind::Totals => self.called.get(&connection.id).cloned(),
            // Most hosts ask for few names.
            Kind::Close if !self.called.is_empty() => self.called.pop(&connection.id),
            _ => None,
        };
        if called.is_some() {
            connection.name = called;
            return;
        }
        let process = event.process.as_deref();
        let who = (process.map(|it| it.key), process.and_then(|it| it.uid));
        let now_ns = connection.id.begun_ns;
        let dialled = connection.dialled();
        let name = self.names.name(connection.netns, who, dialled.ip(), now_ns);
        connection.name = name.map(Arc::new);
        let is_opening = matches!(kind, Kind::Connect | Kind::Existing);
        if let Some(name) = connection.name.as_ref().filter(|_| is_opening)
            && matches!(name.source, NameSource::Dns | NameSource::DnsOther)
        {
            self.called.put(connection.id, Arc::clone(name));
        }
    }
}

/// Nanoseconds since boot, as this process's time namespace counts them.
fn boottime_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let ns = now.tv_sec.saturating_mul(1_000_000_000) + now.tv_nsec;
    u64::try_from(ns).unwrap_or_default()
}

/// Where the files of the host are whose /proc this is: `/host` for `/host/proc`.
fn root(proc_root: &Path) -> &Path {
    proc_root.parent().unwrap_or(Path::new("/"))
}

/// Our own network namespace, whose file of names `/etc/hosts` is: containers have their own.
fn home(proc_root: &Path) -> Option<u32> {
    let metadata = std::fs::metadata(proc_root.join("self/ns/net")).ok()?;
    u32::try_from(metadata.ino()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DnsPiece, DnsTransport, Process, ProcessEvent, specimens::events};

    fn enricher(proc_root: &Path, arguments: Arguments) -> Enricher {
        Enricher::new(Options {
            proc_root: proc_root.to_owned(),
            arguments,
            ..Options::default()
        })
    }

    #[test]
    fn a_connection_keeps_the_name_that_it_began_with() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut enricher = enricher(root.path(), Arguments::default());
        let mut opened = events::connect();
        let process = opened.process.as_ref().expect("it has one").key;
        opened.connection.ends.remote = "198.18.0.1:80".parse().expect("an address");
        let begun_ns = opened.connection.id.begun_ns;
        // It is told of its address, and later that the name has none.
        let answer = names::checks::examples().swap_remove(0);
        let mut question = answer.clone();
        question[2] &= 0x7f;
        let mut none = answer.clone();
        none[3] |= 3;
        let hear = |enricher: &mut Enricher, bytes: &[u8], sent, time_ns| {
            enricher.learn(&Fact::Dns(DnsPiece {
                netns: opened.connection.netns,
                process,
                uid: 0,
                server: "192.0.2.53:53".parse().expect("an address"),
                local_port: 40_000,
                transport: DnsTransport::Udp,
                sent,
                bytes,
                length: bytes.len(),
                time_ns,
            }));
        };
        hear(&mut enricher, &question, true, begun_ns - 2);
        hear(&mut enricher, &answer, false, begun_ns - 1);
        let name = |enricher: &mut Enricher, body| {
            let mut event = events::event(body);
            enricher.complete(&mut event);
            match event.body {
                Body::Connect(it) | Body::Totals(it) | Body::Close(it) => {
                    it.connection.name.and_then(|it| it.only().cloned())
                }
                _ => None,
            }
        };
        let expected = Some("www.example.com".into());
        assert_eq!(name(&mut enricher, Body::Connect(opened.clone())), expected);
        hear(&mut enricher, &question, true, begun_ns);
        hear(&mut enricher, &none, false, begun_ns);
        for body in [Body::Totals, Body::Totals, Body::Close] {
            assert_eq!(name(&mut enricher, body(opened.clone())), expected);
        }
    }

    /// As the kernel told them; and a script has its name whatever is told.
    #[test]
    fn secrets_are_masked_where_arguments_are_told() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let told = |arguments| {
            let mut enricher = enricher(root.path(), arguments);
            let mut process = Process::clone(&events::process("python3"));
            process.exe = Some("/usr/bin/python3".into());
            let args = ["python3", "/srv/shop/app.py", "--password", "S3cret"];
            process.args = Some(args.map(str::to_owned).into());
            let mut events = [process.clone(), process].map(Arc::new).map(|process| {
                events::event(Body::Exec(ProcessEvent {
                    process,
                    exit: None,
                }))
            });
            // A later event has no arguments of its own.
            if let Body::Exec(later) = &mut events[1].body {
                Arc::make_mut(&mut later.process).args = None;
                events[1].body = Body::Exit(later.clone());
            }
            let told = events.each_mut().map(|event| {
                enricher.complete(event);
                let process = event.body.process().expect("it has one");
                let workload = process.workload.as_ref().expect("it has one");
                assert_eq!(&*workload.name, "app.py");
                process.args.as_ref().map(|it| it.join(" "))
            });
            assert_eq!(told[0], told[1]);
            told[0].clone()
        };
        let masked = "python3 /srv/shop/app.py --password ***";
        assert_eq!(told(Arguments::default()).as_deref(), Some(masked));
        let full = "python3 /srv/shop/app.py --password S3cret";
        assert_eq!(told(Arguments::Full).as_deref(), Some(full));
        assert_eq!(told(Arguments::None), None);
    }

    #[test]
    fn every_event_passes_and_stays_what_it_is() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mut enricher = enricher(root.path(), Arguments::default());
        for mut event in events::all() {
            let kind = event.body.kind();
            enricher.complete(&mut event);
            assert_eq!(event.body.kind(), kind);
        }
    }
}
