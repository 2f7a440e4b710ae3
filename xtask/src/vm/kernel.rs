//! Where the kernels come from: Debian's packages, fetched with an apt
//! configuration of our own, so the machine's lists and packages stay untouched.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use clap::builder::PossibleValue;

use tracer_test_scopes::Scope;

use super::Hooks;
use crate::process;

/// A Debian suite to take the kernel of, as apt calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suite(&'static str);

/// The suites known. To test on one more kernel, add a row.
pub(crate) const SUITES: &[Suite] = &[
    Suite("bullseye"),
    Suite("bookworm"),
    Suite("bookworm-backports"),
    Suite("trixie"),
    Suite("trixie-backports"),
];

/// What one boot of a machine is for.
pub(crate) struct Run {
    /// That the machine has.
    pub(crate) processors: u8,
    /// The parts of the kernel suite to run.
    pub(crate) scope: &'static [Scope],
}

/// Where tracer rightly refuses a set of hooks: suite and set. As in `docs/kernels.md`.
const RULED_OUT: &[(&str, Hooks)] = &[
    // A task can interrupt another's program there.
    ("trixie-backports", Hooks::Fentry),
];

/// Where the suites are; where the old ones go; tried in this order.
const MIRRORS: &[&str] = &[
    "http://deb.debian.org/debian",
    "http://archive.debian.org/debian",
];

/// Depends on whichever kernel the suite has now.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// Packages that a kernel is made of; its other dependencies are for installing it.
const PARTS: &[&str] = &["linux-image-", "linux-binary-", "linux-modules-"];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An unpacked kernel.
pub(super) struct Kernel {
    /// As `uname -r` says.
    pub(super) release: String,
    pub(super) image: PathBuf,
    /// Its `lib/modules/<release>`.
    pub(super) modules: PathBuf,
}

