//! The index that Podman and CRI-O keep of their containers, one file for all: the only one of
//! Podman's files that has names and images. (Its labels are in a database.)

use serde::Deserialize;

use super::facts::{self, Facts};

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    /// JSON again, as the storage does not know what it keeps.
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    #[serde(default)]
    image_name: String,
    #[serde(default)]
    name: String,
}

/// What the index in `bytes` says of the container `id`.
pub(super) fn parse(bytes: &[u8], id: &str) -> Option<Facts> {
    let entries: Vec<Entry> = serde_json::from_slice(bytes).ok()?;
    let entry = entries.into_iter().find(|entry| entry.id == id)?;
    let metadata: Metadata = serde_json::from_str(&entry.metadata).unwrap_or_default();
    let names = entry.names.unwrap_or_default();
    Some(Facts {
        name: facts::name(&metadata.name).or_else(|| names.first().and_then(|it| facts::name(it))),
        image: facts::name(&metadata.image_name),
        ..Facts::default()
    })
}
