#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot make its files fails"
)]

use std::{
    fs,
    future::Future,
    io::{Read as _, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, chown, symlink},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    thread,
};

use proptest::prelude::*;
use serde_json::json;

use super::{engine::Reply, *};
use crate::model::Owner;

const ID: &str = "6a825448c5ef07ac0c3b99532b18bdec0e1d0bb1eb41b4672d570634a1409a85";
const UID: &str = "005f082b-5fd9-4650-8ef4-473e63bc2d13";

/// A host of files made for a test.
struct Fake(tempfile::TempDir);

impl Fake {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, path: &str, json: &serde_json::Value) {
        let path = self.0.path().join(path.replace("ID", ID));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, json.to_string()).unwrap();
    }

    fn socket(&self, path: &str) -> UnixListener {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        UnixListener::bind(path).unwrap()
    }

    fn host(&self) -> Host {
        Host {
            root: self.0.path().to_path_buf(),
            node: Some("node-1".into()),
        }
    }

    fn worker(&self) -> Worker {
        Worker::new(self.host())
    }

    fn answer(&self, runtime: Option<&str>, owner: Option<u32>) -> Answer {
        let question = Question {
            key: Key {
                id: ID.into(),
                owner,
            },
            runtime: runtime.map(Into::into),
        };
        run(self.worker().answer(&question))
    }

    fn container(&self) -> Container {
        self.answer(None, None).found.unwrap().container
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let tokio = tokio::runtime::Builder::new_current_thread();
    let tokio = { tokio }.enable_all().build().unwrap();
    tokio.block_on(work)
}

fn ask(worker: &Worker, hint: Option<&str>) -> Reply {
    run(worker.engines().ask(&ID.into(), hint, None))
}

fn me() -> u32 {
    rustix::process::getuid().as_raw()
}

fn named(container: &Container) -> [Option<&str>; 3] {
    [&container.name, &container.image, &container.runtime].map(|text| text.as_deref())
}

/// Answers one connection with `answer`, as a runtime would.
fn serve(listener: UnixListener, answer: String) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut byte = [0];
        while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            asked.extend_from_slice(&byte);
        }
        // It may have hung up.
        let _ = stream.write_all(answer.as_bytes());
        String::from_utf8(asked).unwrap()
    })
}

/// An answer of the API.
fn described(name: &str) -> String {
    let mut body = description();
    body["Name"] = format!("/{name}").into();
    format!("HTTP/1.0 200 OK\r\n\r\n{body}")
}

fn description() -> serde_json::Value {
    json!({
        "Id": ID, "Name": "/shop-web-1",
        "Config": {"Image": "nginx:1.27", "Labels": {"com.docker.compose.service": "web"}},
    })
}

#[test]
fn a_container_of_a_pod_by_containerd() {
    let host = Fake::new();
    host.file(
        "run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json",
        &json!({"ociVersion": "1.1.0", "annotations": {
            "io.kubernetes.cri.container-name": "web",
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.image-name": "docker.io/library/nginx:1.27",
            "io.kubernetes.cri.sandbox-id": "446c65ab43d4",
            "io.kubernetes.cri.sandbox-name": "web-6d5f8c9b7-x2x9z",
            "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.sandbox-uid": UID,
        }}),
    );
    let answer = host.answer(Some("containerd"), None);
    assert!(answer.is_whole);
    let found = answer.found.unwrap();
    assert_eq!(
        named(&found.container),
        [
            Some("web"),
            Some("docker.io/library/nginx:1.27"),
            Some("containerd")
        ]
    );
    assert_eq!(
        found.k8s.unwrap(),
        Kubernetes {
            namespace: Some("shop".into()),
            pod: Some("web-6d5f8c9b7-x2x9z".into()),
            uid: Some(UID.into()),
            qos: None,
            owner: Some(Owner {
                kind: "Deployment".into(),
                name: "web".into()
            }),
            node: None,
        }
    );
}

#[test]
fn the_sandbox_of_a_pod_by_k3s() {
    let host = Fake::new();
    host.file(
        "run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json",
        &json!({"annotations": {
            "io.kubernetes.cri.container-type": "sandbox",
            "io.kubernetes.cri.sandbox-name": "db-0",
            "io.kubernetes.cri.sandbox-namespace": "shop",
        }}),
    );
    assert_eq!(
        named(&host.container()),
        [Some("POD"), None, Some("containerd")]
    );
}