impl Suite {
    /// As apt calls it.
    pub(crate) fn name(self) -> &'static str {
        self.0
    }

    /// Whether tracer should refuse these hooks there.
    pub(crate) fn rules_out(self, hooks: Hooks) -> bool {
        RULED_OUT.contains(&(self.0, hooks))
    }

    /// What is to run there with these hooks: fifteen machines are too many for all themes of the
    /// kernel suite on each. Every set of hooks has its traffic on every kernel. Every failure,
    /// awkward sockets, and what was there before are on the oldest, on one of the middle and on
    /// the newest, with another set each; what tells workloads, names and translations on the
    /// oldest and the newest. Two sets have their traffic on two processors: one where the programs
    /// run at the same time, and one where they are also interrupted.
    pub(crate) fn runs(self, hooks: Hooks) -> &'static [Run] {
        match (self.0, hooks) {
            (_, Hooks::Auto) => &[Run {
                processors: 1,
                scope: &Scope::DEFAULT,
            }],
            ("bullseye", Hooks::Fentry) => &[Run {
                processors: 1,
                scope: &[
                    Scope::Traffic,
                    Scope::Storm,
                    Scope::Start,
                    Scope::Failures,
                    Scope::Sockets,
                    Scope::Identity,
                ],
            }],
            ("bookworm", Hooks::Tracepoint) => &[Run {
                processors: 1,
                scope: &[
                    Scope::Traffic,
                    Scope::Storm,
                    Scope::Start,
                    Scope::Failures,
                    Scope::Sockets,
                    Scope::General,
                ],
            }],
            ("bookworm", Hooks::Fentry) => &[Run {
                processors: 2,
                scope: &[Scope::Traffic, Scope::Storm],
            }],
            ("bookworm-backports", Hooks::Fentry) => &[Run {
                processors: 1,
                scope: &[Scope::Traffic, Scope::Storm, Scope::Start],
            }],
            ("trixie-backports", Hooks::Kprobe) => &[
                Run {
                    processors: 1,
                    scope: &[
                        Scope::Start,
                        Scope::Failures,
                        Scope::Sockets,
                        Scope::Identity,
                    ],
                },
                Run {
                    processors: 2,
                    scope: &[Scope::Traffic, Scope::Storm],
                },
            ],
            _ => &[Run {
                processors: 1,
                scope: &[Scope::Traffic],
            }],
        }
    }

    /// The suite's kernel, fetched into `folder` unless it is there already.
    pub(super) fn kernel(self, folder: &Path) -> Result<Kernel> {
        let root = folder.join("kernel");
        if !root.is_dir() {
            self.fetch(folder, &root)
                .with_context(|| format!("fetch the kernel of {}", self.name()))?;
        }
        unpacked(&root)
    }

    /// Downloads and unpacks; `root` appears only when complete.
    fn fetch(self, folder: &Path, root: &Path) -> Result<()> {
        println!("fetching the list of packages of {}", self.name());
        let apt = self.apt(folder)?;
        let mut packages = Vec::new();
        let mut pending = vec![PACKAGE.to_owned()];
        while let Some(package) = pending.pop() {
            if packages.contains(&package) {
                continue;
            }
            let depends = process::output(apt.command("apt-cache").args(["depends", &package]))?;
            pending.extend(parts(&depends));
            packages.push(package);
        }
        println!("fetching {}", packages.join(", "));
        process::output(apt.command("apt-get").arg("download").args(&packages))?;

        let unfinished = folder.join("kernel.unfinished");
        for entry in std::fs::read_dir(&apt.folder)? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "deb") {
                process::output(Command::new("dpkg").arg("-x").arg(&file).arg(&unfinished))?;
            }
        }
        std::fs::rename(&unfinished, root).context("keep the unpacked kernel")?;
        // What it was made from would be in the way of the next one, and nothing reads it.
        std::fs::remove_dir_all(&apt.folder).context("remove the packages of the kernel")
    }

    /// An apt with the list of the suite's packages, from the first mirror that has it.
    fn apt(self, folder: &Path) -> Result<Apt> {
        let mut refusals = Vec::new();
        for mirror in MIRRORS {
            // What an earlier attempt left behind must not be taken for a part of this one.
            for leftover in ["apt", "kernel.unfinished"] {
                let leftover = folder.join(leftover);
                if leftover.exists() {
                    std::fs::remove_dir_all(&leftover)
                        .with_context(|| format!("remove {}", leftover.display()))?;
                }
            }
            let apt = Apt::set_up(self, mirror, &folder.join("apt"))?;
            let mut update = apt.command("apt-get");
            match process::output(update.args(["--error-on=any", "update"])) {
                Ok(_) => return Ok(apt),
                Err(error) => refusals.push(format!("{mirror}: {error:#}")),
            }
        }
        bail!("no mirror has {}: {}", self.name(), refusals.join("; "));
    }
}

