//! Which kernel modules the suites need, and the order to load them in. The
//! order is read from the modules themselves: packages do not ship `modules.dep`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// What the suites use. A name that a kernel does not have is built into it, or
/// the test that needs it says that it is missing.
const WANTED: &[&str] = &[
    "veth",
    "dummy",
    "sch_netem",
    "tcp_diag",
    "nf_tables",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nft_chain_nat",
    "nft_counter",
    "nft_ct",
    "nft_limit",
    "nft_masq",
    "nft_nat",
    "nft_redir",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
];

/// A module, ready to be handed to the kernel.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) data: Vec<u8>,
}

/// The wanted modules found under `directory` (a kernel's `lib/modules/<release>`)
/// and all they depend on, decompressed, in the order to load them.
pub(super) fn wanted(directory: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    find(directory, &mut files)?;
    let mut data = BTreeMap::new();
    let mut dependencies = BTreeMap::new();
    let mut pending: Vec<String> = WANTED.iter().map(|&name| name.to_owned()).collect();
    while let Some(name) = pending.pop() {
        let Some(file) = files.get(&name) else {
            continue;
        };
        if dependencies.contains_key(&name) {
            continue;
        }
        let bytes = decompress(file)?;
        let depends = depends(&bytes);
        pending.extend(depends.iter().cloned());
        dependencies.insert(name.clone(), depends);
        data.insert(name, bytes);
    }
    Ok(load_order(&dependencies)
        .into_iter()
        .filter_map(|name| {
            let data = data.remove(&name)?;
            Some(Module { name, data })
        })
        .collect())
}

/// Module files below `directory`, by the name that the kernel gives the module.
fn find(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let context = || format!("read the kernel's modules in {}", directory.display());
    for entry in std::fs::read_dir(directory).with_context(context)? {
        let entry = entry.with_context(context)?;
        let path = entry.path();
        if entry.file_type().with_context(context)?.is_dir() {
            find(&path, files)?;
        } else if let Some((stem, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn decompress(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return std::fs::read(file).with_context(|| format!("read {}", file.display())),
    };
    let output = Command::new(program)
        .arg("-dc")
        .arg(file)
        .output()
        .with_context(|| format!("start {program} to decompress {}", file.display()))?;
    ensure!(
        output.status.success(),
        "decompress {}: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}

/// The `depends=` line of a module's information section: `key=value` strings, each ended by a NUL.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"depends=";
    module
        .split(|&byte| byte == 0)
        .find_map(|text| text.strip_prefix(KEY))
        .map(|names| String::from_utf8_lossy(names).replace('-', "_"))
        .unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// All modules, each after those that it depends on.
fn load_order(dependencies: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    fn visit<'a>(
        name: &'a str,
        dependencies: &'a BTreeMap<String, Vec<String>>,
        seen: &mut BTreeSet<&'a str>,
        order: &mut Vec<String>,
    ) {
        if !seen.insert(name) {
            return;
        }
        for dependency in dependencies.get(name).into_iter().flatten() {
            visit(dependency, dependencies, seen, order);
        }
        order.push(name.to_owned());
    }
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for name in dependencies.keys() {
        visit(name, dependencies, &mut seen, &mut order);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_the_module() {
        let module = b"\x7fELF\0license=GPL\0depends=nf-tables,nf_conntrack\0name=nft_ct\0";
        assert_eq!(depends(module), ["nf_tables", "nf_conntrack"]);
        assert!(depends(b"license=GPL\0depends=\0name=veth\0").is_empty());
        assert!(depends(b"").is_empty());
    }

    #[test]
    fn a_module_comes_after_all_it_needs() {
        let needs = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let dependencies = BTreeMap::from([
            ("a".to_owned(), needs(&["z", "m"])),
            ("m".to_owned(), needs(&["z"])),
            ("z".to_owned(), needs(&["builtin"])),
        ]);
        assert_eq!(load_order(&dependencies), ["builtin", "z", "m", "a"]);
    }
}
