//! Small systems whose truth is known, told as a recording, whole or not: no answer about them that calls
//! itself proven is wrong.

mod check;
mod found;
mod tell;
mod world;

use proptest::{collection::vec, prelude::*, sample::Index};

use self::{
    check::{Sums, check, compare, proofs, view_of},
    tell::{suffered, told},
    world::{Deed, Fate, How, RUN, World, world},
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
        let before = view_of(&events, world.part);
        let mut less = world.clone();
        for index in dropped {
            if !less.deeds.is_empty() {
                less.deeds.remove(index.index(less.deeds.len()));
            }
        }
        let (events, now) = told(&less);
        let after = view_of(&suffered(events, &less.fate), world.part);
        compare(&world, (&before, &truth), (&after, &now));
    }

    #[test]
    fn parts_of_a_time_add_up(world in world(), middle in 1.0..RUN - 1.0) {
        let mut world = World { pauses: Vec::new(), ..world };
        // Which ends of other hosts belong to what was open before may be known only later.
        let deeds = std::mem::take(&mut world.deeds).into_iter();
        world.deeds = deeds.filter(|it| it.how != How::Held || world.is_within_host(it)).collect();
        let (events, _) = told(&world);
        let parts = [None, Some((0.0, middle)), Some((middle, RUN + 1.0))];
        let [whole, one, other] = parts.map(|part| Sums::of(&view_of(&events, part)));
        prop_assert_eq!(whole, one.and(&other));
    }

    #[test]
    fn no_proven_answer_contradicts_the_truth(world in world()) {
        let (events, truth) = told(&world);
        let view = view_of(&suffered(events, &world.fate), world.part);
        check(&world, &view, &truth);
    }
}

proptest! {
    #![proptest_config(super::properties::cases(100))]

    /// The search would be worth nothing if nothing were ever proven. What is half-open may have led to who
    /// knows whom.
    #[test]
    fn whole_recordings_are_proven(world in world()) {
        let world = World { pauses: Vec::new(), ..world };
        let (events, _) = told(&world);
        let is_clear = !world.deeds.iter().any(Deed::is_unaccepted);
        for proof in proofs(&world, &view_of(&events, None)) {
            let doubts = proof.doubts.iter();
            let is_of_these = |it: &Doubt| matches!(it, Doubt::Unanswered { .. } | Doubt::Strays { .. });
            let others = doubts.filter(|it| is_clear || !is_of_these(it));
            prop_assert_eq!(others.collect::<Vec<_>>(), Vec::<&Doubt>::new());
        }
    }
}
