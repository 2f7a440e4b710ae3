//! What programs make up to name what they start, and what is left of a name without it. By shape, so
//! only shapes that nobody would choose: a UUID, the id of a task, the words that Docker puts together.

use std::borrow::Cow;

/// What a name of a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// Somebody chose it.
    Given,
    /// Somebody chose this, and a program added to it; the part of that which lasts, if any.
    With {
        name: Cow<'a, str>,
        instance: Option<&'a str>,
    },
    /// A program made it up.
    MadeUp,
}

/// What the name of a unit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// It is that of a virtual machine with this name.
    Machine(String),
    /// Template and instance.
    Instance(String, String),
    /// Somebody chose it.
    Named(String),
    /// It is another one after each start.
    Transient,
}

/// The least digits of a hash.
const HASH: usize = 12;
/// Digits of the ids of Swarm.
const SWARM_ID: usize = 25;
/// Digits of the ids of containers.
const LONG_ID: usize = 64;

/// What `name` is; `id` is what is known to have been added to it.
pub(super) fn container<'a>(name: &'a str, id: Option<&str>) -> Name<'a> {
    if is_uuid(name) || is_hash(name) || is_of_two_words(name) {
        return Name::MadeUp;
    }
    // `shop_web.1.k2j3h4k5j6h7k8j9h0k1j2h3k`: service, slot or node, task.
    if let Some((rest, task)) = name.rsplit_once('.')
        && is_swarm_id(task)
        && let Some((name, slot)) = rest.rsplit_once('.')
        && (is_number(slot) || is_swarm_id(slot))
    {
        return Name::With {
            name: name.into(),
            instance: Some(slot),
        };
    }
    // `0123456789ab_shop-web-1`: compose, while it puts another one in its place.
    if let Some((hash, name)) = name.split_once('_')
        && hash.len() == HASH
        && is_hash(hash)
    {
        return Name::With {
            name: name.into(),
            instance: None,
        };
    }
    let stem = without_id(name, id);
    if stem.len() == name.len() {
        return Name::Given;
    }
    // `ecs-FAMILY-REVISION-NAME-HASH`: the next deployment has another revision.
    let parts = || stem.split('-');
    let name = match stem.starts_with("ecs-") && parts().filter(|it| is_number(it)).count() == 1 {
        true => Cow::from(
            parts()
                .filter(|it| !is_number(it))
                .collect::<Vec<_>>()
                .join("-"),
        ),
        false => stem.into(),
    };
    Name::With {
        name,
        instance: None,
    }
}

/// Whether a program made up `name` of a container.
pub(crate) fn is_made_up(name: &str) -> bool {
    container(name, None) == Name::MadeUp
}

/// What kind of name `name` of a container is, and which part of it lasts whatever it is called.
#[cfg(test)]
pub(crate) fn kind(name: &str) -> (u8, Option<&str>) {
    match container(name, None) {
        Name::Given => (0, None),
        Name::With { instance, .. } => (1, instance),
        Name::MadeUp => (2, None),
    }
}

/// `name` without the hash or the UUID at its end, or without `id`.
pub(super) fn without_id<'a>(name: &'a str, id: Option<&str>) -> &'a str {
    let cut = |end: &str| {
        let stem = name.strip_suffix(end)?;
        let stem = stem.strip_suffix(['-', '_', '.'])?;
        (!stem.is_empty()).then_some(stem)
    };
    if let Some(stem) = id.filter(|it| !it.is_empty()).and_then(cut) {
        return stem;
    }
    let uuid = name.len().checked_sub(36).and_then(|at| name.get(at..));
    if let Some(stem) = uuid.filter(|it| is_uuid(it)).and_then(cut) {
        return stem;
    }
    let last = name.rsplit(['-', '_', '.']).next().unwrap_or_default();
    match is_hash(last).then(|| cut(last)) {
        Some(Some(stem)) => stem,
        _ => name,
    }
}

/// Whether an id of a container is nothing but a number that a program made up, and no name.
pub(super) fn is_id(text: &str) -> bool {
    let is_random = |text: &str| {
        text.len() >= 20
            && text.bytes().filter(u8::is_ascii_digit).count() >= 3
            && text
                .bytes()
                .all(|it| it.is_ascii_digit() || it.is_ascii_lowercase() || it == b'-')
            && text
                .split('-')
                .all(|it| it.bytes().any(|it| it.is_ascii_digit()))
    };
    is_uuid(text) || is_hash(text) || is_random(text)
}

