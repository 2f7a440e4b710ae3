//! What is known of a container, gathered source by source; the bounds of what is kept.
//!
//! Labels, names and images are chosen by whoever starts a container. So each is bounded, and
//! what is left of one that was cut ends with `…`.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::owner;
use crate::enrich::secrets;
use crate::model::{Container, Kubernetes, bounds};

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

/// Labels that are kept, and how many are not.
pub(super) type Labels = (BTreeMap<Arc<str>, Arc<str>>, u64);

/// What one or several sources said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: Option<Arc<str>>,
    pub(super) image: Option<Arc<str>>,
    pub(super) runtime: Option<Arc<str>>,
    /// None if no source that knows labels was asked.
    pub(super) labels: Option<Labels>,
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
        let (labels, labels_cut) = self.labels.unwrap_or_default();
        let container = Container {
            id: Arc::clone(id),
            name: self.name,
            image: self.image,
            runtime: self.runtime.or_else(|| hint.cloned()),
            // Only the control group tells it.
            around: None,
            labels,
            labels_cut,
        };
        (container, k8s)
    }
}

/// `text` within the bounds of names; none if it says nothing.
pub(super) fn name(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| bounds::beginning(text, bounds::MAX_NAME_WRITTEN))
}

/// The labels of `all` that are kept: not what Kubernetes and its runtimes put there for
/// themselves, which is in [`Kubernetes`].
pub(super) fn labels(all: &Texts) -> Labels {
    const OWN: [&str; 4] = [
        "io.kubernetes.",
        "annotation.",
        "io.cri-containerd.",
        "nerdctl/",
    ];
    let own = |key: &str| OWN.iter().any(|own| key.starts_with(own));
    let others = all.0.iter().filter(|(key, _)| !own(key));
    let others = others.filter_map(|(key, value)| {
        // What is beyond is not told: it need not be looked at. A mask may be longer than what it stands for.
        let value = secrets::label(key, &bounds::value_of(value))?;
        Some((&**key, value))
    });
    let others: Vec<_> = others.collect();
    bounds::labels(others.iter().map(|(key, value)| (*key, &**value)))
}

/// Checks what holds of any facts.
#[cfg(any(test, feature = "fuzzing"))]
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
        assert!((1..=bounds::MAX_NAME_WRITTEN).contains(&bounds::written_bytes(text)));
    }
    let labels = facts.labels.iter().flat_map(|(kept, _)| kept);
    assert!(labels.clone().count() <= bounds::MAX_LABELS);
    let written = labels.map(|(key, value)| {
        assert!(key.len() <= bounds::MAX_KEY_BYTES && value.len() <= bounds::MAX_VALUE_BYTES);
        bounds::written_bytes(key) + bounds::written_bytes(value)
    });
    assert!(written.sum::<usize>() <= bounds::MAX_LABELS_WRITTEN);
}
