//! Questions as data, and the one place that answers any of them.

use std::time::Duration;

use serde::Serialize;

use super::{
    Allowed, Answer, Policy, Proof, Split, WhoError,
    balance::{Balance, balance},
    diff::{Diff, diff},
    failures::{Failures, failures},
    groups::{Groups, Shared, groups},
    idle::{Idle, idle},
    impact::{Impact, Target, Way, impact},
    recovery_order::{RecoveryOrder, recovery_order},
    verify::{Verify, verify},
};
use crate::model::View;

/// Which question it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionKind {
    /// Who depends on something, or on what it depends.
    Impact,
    /// What must move together.
    Groups,
    /// In what order to bring things back.
    RecoveryOrder,
    /// What can be switched off.
    Idle,
    /// What fails, and why.
    Failures,
    /// How load is spread.
    Balance,
    /// What changed.
    Diff,
    /// Whether all is back.
    Verify,
}

impl QuestionKind {
    /// All of them, in the order of the type.
    pub const ALL: [Self; 8] = [
        Self::Impact,
        Self::Groups,
        Self::RecoveryOrder,
        Self::Idle,
        Self::Failures,
        Self::Balance,
        Self::Diff,
        Self::Verify,
    ];

    /// The word for it in an answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Impact => "impact",
            Self::Groups => "groups",
            Self::RecoveryOrder => "recovery_order",
            Self::Idle => "idle",
            Self::Failures => "failures",
            Self::Balance => "balance",
            Self::Diff => "diff",
            Self::Verify => "verify",
        }
    }
}

/// A question, with all that it depends on but the maps.
#[derive(Clone, Debug)]
pub enum Question {
    /// Who depends on something, or on what it depends.
    Impact {
        /// What is asked about.
        target: Target,
        /// Which way dependence is followed.
        way: Way,
        /// How many steps; none for all there are.
        depth: Option<u32>,
    },
    /// What must move together.
    Groups {
        /// What the user says of what is shared.
        shared: Shared,
        /// A division, to say what it cuts.
        split: Option<Split>,
    },
    /// In what order to bring things back.
    RecoveryOrder {
        /// What a process dials so soon after it began counts as its start, nanoseconds.
        start_up_ns: u64,
    },
    /// What can be switched off.
    Idle {
        /// Also what was not used for so long; none for what was never used.
        unused_for: Option<Duration>,
    },
    /// What fails, and why.
    Failures {
        /// How long before a failure to look for what may be why.
        window: Duration,
    },
    /// How load is spread.
    Balance {
        /// What is forbidden.
        policy: Option<Policy>,
    },
    /// What changed.
    Diff {
        /// Changes that are known.
        allowed: Allowed,
    },
    /// Whether all is back.
    Verify,
}

/// The answer to some question.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum AnyAnswer {
    /// Who depends on something, or on what it depends.
    Impact(Answer<Impact>),
    /// What must move together.
    Groups(Answer<Groups>),
    /// In what order to bring things back.
    RecoveryOrder(Answer<RecoveryOrder>),
    /// What can be switched off.
    Idle(Answer<Idle>),
    /// What fails, and why.
    Failures(Answer<Failures>),
    /// How load is spread.
    Balance(Answer<Balance>),
    /// What changed.
    Diff(Answer<Diff>),
    /// Whether all is back.
    Verify(Answer<Verify>),
}

impl AnyAnswer {
    /// What it rests on.
    pub fn proof_mut(&mut self) -> &mut Proof {
        match self {
            Self::Impact(it) => &mut it.proof,
            Self::Groups(it) => &mut it.proof,
            Self::RecoveryOrder(it) => &mut it.proof,
            Self::Idle(it) => &mut it.proof,
            Self::Failures(it) => &mut it.proof,
            Self::Balance(it) => &mut it.proof,
            Self::Diff(it) => &mut it.proof,
            Self::Verify(it) => &mut it.proof,
        }
    }