#[test]
fn a_container_of_a_pod_by_cri_o() {
    let host = Fake::new();
    host.file(
        "run/containers/storage/overlay-containers/ID/userdata/config.json",
        &json!({"annotations": {
            "io.container.manager": "cri-o",
            "io.kubernetes.container.name": "web",
            "io.kubernetes.cri-o.ContainerType": "container",
            "io.kubernetes.cri-o.ImageName": "docker.io/library/nginx@sha256:aa",
            "io.kubernetes.cri-o.Image": "docker.io/library/nginx:1.27",
            "io.kubernetes.cri-o.Labels":
                r#"{"io.kubernetes.container.name":"web","io.kubernetes.pod.uid":"005f","tier":"front"}"#,
            "io.kubernetes.cri-o.Name": "k8s_web_fluentd-x2x9z_shop_005f_0",
            "io.kubernetes.pod.name": "fluentd-x2x9z",
            "io.kubernetes.pod.namespace": "shop",
            "io.kubernetes.pod.uid": UID,
        }}),
    );
    let found = host.answer(None, None).found.unwrap();
    assert_eq!(
        named(&found.container),
        [
            Some("web"),
            Some("docker.io/library/nginx:1.27"),
            Some("cri-o")
        ]
    );
    let labels: Vec<_> = found.container.labels.keys().map(|key| &**key).collect();
    assert_eq!(labels, ["tier"]);
    assert_eq!(found.k8s.unwrap().owner.unwrap().name, "fluentd".into());
}

/// As Podman 4.3.1 left it.
#[test]
fn a_container_by_podman() {
    let host = Fake::new();
    let base = "var/lib/containers/storage/overlay-containers";
    host.file(
        &format!("{base}/ID/userdata/config.json"),
        &json!({"annotations": {
            "io.container.manager": "libpod",
            "io.kubernetes.cri-o.Created": "2026-11-23T05:23:38.559154574Z",
            "io.kubernetes.cri-o.TTY": "false",
            "io.podman.annotations.privileged": "FALSE",
        }}),
    );
    host.file(
        &format!("{base}/volatile-containers.json"),
        &json!([{"id": "other", "names": null}, {
            "id": ID, "names": ["web2"], "image": "e68503b3",
            "metadata": "{\"image-name\":\"localhost/tiny:1\",\"name\":\"web2\",\"created-at\":1795411418}",
            "flags": {"MountLabel": ""},
        }]),
    );
    assert_eq!(
        named(&host.container()),
        [Some("web2"), Some("localhost/tiny:1"), Some("podman")]
    );
}

#[test]
fn a_container_by_docker_is_named_by_its_own_file() {
    let host = Fake::new();
    host.file(
        "run/containerd/io.containerd.runtime.v2.task/moby/ID/config.json",
        &json!({"ociVersion": "1.1.0"}),
    );
    let mut description = description();
    description["ID"] = description["Id"].take();
    description.as_object_mut().unwrap().remove("Id");
    host.file("var/lib/docker/containers/ID/config.v2.json", &description);
    let answer = host.answer(Some("docker"), None);
    assert!(answer.is_whole);
    let container = answer.found.unwrap().container;
    assert_eq!(
        named(&container),
        [Some("shop-web-1"), Some("nginx:1.27"), Some("docker")]
    );
    assert_eq!(container.labels["com.docker.compose.service"], "web".into());
}

#[test]
fn containers_by_runc_and_nerdctl() {
    let host = Fake::new();
    host.file(
        "run/runc/ID/state.json",
        &json!({"id": ID, "config": {"labels": ["bundle=/tmp/b", "nerdctl/name=api", "app=shop", "x"]}}),
    );
    let container = host.container();
    assert_eq!(named(&container), [Some("api"), None, Some("containerd")]);
    assert_eq!(container.labels["app"], "shop".into());
}

/// What crun keeps of a container of the user `uid`, and what Podman's storage calls it.
fn users_files(host: &Fake, uid: u32) {
    let bundle = format!("/home/u/storage/overlay-containers/{ID}/userdata");
    host.file(
        &format!("run/user/{uid}/crun/ID/status"),
        &json!({"pid": 7, "bundle": bundle}),
    );
    host.file(
        &format!("{}/config.json", &bundle[1..]),
        &json!({"annotations": {"io.container.manager": "libpod"}}),
    );
    host.file(
        "home/u/storage/overlay-containers/containers.json",
        &json!([{"id": ID, "names": ["mine"], "metadata": ""}]),
    );
}

