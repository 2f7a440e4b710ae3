//! Plans for kernels that are not here.

use rustix::thread::CapabilitySet;
use tracer_common::{Need, hooks};

use super::{
    super::facts::{Types, TypesError},
    *,
};
use crate::model::BlindId;

fn modern() -> Facts {
    Facts {
        release: "6.12.0".to_owned(),
        arch: "x86_64".to_owned(),
        capabilities: CapabilitySet::BPF | CapabilitySet::PERFMON,
        types: Ok(Types {
            offsets: tracer_common::Offsets::default(),
            connect_parameters: Some(1),
            accept_parameters: Some(2),
            close_parameters: Some(2),
            graft_parameters: Some(2),
            dial_parameters: Some(5),
            step_parameters: Some(3),
            permit_parameters: Some(3),
            request_parameters: Some(4),
            complete_parameters: Some(6),
            reset_parameters: Some(3),
            send_parameters: Some(3),
            receive_parameters: Some(5),
            consume_parameters: Some(3),
            reset_arguments: Some(3),
            error_arguments: Some(1),
            error_parameters: Some(1),
            state_arguments: Some(3),
            destroyed_arguments: Some(1),
            typed_task: true,
            raw_tracepoints_interrupted: false,
            classic_tracepoints: true,
            missing: Vec::new(),
            functions: [].into(),
        }),
        ring_buffer: Some(true),
        host_pids: true,
        preemption: false,
        kprobes: true,
    }
}

fn with_types(change: impl FnOnce(&mut Types)) -> Facts {
    let mut facts = modern();
    if let Ok(types) = &mut facts.types {
        change(types);
    }
    facts
}

fn sets(plans: &Plans) -> Vec<HookSet> {
    let mut sets: Vec<_> = plans.candidates.iter().map(|plan| plan.set).collect();
    sets.dedup();
    sets
}

#[test]
fn tries_the_best_first() {
    let plans = plan(&modern(), None).expect("nothing in the way");
    assert_eq!(sets(&plans), HookSet::ALL);
    assert!(plans.ruled_out.is_empty());
}

#[test]
fn a_choice_is_the_only_candidate() {
    let plans = plan(&modern(), Some(HookSet::Kprobe)).expect("nothing in the way");
    assert_eq!(sets(&plans), [HookSet::Kprobe]);
}

#[test]
fn the_accept_program_follows_the_signature() {
    for (parameters, name) in [(4, "accept_fexit_4"), (2, "accept_fexit_2")] {
        let facts = with_types(|types| types.accept_parameters = Some(parameters));
        let plans = plan(&facts, Some(HookSet::Fentry)).expect("nothing in the way");
        assert!(
            plans.candidates[0]
                .programs
                .iter()
                .any(|program| program.name == name)
        );
    }
    let facts = with_types(|types| types.accept_parameters = Some(3));
    let plans = plan(&facts, None).expect("nothing in the way");
    assert_eq!(sets(&plans), [HookSet::Kprobe, HookSet::Tracepoint]);
    assert!(plans.ruled_out[0].why.contains("3 parameters"));
}

#[test]
fn no_file_is_held_while_it_is_looked_at() {
    // The kernel's iterator over files holds each: who closes it then leaves that to tracer. What
    // comes of it shows in one of a hundred recordings of `moments`.
    let plans = plan(&modern(), None).expect("nothing in the way");
    for program in plans.candidates.iter().flat_map(|plan| &plan.programs) {
        if let Attachment::Iterator(over) = program.attachment {
            assert_eq!(over, "task", "{}", program.name);
        }
    }
}

#[test]
fn what_the_kernel_lacks_is_not_tried() {
    let facts = Facts {
        kprobes: false,
        ..modern()
    };
    let plans = plan(&facts, None).expect("nothing in the way");
    assert_eq!(sets(&plans), [HookSet::Fentry, HookSet::Tracepoint]);
    assert!(plans.ruled_out[0].why.contains("kprobes"));
}

#[test]
fn a_function_that_is_not_there_rules_out_fentry_alone() {
    let facts = with_types(|types| types.close_parameters = None);
    let plans = plan(&facts, None).expect("nothing in the way");
    assert_eq!(sets(&plans), [HookSet::Kprobe, HookSet::Tracepoint]);
    assert!(plans.ruled_out[0].why.contains("tcp_close"));
}

