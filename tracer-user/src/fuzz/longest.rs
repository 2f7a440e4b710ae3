//! The longest line that others can have tracer write: each text as long as it is kept, of what takes most.

use super::*;
use crate::model::{Called, Container, Kubernetes, Name, NameSource, Outer, bounds};

/// What takes most of its room, by the text that is repeated.
const EVIL: [&str; 5] = ["\u{1}", "\"", "\u{2028}", "\u{e0001}", "x"];

#[test]
fn a_line_is_bounded_whatever_labels_and_arguments_hold() {
    for evil in EVIL {
        let name = || bounds::beginning(&evil.repeat(1000), bounds::MAX_NAME_WRITTEN);
        let path = || bounds::end_of_path(&evil.repeat(5000), bounds::MAX_PATH_WRITTEN);
        let values: Vec<(String, String)> = (0..64)
            .map(|n| (format!("{n:02}{}", evil.repeat(60)), evil.repeat(512)))
            .collect();
        let (labels, labels_cut) = bounds::labels(values.iter().map(|it| (&*it.0, &*it.1)));
        assert!(labels_cut > 0);
        let workload = Arc::new(Workload {
            kind: WorkloadKind::Pod,
            name: name(),
            uid: Some(u32::MAX),
            // As much as the kernel side tells of a control group.
            unit: Some(evil.repeat(255 / evil.len()).into()),
            slice: Some(evil.repeat(255 / evil.len()).into()),
            container: Some(Container {
                id: "6".repeat(64).into(),
                name: Some(name()),
                image: Some(name()),
                runtime: Some("containerd".into()),
                around: Some(Outer {
                    id: "6".repeat(64).into(),
                    name: Some(name()),
                }),
                labels,
                labels_cut,
            }),
            k8s: Some(Kubernetes {
                namespace: Some(name()),
                pod: Some(name()),
                uid: Some(name()),
                ..Kubernetes::default()
            }),
            role: Some("database".into()),
        });
        let mut event = replay::checks::with_processes(|it| {
            it.workload = Some(Arc::clone(&workload));
            it.comm = evil.repeat(15 / evil.len()).into();
            (it.exe, it.cwd) = (Some(path()), Some(path()));
            it.args = Some(bounds::args(
                std::iter::repeat_n(evil.repeat(100), 100),
                true,
            ));
        });
        if let crate::model::Body::Connect(it) = &mut event.body {
            // As many names of an address as are told, each as long as one may be.
            it.connection.name = Some(Arc::new(Name {
                called: Called::OneOf {
                    names: vec!["x".repeat(253).into(); 8],
                    is_cut: true,
                },
                source: NameSource::Dns,
            }));
        }
        // Checks its length, too.
        outputs::checks::line(&event, &mut Writer::new(Format::Json, false));
    }
}