#[test]
fn a_container_of_a_user_is_found_only_as_that_users() {
    let host = Fake::new();
    users_files(&host, me());
    let found = host.answer(None, Some(me())).found.unwrap();
    assert_eq!(
        named(&found.container),
        [Some("mine"), None, Some("podman")]
    );
    for owner in [None, Some(me() + 1)] {
        assert!(host.answer(None, owner).found.is_none());
    }
}

/// What a user says of an id that is one of the administrator's containers.
#[test]
fn what_a_users_runtime_says_names_no_container_of_the_administrators() {
    let host = Fake::new();
    users_files(&host, me());
    let own = format!("run/user/{}", me());
    let _docker = serve(
        host.socket(&format!("{own}/docker.sock")),
        described("theirs"),
    );
    let server = serve(host.socket("run/docker.sock"), described("payments-db"));
    // Likewise the other way round: another one's id does not give that one's name to a user's container.
    let mut runtimes = Runtimes::new(&host.host()).unwrap();
    let start = Instant::now();
    for owner in [Some(me()), None] {
        runtimes.ask_at(start, ID, None, owner);
    }
    let name = |runtimes: &mut Runtimes, owner| {
        polled(runtimes, start);
        let found = runtimes.ask_at(start, ID, None, owner);
        found.and_then(|it| it.container.name.clone())
    };
    while name(&mut runtimes, None).is_none() || name(&mut runtimes, Some(me())).is_none() {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(name(&mut runtimes, None).as_deref(), Some("payments-db"));
    assert_eq!(name(&mut runtimes, Some(me())).as_deref(), Some("mine"));
    server.join().unwrap();
}

/// As a user does it who wants to be told what only root is told.
#[test]
fn nobody_is_led_to_a_socket_that_is_anothers() {
    let uid = if me() == 0 { 12_345 } else { me() };
    let own = format!("run/user/{uid}");
    let owned = |host: &Fake, path: &str, to: u32| {
        if me() == 0 {
            chown(host.0.path().join(path), Some(to), None).unwrap();
        }
    };
    let begin = || {
        let host = Fake::new();
        fs::create_dir_all(host.0.path().join(&own)).unwrap();
        owned(&host, &own, uid);
        host
    };
    let is_asked = |host: &Fake, listener: &UnixListener, owner| {
        listener.set_nonblocking(true).unwrap();
        let worker = host.worker();
        let reply = run(worker.engines().ask(&ID.into(), Some("docker"), owner));
        let is_asked = listener.accept().is_ok();
        assert_eq!(is_asked, reply == Reply::Silence, "{reply:?}");
        is_asked
    };
    // A link to the socket of somebody else, and one to the folder that it is in.
    let host = begin();
    let secret = host.socket("run/secret/docker.sock");
    let at = |path: &str| host.0.path().join(path);
    symlink(
        at("run/secret/docker.sock"),
        at(&format!("{own}/docker.sock")),
    )
    .unwrap();
    assert!(!is_asked(&host, &secret, Some(uid)));
    symlink(at("run/secret/docker.sock"), at("run/docker.sock")).unwrap();
    assert!(!is_asked(&host, &secret, None));
    fs::remove_dir_all(at(&own)).unwrap();
    symlink(at("run/secret"), at(&own)).unwrap();
    assert!(!is_asked(&host, &secret, Some(uid)));
    // In a folder that others may write, whose socket it is does not count.
    let host = begin();
    let path = format!("{own}/docker.sock");
    let open = host.socket(&path);
    owned(&host, &path, uid);
    let mode =
        |mode| fs::set_permissions(host.0.path().join(&own), fs::Permissions::from_mode(mode));
    mode(0o777).unwrap();
    assert!(!is_asked(&host, &open, Some(uid)));
    if me() != 0 {
        mode(0o700).unwrap();
        assert!(is_asked(&host, &open, Some(uid)));
        return;
    }
    // The file is the user's, but root listens.
    mode(0o700).unwrap();
    open.set_nonblocking(true).unwrap();
    let reply = run(host
        .worker()
        .engines()
        .ask(&ID.into(), Some("docker"), Some(uid)));
    assert_eq!(reply, Reply::Silence);
    let (mut asker, _) = open.accept().unwrap();
    let mut heard = Vec::new();
    asker.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"", "it must not be told anything");
    // A second name of root's socket in a folder of the user's.
    let host = begin();
    let roots = host.socket("run/docker.sock");
    fs::hard_link(
        host.0.path().join("run/docker.sock"),
        host.0.path().join(&path),
    )
    .unwrap();
    assert!(!is_asked(&host, &roots, Some(uid)));
    assert!(is_asked(&host, &roots, None));
    // And a socket that a user put where the administrator's would be.
    owned(&host, "run/docker.sock", uid);
    assert!(!is_asked(&host, &roots, None));
}

