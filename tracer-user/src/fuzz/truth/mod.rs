//! Small systems whose truth is known, told as a recording, whole or not: no answer about them that calls
//! itself proven is wrong.

mod check;
mod tell;
mod world;

use proptest::{collection::vec, prelude::*, sample::Index};

use self::{
    check::{check, compare, proofs, view_of},
    tell::{suffered, told},
    world::{Deed, Fate, How, World, world},
};
use crate::ask::Doubt;

proptest! {
    #![proptest_config(super::properties::cases(400))]

    #[test]
    fn no_proven_comparison_contradicts_what_changed(
        world in world(),
        dropped in vec(any::<Index>(), 1..4),
    ) {
        let (events, truth) = told(&World { fate: Fate::Whole, ..world.clone() });
        let before = view_of(&events);
        let mut less = world.clone();
        for index in dropped {
            if !less.deeds.is_empty() {
                less.deeds.remove(index.index(less.deeds.len()));
            }
        }
        let (events, now) = told(&less);
        let after = view_of(&suffered(events, &less.fate));
        compare(&world, (&before, &truth), (&after, &now));
    }

    #[test]
    fn no_proven_answer_contradicts_the_truth(world in world()) {
        let (events, truth) = told(&world);
        let view = view_of(&suffered(events, &world.fate));
        check(&world, &view, &truth);
    }
}

proptest! {
    #![proptest_config(super::properties::cases(100))]

    /// The search would be worth nothing if nothing were ever proven. What is half-open may have led to who
    /// knows whom.
    #[test]
    fn whole_recordings_are_proven(world in world()) {
        let (events, _) = told(&world);
        let is_answered = |it: &Deed| !matches!(it.how, How::HalfOpen | How::AcceptedLate);
        let is_clear = world.deeds.iter().all(is_answered);
        for proof in proofs(&world, &view_of(&events)) {
            let doubts = proof.doubts.iter();
            let others = doubts.filter(|it| is_clear || !matches!(it, Doubt::Unanswered { .. }));
            prop_assert_eq!(others.collect::<Vec<_>>(), Vec::<&Doubt>::new());
        }
    }
}
