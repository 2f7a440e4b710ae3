//! What must hold of any input: an answer, a bounded one, and always the same.

use proptest::{collection::vec, option, prelude::*};

use super::{tests::process, *};

fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: std::env::var("PROPTEST_CASES")
            .ok()
            .and_then(|cases| cases.parse().ok())
            .unwrap_or(256),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Parts of real paths, and others, in any order.
fn path(parts: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "system.slice",
        "user@1000.service",
        "session-3.scope",
        "init.scope",
        "docker",
        "lxc",
        "kubepods",
        "burstable",
        "kubepods-pod4eede96e_e976_4573_bc90_68dfe2516d3b.slice",
        "pod4eede96e-e976-4573-bc90-68dfe2516d3b",
        "lxc.monitor",
        "default",
        "ecs",
        "garden",
        "buildkit",
        "..",
        "",
        "payload",
        "machine-foo.scope",
        "lxc.payload.web",
        "systemd-nspawn@foo.service",
        "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d",
        "docker-4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970.scope",
    ]);
    let prefix = prop::sample::select(vec!["runc-", "lxc.payload.", "pod", "_", "a:b:", "x@"]);
    let suffix = prop::sample::select(vec![".service", ".scope", ".slice", "", "\\x2d"]);
    let made = (prefix, ".{0,300}", suffix).prop_map(|(a, b, c)| a.to_owned() + &b + c);
    let part = prop_oneof![4 => known.prop_map(str::to_owned), 1 => made, 1 => ".{0,40}"];
    vec(part, parts).prop_map(|parts| "/".to_owned() + &parts.join("/"))
}

fn is_printable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_path_has_a_bounded_membership(path in path(0..80)) {
        let found = membership(&path);
        prop_assert_eq!(&found, &membership(&path));
        for unit in [&found.unit, &found.slice].into_iter().flatten() {
            prop_assert!(unit.len() <= MAX_UNIT_BYTES && is_printable(unit));
        }
        let containers = [&found.container, &found.around].into_iter().flatten();
        let ids = containers.map(|it| &it.id).chain(&found.machine);
        for id in ids {
            prop_assert!(id.len() <= MAX_ID_BYTES && is_printable(id), "{}", id);
        }
        if let Some(pod) = &found.pod {
            prop_assert!(matches!(pod.uid.len(), 32 | 36));
        }
        prop_assert!(found.around.is_none() || found.container.is_some() || found.pod.is_some());
    }

    #[test]
    fn plain_folders_below_change_nothing(path in path(0..12), below in "[g-z]{1,9}(/[g-z]{1,9}){0,90}") {
        let plain = !below.contains("payload") && !below.contains("supervisor") && !below.contains("lxc");
        prop_assume!(plain && path.len() < 3000);
        // A service of its own, below which the folders above mean nothing.
        let path = format!("{path}/own.service");
        prop_assert_eq!(membership(&path), membership(&format!("{path}/{below}")));
    }

    #[test]
    fn any_bytes_are_a_list_of_cgroups(bytes in vec(any::<u8>(), 0..4096)) {
        let lines = from_proc_cgroup(&bytes);
        prop_assert!(lines.len() <= 64);
        prop_assert!(lines.iter().all(|line| line.path.starts_with('/')));
        prop_assert_eq!(lines, from_proc_cgroup(&bytes));
    }

    #[test]
    fn any_clues_make_a_workload(
        paths in vec(path(0..80), 0..4),
        (comm, exe) in (".{0,16}", option::of(".{0,300}")),
        runs in prop::sample::select(vec!["", "/python3", "/java", "/sh"]),
        args in vec("-?.{0,150}", 0..8),
        port in any::<Option<u16>>(),
    ) {
        let memberships: Vec<_> = paths.iter().map(|path| membership(path)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let exe = exe.map(|exe| exe + runs);
        let of = |comm: &str| {
            let process = process(comm, exe.as_deref(), &args);
            let clues = Clues {
                memberships: &memberships,
                process: &process,
                containers: &[],
                k8s: None,
                node: None,
                port,
            };
            workload(&clues, &Roles::default())
        };
        let told = of(&comm);
        prop_assert_eq!(&told, &of(&comm));
        prop_assert!(told.name.len() <= MAX_UNIT_BYTES);
        if told.kind == WorkloadKind::Executable && !runs.is_empty() && exe.is_some() {
            // Threads and workers that name themselves are of the same workload.
            prop_assert_eq!(told, of("another"));
        }
    }

    #[test]
    fn any_text_is_a_table_of_roles_or_an_error(text in "((exe|image|port|#|x)? ?.{0,12} ?[a-z-]{0,4}\n?){0,6}") {
        if let Err(error) = Roles::parse([&text]) {
            prop_assert!(error.line >= 1 && error.line <= text.lines().count());
            prop_assert!(error.to_string().len() < 2000);
        }
    }
}