/// Files are a user's own as well.
#[test]
fn no_file_is_read_through_what_a_user_put_there() {
    let uid = if me() == 0 { 12_345 } else { me() };
    let host = Fake::new();
    users_files(&host, uid);
    let own = host.0.path().join(format!("run/user/{uid}"));
    let home = host.0.path().join("home/u");
    let give = |path: &Path| {
        if me() != 0 {
            return;
        }
        let status = std::process::Command::new("chown")
            .args(["-R", &uid.to_string()])
            .arg(path)
            .status();
        assert!(status.unwrap().success());
    };
    give(&own);
    give(&home);
    assert!(host.answer(None, Some(uid)).found.is_some());
    let config = home.join(format!(
        "storage/overlay-containers/{ID}/userdata/config.json"
    ));
    let secret = host.0.path().join("secret");
    fs::rename(&config, &secret).unwrap();
    symlink(&secret, &config).unwrap();
    assert!(host.answer(None, Some(uid)).found.is_none());
    if me() == 0 {
        fs::remove_file(&config).unwrap();
        chown(&secret, Some(0), None).unwrap();
        fs::hard_link(&secret, &config).unwrap();
        assert!(host.answer(None, Some(uid)).found.is_none());
    }
}

/// Says what `say` has it say to each who asks.
fn tell(listener: UnixListener, say: fn(&mut UnixStream)) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || say(&mut { stream }));
        }
    });
}

/// Each of these kept the thread, and so the names of all, for as long as it was waited for.
#[test]
fn a_hostile_runtime_delays_no_other() {
    let endless: fn(&mut UnixStream) = |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b' '; 4096]).is_ok() {}
    };
    let trickling: fn(&mut UnixStream) = |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    };
    let headless: fn(&mut UnixStream) = |stream| {
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    };
    let silent: fn(&mut UnixStream) = |stream| {
        let _ = stream.read(&mut [0; 4096]);
        thread::sleep(Duration::from_secs(5));
    };
    for say in [endless, trickling, headless, silent] {
        let host = Fake::new();
        let own = format!("run/user/{}", me());
        for path in ["docker.sock", "podman/podman.sock"] {
            tell(host.socket(&format!("{own}/{path}")), say);
        }
        tell(host.socket("run/podman/podman.sock"), say);
        let docker = host.socket("run/docker.sock");
        tell(docker, |stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(described("payments-db").as_bytes());
        });
        let mut runtimes = Runtimes::new(&host.host()).unwrap();
        let begun = Instant::now();
        for n in 0..64 {
            runtimes.ask(&format!("{n:064}"), None, Some(me()));
        }
        runtimes.ask(ID, None, None);
        let found = loop {
            runtimes.poll();
            if let Some(found) = runtimes.ask(ID, None, None) {
                break found;
            }
            assert!(begun.elapsed() < Duration::from_millis(700), "too late");
            thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(found.container.name.as_deref(), Some("payments-db"));
    }
}

#[test]
fn the_api_is_asked_for_what_files_do_not_tell() {
    let host = Fake::new();
    let body = description().to_string();
    let (one, two) = body.split_at(20);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        one.len(),
        two.len()
    );
    let server = serve(host.socket("run/docker.sock"), answer);
    let answer = host.answer(None, None);
    assert!(answer.is_whole);
    assert_eq!(
        named(&answer.found.unwrap().container),
        [Some("shop-web-1"), Some("nginx:1.27"), Some("docker")]
    );
    let asked = server.join().unwrap();
    assert!(asked.starts_with(&format!("GET /containers/{ID}/json HTTP/1.1\r\n")));
}

