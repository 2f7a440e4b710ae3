//! Questions about a map, and what they rest on.
//!
//! Each question is a file, and a pure function of one [`View`] or two: the same views give the same
//! answer. An answer says what was watched, and with it what it does not prove. [`Question`] is any of
//! them as data, and [`answer`] answers it, whoever asks.
//!
//! [`View`]: crate::model::View

pub mod balance;
pub mod diff;
pub mod failures;
pub mod focus;
pub mod groups;
pub mod idle;
pub mod impact;
pub mod recovery_order;
pub mod verify;

mod arrivals;
mod find;
mod generated;
mod graph;
mod instances;
mod matching;
mod pattern;
mod ports;
mod proof;
mod question;
mod service;
#[cfg(test)]
mod tests;
mod unseen;
mod who;

pub(crate) use generated::is_made_up as is_made_up_name;
#[cfg(test)]
pub(crate) use generated::kind as kind_of_name;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod checks;

pub use find::{WhoError, find};
pub use pattern::{Allowed, EdgePattern, Pattern, Policy, RuleError, Split};
pub use proof::{Doubt, Proof, Verdict};
pub use question::{AnyAnswer, AskError, Question, QuestionKind, answer};
pub use unseen::Unseen;
pub use who::{Link, Who};

use serde::Serialize;

/// An answer, as it is printed: what was asked, the answer itself, and what it rests on.
#[derive(Clone, Debug, Serialize)]
pub struct Answer<T> {
    v: u32,
    question: &'static str,
    /// What was found.
    #[serde(flatten)]
    pub found: T,
    /// What that rests on.
    #[serde(rename = "coverage")]
    pub proof: Proof,
}

impl<T> Answer<T> {
    fn new(question: QuestionKind, found: T, proof: Proof) -> Self {
        Self {
            v: 1,
            question: question.name(),
            found,
            proof,
        }
    }
}
