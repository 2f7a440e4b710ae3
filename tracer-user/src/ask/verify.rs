//! Whether all is back that was there before.

use serde::Serialize;

use super::{Answer, Doubt, Link, Proof, QuestionKind, matching::Matching};
use crate::model::{EdgeState, View};

/// What is back, and what is not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verify {
    /// Whether all is.
    pub complete: bool,
    /// Edges of the baseline that have connections again.
    pub back: Vec<Link>,
    /// Those that are dialled, and fail.
    pub failing: Vec<Link>,
    /// Those that nobody dials: as they were.
    pub missing: Vec<Link>,
    /// Edges that the baseline does not have.
    pub new: Vec<Link>,
}

impl Verify {
    /// How many edges of the baseline there are to come back.
    pub fn expected(&self) -> usize {
        self.back.len() + self.failing.len() + self.missing.len()
    }
}

/// Whether what worked in `baseline` works in `now`. What failed before is not expected to.
pub fn verify(baseline: &View, now: &View) -> Answer<Verify> {
    let matching = Matching::of(baseline, now);
    let worked = |at: usize| {
        let edge = &baseline.edges[at];
        edge.connections() > 0 && edge.state != EdgeState::Failed
    };
    let pairs = matching.edges.iter().chain(&matching.moved_edges);
    let pairs = pairs.chain(&matching.covered);
    let mut found = Verify {
        complete: false,
        back: Vec::new(),
        failing: Vec::new(),
        missing: Vec::new(),
        new: Vec::new(),
    };
    for (one, other) in pairs {
        let edge = &now.edges[*other];
        let link = Link::of(now, edge);
        if !worked(*one) {
            continue;
        }
        if edge.state == EdgeState::Failed || edge.connections() == 0 {
            found.failing.push(link);
        } else {
            found.back.push(link);
        }
    }
    for at in matching.gone_edges.iter().filter(|at| worked(**at)) {
        found.missing.push(Link::of(baseline, &baseline.edges[*at]));
    }
    for at in &matching.new_edges {
        found.new.push(Link::of(now, &now.edges[*at]));
    }
    for links in [
        &mut found.back,
        &mut found.failing,
        &mut found.missing,
        &mut found.new,
    ] {
        links.sort_by(|one, other| {
            (&one.server, &one.client, one.port).cmp(&(&other.server, &other.client, other.port))
        });
    }
    found.complete = found.failing.is_empty() && found.missing.is_empty();
    let mut proof = Proof::of_two(baseline, now, QuestionKind::Verify);
    matching.doubt(&mut proof);
    if found.complete {
        // What is back was seen; it does not matter how long that took.
        proof.forget(|doubt| matches!(doubt, Doubt::Shorter { .. }));
    }
    Answer::new(QuestionKind::Verify, found, proof)
}
