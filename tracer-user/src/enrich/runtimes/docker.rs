//! How Docker describes a container: in the file beside its log, and in answers of its API, which
//! Podman speaks as well. Both have the same members where it matters.

use serde::Deserialize;

use super::facts::{self, Facts, Texts};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    #[serde(alias = "ID")]
    id: String,
    #[serde(default)]
    name: String,
    config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    labels: Texts,
}

/// What the description in `bytes` says of the container `id`; none if it is none, or one of
/// another container (the API also takes names).
pub(super) fn parse(bytes: &[u8], id: &str) -> Option<Facts> {
    let it: Description = serde_json::from_slice(bytes).ok()?;
    if it.id != id {
        return None;
    }
    let config = it.config?;
    let text = |key: &str| config.labels.first(&[key]).and_then(facts::name);
    Some(Facts {
        // The name of a pod's container is only a part of what it is called here.
        name: text("io.kubernetes.container.name")
            .or_else(|| facts::name(it.name.strip_prefix('/').unwrap_or(&it.name))),
        image: config.image.as_deref().and_then(facts::name),
        runtime: None,
        labels: Some(facts::labels(&config.labels)),
        namespace: text("io.kubernetes.pod.namespace"),
        pod: text("io.kubernetes.pod.name"),
        uid: text("io.kubernetes.pod.uid"),
    })
}
