//! An order of recovery as an override file for compose.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::{
    ask::{Who, recovery_order::RecoveryOrder},
    model::View,
};

/// The file, for the services that containers say they are of. What would close a cycle is left out.
pub(super) fn write(found: &RecoveryOrder, view: &View) -> String {
    let service = |who: &Who| -> Option<(String, String)> {
        let node = view.nodes.iter().find(|it| it.id == who.id)?;
        let labels = &node.workload.as_deref()?.container.as_ref()?.labels;
        let project = labels.get("com.docker.compose.project")?;
        Some((
            project.to_string(),
            labels.get("com.docker.compose.service")?.to_string(),
        ))
    };
    let mut projects: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for step in found.waves.iter().flat_map(|it| &it.steps) {
        for need in &step.needs {
            let link = &need.link;
            let is_left_out = step.weakest.iter().any(|it| it == link);
            if let (Some((project, client)), Some((other, server)), false) =
                (service(&link.client), service(&link.server), is_left_out)
                && project == other
                && client != server
            {
                let services = projects.entry(project).or_default();
                services.entry(client).or_default().insert(server);
            }
        }
    }
    let mut out = String::new();
    if projects.is_empty() {
        out.push_str("# No container here says that it is of a service of compose which depends on another.\n");
    }
    for (project, services) in projects {
        // Writing to memory does not fail.
        let _ = writeln!(
            out,
            "# compose.override.yaml of {}\nservices:",
            quoted(&project)
        );
        for (client, servers) in services {
            let _ = writeln!(out, "  {}:\n    depends_on:", quoted(&client));
            for server in servers {
                let _ = writeln!(out, "      - {}", quoted(&server));
            }
        }
    }
    out
}

/// A YAML scalar; JSON's strings are some, with everything escaped that could end them.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || b"-_".contains(&it);
    let begins = text
        .bytes()
        .next()
        .is_some_and(|it| it.is_ascii_alphabetic());
    let is_word = matches!(
        text,
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    match begins && !is_word && text.bytes().all(is_plain) {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}