    /// Whether it is no: something changed, is forbidden or is not back.
    pub fn is_no(&self) -> bool {
        match self {
            Self::Diff(it) => !it.found.changes.is_empty(),
            Self::Balance(it) => it
                .found
                .violations
                .as_ref()
                .is_some_and(|it| !it.is_empty()),
            Self::Verify(it) => !it.found.complete,
            Self::Impact(_)
            | Self::Groups(_)
            | Self::RecoveryOrder(_)
            | Self::Idle(_)
            | Self::Failures(_) => false,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// What is asked about is not in the map.
    #[error(transparent)]
    Who(#[from] WhoError),
    /// The same, of a map that had no room for programs.
    #[error("{who}; but the map had no room for {programs} programs, which may be meant")]
    LeftOut {
        /// What is not in the map.
        who: WhoError,
        /// How many programs ran of which no process is in it.
        programs: u64,
    },
    /// No process that uses a package is in the map.
    #[error(
        "{processes} processes of this host use that package now, and none of them is in this map: \
         they did not connect to anything, nor listen, while it was watched"
    )]
    NotInMap {
        /// How many use it.
        processes: usize,
    },
    /// It is asked of too few maps, or of too many.
    #[error("that question is about {about} maps, and is asked of {given}")]
    Maps {
        /// How many maps it is about.
        about: usize,
        /// How many there are.
        given: usize,
    },
}

/// The answer to `question`, asked of these maps: of one, or of what was and what is.
///
/// # Errors
/// If what is asked about is not there, or if the question is about another number of maps.
pub fn answer(question: &Question, views: &[&View]) -> Result<AnyAnswer, AskError> {
    let given = views.len();
    let one = || match views {
        [view] => Ok(*view),
        _ => Err(AskError::Maps { about: 1, given }),
    };
    let two = || match views {
        [before, now] => Ok((*before, *now)),
        _ => Err(AskError::Maps { about: 2, given }),
    };
    Ok(match question {
        Question::Impact { target, way, depth } => {
            let view = one()?;
            let of = target
                .find(view)
                .map_err(|who| missing(target, view, who))?;
            let mut answer = impact(view, &of, *way, *depth);
            target.doubt(view, &mut answer.proof);
            AnyAnswer::Impact(answer)
        }
        Question::Groups { shared, split } => {
            AnyAnswer::Groups(groups(one()?, shared, split.as_ref()))
        }
        Question::RecoveryOrder { start_up_ns } => {
            AnyAnswer::RecoveryOrder(recovery_order(one()?, *start_up_ns))
        }
        Question::Idle { unused_for } => AnyAnswer::Idle(idle(one()?, *unused_for)),
        Question::Failures { window } => AnyAnswer::Failures(failures(one()?, *window)),
        Question::Balance { policy } => AnyAnswer::Balance(balance(one()?, policy.as_ref())),
        Question::Diff { allowed } => {
            let (before, now) = two()?;
            AnyAnswer::Diff(diff(before, now, allowed))
        }
        Question::Verify => {
            let (before, now) = two()?;
            AnyAnswer::Verify(verify(before, now))
        }
    })
}

/// Why nothing in `view` is meant by `target`.
fn missing(target: &Target, view: &View, who: WhoError) -> AskError {
    let left_out = view.nodes.iter().map(|it| it.cut.programs);
    let programs = left_out.fold(0, u64::saturating_add);
    match target {
        Target::Files { pids, .. } if !pids.is_empty() => AskError::NotInMap {
            processes: pids.len(),
        },
        Target::Exe(_) if programs > 0 => AskError::LeftOut { who, programs },
        _ => AskError::Who(who),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_asked_of_as_many_maps_as_it_is_about() {
        let view = View::default();
        let two = Question::Diff {
            allowed: Allowed::default(),
        };
        for (question, about) in [
            (two, 2),
            (Question::Verify, 2),
            (Question::Idle { unused_for: None }, 1),
        ] {
            for given in 0..4 {
                let views = vec![&view; given];
                let answer = answer(&question, &views);
                match given == about {
                    true => assert!(answer.is_ok(), "{question:?} of {given}"),
                    false => assert_eq!(answer.err(), Some(AskError::Maps { about, given })),
                }
            }
        }
    }

    #[test]
    fn who_is_not_in_the_map_may_have_been_left_out() {
        let mut view = View::default();
        let impact = |target| Question::Impact {
            target,
            way: Way::Dependents,
            depth: None,
        };
        let exe = Target::Exe(globset::Glob::new("/x").expect("a glob").compile_matcher());
        let nobody = || WhoError::Nobody(Vec::new());
        let refused = |question: &Question, view: &View| answer(question, &[view]).err();
        assert_eq!(
            refused(&impact(exe.clone()), &view),
            Some(AskError::Who(nobody()))
        );
        view.nodes = crate::model::specimens::views::three_tiers().nodes;
        view.nodes.truncate(1);
        view.nodes[0].processes.clear();
        view.nodes[0].cut.programs = 2;
        assert_eq!(
            refused(&impact(exe), &view),
            Some(AskError::LeftOut {
                who: nobody(),
                programs: 2
            })
        );
        let package = Target::Files {
            host: "elsewhere".to_owned(),
            pids: [1, 2, 3].into(),
            paths: ["/x".to_owned()].into(),
            running: None,
            unread: 0,
        };
        assert_eq!(
            refused(&impact(package), &view),
            Some(AskError::NotInMap { processes: 3 })
        );
    }
}
