//! The probes for addresses that are replaced within connect(). They cost every connection, so they are
//! attached only once there is a program on the host that may replace one.

use aya::Ebpf;

use super::{
    attach,
    plan::{HookSet, Part, Plan},
    programs,
};

/// Whether they are attached, or never can be.
#[derive(Default)]
pub(super) struct Redirects(bool);

impl Redirects {
    /// Attaches them if they are due.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, plan: &Plan) {
        if self.waits(plan).is_none() || !programs::may_redirect() {
            return;
        }
        if let Err(why) = attach::attach_redirect(ebpf, plan) {
            tracing::warn!(%why, "addresses that are replaced within connect() stay unseen");
        }
        self.0 = true;
    }

    /// The hook set of the probes that may have to be attached yet.
    pub(super) fn waits(&self, plan: &Plan) -> Option<HookSet> {
        (!self.0 && plan.has(Part::Redirect)).then_some(plan.set)
    }
}
