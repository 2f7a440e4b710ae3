//! Patterns for nodes and edges, and the files that are made of them.
//!
//! A name is chosen by whoever runs what has it. So a pattern may say of what kind it is, `systemd:NAME`; one
//! that does not means what an operator names: see [`Pattern`].

use std::str::FromStr;

use globset::{Glob, GlobMatcher};

use crate::model::{Network, Node, NodeKind, WorkloadKind};

/// A pattern for nodes: a glob on name or id, or a network that one of its addresses is in.
///
/// - `KIND:NAME` means only what is of that kind: `systemd`, `container`, `pod`, `executable` or `remote`; of
///   pods also `pod:NAMESPACE/NAME`.
/// - Without a kind, what ends like a unit (`nginx.service`) means units alone, and no other pattern means a
///   program or a remote that is called like a unit.
/// - What a user chose the name of is meant only by `NAME@UID`, or `NAME@any` for all users.
/// - `*` means all of them.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    All,
    Name(Box<Named>),
    Net(Network),
}

#[derive(Clone, Debug)]
struct Named {
    kind: Option<Kind>,
    /// Whose it is.
    of: Of,
    /// Of a pod.
    namespace: Option<GlobMatcher>,
    name: GlobMatcher,
    /// Whether it is written like a unit.
    is_unit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Workload(WorkloadKind),
    Remote,
}

/// Who chose the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Root,
    User(u32),
    AnyUser,
}

/// The ends of the names of units that are workloads.
const UNITS: [&str; 5] = [".service", ".socket", ".scope", ".mount", ".swap"];

fn is_like_a_unit(name: &str) -> bool {
    UNITS.iter().any(|it| name.ends_with(it))
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Workload(WorkloadKind::Systemd),
        Self::Workload(WorkloadKind::Container),
        Self::Workload(WorkloadKind::Pod),
        Self::Workload(WorkloadKind::Executable),
        Self::Remote,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Workload(kind) => kind.name(),
            Self::Remote => "remote",
        }
    }

    fn of(node: &Node) -> Option<Self> {
        match node.kind {
            NodeKind::Remote => Some(Self::Remote),
            NodeKind::Workload => node.workload.as_ref().map(|it| Self::Workload(it.kind)),
        }
    }
}

impl Pattern {
    /// Whether it means `node`.
    pub fn matches(&self, node: &Node) -> bool {
        match &self.what {
            What::All => true,
            What::Name(named) => named.means(node) && named.is_called(node),
            // A user may choose the addresses of what is the user's.
            What::Net(net) => uid(node).is_none() && is_in(*net, node),
        }
    }

    /// Whether it may mean `node`: what is called so, of whatever kind and whosever it is, as far as the
    /// pattern does not say that. For what is forbidden: a name that somebody chose gets nobody around that.
    pub fn may_match(&self, node: &Node) -> bool {
        match &self.what {
            What::Name(named) => named.may_mean(node) && named.is_called(node),
            What::All => true,
            What::Net(net) => is_in(*net, node),
        }
    }

