//! Carries the eBPF side's diagnostics into the log.

use aya::Ebpf;

/// The reader's end of them.
pub(super) struct KernelLog(aya_log::EbpfLogger<&'static dyn log::Log>);

impl KernelLog {
    /// None, with a warning, if they cannot be read.
    pub(super) fn open(ebpf: &mut Ebpf) -> Option<Self> {
        aya_log::EbpfLogger::init(ebpf)
            .inspect_err(
                |error| tracing::warn!(%error, "the eBPF side's diagnostics cannot be read"),
            )
            .ok()
            .map(Self)
    }

    /// Writes what has come.
    pub(super) fn flush(&mut self) {
        self.0.flush();
    }
}