/// What `name` of a unit is, with or without the escapes of systemd.
pub(super) fn unit(name: &str) -> Unit {
    let name = name.replace("\\x2d", "-");
    let (stem, suffix) = name.rsplit_once('.').unwrap_or((&name, ""));
    if suffix == "scope" {
        for manager in ["machine-qemu-", "machine-lxc-"] {
            if let Some(rest) = stem.strip_prefix(manager) {
                let machine = match rest.split_once('-') {
                    Some((number, name)) if number == "*" || is_number(number) => name,
                    _ => rest,
                };
                return Unit::Machine(machine.to_owned());
            }
        }
        if let Some(machine) = stem.strip_prefix("machine-") {
            return Unit::Machine(without_id(machine, None).to_owned());
        }
        let is_counted = ["session-", "run-u", "run-r", "run-p"]
            .iter()
            .any(|prefix| {
                let rest = stem.strip_prefix(prefix);
                rest.is_some_and(|it| it.starts_with(|it: char| it.is_ascii_hexdigit()))
            });
        let last = stem.rsplit('-').next().unwrap_or_default();
        if is_counted || last.len() == LONG_ID && is_hash(last) {
            return Unit::Transient;
        }
        // `app-gnome-org.x-4711.scope` is numbered by its process.
        if let Some((app, number)) = stem.rsplit_once('-')
            && stem.starts_with("app-")
            && is_number(number)
        {
            return Unit::Named(format!("{app}.scope"));
        }
        return Unit::Named(name);
    }
    let is_transient = ["run-u", "run-r", "run-p"].iter().any(|prefix| {
        let rest = stem.strip_prefix(prefix).unwrap_or_default();
        rest.starts_with(|it: char| it.is_ascii_digit()) || (rest.len() == 32 && is_hash(rest))
    });
    if is_transient {
        return Unit::Transient;
    }
    match stem.split_once('@') {
        // The instance was made up.
        Some((template, instance)) if is_hash(instance) || instance.is_empty() => {
            Unit::Named(format!("{template}@.{suffix}"))
        }
        Some((template, instance)) => {
            Unit::Instance(format!("{template}@.{suffix}"), instance.to_owned())
        }
        None => Unit::Named(name),
    }
}