    /// Whether a division counts `node` as a part of what this means. Addresses that a user chose do count: else
    /// what is behind them would cross nothing, proven. Rules are made of no user's workload.
    fn holds(&self, node: &Node) -> bool {
        match &self.what {
            What::Net(net) => is_in(*net, node),
            What::All | What::Name(_) => self.matches(node),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Named {
    fn means(&self, node: &Node) -> bool {
        let kind = Kind::of(node);
        let uid = uid(node);
        let is_kind = match self.kind {
            Some(_) => kind == self.kind,
            None if self.is_unit => kind == Some(Kind::Workload(WorkloadKind::Systemd)),
            None => match kind {
                Some(Kind::Workload(WorkloadKind::Executable) | Kind::Remote) => {
                    let workload = node.workload.as_ref().map(|it| &*it.name);
                    let mut names = [Some(&*node.name), workload].into_iter().flatten();
                    !names.any(|it| is_like_a_unit(plain(it, uid)))
                }
                _ => true,
            },
        };
        let is_whose = match self.of {
            Of::Root => uid.is_none(),
            Of::User(user) => uid == Some(user),
            Of::AnyUser => uid.is_some(),
        };
        is_kind && is_whose
    }

    fn may_mean(&self, node: &Node) -> bool {
        let is_kind = self.kind.is_none() || self.kind == Kind::of(node);
        is_kind && (self.of == Of::Root || self.means(node))
    }

    fn is_called(&self, node: &Node) -> bool {
        let uid = uid(node);
        let k8s = node.workload.as_ref().and_then(|it| it.k8s.as_ref());
        let namespace = k8s.and_then(|it| it.namespace.as_deref());
        let is_there = |glob: &GlobMatcher| namespace.is_some_and(|it| glob.is_match(it));
        let mut names = [Some(&*node.name), Some(&*node.id), node.common_name()]
            .into_iter()
            .flatten();
        self.namespace.as_ref().is_none_or(is_there)
            && names.any(|it| self.name.is_match(plain(it, uid)))
    }
}

fn is_in(net: Network, node: &Node) -> bool {
    node.addresses.iter().any(|it| net.contains(*it))
}

/// The user who chose the name of a node.
fn uid(node: &Node) -> Option<u32> {
    node.workload.as_ref().and_then(|it| it.uid)
}

/// `NAME` of `NAME@UID`.
fn plain(name: &str, uid: Option<u32>) -> &str {
    let user = name.rsplit_once('@').filter(|(_, user)| {
        let user = user.parse().ok();
        user.is_some() && user == uid
    });
    user.map_or(name, |(name, _)| name)
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let what = if text == "*" {
            What::All
        } else if let Ok(net) = text.parse::<Network>() {
            What::Net(net)
        } else if text.is_empty() || text.contains(char::is_whitespace) {
            return Err(format!(
                "`{text}` is no pattern: write a name such as nginx.service, with * for any text, or a network such as 10.0.0.0/8"
            ));
        } else {
            What::Name(Box::new(text.parse()?))
        };
        Ok(Self {
            text: text.to_owned(),
            what,
        })
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_lowercase())
}

/// Whether `first:rest` is an IPv6 address, or an id of a remote that begins with one.
fn is_address(first: &str, rest: &str) -> bool {
    first.bytes().all(|it| it.is_ascii_hexdigit()) && rest.contains(':')
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let glob = |part: &str| {
            let glob = Glob::new(part).map_err(|error| format!("`{text}`: {}", error.kind()))?;
            Ok::<_, String>(glob.compile_matcher())
        };
        let (kind, name) = match text.split_once(':') {
            // What is no word is a part of a name, and so is what an IPv6 address begins with.
            Some((kind, name)) if is_word(kind) && !is_address(kind, name) => {
                let known = Kind::ALL.into_iter().find(|it| it.name() == kind);
                let known = known.ok_or_else(|| {
                    format!(
                        "`{kind}` in `{text}` is no kind: write systemd:NAME, container:NAME, pod:NAMESPACE/NAME, executable:NAME or remote:NAME"
                    )
                })?;
                if name.is_empty() {
                    return Err(format!(
                        "`{text}` names nothing: write {kind}:NAME, with * for any text"
                    ));
                }
                (Some(known), name)
            }
            _ => (None, text),
        };
        let (of, name) = match name.rsplit_once('@') {
            // The address of a remote and its host.
            _ if kind == Some(Kind::Remote) => (Of::Root, name),
            Some((name, "any")) if !name.is_empty() => (Of::AnyUser, name),
            Some((before, user)) if !before.is_empty() => match user.parse() {
                Ok(uid) => (Of::User(uid), before),
                Err(_) => (Of::Root, name),
            },
            _ => (Of::Root, name),
        };
        let is_pod = kind == Some(Kind::Workload(WorkloadKind::Pod));
        let (namespace, name) = match name.split_once('/').filter(|_| is_pod) {
            Some((namespace, name)) => (Some(glob(namespace)?), name),
            None => (None, name),
        };
        Ok(Self {
            kind,
            of,
            namespace,
            is_unit: is_like_a_unit(name),
            name: glob(name)?,
        })
    }
}

/// A pattern for edges: `CLIENT -> SERVER[:PORT]`.
#[derive(Clone, Debug)]
pub struct EdgePattern {
    client: Pattern,
    server: Pattern,
    port: Option<u16>,
}

impl EdgePattern {
    /// Whether it means an edge between these.
    pub fn matches(&self, client: &Node, server: &Node, port: Option<u16>) -> bool {
        (self.port.is_none() || self.port == port)
            && self.client.matches(client)
            && self.server.matches(server)
    }

