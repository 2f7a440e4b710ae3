//! What must hold of any file of rules, for property tests and fuzzing. Compiled for these only.

use super::pattern::{Allowed, Policy, RuleError, Split};
use crate::{map::Options, model::Node, replay};

/// Any text as a file of each kind: what is understood can be asked of any node, and what is not names a line that
/// is there.
///
/// # Panics
/// If something does not hold.
pub(crate) fn rules(text: &str) {
    let lines = text.lines().count();
    let is_there = |error: RuleError| assert!((1..=lines).contains(&error.line), "{error}");
    let nodes = nodes();
    let pairs = || {
        nodes
            .iter()
            .flat_map(|one| nodes.iter().map(move |other| (one, other)))
    };
    match text.parse::<Policy>() {
        Ok(policy) => pairs().for_each(|(one, other)| {
            for port in [None, Some(5432)] {
                let line = policy.forbids(one, other, port);
                assert!(line.is_none_or(|line| line.starts_with("deny") && text.contains(line)));
            }
        }),
        Err(error) => is_there(error),
    }
    match text.parse::<Allowed>() {
        Ok(allowed) => pairs().for_each(|(one, other)| {
            // A line that names a node is for its edges, too.
            let has_edge = allowed.has_edge(one, other, None);
            assert!(has_edge || !(allowed.has_node(one) || allowed.has_node(other)));
        }),
        Err(error) => is_there(error),
    }
    match text.parse::<Split>() {
        Ok(split) => {
            let unused = split.unused(&nodes);
            assert!(unused.iter().all(|pattern| text.contains(pattern)));
            assert!(
                nodes
                    .iter()
                    .all(|it| split.part(it).is_none_or(|part| !part.is_empty()))
            );
        }
        Err(error) => is_there(error),
    }
}

/// Nodes of each kind.
fn nodes() -> Vec<Node> {
    replay::checks::view(Options::ONE_HOST).nodes
}

/// What to begin from.
pub(crate) fn examples() -> Vec<Vec<u8>> {
    let texts = [
        "allow web -> db.internal:5432 # as it is\nallow 10.0.0.0/8 -> [fd00::9]:*\ndeny * -> *\n",
        "web -> *:5432\npostgres\nweb*\n",
        "east = web app@1.service redis*\nwest = 10.0.0.0/8 fd00::/8\n",
        "nginx* = web\nredis{,-server} = cache\n",
    ];
    texts.map(|it| it.as_bytes().to_vec()).into()
}
