//! Who is behind each end, as an operator calls it: containers of crun in the control groups of
//! other runtimes, units of systemd, programs.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    cgroup::{self, Cgroup},
    container, expect,
    netns::Netns,
    play::{self, Scene},
    tests,
    tracer::{Tracer, stream_command},
};

tests!("workloads":
    a_container_that_is_gone_at_once_has_its_name,
    what_the_runtime_knows_is_told,
    units_and_programs_have_theirs,
    what_v1_says_counts_too,
);

const ID: &str = "4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c";
const UID: &str = "0f2fcd43_4b4e_4c2c_9b52_1f0a3b5d7e91";

/// What Kubernetes is said to call this host.
const NODE: &str = "node-7";

/// The control group of each style, and what must be said of it.
fn styles() -> Vec<(String, Value)> {
    let id = |n: u32| format!("{ID}{n:04}");
    let short = "4c01db0b339c";
    let container = |n: u32, runtime: &str| {
        json!({
            "kind": "container", "name": short,
            "container": {"id": id(n), "runtime": runtime},
        })
    };
    let pod = |n: u32, runtime: &str| {
        json!({
            "kind": "pod", "name": UID.replace('_', "-"),
            "container": {"id": id(n), "runtime": runtime},
            "k8s": {"uid": UID.replace('_', "-"), "qos": "burstable", "node": NODE},
        })
    };
    let slice = "/kubepods.slice/kubepods-burstable.slice";
    let in_pod = format!("{slice}/kubepods-burstable-pod{UID}.slice");
    vec![
        (format!("/docker/{}", id(1)), container(1, "docker")),
        (
            format!("/system.slice/docker-{}.scope", id(2)),
            container(2, "docker"),
        ),
        (
            format!("/machine.slice/libpod-{}.scope", id(3)),
            container(3, "podman"),
        ),
        (
            format!("{in_pod}/cri-containerd-{}.scope", id(4)),
            pod(4, "containerd"),
        ),
        (format!("{in_pod}/crio-{}.scope", id(5)), pod(5, "cri-o")),
        (
            format!("/kubepods/burstable/pod{}/{}", UID.replace('_', "-"), id(6)),
            json!({
                "kind": "pod",
                "container": {"id": id(6)},
                "k8s": {"uid": UID.replace('_', "-"), "qos": "burstable", "node": NODE},
            }),
        ),
    ]
}

/// Listens; whoever dials is let in by the kernel alone.
fn listen(netns: &Netns) -> Result<(TcpListener, SocketAddr)> {
    netns.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
        let at = listener.local_addr()?;
        Ok((listener, at))
    })
}

fn a_container_that_is_gone_at_once_has_its_name() -> Result<()> {
    let netns = Netns::new()?;
    let programs = tempfile::tempdir().context("make a folder")?;
    let program = play::program(programs.path(), "once")?;
    let (listener, to) = listen(&netns)?;
    let args = play::arguments(&Scene::Once { to })?;
    let tracer = Tracer::stream(&["--k8s-node", NODE])?;
    for (path, _) in styles() {
        container::run(&netns, &path, &program, &args)?;
    }
    drop(listener);
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    for (path, workload) in styles() {
        for kind in ["connect", "close"] {
            let pattern = json!({
                "event": kind,
                "connection": {"direction": "outbound"},
                "process": {"comm": "once", "exe": "/program/once"},
                "workload": workload,
            });
            let line = expect::one(&format!("{kind} in {path}"), &pattern, &events)?;
            let told = line["process"]["args"].as_array().map(Vec::len);
            ensure!(told == Some(1 + args.len()), "the arguments: {line}");
        }
    }
    Ok(())
}

/// A folder of a runtime, as long as the value lives.
struct Bundle {
    folder: PathBuf,
}