    /// Whether it may mean one: see [`Pattern::may_match`].
    pub fn may_match(&self, client: &Node, server: &Node, port: Option<u16>) -> bool {
        // Ports that are not told apart may be any.
        (self.port.is_none() || port.is_none() || self.port == port)
            && self.client.may_match(client)
            && self.server.may_match(server)
    }
}

impl FromStr for EdgePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (client, server) = text
            .split_once("->")
            .ok_or_else(|| format!("`{text}` names no two ends: write CLIENT -> SERVER[:PORT]"))?;
        if server.contains("->") {
            return Err(format!(
                "`{text}` names more than two ends: write a line for each CLIENT -> SERVER[:PORT]"
            ));
        }
        let (server, port) = with_port(server.trim())?;
        Ok(Self {
            client: client.trim().parse()?,
            server: server.parse()?,
            port,
        })
    }
}

/// `NAME:PORT`, `[v6]:PORT`, or without a port.
fn with_port(text: &str) -> Result<(&str, Option<u16>), String> {
    if text.parse::<Network>().is_ok() {
        return Ok((text, None));
    }
    let is_kind = |name: &str| Kind::ALL.iter().any(|it| it.name() == name);
    let (name, port) = match text.rsplit_once(':') {
        // A kind and a name, of any port.
        Some((kind, _)) if is_kind(kind) => (text, None),
        Some((name, "*")) => (name, None),
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) && !port.is_empty() => {
            let number = port.parse().ok().filter(|it| *it != 0);
            let number =
                number.ok_or_else(|| format!("{port} is no port: write 1 to 65535, or *"))?;
            (name, Some(number))
        }
        _ => (text, None),
    };
    let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_v6 = |text: &&str| text.parse::<Network>().is_ok();
    Ok((bare.filter(is_v6).unwrap_or(name), port))
}

/// A line of a file that is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {why}")]
pub struct RuleError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it, and what to write.
    pub why: String,
}

/// The lines of `text` that say something, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(at, line)| {
        // A # within a name is part of it.
        let comments = [" #", "\t#"].into_iter().filter_map(|it| line.find(it));
        let line = &line[..comments.min().unwrap_or(line.len())];
        let line = line.trim();
        (!line.is_empty() && !line.starts_with('#')).then_some((at + 1, line))
    })
}

fn each<T>(
    text: &str,
    mut read: impl FnMut(&str) -> Result<T, String>,
) -> Result<Vec<T>, RuleError> {
    lines(text)
        .map(|(line, text)| read(text).map_err(|why| RuleError { line, why }))
        .collect()
}

/// Changes that are known and do not count: a file with a line each, `CLIENT -> SERVER[:PORT]` or
/// the name of a workload, for whatever changes about it.
#[derive(Clone, Debug, Default)]
pub struct Allowed(Vec<AllowedLine>);

#[derive(Clone, Debug)]
enum AllowedLine {
    Edge(EdgePattern),
    Node(Pattern),
}