/// An image without its tag and its digest: `registry:5000/postgres:16@sha256:…` → `registry:5000/postgres`.
/// None of what is only known by its digest.
pub(super) fn repository(image: &str) -> Option<&str> {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    let last = image.rfind('/').map_or(0, |at| at + 1);
    let name = match image[last..].find(':') {
        Some(tag) => &image[..last + tag],
        None => image,
    };
    let is_digest = name == "sha256" || (last == 0 && is_hash(name));
    (!name.is_empty() && !is_digest).then_some(name)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

/// Hexadecimal, long, and not a word that happens to be.
fn is_hash(text: &str) -> bool {
    text.len() >= HASH
        && text.bytes().all(|it| it.is_ascii_hexdigit())
        && text.bytes().any(|it| it.is_ascii_digit())
        && text.bytes().any(|it| it.is_ascii_alphabetic())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_swarm_id(text: &str) -> bool {
    text.len() == SWARM_ID
        && text
            .bytes()
            .all(|it| it.is_ascii_digit() || it.is_ascii_lowercase())
        && text.bytes().any(|it| it.is_ascii_digit())
}

/// What Docker and Podman call a container to which nobody gives a name: an adjective and a surname, and
/// a digit where that was taken.
fn is_of_two_words(name: &str) -> bool {
    let Some((first, second)) = name.split_once('_') else {
        return false;
    };
    let second = second
        .strip_suffix(|it: char| it.is_ascii_digit())
        .unwrap_or(second);
    second.len() >= 3
        && second.bytes().all(|it| it.is_ascii_lowercase())
        && ADJECTIVES.binary_search(&first).is_ok()
}

const ADJECTIVES: [&str; 108] = [
    "admiring",
    "adoring",
    "affectionate",
    "agitated",
    "amazing",
    "angry",
    "awesome",
    "beautiful",
    "blissful",
    "bold",
    "boring",
    "brave",
    "busy",
    "charming",
    "clever",
    "compassionate",
    "competent",
    "condescending",
    "confident",
    "cool",
    "cranky",
    "crazy",
    "dazzling",
    "determined",
    "distracted",
    "dreamy",
    "eager",
    "ecstatic",
    "elastic",
    "elated",
    "elegant",
    "eloquent",
    "epic",
    "exciting",
    "fervent",
    "festive",
    "flamboyant",
    "focused",
    "friendly",
    "frosty",
    "funny",
    "gallant",
    "gifted",
    "goofy",
    "gracious",
    "great",
    "happy",
    "hardcore",
    "heuristic",
    "hopeful",
    "hungry",
    "infallible",
    "inspiring",
    "intelligent",
    "interesting",
    "jolly",
    "jovial",
    "keen",
    "kind",
    "laughing",
    "loving",
    "lucid",
    "magical",
    "modest",
    "musing",
    "mystifying",
    "naughty",
    "nervous",
    "nice",
    "nifty",
    "nostalgic",
    "objective",
    "optimistic",
    "peaceful",
    "pedantic",
    "pensive",
    "practical",
    "priceless",
    "quirky",
    "quizzical",
    "recursing",
    "relaxed",
    "reverent",
    "romantic",
    "sad",
    "serene",
    "sharp",
    "silly",
    "sleepy",
    "stoic",
    "strange",
    "stupefied",
    "suspicious",
    "sweet",
    "tender",
    "thirsty",
    "trusting",
    "unruffled",
    "upbeat",
    "vibrant",
    "vigilant",
    "vigorous",
    "wizardly",
    "wonderful",
    "xenodochial",
    "youthful",
    "zealous",
    "zen",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_up_is_told_by_its_shape() {
        assert!(ADJECTIVES.is_sorted());
        let with = |name: &'static str, instance| Name::With {
            name: name.into(),
            instance,
        };
        for (name, expected) in [
            ("web", Name::Given),
            ("shop_web", Name::Given),
            ("shop-web-1", Name::Given),
            ("web-2024", Name::Given),
            ("big_data_1", Name::Given),
            ("deadbeef", Name::Given),
            ("redis.cache.internal", Name::Given),
            ("admiring_tesla", Name::MadeUp),
            ("zen_hopper3", Name::MadeUp),
            ("9ec39b91f3d7", Name::MadeUp),
            ("6f1c0b6e-9f3d-4f0e-8a7d-0c1b2a394857", Name::MadeUp),
            (
                "shop_web.1.k2j3h4k5j6h7k8j9h0k1j2h3k",
                with("shop_web", Some("1")),
            ),
            (
                "agent.z9y8x7w6v5u4t3s2r1q0p9o8n.k2j3h4k5j6h7k8j9h0k1j2h3k",
                with("agent", Some("z9y8x7w6v5u4t3s2r1q0p9o8n")),
            ),
            (
                "web-6f1c0b6e-9f3d-4f0e-8a7d-0c1b2a394857",
                with("web", None),
            ),
            ("ab12cd34ef56_shop-web-1", with("shop-web-1", None)),
            (
                "ecs-shop-3-web-c8f5e4d3b2a1917f",
                with("ecs-shop-web", None),
            ),
            ("kamal-web-4f797c539e6c745de61a", with("kamal-web", None)),
        ] {
            assert_eq!(container(name, None), expected, "{name}");
        }
        assert_eq!(container("web-7f", Some("7f")), with("web", None));
    }

    #[test]
    fn units_of_runtimes_are_told_from_those_with_names() {
        let machine = |name: &str| Unit::Machine(name.to_owned());
        let named = |name: &str| Unit::Named(name.to_owned());
        let instance = |one: &str, other: &str| Unit::Instance(one.to_owned(), other.to_owned());
        let id = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d";
        for (name, expected) in [
            (r"machine-qemu\x2d7\x2dweb.scope", machine("web")),
            ("machine-qemu-12-web.scope", machine("web")),
            ("machine-qemu-*-7-web.scope", machine("7-web")),
            (r"machine-lxc\x2d7\x2dweb.scope", machine("web")),
            ("machine-web.scope", machine("web")),
            ("nginx.service", named("nginx.service")),
            ("worker@1.service", instance("worker@.service", "1")),
            ("user@1000.service", instance("user@.service", "1000")),
            ("sshd@.service", named("sshd@.service")),
            ("app-gnome-org.x-4711.scope", named("app-gnome-org.x.scope")),
            ("run-u123.service", Unit::Transient),
            (
                "run-r0123456789abcdef0123456789abcdef.service",
                Unit::Transient,
            ),
            ("run-parts.service", named("run-parts.service")),
            ("session-12.scope", Unit::Transient),
            (&format!("docker-{id}.scope"), Unit::Transient),
            (&format!("crio-{id}.scope"), Unit::Transient),
            ("odd", named("odd")),
        ] {
            assert_eq!(unit(name), expected, "{name}");
        }
    }

    #[test]
    fn an_image_is_the_same_in_another_version() {
        for (image, expected) in [
            ("redis:7", Some("redis")),
            (
                "registry:5000/lib/postgres:16@sha256:0123",
                Some("registry:5000/lib/postgres"),
            ),
            (
                "registry:5000/lib/postgres",
                Some("registry:5000/lib/postgres"),
            ),
            ("sha256:9ec39b91f3d7", None),
            ("9ec39b91f3d7", None),
            ("", None),
        ] {
            assert_eq!(repository(image), expected, "{image}");
        }
    }
}
