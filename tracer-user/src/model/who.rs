//! Which node of a view is meant.

use super::{Node, View};

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

/// The index of the node whose id or name is `who`.
///
/// # Errors
/// If there is none, or more than one of that name.
pub fn find(view: &View, who: &str) -> Result<usize, WhoError> {
    let by = |is: &dyn Fn(&Node) -> bool| -> Vec<usize> {
        let nodes = view.nodes.iter().enumerate();
        nodes.filter(|(_, it)| is(it)).map(|(at, _)| at).collect()
    };
    let by_id = by(&|it| *it.id == *who);
    let found = match by_id.is_empty() {
        false => by_id,
        true => by(&|it| *it.name == *who),
    };
    let found = match found.is_empty() {
        false => found,
        true => by(&|it| it.common_name() == Some(who)),
    };
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
