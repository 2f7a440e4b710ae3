//! Paths as they were seen, or as the sources of systemd, the kubelet and the runtimes make
//! them, each with the name of its layout.

use super::*;

const ID: &str = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d";
const OTHER: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";
const UID: &str = "4eede96e-e976-4573-bc90-68dfe2516d3b";
const STATIC: &str = "7a2c5f0e9d4b4f7db0e83b1c2f6a9d10";

/// A membership as a short text: what is there, in a fixed order.
fn told(path: &str) -> String {
    let path = path
        .replace("{ID}", ID)
        .replace("{OTHER}", OTHER)
        .replace("{UID}", UID)
        .replace("{U_ID}", &UID.replace('-', "_"))
        .replace("{STATIC}", STATIC);
    let found = membership(&path);
    let container = |it: &FoundContainer| format!("{}:{}", it.runtime.unwrap_or("?"), it.id);
    let parts = [
        (
            "pod",
            found.pod.map(|it| format!("{}:{}", it.qos.name(), it.uid)),
        ),
        ("container", found.container.as_ref().map(container)),
        ("around", found.around.as_ref().map(container)),
        ("machine", found.machine.map(|it| it.to_string())),
        ("unit", found.unit.map(|it| it.to_string())),
        ("slice", found.slice.map(|it| it.to_string())),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
        .collect();
    let short = parts
        .join(" ")
        .replace(ID, "{ID}")
        .replace(OTHER, "{OTHER}");
    short.replace(UID, "{UID}").replace(STATIC, "{STATIC}")
}

fn check(table: &[(&str, &str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter(|(_, path, expected)| told(path) != *expected)
        .map(|(layout, path, expected)| {
            format!(
                "{layout}: {path}\n  is       {}\n  expected {expected}",
                told(path)
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn systemd() {
    check(&[
        (
            "service",
            "/system.slice/nginx.service",
            "unit=nginx.service slice=system.slice",
        ),
        (
            "template",
            "/system.slice/system-foo.slice/foo@bar.service",
            "unit=foo@bar.service slice=system-foo.slice",
        ),
        (
            "below a service that delegates",
            "/system.slice/foo.service/worker/3",
            "unit=foo.service slice=system.slice",
        ),
        (
            "user manager",
            "/user.slice/user-1000.slice/user@1000.service/init.scope",
            "unit=user@1000.service slice=user-1000.slice",
        ),
        (
            "user unit",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service",
            "unit=foo.service slice=app.slice",
        ),
        (
            "user's program",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-4711.scope",
            "slice=app.slice",
        ),
        (
            "user's program as a service",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.kde.kate@7a2c5f0e9d4b4f7db0e83b1c2f6a9d10.service",
            "slice=app.slice",
        ),
        (
            "terminal",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-4eede96e-e976-4573-bc90-68dfe2516d3b.scope",
            "slice=app.slice",
        ),
        (
            "session",
            "/user.slice/user-1000.slice/session-3.scope",
            "slice=user-1000.slice",
        ),
        (
            "session of a class",
            "/user.slice/user-1000.slice/session-c2.scope",
            "slice=user-1000.slice",
        ),
        ("pid 1", "/init.scope", ""),
        ("root", "/", ""),
        ("nothing", "", ""),
        (
            "transient scope",
            "/system.slice/run-u7.scope",
            "slice=system.slice",
        ),
        (
            "transient scope of systemd 231",
            "/system.slice/run-r7a2c5f0e9d4b4f7db0e83b1c2f6a9d10.scope",
            "slice=system.slice",
        ),
        (
            "scope that was named",
            "/system.slice/backup.scope",
            "unit=backup.scope slice=system.slice",
        ),
        (
            "transient service",
            "/system.slice/run-u7.service",
            "slice=system.slice",
        ),
        (
            "transient service of systemd 231",
            "/system.slice/run-r7a2c5f0e9d4b4f7db0e83b1c2f6a9d10.service",
            "slice=system.slice",
        ),
        (
            "transient service of systemd 256",
            "/system.slice/run-p412-i7.service",
            "slice=system.slice",
        ),
        (
            "service that only begins like one",
            "/system.slice/run-parts.service",
            "unit=run-parts.service slice=system.slice",
        ),
        (
            "D-Bus activation",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/dbus-:1.2-org.gnome.Foo@0.service",
            "slice=app.slice",
        ),
        (
            "service per connection",
            "/system.slice/system-sshd.slice/sshd@7-192.0.2.1:22-192.0.2.2:51234.service",
            "unit=sshd@.service slice=system-sshd.slice",
        ),
        (
            "service per local connection",
            "/system.slice/system-foo.slice/foo@3-1234-0.service",
            "unit=foo@.service slice=system-foo.slice",
        ),
        (
            "instance with a number",
            "/system.slice/system-postgresql.slice/postgresql@16-main.service",
            "unit=postgresql@16-main.service slice=system-postgresql.slice",
        ),
        (
            "escape in a name",
            r"/system.slice/system-a\x2db.slice/a\x2db@c.service",
            "unit=a-b@c.service slice=system-a-b.slice",
        ),
        (
            "escape that is none",
            r"/system.slice/a\x2gb\x.service",
            r"unit=a\x2gb\x.service slice=system.slice",
        ),
        (
            "escape of what cannot be shown",
            r"/system.slice/a\x0a\x2f\x1bb.service",
            r"unit=a\x0a\x2f\x1bb.service slice=system.slice",
        ),
        (
            "escape for the kernel",
            "/system.slice/_cpu.service",
            "unit=cpu.service slice=system.slice",
        ),
        (
            "socket",
            "/system.slice/foo.socket",
            "unit=foo.socket slice=system.slice",
        ),
        (
            "mount, of FUSE",
            "/system.slice/srv-data.mount",
            "unit=srv-data.mount slice=system.slice",
        ),
        (
            "cgroup namespace",
            "/../../system.slice/nginx.service",
            "unit=nginx.service slice=system.slice",
        ),
        (
            "cgroup namespace of a session",
            "/../../../system.slice/cron.service",
            "unit=cron.service slice=system.slice",
        ),
    ]);
}

#[test]
fn containers() {
    check(&[
        ("docker, cgroupfs", "/docker/{ID}", "container=docker:{ID}"),
        (
            "docker, systemd",
            "/system.slice/docker-{ID}.scope",
            "container=docker:{ID} slice=system.slice",
        ),
        (
            "docker compose with a parent",
            "/shop.slice/docker-{ID}.scope",
            "container=docker:{ID} slice=shop.slice",
        ),
        (
            "docker with a parent, cgroupfs",
            "/shop/{ID}",
            "container=?:{ID}",
        ),
        ("docker, old Debian", "/{ID}", "container=?:{ID}"),
        (
            "docker, rootless",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope",
            "container=docker:{ID} slice=user.slice",
        ),
        (
            "docker, meant for systemd",
            "/system.slice:docker:{ID}",
            "container=docker:{ID} slice=system.slice",
        ),
        (
            "docker, sibling in a namespace",
            "/../{ID}",
            "container=?:{ID}",
        ),
        (
            "docker in docker, cgroupfs",
            "/docker/{ID}/docker/{OTHER}",
            "container=docker:{OTHER} around=docker:{ID}",
        ),
        (
            "docker in docker, v2",
            "/system.slice/docker-{ID}.scope/docker/{OTHER}",
            "container=docker:{OTHER} around=docker:{ID} slice=system.slice",
        ),
        (
            "dockerd of docker in docker",
            "/system.slice/docker-{ID}.scope/init",
            "container=docker:{ID} slice=system.slice",
        ),
        (
            "systemd in docker",
            "/system.slice/docker-{ID}.scope/system.slice/nginx.service",
            "container=docker:{ID} unit=nginx.service slice=system.slice",
        ),
        (
            "systemd itself in docker",
            "/docker/{ID}/init.scope",
            "container=docker:{ID}",
        ),
        (
            "GitHub Actions",
            "/actions_job/{ID}",
            "container=docker:{ID}",
        ),
        (
            "scope of docker's name only",
            "/system.slice/docker-foo.scope",
            "unit=docker-foo.scope slice=system.slice",
        ),
        (
            "podman",
            "/machine.slice/libpod-{ID}.scope",
            "container=podman:{ID} slice=machine.slice",
        ),
        (
            "podman with crun",
            "/machine.slice/libpod-{ID}.scope/container",
            "container=podman:{ID} slice=machine.slice",
        ),
        (
            "podman, rootless",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
            "container=podman:{ID} slice=user.slice",
        ),
        (
            "conmon of podman",
            "/machine.slice/libpod-conmon-{ID}.scope",
            "slice=machine.slice",
        ),
        (
            "conmon of podman, rootless",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-conmon-{ID}.scope",
            "slice=user.slice",
        ),
        (
            "podman, cgroupfs",
            "/libpod_parent/libpod-{ID}",
            "container=podman:{ID}",
        ),
        (
            "conmon of podman, cgroupfs",
            "/libpod_parent/libpod-conmon-{ID}",
            "",
        ),
        (
            "podman's pod",
            "/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope",
            "container=podman:{ID} slice=machine-libpod_pod_{OTHER}.slice",
        ),
        (
            "podman, quadlet",
            "/system.slice/web.service/libpod-payload-{ID}",
            "container=podman:{ID} unit=web.service slice=system.slice",
        ),
        (
            "conmon of a quadlet",
            "/system.slice/web.service/runtime",
            "unit=web.service slice=system.slice",
        ),
        (
            "containerd, ctr",
            "/default/redis",
            "container=containerd:redis",
        ),
        (
            "containerd, nerdctl, cgroupfs",
            "/default/{ID}",
            "container=containerd:{ID}",
        ),
        (
            "containerd, nerdctl, systemd",
            "/system.slice/nerdctl-{ID}.scope",
            "container=containerd:{ID} slice=system.slice",
        ),
        (
            "containerd for kubernetes, no pod",
            "/k8s.io/{ID}",
            "container=containerd:{ID}",
        ),
        (
            "containerd, other namespace",
            "/system.slice/cri-containerd-{ID}.scope",
            "container=containerd:{ID} slice=system.slice",
        ),
        ("folder default further below", "/foo/default/redis", ""),
        (
            "CRI-O, no pod",
            "/system.slice/crio-{ID}.scope",
            "container=cri-o:{ID} slice=system.slice",
        ),
        ("CRI-O, cgroupfs", "/crio/crio-{ID}", "container=cri-o:{ID}"),
        (
            "conmon of CRI-O",
            "/system.slice/crio-conmon-{ID}.scope",
            "slice=system.slice",
        ),
        ("conmon of CRI-O, cgroupfs", "/crio/crio-conmon-{ID}", ""),
        (
            "runc, systemd",
            "/system.slice/runc-box-1.scope",
            "container=runc:box-1 slice=system.slice",
        ),
        (
            "crun, systemd",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/crun-box.scope",
            "container=crun:box slice=user.slice",
        ),
        ("crun, cgroupfs", "/box", ""),
        (
            "runc in a session, cgroupfs",
            "/user.slice/user-0.slice/session-1.scope/box",
            "slice=user-0.slice",
        ),
        (
            "buildkit",
            "/buildkit/x3v8q0k5m1n2b7c4z9l6j8h0g",
            "container=buildkit:x3v8q0k5m1n2b7c4z9l6j8h0g",
        ),
        (
            "buildkit of docker",
            "/docker/buildkit/x3v8q0k5m1n2b7c4z9l6j8h0g",
            "container=buildkit:x3v8q0k5m1n2b7c4z9l6j8h0g",
        ),
        (
            "garden",
            "/system.slice/garden.service/garden/4eede96e-e976-4573-bc90-68df",
            "container=garden:4eede96e-e976-4573-bc90-68df unit=garden.service slice=system.slice",
        ),
        (
            "garden, of two kinds",
            "/garden/good/4eede96e-e976-4573-bc90-68df",
            "container=garden:4eede96e-e976-4573-bc90-68df",
        ),
        ("ECS", "/ecs/{UID}/{ID}", "container=docker:{ID}"),
        (
            "ECS with a cluster",
            "/ecs/shop/{STATIC}/{ID}",
            "container=docker:{ID}",
        ),
        (
            "ECS, systemd",
            "/ecstasks.slice/ecstasks-{STATIC}.slice/docker-{ID}.scope",
            "container=docker:{ID} slice=ecstasks-{STATIC}.slice",
        ),
        (
            "ECS on Fargate",
            "/ecs/{STATIC}/{STATIC}-2574839563",
            "container=containerd:{STATIC}-2574839563",
        ),
    ]);
}

#[test]
fn system_containers_and_machines() {
    check(&[
        ("lxc, v1", "/lxc/web", "container=lxc:web"),
        (
            "lxc, Proxmox",
            "/lxc/101/ns/system.slice/ssh.service",
            "container=lxc:101 unit=ssh.service slice=system.slice",
        ),
        ("lxc 4", "/lxc.payload.web", "container=lxc:web"),
        (
            "incus, systemd inside",
            "/lxc.payload.web/system.slice/nginx.service",
            "container=lxc:web unit=nginx.service slice=system.slice",
        ),
        (
            "lxc, folder",
            "/lxc.payload/web/init.scope",
            "container=lxc:web",
        ),
        ("lxc's monitor", "/lxc.monitor.web", ""),
        ("lxc's monitor, folder", "/lxc.monitor/101", ""),
        (
            "docker in incus",
            "/lxc.payload.web/system.slice/docker-{ID}.scope",
            "container=docker:{ID} around=lxc:web slice=system.slice",
        ),
        (
            "nspawn",
            "/machine.slice/systemd-nspawn@foo.service/payload/system.slice/a.service",
            "container=nspawn:foo unit=a.service slice=system.slice",
        ),
        (
            "nspawn, name with hyphen",
            r"/machine.slice/systemd-nspawn@foo\x2dbar.service/payload",
            "container=nspawn:foo-bar unit=systemd-nspawn@foo-bar.service slice=machine.slice",
        ),
        (
            "nspawn itself",
            "/machine.slice/systemd-nspawn@foo.service/supervisor",
            "unit=systemd-nspawn@foo.service slice=machine.slice",
        ),
        (
            "nspawn by hand",
            "/machine.slice/machine-foo.scope/payload/init.scope",
            "container=nspawn:foo slice=machine.slice",
        ),
        (
            "nspawn itself by hand",
            "/machine.slice/machine-foo.scope/supervisor",
            "unit=machine-foo.scope slice=machine.slice",
        ),
        (
            "libvirt, qemu",
            r"/machine.slice/machine-qemu\x2d7\x2ddb1.scope/libvirt/emulator",
            "machine=db1 unit=machine-qemu-*-db1.scope slice=machine.slice",
        ),
        (
            "libvirt, lxc",
            r"/machine.slice/machine-lxc\x2d7\x2dweb.scope",
            "container=lxc:web slice=machine.slice",
        ),
    ]);
}

#[test]
fn kubernetes() {
    check(&[
        (
            "cgroupfs, burstable",
            "/kubepods/burstable/pod{UID}/{ID}",
            "pod=burstable:{UID} container=?:{ID}",
        ),
        (
            "cgroupfs, guaranteed",
            "/kubepods/pod{UID}/{ID}",
            "pod=guaranteed:{UID} container=?:{ID}",
        ),
        (
            "cgroupfs, CRI-O",
            "/kubepods/besteffort/pod{UID}/crio-{ID}",
            "pod=besteffort:{UID} container=cri-o:{ID}",
        ),
        (
            "cgroupfs, static pod",
            "/kubepods/burstable/pod{STATIC}/{ID}",
            "pod=burstable:{STATIC} container=?:{ID}",
        ),
        (
            "pod without a container",
            "/kubepods/besteffort/pod{UID}",
            "pod=besteffort:{UID}",
        ),
        (
            "systemd, besteffort",
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{U_ID}.slice/cri-containerd-{ID}.scope",
            "pod=besteffort:{UID} container=containerd:{ID} slice=kubepods-besteffort-pod4eede96e_e976_4573_bc90_68dfe2516d3b.slice",
        ),
        (
            "systemd, guaranteed",
            "/kubepods.slice/kubepods-pod{U_ID}.slice/docker-{ID}.scope",
            "pod=guaranteed:{UID} container=docker:{ID} slice=kubepods-pod4eede96e_e976_4573_bc90_68dfe2516d3b.slice",
        ),
        (
            "systemd, static pod",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice/cri-containerd-{ID}.scope",
            "pod=burstable:{STATIC} container=containerd:{ID} slice=kubepods-burstable-pod{STATIC}.slice",
        ),
        (
            "OpenShift with crun",
            "/kubepods.slice/kubepods-pod{U_ID}.slice/crio-{ID}.scope/container",
            "pod=guaranteed:{UID} container=cri-o:{ID} slice=kubepods-pod4eede96e_e976_4573_bc90_68dfe2516d3b.slice",
        ),
        (
            "conmon of a pod",
            "/kubepods.slice/kubepods-pod{U_ID}.slice/crio-conmon-{ID}.scope",
            "pod=guaranteed:{UID} slice=kubepods-pod4eede96e_e976_4573_bc90_68dfe2516d3b.slice",
        ),
        (
            "drivers that disagree",
            "/system.slice/containerd.service/kubepods-burstable-pod{U_ID}.slice:cri-containerd:{ID}",
            "pod=burstable:{UID} container=containerd:{ID} unit=containerd.service slice=kubepods-burstable-pod4eede96e_e976_4573_bc90_68dfe2516d3b.slice",
        ),
        (
            "drivers that disagree, no slice",
            "/system.slice/containerd.service/:cri-containerd:{ID}",
            "container=containerd:{ID} unit=containerd.service slice=system.slice",
        ),
        (
            "kata's sandbox",
            "/kubepods/burstable/pod{UID}/kata_{ID}",
            "pod=burstable:{UID}",
        ),
        (
            "k3s",
            "/k3s.service/kubepods/burstable/pod{UID}/{ID}",
            "pod=burstable:{UID} container=?:{ID} unit=k3s.service",
        ),
        (
            "k3s, in the service",
            "/system.slice/k3s.service/kubepods/besteffort/pod{UID}/{ID}",
            "pod=besteffort:{UID} container=?:{ID} unit=k3s.service slice=system.slice",
        ),
        (
            "k3s itself",
            "/system.slice/k3s.service",
            "unit=k3s.service slice=system.slice",
        ),
        (
            "kind, cgroupfs",
            "/docker/{OTHER}/kubelet/kubepods/burstable/pod{UID}/{ID}",
            "pod=burstable:{UID} container=?:{ID} around=docker:{OTHER}",
        ),
        (
            "kind, systemd",
            "/system.slice/docker-{OTHER}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{U_ID}.slice/cri-containerd-{ID}.scope",
            "pod=guaranteed:{UID} container=containerd:{ID} around=docker:{OTHER} slice=kubelet-kubepods-pod4eede96e_e976_4573_bc90_68dfe2516d3b.slice",
        ),
        (
            "kind's own kubelet",
            "/docker/{OTHER}/system.slice/kubelet.service",
            "container=docker:{OTHER} unit=kubelet.service slice=system.slice",
        ),
        (
            "minikube in docker",
            "/system.slice/docker-{OTHER}.scope/kubepods.slice/kubepods-pod{U_ID}.slice/docker-{ID}.scope",
            "pod=guaranteed:{UID} container=docker:{ID} around=docker:{OTHER} slice=kubepods-pod4eede96e_e976_4573_bc90_68dfe2516d3b.slice",
        ),
        (
            "kind, seen from inside",
            "/../../../../kubelet/kubepods/besteffort/pod{UID}/{ID}",
            "pod=besteffort:{UID} container=?:{ID}",
        ),
        (
            "docker in a pod",
            "/kubepods/besteffort/pod{UID}/{ID}/docker/{OTHER}",
            "pod=besteffort:{UID} container=?:{ID}",
        ),
        (
            "uid that is none",
            "/kubepods/burstable/pod-info/{ID}",
            "container=?:{ID}",
        ),
        (
            "kubelet itself",
            "/system.slice/kubelet.service",
            "unit=kubelet.service slice=system.slice",
        ),
        (
            "EKS on Bottlerocket",
            "/runtime.slice/containerd.service",
            "unit=containerd.service slice=runtime.slice",
        ),
    ]);
}

#[test]
fn hostile_paths_claim_nothing_wrong() {
    let long = "a".repeat(5000);
    let slashes = "/".repeat(100_000);
    let deep = "/a".repeat(10_000);
    check(&[
        ("long component", &format!("/{long}.service"), ""),
        (
            "long component below",
            &format!("/system.slice/x.service/{long}.scope"),
            "unit=x.service slice=system.slice",
        ),
        ("slashes", &slashes, ""),
        (
            "a unit after too many slashes",
            &format!("{slashes}x.service"),
            "",
        ),
        (
            "depth",
            &format!("/system.slice/x.service{deep}"),
            "unit=x.service slice=system.slice",
        ),
        (
            "control characters",
            "/system.slice/a\u{1b}[2J\n.service",
            "slice=system.slice",
        ),
        (
            "name that is too long",
            &format!("/lxc.payload.{}", "a".repeat(129)),
            "",
        ),
        (
            "unit that is too long",
            &format!("/{}.service", "a".repeat(250)),
            "",
        ),
        (
            "not ASCII",
            "/system.slice/ä.service/\u{fffd}",
            "slice=system.slice",
        ),
        ("bare suffixes", "/.slice/.scope/.service", ""),
        (
            "bare prefixes",
            "/lxc.payload./docker-.scope/machine-.scope/:::/kubepods/pod/podpod",
            "unit=machine-.scope",
        ),
    ]);
}

#[test]
fn the_most_telling_hierarchy_is_believed() {
    let of = |paths: &[&str]| {
        let all: Vec<_> = paths.iter().map(|path| membership(path)).collect();
        Membership::most_telling(&all).cloned()
    };
    assert_eq!(of(&[]), None);
    let container = format!("/docker/{ID}");
    assert_eq!(
        of(&["/system.slice/docker.service", &container]),
        Some(membership(&container))
    );
    let pod = format!("/kubepods/pod{UID}/{ID}");
    assert_eq!(of(&[&container, &pod, "/"]), Some(membership(&pod)));
    // sshd's other hierarchies keep its sessions.
    let session = "/user.slice/user-0.slice/session-1.scope";
    assert_eq!(
        of(&[session, "/system.slice/ssh.service"]),
        Some(membership(session))
    );
    assert_eq!(
        of(&["/", "/init.scope", "/a.service"]),
        Some(membership("/init.scope"))
    );
}

/// A path with `|` where root's names end, and what the user 1000 makes of it.
fn told_of_user(marked: &str) -> (Option<u32>, Option<u32>, Membership) {
    let marked = marked
        .replace("{ID}", ID)
        .replace("{OTHER}", OTHER)
        .replace("{UID}", UID);
    let of_root = marked.find('|').expect("a mark");
    let found = membership_of(&marked.replacen('|', "", 1), of_root, Some(1000));
    (found.uid, found.outermost_uid, found)
}

#[test]
fn what_a_user_called_so_is_the_users() {
    const USER: &str = "/user.slice/user-1000.slice/user@1000.service|";
    for (below, unit) in [
        ("/secpg.service", Some("secpg.service")),
        ("/app.slice/secpg.service", Some("secpg.service")),
        ("/app.slice/libpod-{ID}.scope", None),
        ("/docker-{ID}.scope", None),
        (
            "/kubepods.slice/kubepods-pod{UID}.slice/cri-containerd-{ID}.scope",
            None,
        ),
        ("/app.slice/vte-spawn-0.scope", None),
    ] {
        let (uid, owner, found) = told_of_user(&format!("{USER}{below}"));
        assert_eq!((uid, owner), (Some(1000), Some(1000)), "{below}");
        if let Some(unit) = unit {
            assert_eq!(found.unit.as_deref(), Some(unit));
            assert_eq!(found.unit_uid, Some(1000));
        }
        assert_eq!(found.slice.as_deref(), Some("user-1000.slice"), "{below}");
    }
    // By hand, in a folder that was given away.
    let (uid, _, found) = told_of_user("/box|/docker-{ID}.scope");
    assert_eq!(uid, Some(1000));
    assert_eq!(
        found.container.map(|it| it.id.to_string()).as_deref(),
        Some(ID)
    );
}

#[test]
fn what_a_user_put_within_what_root_named_is_that() {
    // A unit with `User=` and `Delegate=`, which sorts its workers.
    let (uid, _, found) = told_of_user("/system.slice/app.service|/worker/3");
    assert_eq!((uid, found.unit.as_deref()), (None, Some("app.service")));
    // A container with a user namespace of its own has a systemd of its own.
    let (uid, owner, found) =
        told_of_user("/system.slice/docker-{ID}.scope|/system.slice/secpg.service");
    assert_eq!((uid, owner, found.unit), (None, None, None));
    // Another container within it is its user's; the runtime of this host knows the outer one.
    let (uid, owner, found) = told_of_user("/system.slice/docker-{ID}.scope|/docker-{OTHER}.scope");
    assert_eq!((uid, owner), (Some(1000), None));
    assert_eq!(
        found.container.map(|it| it.id.to_string()).as_deref(),
        Some(OTHER)
    );
    // But a unit within a unit is another thing.
    let (uid, _, found) = told_of_user("/system.slice/app.service|/secpg.service");
    assert_eq!(
        (uid, found.unit.as_deref()),
        (Some(1000), Some("secpg.service"))
    );
}

#[test]
fn names_of_nobody_that_is_known_are_left_out() {
    let path = "/pods/gone/secpg.service";
    assert_eq!(
        membership_of(path, "/pods/gone".len(), None),
        Membership::default()
    );
    assert_eq!(membership_of(path, path.len(), None), membership(path));
    // Whatever the numbers are.
    for of_root in [0, 3, 10_000] {
        membership_of("/ä/ö.service", of_root, Some(1000));
    }
}