#[test]
fn without_types_or_ring_buffers_the_kernel_cannot() {
    let mut facts = modern();
    facts.types = Err(TypesError::Absent);
    assert!(
        matches!(plan(&facts, None), Err(obstacles) if obstacles.iter().all(|o| !o.is_privilege()))
    );
    let mut facts = modern();
    facts.ring_buffer = Some(false);
    assert!(
        matches!(plan(&facts, None), Err(obstacles) if obstacles.iter().all(|o| !o.is_privilege()))
    );
}

#[test]
fn missing_capabilities_are_named() {
    let mut facts = modern();
    facts.capabilities = CapabilitySet::PERFMON;
    facts.ring_buffer = None;
    let obstacles = plan(&facts, None).expect_err("CAP_BPF is missing");
    assert_eq!(obstacles.len(), 1);
    assert!(obstacles[0].is_privilege());
    assert!(obstacles[0].what.contains("CAP_BPF"));
    assert!(!obstacles[0].what.contains("CAP_PERFMON"));
}

#[test]
fn sys_admin_stands_for_both() {
    let mut facts = modern();
    facts.capabilities = CapabilitySet::SYS_ADMIN;
    assert!(plan(&facts, None).is_ok());
}

#[test]
fn only_tracepoints_leave_the_acceptor_unknown() {
    let plans = plan(&modern(), None).expect("nothing in the way");
    for candidate in plans.candidates {
        let ids = [BlindId::AcceptorUntilRead, BlindId::AcceptorUntilClose];
        let unknown = ids.into_iter().any(|id| blind_to(&candidate, id).is_some());
        assert_eq!(unknown, candidate.set == HookSet::Tracepoint);
    }
}

fn blind_to(plan: &Plan, id: BlindId) -> Option<String> {
    let blind = plan.blind();
    let found = blind.iter().find(|blind| blind.id == Some(id));
    found.map(|blind| blind.why.to_string())
}

#[test]
fn what_is_not_wanted_is_left_out_and_told() {
    let mut plans = plan(&modern(), None).expect("nothing in the way");
    plans.leave_out(Part::Names, "--no-dns");
    for plan in &plans.candidates {
        assert!(!plan.has(Part::Names));
        let why = blind_to(plan, BlindId::Dns).expect("blind");
        assert_eq!(why == "--no-dns", plan.set != HookSet::Tracepoint, "{why}");
        assert_eq!(
            plan.blind()
                .iter()
                .filter(|it| it.id == Some(BlindId::Dns))
                .count(),
            1
        );
    }
}

#[test]
fn arguments_that_the_kernel_describes_are_preferred() {
    let first = |facts: &Facts| {
        let plans = plan(facts, Some(HookSet::Tracepoint)).expect("nothing in the way");
        let first: Vec<_> = plans
            .candidates
            .iter()
            .map(|plan| plan.programs[1].name)
            .collect();
        first
    };
    let (typed, raw) = ("state_changed_typed", "state_changed");
    assert_eq!(first(&modern()), [typed, raw]);
    assert_eq!(
        first(&with_types(|types| types.state_arguments = Some(4))),
        [raw]
    );
    assert_eq!(
        first(&with_types(|types| types.destroyed_arguments = None)),
        [raw]
    );
}

#[test]
fn what_can_be_interrupted_is_the_last_resort() {
    let facts = with_types(|types| types.raw_tracepoints_interrupted = true);
    let plans = plan(&facts, None).expect("nothing in the way");
    assert!(plans.ruled_out[0].why.contains("interrupt"));
    let tried: Vec<_> = plans
        .candidates
        .iter()
        .map(|plan| (plan.set, plan.programs[0].name, plan.interrupted))
        .collect();
    let (raw, classic) = ("sock_destroyed", "sock_destroyed_classic");
    assert_eq!(
        tried,
        [
            (HookSet::Kprobe, classic, false),
            (HookSet::Kprobe, raw, true),
            (HookSet::Tracepoint, classic, false),
            (HookSet::Tracepoint, raw, true),
        ]
    );
    assert!(blind_to(&plans.candidates[1], BlindId::InterruptedPrograms).is_some());
    assert!(blind_to(&plans.candidates[0], BlindId::InterruptedPrograms).is_none());
    let mut facts = modern();
    facts.preemption = true;
    let plans = plan(&facts, None).expect("nothing in the way");
    assert_eq!(sets(&plans), [HookSet::Kprobe, HookSet::Tracepoint]);
}

