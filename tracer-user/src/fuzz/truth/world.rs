//! What may be: who listens, who dials, and what happens to what is told of it.

use proptest::{collection::vec, prelude::*, sample::Index};

/// How long it is watched, seconds.
pub(super) const RUN: f64 = 1_000.0;

/// Who listens.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) host: usize,
    /// On all addresses, or on loopback.
    pub(super) wildcard: bool,
    /// Since when, if that was watched.
    pub(super) begins: Option<f64>,
    /// It is down for so long then.
    pub(super) outage: Option<(f64, f64)>,
    /// Another workload accepts.
    pub(super) is_activated: bool,
}

/// How somebody dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It is served.
    Used,
    /// The client resets before anybody accepts.
    HalfOpen,
    /// It is accepted long after it was over for the client.
    AcceptedLate,
    /// The client closes long after the server.
    ClosedLate,
    /// It is there from before the start, and stays.
    Held,
}

/// Somebody dials.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    pub(super) client: usize,
    pub(super) service: Index,
    pub(super) how: How,
    pub(super) time: f64,
    pub(super) lasts: f64,
}

/// What happens to the recording.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Whole,
    /// A line is missing.
    Cut(Index),
    /// All before is, or all after.
    Head(Index),
    Tail(Index),
    /// It is given twice.
    Twice,
    /// Two parts that overlap.
    Split(Index, Index),
    /// One line comes later.
    Late(Index, Index),
    /// The clock is set back while it is watched.
    SetBack(f64, f64),
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) services: Vec<Service>,
    /// The host of each.
    pub(super) clients: Vec<usize>,
    pub(super) deeds: Vec<Deed>,
    pub(super) fate: Fate,
}

pub(super) fn service() -> impl Strategy<Value = Service> {
    (
        0..2_usize,
        any::<bool>(),
        prop::option::of(1.0..RUN / 2.0),
        prop::option::of((RUN / 2.0..RUN * 0.7, 1.0..RUN * 0.2)),
        any::<bool>(),
    )
        .prop_map(|(host, wildcard, begins, outage, is_activated)| Service {
            host,
            wildcard,
            begins,
            outage,
            is_activated,
        })
}

pub(super) fn deed() -> impl Strategy<Value = Deed> {
    let how = prop_oneof![
        4 => Just(How::Used),
        1 => Just(How::HalfOpen),
        1 => Just(How::AcceptedLate),
        1 => Just(How::ClosedLate),
        1 => Just(How::Held),
    ];
    (
        0..4_usize,
        any::<Index>(),
        how,
        2.0..RUN - 2.0,
        0.001..200.0,
    )
        .prop_map(|(client, service, how, time, lasts)| Deed {
            client,
            service,
            how,
            time,
            lasts,
        })
}

pub(super) fn fate() -> impl Strategy<Value = Fate> {
    let index = any::<Index>;
    prop_oneof![
        4 => Just(Fate::Whole),
        2 => index().prop_map(Fate::Cut),
        1 => index().prop_map(Fate::Head),
        1 => index().prop_map(Fate::Tail),
        1 => Just(Fate::Twice),
        1 => (index(), index()).prop_map(|(one, other)| Fate::Split(one, other)),
        1 => (index(), index()).prop_map(|(one, other)| Fate::Late(one, other)),
        1 => (1.0..RUN, 0.1..5_000.0).prop_map(|(time, by)| Fate::SetBack(time, by)),
    ]
}

pub(super) fn world() -> impl Strategy<Value = World> {
    (
        vec(service(), 1..4),
        vec(0..2_usize, 4),
        vec(deed(), 0..8),
        fate(),
    )
        .prop_map(|(services, clients, deeds, fate)| World {
            services,
            clients,
            deeds,
            fate,
        })
}
