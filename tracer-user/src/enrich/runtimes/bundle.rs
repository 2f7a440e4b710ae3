//! The OCI bundle's `config.json`: what a runtime was told to run. It is written before the first
//! process of the container runs, and what the Kubernetes runtimes know of pods is in its
//! annotations.
//!
//! For a pod's container that is all that the CRI's `ContainerStatus` would add: the labels it
//! tells are the kubelet's four (`io.kubernetes.container.name`, `io.kubernetes.pod.*`), which
//! are here as annotations. So nobody speaks gRPC.

use serde::Deserialize;

use super::facts::{self, Facts, Texts};

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    annotations: Texts,
}

/// What the `config.json` in `bytes` says; none if it is none.
pub(super) fn parse(bytes: &[u8]) -> Option<Facts> {
    let config: Config = serde_json::from_slice(bytes).ok()?;
    Some(of_annotations(&config.annotations))
}

/// The same, where the annotations alone are known.
pub(super) fn of_annotations(annotations: &Texts) -> Facts {
    let text = |keys: &[&str]| annotations.first(keys).and_then(facts::name);
    let is_sandbox = annotations.first(&[
        "io.kubernetes.cri.container-type",
        "io.kubernetes.cri-o.ContainerType",
    ]) == Some("sandbox");
    let mut out = Facts {
        name: text(&[
            "io.kubernetes.cri.container-name",
            "io.kubernetes.container.name",
            "nerdctl/name",
        ]),
        image: text(&[
            "io.kubernetes.cri.image-name",
            // What was asked for; the next one is a name of what was found.
            "io.kubernetes.cri-o.Image",
            "io.kubernetes.cri-o.ImageName",
        ]),
        runtime: runtime(annotations).map(Into::into),
        labels: own_labels(annotations),
        namespace: text(&[
            "io.kubernetes.cri.sandbox-namespace",
            "io.kubernetes.pod.namespace",
            "io.kubernetes.cri-o.Namespace",
        ]),
        pod: text(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        uid: text(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
    };
    if is_sandbox && out.name.is_none() {
        // As the kubelet has always called the container that holds a pod's namespaces.
        out.name = facts::name("POD");
    }
    out
}

/// Which runtime leaves such annotations.
fn runtime(annotations: &Texts) -> Option<&'static str> {
    match annotations.first(&["io.container.manager"]) {
        Some("libpod") => return Some("podman"),
        Some("cri-o") => return Some("cri-o"),
        _ => {}
    }
    // Before the others: podman, too, leaves some of CRI-O's.
    let has = |prefix: &str| annotations.0.keys().any(|key| key.starts_with(prefix));
    (has("io.kubernetes.cri.") || has("nerdctl/")).then_some("containerd")
}

/// Labels, of those runtimes that write them here: CRI-O as a JSON text, nerdctl among the
/// annotations.
fn own_labels(annotations: &Texts) -> Option<facts::Labels> {
    if let Some(text) = annotations.first(&["io.kubernetes.cri-o.Labels"]) {
        return serde_json::from_str(text)
            .ok()
            .map(|all| facts::labels(&all));
    }
    annotations
        .first(&["nerdctl/name", "nerdctl/namespace"])
        .map(|_| facts::labels(annotations))
}
