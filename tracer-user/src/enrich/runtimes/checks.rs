//! What must hold of whatever is said of containers, for property tests and fuzzing. Compiled for these only.

use super::{facts, places};
use crate::model::{Container, Kubernetes};

/// Any bytes as each file of each runtime: what is found of a container there, within its bounds.
///
/// # Panics
/// If something does not hold.
pub(crate) fn containers(bytes: &[u8], id: &str) -> Vec<(Container, Option<Kubernetes>)> {
    let all = places::any(bytes, id);
    all.into_iter()
        .map(|it| {
            facts::check(&it);
            it.into_model(&id.into(), None, None)
        })
        .collect()
}

/// What to begin from.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn examples(id: &str) -> Vec<Vec<u8>> {
    let texts = [
        r#"{"annotations":{"io.kubernetes.cri.container-name":"web","io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.sandbox-namespace":"shop","tier":"front"}}"#.to_owned(),
        r#"{"annotations":{"nerdctl/name":"web","com.docker.compose.service":"web","note":"\u0001\u2028…"}}"#.to_owned(),
        r#"{"annotations":{"io.kubernetes.cri-o.Labels":"{\"tier\":\"front\",\"x\":\"\\u0001\"}"}}"#.to_owned(),
        format!(r#"{{"Id":"{id}","Name":"/web","Config":{{"Image":"nginx:1","Labels":{{"a":"b","c":""}}}}}}"#),
        r#"{"config":{"labels":["bundle=/tmp/b","nerdctl/name=api","app=shop","x"]}}"#.to_owned(),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}
