//! What is known of a container, gathered source by source; the bounds of what is kept.
//!
//! Labels, names and images are chosen by whoever starts a container. So each is bounded, and
//! what is left of one that was cut ends with `…`.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::owner;
use crate::enrich::secrets;
use crate::model::{Container, Kubernetes};

/// How many labels of a container are kept; the first ones by their keys.
pub const MAX_LABELS: usize = 64;
/// How long a label's key may be, bytes: as long as Kubernetes allows. A longer one is left out.
pub const MAX_KEY_BYTES: usize = 317;
/// How many bytes of a label's value are kept.
pub const MAX_VALUE_BYTES: usize = 512;
/// How many bytes of a name or an image are kept.
pub const MAX_NAME_BYTES: usize = 512;

/// Pairs of texts, as JSON has them; anything else in them is passed over.
#[derive(Debug, Default)]
pub(super) struct Texts(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Docker writes null where there is none, others leave it out.
        let any = Option::<BTreeMap<String, serde_json::Value>>::deserialize(deserializer)?;
        let texts = any.unwrap_or_default().into_iter();
        Ok(Self(
            texts
                .filter_map(|(key, value)| match value {
                    serde_json::Value::String(value) => Some((key, value)),
                    _ => None,
                })
                .collect(),
        ))
    }
}

impl Texts {
    /// The first of `keys` that is there and says something.
    pub(super) fn first(&self, keys: &[&str]) -> Option<&str> {
        keys.iter()
            .find_map(|key| self.0.get(*key).filter(|value| !value.is_empty()))
            .map(String::as_str)
    }
}

/// What one or several sources said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: Option<Arc<str>>,
    pub(super) image: Option<Arc<str>>,
    pub(super) runtime: Option<Arc<str>>,
    /// None if no source that knows labels was asked.
    pub(super) labels: Option<BTreeMap<Arc<str>, Arc<str>>>,
    pub(super) namespace: Option<Arc<str>>,
    pub(super) pod: Option<Arc<str>>,
    pub(super) uid: Option<Arc<str>>,
}

impl Facts {
    /// Adds what `other` knows and this does not.
    pub(super) fn or(&mut self, other: Self) {
        fn fill<T>(into: &mut Option<T>, from: Option<T>) {
            if into.is_none() {
                *into = from;
            }
        }
        fill(&mut self.name, other.name);
        fill(&mut self.image, other.image);
        fill(&mut self.runtime, other.runtime);
        fill(&mut self.labels, other.labels);
        fill(&mut self.namespace, other.namespace);
        fill(&mut self.pod, other.pod);
        fill(&mut self.uid, other.uid);
    }

    /// Whether nobody needs to be asked any more. Of a pod's containers the kubelet's labels
    /// say no more than the rest does.
    pub(super) fn are_complete(&self) -> bool {
        let has_names = self.name.is_some() && self.image.is_some();
        has_names && (self.labels.is_some() || self.pod.is_some())
    }

    /// Whether any source knew the container.
    pub(super) fn are_known(&self) -> bool {
        *self != Self::default()
    }

    /// As values of the model; `hint` is the runtime where no source told it.
    pub(super) fn into_model(
        self,
        id: &Arc<str>,
        hint: Option<&Arc<str>>,
        node: Option<&Arc<str>>,
    ) -> (Container, Option<Kubernetes>) {
        let k8s = self.pod.as_ref().map(|pod| Kubernetes {
            namespace: self.namespace.clone(),
            pod: Some(Arc::clone(pod)),
            owner: owner::of(pod, self.uid.as_deref(), node.map(|node| &**node)),
            uid: self.uid.clone(),
            // Only the control group tells it.
            qos: None,
            // The same for all that run here.
            node: None,
        });
        let container = Container {
            id: Arc::clone(id),
            name: self.name,
            image: self.image,
            runtime: self.runtime.or_else(|| hint.cloned()),
            // Only the control group tells it.
            around: None,
            labels: self.labels.unwrap_or_default(),
        };
        (container, k8s)
    }
}

/// `text` within the bounds of names; none if it says nothing.
pub(super) fn name(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| cut(text, MAX_NAME_BYTES))
}

/// The labels of `all` that are kept: not what Kubernetes and its runtimes put there for
/// themselves, which is in [`Kubernetes`].
pub(super) fn labels(all: &Texts) -> BTreeMap<Arc<str>, Arc<str>> {
    const OWN: [&str; 4] = [
        "io.kubernetes.",
        "annotation.",
        "io.cri-containerd.",
        "nerdctl/",
    ];
    all.0
        .iter()
        .filter(|(key, _)| (1..=MAX_KEY_BYTES).contains(&key.len()))
        .filter(|(key, _)| !OWN.iter().any(|own| key.starts_with(own)))
        .take(MAX_LABELS)
        .filter_map(|(key, value)| {
            // A mask may be longer than what it stands for.
            let value = secrets::label(key, &cut(value, MAX_VALUE_BYTES))?;
            Some((key.as_str().into(), cut(&value, MAX_VALUE_BYTES)))
        })
        .collect()
}

fn cut(text: &str, max: usize) -> Arc<str> {
    if text.len() <= max {
        return text.into();
    }
    let mut end = max - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end]).into()
}

/// Checks what holds of any facts.
#[cfg(test)]
pub(super) fn check(facts: &Facts) {
    for text in [
        &facts.name,
        &facts.image,
        &facts.namespace,
        &facts.pod,
        &facts.uid,
    ]
    .into_iter()
    .flatten()
    {
        assert!((1..=MAX_NAME_BYTES).contains(&text.len()));
    }
    let labels = facts.labels.iter().flatten();
    assert!(labels.clone().count() <= MAX_LABELS);
    for (key, value) in labels {
        assert!(key.len() <= MAX_KEY_BYTES && value.len() <= MAX_VALUE_BYTES);
    }
}