/// What the command line takes.
impl ValueEnum for Suite {
    fn value_variants<'a>() -> &'a [Self] {
        SUITES
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// An apt that knows one suite and nothing of this machine.
struct Apt {
    folder: PathBuf,
    configuration: PathBuf,
}

impl Apt {
    fn set_up(suite: Suite, mirror: &str, folder: &Path) -> Result<Self> {
        ensure!(
            process::find("apt-get").is_some() && Path::new(KEYRING).is_file(),
            "this needs apt-get and {KEYRING}: on Debian and its kin, run \
             `apt-get install debian-archive-keyring`"
        );
        for part in ["lists/partial", "cache/archives/partial", "state"] {
            let part = folder.join(part);
            std::fs::create_dir_all(&part).with_context(|| format!("make {}", part.display()))?;
        }
        std::fs::write(folder.join("sources.list"), source(suite, mirror))
            .context("write apt's sources")?;
        std::fs::write(folder.join("status"), "").context("write apt's status")?;
        let configuration = folder.join("apt.conf");
        std::fs::write(&configuration, Self::settings(folder)).context("configure apt")?;
        Ok(Self {
            folder: folder.to_owned(),
            configuration,
        })
    }

    /// The machine's own settings stay in force (a proxy may be among them), but for these.
    fn settings(folder: &Path) -> String {
        let folder = folder.display();
        format!(
            "APT::Architecture \"amd64\";\n\
             APT::Architectures {{ \"amd64\"; }};\n\
             APT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Retries \"3\";\n\
             Acquire::http::Timeout \"30\";\n\
             Dir::Etc::sourcelist \"{folder}/sources.list\";\n\
             Dir::Etc::sourceparts \"-\";\n\
             Dir::Etc::preferences \"-\";\n\
             Dir::Etc::preferencesparts \"-\";\n\
             Dir::State \"{folder}/state\";\n\
             Dir::State::lists \"{folder}/lists\";\n\
             Dir::State::status \"{folder}/status\";\n\
             Dir::Cache \"{folder}/cache\";\n\
             #clear Acquire::IndexTargets::deb::DEP-11;\n\
             #clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n\
             #clear DPkg::Post-Invoke;\n"
        )
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(&self.configuration)
            .current_dir(&self.folder)
            .env("LC_ALL", "C");
        command
    }
}

/// Nothing but this suite, so a backport cannot be passed over for what it is a port of.
fn source(suite: Suite, mirror: &str) -> String {
    format!(
        "deb [arch=amd64 signed-by={KEYRING}] {mirror} {} main\n",
        suite.name()
    )
}

/// The parts of a kernel in what `apt-cache depends` prints.
fn parts(depends: &str) -> impl Iterator<Item = String> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .filter(|name| PARTS.iter().any(|part| name.starts_with(part)))
        .map(str::to_owned)
}

/// The kernel under `root`. Newer packages keep the image beside the modules, older ones in `boot`.
fn unpacked(root: &Path) -> Result<Kernel> {
    let modules = ["usr/lib/modules", "lib/modules"]
        .into_iter()
        .find_map(|folder| only_entry(&root.join(folder), ""))
        .with_context(|| format!("find the kernel's modules in {}", root.display()))?;
    let image = Some(modules.join("vmlinuz"))
        .filter(|image| image.is_file())
        .or_else(|| only_entry(&root.join("boot"), "vmlinuz-"))
        .with_context(|| format!("find the kernel's image in {}", root.display()))?;
    let release = modules
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(Kernel {
        release,
        image,
        modules,
    })
}

fn only_entry(folder: &Path, prefix: &str) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()));
    entries.find(|path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(prefix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Hooks;

    /// The cells of each row of the table whose heading has `heading` in it.
    fn table<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
        page.lines()
            .skip_while(|line| !line.contains(heading))
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect()
    }

    #[test]
    fn the_page_of_kernels_has_every_suite_and_set_of_hooks() {
        let page = include_str!("../../../docs/kernels.md");
        let rows = table(page, "| Debian suite |");
        let code = |name: &str| format!("`{name}`");
        let sets = [Hooks::Fentry, Hooks::Kprobe, Hooks::Tracepoint];
        assert_eq!(rows[0][2..], sets.map(|hooks| code(hooks.name())));
        let listed: Vec<_> = rows[2..].iter().map(|row| row[0]).collect();
        let known: Vec<_> = SUITES.iter().map(|suite| code(suite.name())).collect();
        assert_eq!(listed, known, "docs/kernels.md and SUITES differ");
        for (row, &suite) in rows[2..].iter().zip(SUITES) {
            let cells = sets.map(|hooks| match suite.rules_out(hooks) {
                true => "ruled out",
                false => "works",
            });
            assert_eq!(row[2..], cells, "{row:?}");
        }
    }

    #[test]
    fn a_suite_is_chosen_by_its_name() {
        for &suite in SUITES {
            assert_eq!(Suite::from_str(suite.name(), false), Ok(suite));
        }
        assert!(Suite::from_str("sid", false).is_err());
    }

    #[test]
    fn apt_is_given_one_suite_and_nothing_of_this_machine() {
        let line = source(Suite("trixie-backports"), "http://mirror");
        assert_eq!(
            line,
            format!("deb [arch=amd64 signed-by={KEYRING}] http://mirror trixie-backports main\n")
        );
    }

    #[test]
    fn only_the_parts_of_a_kernel_are_followed() {
        let depends = "linux-image-6.12.0-1-cloud-amd64\n  \
             Depends: linux-binary-6.12.0-1-cloud-amd64\n  \
             Depends: kmod\n  \
             Depends: linux-modules-6.12.0-1-cloud-amd64\n  \
             Recommends: linux-image-rt-amd64\n";
        assert_eq!(
            parts(depends).collect::<Vec<_>>(),
            [
                "linux-binary-6.12.0-1-cloud-amd64",
                "linux-modules-6.12.0-1-cloud-amd64"
            ]
        );
    }
}
