//! What made a pod, as its name tells. Kubernetes tells no runtime, so it is inferred: only from
//! names that a controller makes and people hardly do.

use crate::model::Owner;

/// Kind of an owner whose name is known and whose kind is not: a DaemonSet, a Job and a
/// ReplicaSet without a Deployment name their pods alike.
pub const ANY_CONTROLLER: &str = "Controller";
/// Kind of what the kubelet runs from a file of its node.
pub const STATIC_POD: &str = "StaticPod";

/// What Kubernetes makes random suffixes of: no vowels, so that they are no words.
const RANDOM: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// What the hash in the name of a Deployment's ReplicaSet is made of: a decimal number, each
/// digit of which became one of ten letters of the above.
const HASH: &[u8] = b"456789bcdf";
/// Lengths of such a hash. It may be shorter, but then it could be anything.
const HASH_LEN: std::ops::RangeInclusive<usize> = 7..=10;
/// Length of the suffix that makes a pod's name unique.
const SUFFIX_LEN: usize = 5;
/// A generated name of this length was cut, and no longer has all parts.
const CUT_LEN: usize = 63;
/// When a CronJob's Job was due, minutes since 1970: 2019 to 2046.
const MINUTES: std::ops::RangeInclusive<u64> = 26_000_000..=40_000_000;
/// The same in seconds, as Kubernetes had it before 1.21.
const SECONDS: std::ops::RangeInclusive<u64> = 1_560_000_000..=2_400_000_000;

/// The owner of the pod called `pod`, where its name is one of these:
///
/// | name | owner |
/// | --- | --- |
/// | `web-6d5f8c9b7-x2x9z` | Deployment `web`, by its ReplicaSet `web-6d5f8c9b7` |
/// | `backup-27891234-x2x9z` | CronJob `backup`, by its Job `backup-27891234` |
/// | `fluentd-x2x9z` | [`ANY_CONTROLLER`] `fluentd`: a DaemonSet, a Job or a ReplicaSet |
/// | `db-0` | StatefulSet `db` |
/// | `kube-apiserver-NODE` of a static pod | [`STATIC_POD`] `kube-apiserver` |
///
/// `uid` tells static pods apart: theirs is a hash, without hyphens. It is the end of the chain
/// of owners, not the next one, as the next one changes with each deployment.
pub fn of(pod: &str, uid: Option<&str>, node: Option<&str>) -> Option<Owner> {
    if uid.is_some_and(|uid| !uid.contains('-')) {
        let name = pod.strip_suffix(node?)?.strip_suffix('-')?;
        return owner(STATIC_POD, name);
    }
    let (rest, last) = pod.rsplit_once('-')?;
    if is_ordinal(last) {
        return owner("StatefulSet", rest);
    }
    if pod.len() >= CUT_LEN || last.len() != SUFFIX_LEN || !is_of(last, RANDOM) {
        return None;
    }
    match rest.rsplit_once('-') {
        Some((name, hash)) if HASH_LEN.contains(&hash.len()) && is_of(hash, HASH) => {
            owner("Deployment", name)
        }
        Some((name, due)) if is_due(due) => owner("CronJob", name),
        _ => owner(ANY_CONTROLLER, rest),
    }
}

fn owner(kind: &str, name: &str) -> Option<Owner> {
    (!name.is_empty()).then(|| Owner {
        kind: kind.into(),
        name: name.into(),
    })
}

fn is_of(text: &str, alphabet: &[u8]) -> bool {
    text.bytes().all(|byte| alphabet.contains(&byte))
}

/// A number as StatefulSets count their pods.
fn is_ordinal(text: &str) -> bool {
    let is_small = (1..=4).contains(&text.len());
    is_small
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}

fn is_due(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        && text
            .parse()
            .is_ok_and(|due| MINUTES.contains(&due) || SECONDS.contains(&due))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: Option<&str> = Some("0b2f8c6e-3a51-4f0e-9a51-6a2f1f0f4c11");
    const HASHED: Option<&str> = Some("3d0bb2ae5e7bd0e1e5b6f7c4a8d9e0f1");

    #[test]
    fn names_that_controllers_make_tell_their_owner() {
        let cases = [
            ("web-6d5f8c9b7-x2x9z", Some(("Deployment", "web"))),
            ("coredns-5d78c9869d-8xkqp", Some(("Deployment", "coredns"))),
            (
                "my-shop-api-799fbdd78-qzv6h",
                Some(("Deployment", "my-shop-api")),
            ),
            ("db-0", Some(("StatefulSet", "db"))),
            ("prometheus-k8s-12", Some(("StatefulSet", "prometheus-k8s"))),
            ("fluentd-x2x9z", Some((ANY_CONTROLLER, "fluentd"))),
            ("backup-27891234-x2x9z", Some(("CronJob", "backup"))),
            ("backup-1617181920-x2x9z", Some(("CronJob", "backup"))),
            // The hash is of ten letters only, and this is not: a DaemonSet called so.
            (
                "web-zzzzzzzzz-x2x9z",
                Some((ANY_CONTROLLER, "web-zzzzzzzzz")),
            ),
            ("node-exporter", None),
            ("web", None),
            ("web-01", None),
            ("-0", None),
            ("-x2x9z", None),
            ("-6d5f8c9b7-x2x9z", None),
            // Vowels: somebody chose that name.
            ("my-redis", None),
            ("", None),
        ];
        for (pod, expected) in cases {
            let found = of(pod, UID, Some("node-1"));
            let found = found.as_ref().map(|it| (&*it.kind, &*it.name));
            assert_eq!(found, expected, "{pod}");
        }
    }

    #[test]
    fn static_pods_carry_the_name_of_their_node() {
        let found = of("kube-apiserver-cp-1", HASHED, Some("cp-1"));
        assert_eq!(found, owner(STATIC_POD, "kube-apiserver"));
        // Would else be a StatefulSet `kube-apiserver-cp`.
        assert_eq!(of("kube-apiserver-cp-1", HASHED, None), None);
        assert_eq!(of("kube-apiserver-cp-1", HASHED, Some("cp-2")), None);
    }

    #[test]
    fn a_cut_name_tells_nothing() {
        let pod = format!("{}-x2x9z", "n".repeat(57));
        assert_eq!(of(&pod, UID, None), None);
    }

    proptest! {
        #[test]
        fn any_name_is_answered(pod in ".{0,80}", uid in proptest::option::of(".{0,8}"), node in proptest::option::of(".{0,8}")) {
            if let Some(owner) = of(&pod, uid.as_deref(), node.as_deref()) {
                prop_assert!(!owner.name.is_empty() && pod.starts_with(&*owner.name));
            }
        }
    }
}
