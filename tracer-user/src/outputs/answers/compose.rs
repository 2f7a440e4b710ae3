//! An order of recovery as an override file for compose.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    party::{Parties, Party},
    rules::Rules,
    yaml::Quoted,
};
use crate::ask::recovery_order::RecoveryOrder;

/// The file, for the services that containers say they are of; a document for each project. What would
/// close a cycle is left out.
pub(super) fn write(found: &RecoveryOrder, parties: &Parties) -> Rules {
    let mut projects: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    let mut out = Rules::default();
    for step in found.waves.iter().flat_map(|it| &it.steps) {
        for need in &step.needs {
            let link = &need.link;
            let ends = parties.ends(link).and_then(|[client, server]| {
                let not = "not both are containers of services of compose";
                let client = service(client).ok_or(not)?;
                let server = service(server).ok_or(not)?;
                match () {
                    () if client.0 != server.0 => Err("the services are of two projects"),
                    () if step.weakest.contains(link) => Err("it would close a cycle"),
                    () => Ok((client.0, client.1, server.1)),
                }
            });
            match ends {
                // Replicas of one service.
                Ok((_, client, server)) if client == server => {}
                Ok((project, client, server)) => {
                    let services = projects.entry(project).or_default();
                    services.entry(client).or_default().insert(server);
                }
                Err(why) => out.leave_out(parties.edge(link), why),
            }
        }
    }
    if projects.is_empty() {
        out.comment(
            0,
            format_args!(
                "No container here says that it is of a service of compose which depends on another."
            ),
        );
    }
    for (project, services) in projects {
        out.line(format_args!("---"));
        out.comment(0, format_args!("compose.override.yaml of {project}"));
        out.line(format_args!("services:"));
        for (client, servers) in services {
            out.line(format_args!("  {}:", Quoted(client)));
            out.line(format_args!("    depends_on:"));
            for server in servers {
                out.line(format_args!("      - {}", Quoted(server)));
            }
        }
    }
    out
}

/// The project and the service that a container says it is of, as far as compose allows such names.
fn service(party: Party<'_>) -> Option<(&str, &str)> {
    let labels = &party.workload()?.container.as_ref()?.labels;
    let of = |label: &str| labels.get(label).map(|it| &**it);
    let project = of("com.docker.compose.project")?;
    let service = of("com.docker.compose.service")?;
    (is_project(project) && is_service(service)).then_some((project, service))
}

/// Whether compose takes it for the name of a project (`^[a-z0-9][a-z0-9_-]*$` of its specification).
fn is_project(name: &str) -> bool {
    let is_word = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    let mut bytes = name.bytes();
    bytes.next().is_some_and(is_word)
        && bytes.all(|it| is_word(it) || b"_-".contains(&it))
        && name.len() <= MAX_NAME
}

/// Whether compose takes it for the name of a service (`^[a-zA-Z0-9._-]+$`).
fn is_service(name: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(allowed)
}

/// Compose has no bound of its own; its services are names of hosts, too.
const MAX_NAME: usize = 253;