impl Allowed {
    /// Whether a change of an edge is known.
    pub fn has_edge(&self, client: &Node, server: &Node, port: Option<u16>) -> bool {
        self.0.iter().any(|line| match line {
            AllowedLine::Edge(edge) => edge.matches(client, server, port),
            AllowedLine::Node(node) => node.matches(client) || node.matches(server),
        })
    }

    /// Whether a change of a node is.
    pub fn has_node(&self, node: &Node) -> bool {
        self.0.iter().any(|line| match line {
            AllowedLine::Edge(_) => false,
            AllowedLine::Node(pattern) => pattern.matches(node),
        })
    }
}

impl FromStr for Allowed {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        each(text, |line| {
            Ok(match line.contains("->") {
                true => AllowedLine::Edge(line.parse()?),
                false => AllowedLine::Node(line.parse()?),
            })
        })
        .map(Self)
    }
}

/// Who may talk to whom: a file with a line each, `allow CLIENT -> SERVER[:PORT]` or `deny ...`. The
/// first that matches decides; what none matches is allowed, unless the last line is `deny * -> *`.
#[derive(Clone, Debug, Default)]
pub struct Policy(Vec<(bool, EdgePattern, String)>);

impl Policy {
    /// The line that forbids an edge between these, if one does.
    pub fn forbids(&self, client: &Node, server: &Node, port: Option<u16>) -> Option<&str> {
        let mut lines = self.0.iter();
        let decides = lines.find(|(allows, edge, _)| match allows {
            true => edge.matches(client, server, port),
            false => edge.may_match(client, server, port),
        });
        decides
            .filter(|(allows, ..)| !allows)
            .map(|(.., text)| text.as_str())
    }
}

impl FromStr for Policy {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        each(text, |line| {
            let (verb, edge) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let allows = match verb {
                "allow" => true,
                "deny" => false,
                _ => {
                    return Err(format!(
                        "`{verb}` is neither allow nor deny: write allow CLIENT -> SERVER[:PORT]"
                    ));
                }
            };
            Ok((allows, edge.trim().parse()?, line.to_owned()))
        })
        .map(Self)
    }
}

/// A division of workloads into parts: a file with a line each, `PART = PATTERN [PATTERN...]`. The
/// first that matches decides; what none matches is in the part `rest`.
#[derive(Clone, Debug, Default)]
pub struct Split(Vec<(String, Vec<Pattern>)>);

/// The part of what no line of a [`Split`] names.
pub(super) const REST: &str = "rest";

impl Split {
    /// The part that `node` is in; none for what is beyond what was watched and is not named.
    pub fn part(&self, node: &Node) -> Option<&str> {
        let named =
            |(_, patterns): &&(String, Vec<Pattern>)| patterns.iter().any(|it| it.holds(node));
        match self.0.iter().find(named) {
            Some((part, _)) => Some(part),
            None if node.kind == NodeKind::Remote => None,
            None => Some(REST),
        }
    }

    /// Patterns that mean none of these nodes: mistakes, as a rule.
    pub fn unused<'a>(&'a self, nodes: &[Node]) -> Vec<&'a str> {
        let patterns = self.0.iter().flat_map(|(_, patterns)| patterns);
        let unused = patterns.filter(|it| !nodes.iter().any(|node| it.holds(node)));
        unused.map(Pattern::text).collect()
    }
}

impl FromStr for Split {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        each(text, |line| {
            let (part, patterns) = line.split_once('=').ok_or_else(|| {
                format!("`{line}` names no part: write PART = PATTERN, such as east = app@1.service redis*")
            })?;
            let patterns: Vec<Pattern> = patterns
                .split_whitespace()
                .map(str::parse)
                .collect::<Result<_, _>>()?;
            if part.trim().is_empty() || patterns.is_empty() {
                return Err("a part has a name and at least one pattern: east = app@1.service".to_owned());
            }
            Ok((part.trim().to_owned(), patterns))
        })
        .map(Self)
    }
}
