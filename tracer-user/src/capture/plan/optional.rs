//! The parts of a plan that can be left out: their programs, or why this kernel has none.

use tracer_common::Need;

use super::{
    super::facts::{Facts, Types},
    functions::{absent, expect},
    types::{Attachment, HookSet, Part, Program},
};

/// The programs of a part that can be left out, or why it is.
pub(super) fn optional(facts: &Facts, set: HookSet, part: Part) -> Result<Vec<Program>, String> {
    let types = facts.types.as_ref().map_err(ToString::to_string)?;
    let has = |need| match types.missing(need) {
        Some(member) => Err(member.to_owned()),
        None => Ok(()),
    };
    let of_part = |programs: Vec<(&'static str, Attachment)>| {
        let programs = programs.into_iter();
        Ok(programs
            .map(|(name, attachment)| Program {
                name,
                attachment,
                part,
            })
            .collect())
    };
    let no_function = || Err("no function of this kernel can be hooked".to_owned());
    match part {
        Part::Life => Ok(Vec::new()),
        Part::Errors => {
            has(Need::Errors)?;
            let tracepoint = "inet_sk_error_report";
            if types.error_arguments.is_some() || set == HookSet::Tracepoint {
                expect(tracepoint, types.error_arguments, 1)?;
                // Raw also where that can be interrupted: it is short.
                let tracepoint = Attachment::RawTracepoint(tracepoint);
                return of_part(vec![("error_reported", tracepoint)]);
            }
            // Before Linux 5.14.
            let function = "sock_def_error_report";
            expect(function, types.error_parameters, 1)?;
            match set {
                HookSet::Fentry => of_part(vec![("error_fentry", Attachment::Fentry(function))]),
                HookSet::Kprobe => of_part(vec![("error_kprobe", Attachment::Kprobe(function))]),
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::Graft => {
            let function = "security_sock_graft";
            expect(function, types.graft_parameters, 2)?;
            match set {
                HookSet::Fentry => of_part(vec![("graft_fentry", Attachment::Fentry(function))]),
                HookSet::Kprobe => of_part(vec![("graft_kprobe", Attachment::Kprobe(function))]),
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::Readers => match set {
            HookSet::Fentry | HookSet::Kprobe => Ok(Vec::new()),
            HookSet::Tracepoint => {
                // Raw also where that can be interrupted: it is short.
                let tracepoint = Attachment::RawTracepoint("tcp_rcv_space_adjust");
                of_part(vec![("read_from", tracepoint)])
            }
        },
        Part::Dial => {
            let (permit, dial) = ("security_socket_connect", "__inet_stream_connect");
            expect(permit, types.permit_parameters, 3)?;
            expect(dial, types.dial_parameters, 5)?;
            match set {
                HookSet::Fentry => of_part(vec![
                    ("dial_fexit", Attachment::Fexit(dial)),
                    ("permit_fexit", Attachment::Fexit(permit)),
                ]),
                HookSet::Kprobe => {
                    expect("tcp_v4_connect", types.step_parameters, 3)?;
                    of_part(vec![
                        // The returns first: they forget what the entries remember.
                        ("dial_kretprobe", Attachment::Kretprobe("tcp_v4_connect")),
                        ("dial_kretprobe", Attachment::Kretprobe("tcp_v6_connect")),
                        (
                            "step_kretprobe",
                            Attachment::Kretprobe("tcp_v4_pre_connect"),
                        ),
                        (
                            "step_kretprobe",
                            Attachment::Kretprobe("tcp_v6_pre_connect"),
                        ),
                        ("dial_kretprobe", Attachment::Kretprobe(permit)),
                        ("dial_kprobe", Attachment::Kprobe(dial)),
                        ("dial_kprobe", Attachment::Kprobe(permit)),
                    ])
                }
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::QueueFull => {
            has(Need::Packets)?;
            let function = "tcp_conn_request";
            expect(function, types.request_parameters, 4)?;
            let (v4, v6) = ("tcp_v4_syn_recv_sock", "tcp_v6_syn_recv_sock");
            // (sk, skb, req, dst, req_unhash, own_req), and what MPTCP wants since Linux 7.0.
            if !matches!(types.complete_parameters, Some(6 | 7)) {
                expect(v4, types.complete_parameters, 6)?;
            }
            match set {
                HookSet::Fentry => of_part(vec![
                    ("completed_v4_fentry", Attachment::Fentry(v4)),
                    ("completed_v6_fentry", Attachment::Fentry(v6)),
                    ("request_fentry", Attachment::Fentry(function)),
                ]),
                HookSet::Kprobe => of_part(vec![
                    ("completed_kprobe", Attachment::Kprobe(v4)),
                    ("completed_kprobe", Attachment::Kprobe(v6)),
                    ("request_kprobe", Attachment::Kprobe(function)),
                ]),
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::NotListening => {
            has(Need::Packets)?;
            // Since it has a reason (Linux 6.10), it also tells of what has no socket.
            if types.reset_arguments == Some(3) {
                let tracepoint = Attachment::RawTracepoint("tcp_send_reset");
                return of_part(vec![("reset_sent", tracepoint)]);
            }
            let (v4, v6) = ("tcp_v4_send_reset", "tcp_v6_send_reset");
            if set == HookSet::Tracepoint {
                return Err(
                    "before Linux 6.10 no tracepoint tells, and no function of this kernel can be hooked"
                        .to_owned(),
                );
            }
            // (sk, skb), and a reason from 6.10 on.
            if !matches!(types.reset_parameters, Some(2 | 3)) {
                return Err(absent(v4));
            }
            match set {
                HookSet::Fentry => of_part(vec![
                    ("reset_v4_fentry", Attachment::Fentry(v4)),
                    ("reset_v6_fentry", Attachment::Fentry(v6)),
                ]),
                HookSet::Kprobe => of_part(vec![
                    ("reset_kprobe", Attachment::Kprobe(v4)),
                    ("reset_kprobe", Attachment::Kprobe(v6)),
                ]),
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::Scan => {
            has(Need::Scan)?;
            of_part(vec![
                ("examine", Attachment::OnDemand),
                ("scan_listeners", Attachment::Iterator("task")),
                ("scan_connections", Attachment::Iterator("task")),
            ])
        }
        Part::Totals => of_part(vec![("read_totals", Attachment::OnDemand)]),
        Part::Processes => {
            has(Need::Processes)?;
            of_part(vec![
                (
                    "process_exec",
                    Attachment::RawTracepoint("sched_process_exec"),
                ),
                (
                    "process_fork",
                    Attachment::RawTracepoint("sched_process_fork"),
                ),
                (
                    "process_exit",
                    Attachment::RawTracepoint("sched_process_exit"),
                ),
            ])
        }
        Part::Cgroups => {
            has(Need::Cgroups)?;
            of_part(vec![(
                "cgroup_made",
                Attachment::RawTracepoint("cgroup_mkdir"),
            )])
        }
        Part::Names => {
            has(Need::Names)?;
            has(Need::Packets)?;
            names(types, set).and_then(of_part)
        }
        Part::Redirect => {
            let (intended, dialling) = ("security_socket_connect", "tcp_connect");
            expect(intended, types.permit_parameters, 3)?;
            match set {
                HookSet::Fentry => of_part(vec![
                    ("dialling_fentry", Attachment::Fentry(dialling)),
                    ("intended_fentry", Attachment::Fentry(intended)),
                ]),
                HookSet::Kprobe => of_part(vec![
                    ("dialling_kprobe", Attachment::Kprobe(dialling)),
                    ("intended_kprobe", Attachment::Kprobe(intended)),
                ]),
                HookSet::Tracepoint => no_function(),
            }
        }
        Part::Namespaces => {
            has(Need::Namespaces)?;
            has(Need::Scan)?; // it follows a descriptor as well
            of_part(vec![("observers", Attachment::OnDemand)])
        }
        Part::Owners => has(Need::Owners).map(|()| Vec::new()),
    }
}

/// What is exchanged with name servers: the programs, or why there are none. What is received
/// is remembered at the entry of a call, so that goes last.
fn names(types: &Types, set: HookSet) -> Result<Vec<(&'static str, Attachment)>, String> {
    expect("udp_sendmsg", types.send_parameters, 3)?;
    // Its first two are the same everywhere.
    let receive = types.receive_parameters;
    receive.ok_or_else(|| absent("udp_recvmsg"))?;
    expect("skb_consume_udp", types.consume_parameters, 3)?;
    let advanced = (
        "tcp_advanced",
        Attachment::RawTracepoint("tcp_rcv_space_adjust"),
    );
    match set {
        HookSet::Fentry => Ok(vec![
            advanced,
            ("udp_received_fentry", Attachment::Fentry("skb_consume_udp")),
            ("udp4_receiving_fentry", Attachment::Fentry("udp_recvmsg")),
            ("udp6_receiving_fentry", Attachment::Fentry("udpv6_recvmsg")),
            ("tcp_receiving_fentry", Attachment::Fentry("tcp_recvmsg")),
            ("udp4_sent_fentry", Attachment::Fentry("udp_sendmsg")),
            ("udp6_sent_fentry", Attachment::Fentry("udpv6_sendmsg")),
            ("tcp_sent_fentry", Attachment::Fentry("tcp_sendmsg")),
        ]),
        HookSet::Kprobe => Ok(vec![
            advanced,
            ("udp_received_kprobe", Attachment::Kprobe("skb_consume_udp")),
            ("udp_receiving_kprobe", Attachment::Kprobe("udp_recvmsg")),
            ("udp_receiving_kprobe", Attachment::Kprobe("udpv6_recvmsg")),
            ("tcp_receiving_kprobe", Attachment::Kprobe("tcp_recvmsg")),
            ("udp_sent_kprobe", Attachment::Kprobe("udp_sendmsg")),
            ("udp_sent_kprobe", Attachment::Kprobe("udpv6_sendmsg")),
            ("tcp_sent_kprobe", Attachment::Kprobe("tcp_sendmsg")),
        ]),
        HookSet::Tracepoint => Err("no function of this kernel can be hooked".to_owned()),
    }
}