#[test]
fn what_is_left_out_is_told_with_its_reason() {
    let facts = with_types(|types| {
        types.dial_parameters = Some(6);
        types.missing = vec![(Need::Scan, "no `file`".to_owned())];
    });
    for plan in plan(&facts, None).expect("nothing in the way").candidates {
        let dial = blind_to(&plan, BlindId::FailuresBeforeSyn).expect("blind");
        assert!(dial.contains("6 parameters"), "{dial}");
        assert_eq!(plan.hooks() & hooks::DIAL, 0);
        let scan = blind_to(&plan, BlindId::BeforeStart).expect("blind");
        assert_eq!(scan, "no `file`");
    }
    let whole = &plan(&modern(), None)
        .expect("nothing in the way")
        .candidates[0];
    assert_eq!(blind_to(whole, BlindId::FailuresBeforeSyn), None);
    assert_ne!(whole.hooks() & hooks::DIAL, 0);
}

#[test]
fn accept_is_seen_in_two_ways() {
    let waiting = BlindId::AcceptorWaiting;
    let many = BlindId::AcceptorAmongMany;
    let with = plan(&modern(), None).expect("nothing in the way");
    let facts = with_types(|types| types.graft_parameters = None);
    let without = plan(&facts, None).expect("nothing in the way");
    for (with, without) in with.candidates.iter().zip(&without.candidates) {
        assert_eq!(blind_to(with, waiting), None);
        let set = without.set;
        assert_eq!(
            blind_to(without, waiting).is_some(),
            set != HookSet::Tracepoint
        );
        assert_eq!(blind_to(without, many).is_some(), set == HookSet::Kprobe);
    }
}

#[test]
fn a_part_that_does_not_load_is_left_out_but_never_the_life() {
    let whole = &plan(&modern(), None)
        .expect("nothing in the way")
        .candidates[0];
    assert_eq!(whole.without(Part::Life, String::new()), None);
    let less = whole
        .without(Part::Dial, "refused".to_owned())
        .expect("a plan");
    assert!(!less.has(Part::Dial) && less.has(Part::Life));
    assert_eq!(less.hooks() & hooks::DIAL, 0);
    assert_eq!(
        blind_to(&less, BlindId::FailuresBeforeSyn).as_deref(),
        Some("refused")
    );
}

#[test]
fn before_resets_have_a_reason_functions_tell_who_was_refused() {
    let facts = with_types(|types| {
        types.reset_arguments = Some(2);
        types.reset_parameters = Some(2);
    });
    for plan in plan(&facts, None).expect("nothing in the way").candidates {
        let is_blind = blind_to(&plan, BlindId::NotListening).is_some();
        assert_eq!(is_blind, plan.set == HookSet::Tracepoint);
    }
}

#[test]
fn before_errors_have_a_tracepoint_a_function_tells_of_them() {
    let facts = with_types(|types| types.error_arguments = None);
    for plan in plan(&facts, None).expect("nothing in the way").candidates {
        let is_blind = blind_to(&plan, BlindId::FailureReasonTaken).is_some();
        assert_eq!(is_blind, plan.set == HookSet::Tracepoint);
    }
}

#[test]
fn the_end_of_the_handshake_is_hooked_whatever_mptcp_wants() {
    for (parameters, is_known) in [(Some(6), true), (Some(7), true), (Some(8), false)] {
        let facts = with_types(|types| types.complete_parameters = parameters);
        let plans = plan(&facts, Some(HookSet::Kprobe)).expect("nothing in the way");
        assert_eq!(plans.candidates[0].has(Part::QueueFull), is_known);
    }
}

#[test]
fn the_page_of_kernels_says_what_each_set_is_blind_to() {
    let page = include_str!("../../../../docs/kernels.md");
    let rows = page
        .lines()
        .skip_while(|line| !line.starts_with("| blind to |"))
        .take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<&str>> = rows
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let plans = plan(&modern(), None).expect("nothing in the way");
    let best = HookSet::ALL.map(|set| plans.candidates.iter().find(|plan| plan.set == set));
    for (column, plan) in (1..).zip(best.into_iter().flatten()) {
        assert_eq!(rows[0][column], format!("`{}`", plan.set));
        let listed = rows[2..].iter().filter(|row| row[column] == "blind");
        let listed: Vec<&str> = listed.map(|row| row[0]).collect();
        let blind = plan.blind();
        let mut known: Vec<&str> = blind.iter().map(|blind| &*blind.what).collect();
        known.sort_by_key(|what| rows.iter().position(|row| row[0] == *what));
        assert_eq!(listed, known, "{}", plan.set);
    }
}
