//! Small systems whose truth is known, told as a recording, whole or not: no answer about them that calls
//! itself proven is wrong.

mod check;
mod tell;
mod world;

use proptest::{collection::vec, prelude::*, sample::Index};

use self::{
    check::{check, compare, is_proven, view_of},
    tell::{suffered, told},
    world::{Fate, Service, World, world},
};
use crate::ask::idle;

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

/// The search would be worth nothing if it never asked anything.
#[test]
fn whole_recordings_are_proven() {
    let world = World {
        services: vec![Service {
            host: 0,
            wildcard: true,
            begins: None,
            outage: None,
            is_activated: false,
        }],
        clients: vec![0, 1, 0, 1],
        deeds: Vec::new(),
        fate: Fate::Whole,
    };
    let (events, _) = told(&world);
    let view = view_of(&events);
    assert!(is_proven(&idle::idle(&view, None).proof));
}