#[test]
fn answers_that_are_none() {
    let long = "x".repeat(2 << 20);
    let other = description().to_string().replace(ID, "0123");
    let cases = [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
            Reply::Unknown,
        ),
        (format!("HTTP/1.0 200 OK\r\n\r\n{other}"), Reply::Unknown),
        ("HTTP/1.0 200 OK\r\n\r\n{".to_owned(), Reply::Unknown),
        (
            "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
            Reply::Silence,
        ),
        (format!("HTTP/1.0 200 OK\r\n\r\n{long}"), Reply::Silence),
        (format!("HTTP/1.1 200 {long}"), Reply::Silence),
        ("hello\r\n\r\n".to_owned(), Reply::Silence),
        (String::new(), Reply::Silence),
    ];
    for (answer, expected) in cases {
        let host = Fake::new();
        let server = serve(host.socket("run/podman/podman.sock"), answer.clone());
        let reply = ask(&host.worker(), Some("podman"));
        assert_eq!(reply, expected, "{:.40}", answer);
        drop(server);
    }
}

#[test]
fn a_runtime_that_does_not_answer_is_left_alone() {
    let host = Fake::new();
    let listener = host.socket("run/docker.sock");
    let worker = host.worker();
    assert_eq!(ask(&worker, None), Reply::Silence);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_ok());
    // No second connection, and other runtimes are not affected.
    assert_eq!(ask(&worker, None), Reply::Silence);
    assert!(listener.accept().is_err());
    assert_eq!(ask(&worker, Some("podman")), Reply::Unknown);
}

fn polled(runtimes: &mut Runtimes, now: Instant) -> Vec<Found> {
    // Nothing is known of how long it takes; a hang is found by whoever runs the tests.
    loop {
        let found = runtimes.poll_at(now);
        let mut waits = false;
        runtimes
            .known
            .each(|_, _, it| waits |= it.retry.is_none() && it.found.is_none());
        if !found.is_empty() || !waits {
            return found;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_container_is_asked_for_once_and_again_only_if_it_was_not_found() {
    let host = Fake::new();
    let mut runtimes = Runtimes::new(&host.host()).unwrap();
    let start = Instant::now();
    assert_eq!(runtimes.ask_at(start, "../etc", None, None), None);
    assert!(runtimes.known.peek("../etc", None).is_none());
    assert_eq!(runtimes.ask_at(start, ID, None, None), None);
    assert_eq!(polled(&mut runtimes, start), []);
    host.file("var/lib/docker/containers/ID/config.v2.json", &{
        let mut it = description();
        it["ID"] = it["Id"].take();
        it.as_object_mut().unwrap().remove("Id");
        it
    });
    // Too early.
    assert_eq!(runtimes.poll_at(start), []);
    assert!(runtimes.known.peek(ID, None).unwrap().retry.is_some());
    let later = start + FIRST_RETRY;
    assert_eq!(runtimes.poll_at(later), []);
    let found = polled(&mut runtimes, later);
    assert_eq!(named(&found[0].container)[0], Some("shop-web-1"));
    let long_after = later + 2 * LAST_RETRY;
    let known = runtimes.ask_at(long_after, ID, None, None).unwrap();
    assert_eq!(*known, found[0]);
    assert_eq!(runtimes.known.peek(ID, None).unwrap().tries, 2);
}

/// JSON of the right members and any contents, and of any members.
fn json_like() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        1 => Just("io.kubernetes.cri.container-name".to_owned()),
        1 => Just("io.kubernetes.cri-o.Labels".to_owned()),
        1 => Just("nerdctl/name".to_owned()),
        1 => "[aä]{0,400}",
        40 => "[a-z]{1,8}",
    ];
    let text =
        prop_oneof![20 => ".{0,20}", 1 => "[aä]{0,700}", 1 => Just(r#"{"a":"b"}"#.to_owned())];
    let pairs = proptest::collection::btree_map(key, text, 0..80);
    (pairs, ".{0,600}").prop_map(|(pairs, name)| {
        let labels: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        json!({
            "annotations": pairs, "Id": ID, "Name": name,
            "Config": {"Image": name, "Labels": pairs},
            "config": {"labels": labels},
        })
        .to_string()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        checks::containers(&bytes, ID);
    }

    #[test]
    fn any_members_are_bounded(text in json_like(), cut in 0..200usize) {
        checks::containers(text.as_bytes(), ID);
        checks::containers(&text.as_bytes()[..text.len().saturating_sub(cut)], ID);
    }
}