impl Bundle {
    /// As containerd makes one for Kubernetes.
    fn of_containerd(id: &str, annotations: &Value) -> Result<Self> {
        let tasks = Path::new("/run/containerd/io.containerd.runtime.v2.task/k8s.io");
        let bundle = Self {
            folder: tasks.join(id),
        };
        fs::create_dir_all(&bundle.folder).context("make the folder of a bundle")?;
        let config = json!({"ociVersion": "1.0.2", "annotations": annotations});
        fs::write(bundle.folder.join("config.json"), config.to_string())
            .context("write the bundle")?;
        Ok(bundle)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        // What others use stays.
        for folder in self.folder.ancestors().skip(1).take(3) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// What containerd writes down before a container starts is in the lines of that container,
/// though it is gone at once; what is known only later is in the later ones.
fn what_the_runtime_knows_is_told() -> Result<()> {
    let id = |n: u32| format!("{ID}{n:04}");
    let netns = Netns::new()?;
    let programs = tempfile::tempdir().context("make a folder")?;
    let program = play::program(programs.path(), "once")?;
    let (listener, to) = listen(&netns)?;
    let args = play::arguments(&Scene::Once { to })?;
    let annotations = |name: &str| {
        json!({
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.container-name": name,
            "io.kubernetes.cri.image-name": "registry.example/shop/cart:1.4",
            "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.sandbox-name": "cart-7d4b9c6f5d-x2x9k",
            "io.kubernetes.cri.sandbox-uid": UID.replace('_', "-"),
        })
    };
    let path = |n: u32| {
        format!(
            "/kubepods.slice/kubepods-pod{UID}.slice/cri-containerd-{}.scope",
            id(n)
        )
    };
    let mut command = stream_command(&["-o", "json"])?;
    let mut tracer = Tracer::start(command.env("K8S_NODE_NAME", NODE))?;
    let bundle = Bundle::of_containerd(&id(11), &annotations("cart"))?;
    container::run(&netns, &path(11), &program, &args)?;
    // A runtime clears up when it has heard of the end, a moment later.
    tracer.wait_for("its end", |event| {
        event["event"] == "close" && event["workload"]["container"]["id"] == id(11).as_str()
    })?;
    drop(bundle);

    let stay = play::arguments(&Scene::Stay { to })?;
    let late = Cgroup::at(&path(12))?;
    let process = late.start(&netns, &program, &stay)?;
    let pid = process.pid();
    tracer.wait_for("the connection", |event| {
        event["event"] == "connect" && event["process"]["pid"] == pid
    })?;
    let _bundle = Bundle::of_containerd(&id(12), &annotations("late"))?;
    // It is looked for again after half a second, and then after a second.
    std::thread::sleep(Duration::from_secs(2));
    process.finish()?;

    drop(listener);
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    let workload = |n: u32, name: &str| {
        json!({
            "kind": "pod",
            "name": "cart",
            "container": {
                "id": id(n), "name": name, "image": "registry.example/shop/cart:1.4",
                "runtime": "containerd",
            },
            "k8s": {
                "namespace": "shop", "pod": "cart-7d4b9c6f5d-x2x9k", "qos": "guaranteed",
                "uid": UID.replace('_', "-"), "node": NODE,
            },
        })
    };
    for (kind, workload) in [
        ("connect", workload(11, "cart")),
        ("close", workload(11, "cart")),
        ("close", workload(12, "late")),
    ] {
        let pattern = json!({
            "event": kind,
            "connection": {"direction": "outbound"},
            "workload": workload,
        });
        expect::one(kind, &pattern, &events)?;
    }
    let early = json!({
        "event": "connect",
        "process": {"pid": pid},
        "workload": {"kind": "pod", "name": UID.replace('_', "-"), "container": {"id": id(12)}},
    });
    expect::one("before it was known", &early, &events)?;
    Ok(())
}

fn units_and_programs_have_theirs() -> Result<()> {
    let netns = Netns::new()?;
    let programs = tempfile::tempdir().context("make a folder")?;
    let program = play::program(programs.path(), "once")?;
    let (listener, to) = listen(&netns)?;
    let args = play::arguments(&Scene::Once { to })?;
    let tracer = Tracer::stream(&[])?;
    let unit = Cgroup::at("/system.slice/shop-web.service")?;
    let template = Cgroup::at("/system.slice/system-db.slice/db@main.service")?;
    let session = Cgroup::at("/user.slice/user-1000.slice/session-3.scope")?;
    for group in [&unit, &template, &session] {
        group.start(&netns, &program, &args)?.finish()?;
    }
    drop(listener);
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    for workload in [
        json!({"kind": "systemd", "name": "shop-web.service", "unit": "shop-web.service", "slice": "system.slice"}),
        json!({"kind": "systemd", "name": "db@main.service"}),
        json!({"kind": "executable", "name": "once"}),
    ] {
        for kind in ["connect", "close"] {
            let pattern = json!({
                "event": kind,
                "connection": {"direction": "outbound"},
                "process": {"comm": "once"},
                "workload": workload,
            });
            expect::one(&format!("{kind} of {workload}"), &pattern, &events)?;
        }
    }
    Ok(())
}

/// A hierarchy of v1, as systemd makes itself one: there the process is in a unit, in v2 it is at
/// the root.
fn what_v1_says_counts_too() -> Result<()> {
    let netns = Netns::new()?;
    let programs = tempfile::tempdir().context("make a folder")?;
    let program = play::program(programs.path(), "once")?;
    let (listener, to) = listen(&netns)?;
    let args = play::arguments(&Scene::Stay { to })?;
    let v1 = cgroup::V1::named("systemd")?;
    let mut tracer = Tracer::stream(&[])?;
    let unit = v1.at("/system.slice/old-web.service")?;
    let process = unit.start(&netns, &program, &args)?;
    // Of v1 only /proc tells, and only as long as it is there.
    let pid = process.pid();
    tracer.wait_for("the connection", |event| {
        event["event"] == "connect" && event["process"]["pid"] == pid
    })?;
    process.finish()?;
    drop(listener);
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    let pattern = json!({
        "event": "connect",
        "connection": {"direction": "outbound"},
        "workload": {"kind": "systemd", "name": "old-web.service"},
    });
    expect::one("the unit of v1", &pattern, &events)?;
    Ok(())
}
