//! SYNs that this host turned away: the peer sends each again, and all of them are one attempt.

use std::collections::HashMap;

use tracer_common as abi;

/// A SYN that was turned away is sent again for about two minutes (`tcp_syn_retries`).
const REPEAT_NS: u64 = 180_000_000_000;
/// Turned-away SYNs that are remembered.
const MAX_TURNED_AWAY: usize = 16 << 10;

/// When the SYNs that were lately turned away arrived, by flow and sequence number. Anybody may choose
/// those, so they are hashed with a secret.
#[derive(Default)]
pub(super) struct TurnedAway(HashMap<(FlowKey, u32), u64>);

impl TurnedAway {
    /// Whether this is a retransmitted SYN that was turned away before: the same attempt.
    pub(super) fn is_repeated(&mut self, ended: &abi::Ended) -> bool {
        if !is_turned_away(ended) {
            return false;
        }
        let now = ended.header.time_ns;
        if self.0.len() >= MAX_TURNED_AWAY {
            self.0
                .retain(|_, time| now.saturating_sub(*time) < REPEAT_NS);
            if self.0.len() >= MAX_TURNED_AWAY {
                self.0.clear();
            }
        }
        let flow = &ended.connection.flow;
        let key = (flow_key(flow), ended.sequence);
        let before = self.0.insert(key, now);
        before.is_some_and(|before| now.saturating_sub(before) < REPEAT_NS)
    }
}

/// An attempt from outside for which no socket was made.
pub(super) fn is_turned_away(ended: &abi::Ended) -> bool {
    ended.connection.direction == abi::Direction::INBOUND
}

/// What tells one flow from another.
type FlowKey = (u32, u32, [u8; 16], [u8; 16], u16, u16);

fn flow_key(flow: &abi::Flow) -> FlowKey {
    (
        flow.netns,
        flow.scope,
        flow.local_address,
        flow.remote_address,
        flow.local_port,
        flow.remote_port,
    )
}
