//! Which node of a view is meant.

use crate::model::{Node, NodeKind, View};

/// How many names are suggested in place of one that is not known.
const SUGGESTIONS: usize = 5;

/// How much of each is shown, characters.
const MAX_SUGGESTION: usize = 160;

/// Why there is no such part.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WhoError {
    /// Nothing goes by that name.
    #[error("nothing in this map is called that{}", suggestions(.0))]
    Unknown(Vec<String>),
    /// Nothing runs that.
    #[error("nothing in this map runs that{}", suggestions(.0))]
    Nobody(Vec<String>),
    /// Several do.
    #[error("{} things in this map are called that: name one by its id, {}", .0.len(), ids(.0))]
    Ambiguous(Vec<String>),
}

fn suggestions(names: &[String]) -> String {
    match names {
        [] => "; it is empty".to_owned(),
        names => {
            let names: Vec<String> = names.iter().map(|it| brief(it)).collect();
            format!("; what comes nearest: {}", names.join(", "))
        }
    }
}

/// The index of the node whose id or name is `who`; of a name also with its kind, as `systemd:nginx.service`,
/// `container:web`, `pod:NAMESPACE/web`, `executable:nginx` or `remote:db.example`.
///
/// # Errors
/// If there is none, or more than one of that name: what a program, a remote or a unit is called is the choice of
/// whoever made it, and none of them is taken for another.
pub fn find(view: &View, who: &str) -> Result<usize, WhoError> {
    let by = |is: &dyn Fn(&Node) -> bool| -> Vec<usize> {
        let nodes = view.nodes.iter().enumerate();
        nodes.filter(|(_, it)| is(it)).map(|(at, _)| at).collect()
    };
    // A remote has its name for an id, and may have any.
    let mut found = by(&|it| it.kind == NodeKind::Workload && *it.id == *who);
    if found.is_empty() {
        found = by(&|it| *it.id == *who || *it.name == *who);
    }
    if found.is_empty() {
        found = by(&|it| it.common_name() == Some(who));
    }
    // A program may be called as if it said of what kind it is.
    if let Some((kind, name)) = who.split_once(':') {
        let of_kind = by(&|it| is_of(it, kind) && is_called(it, name));
        found.extend(of_kind);
        found.sort_unstable();
        found.dedup();
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(WhoError::Unknown(nearest(view, who))),
        _ => Err(WhoError::Ambiguous(
            found
                .iter()
                .map(|at| view.nodes[*at].id.to_string())
                .collect(),
        )),
    }
}

/// Whether a node is of the kind with that name.
fn is_of(node: &Node, kind: &str) -> bool {
    let is_known = node.kind == NodeKind::Remote || node.workload.is_some();
    is_known && node.kind_word() == kind
}

fn is_called(node: &Node, name: &str) -> bool {
    let k8s = node.workload.as_ref().and_then(|it| it.k8s.as_ref());
    let namespace = k8s.and_then(|it| it.namespace.as_deref());
    let within = name.split_once('/');
    let is_name = |name: &str| *node.name == *name || node.common_name() == Some(name);
    is_name(name) || within.is_some_and(|(of, name)| namespace == Some(of) && is_name(name))
}

/// The names that are most like `who`.
fn nearest(view: &View, who: &str) -> Vec<String> {
    let likeness = |node: &Node| {
        let name = node.name.to_lowercase();
        let who = who.to_lowercase();
        let contains = name.contains(&who) || who.contains(&*name);
        (
            contains,
            (strsim::jaro_winkler(&name, &who) * 1000.0) as u64,
        )
    };
    let mut nodes: Vec<_> = view
        .nodes
        .iter()
        .map(|node| (likeness(node), node))
        .collect();
    nodes.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.id.cmp(&other.1.id)));
    let mut names: Vec<String> = Vec::new();
    for (_, node) in nodes {
        if names.len() < SUGGESTIONS && !names.contains(&node.name.to_string()) {
            names.push(node.name.to_string());
        }
    }
    names
}

fn ids(all: &[String]) -> String {
    let mut ids: Vec<String> = all.iter().take(SUGGESTIONS).map(|it| brief(it)).collect();
    if all.len() > SUGGESTIONS {
        ids.push(format!("{} others", all.len() - SUGGESTIONS));
    }
    ids.join(" or ")
}

/// `name`, but none so long that it hides the others.
fn brief(name: &str) -> String {
    let mut out: String = name.chars().take(MAX_SUGGESTION).collect();
    if out.len() < name.len() {
        out.push('…');
    }
    out
}
