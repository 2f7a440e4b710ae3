//! The initial file system of a virtual machine: the test program as its first
//! process, tracer, the kernel's modules, and the programs that the suites use as
//! real traffic, with the libraries they need.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::cpio::Archive;
use super::modules;
use crate::process;

/// Programs taken from this machine, those that it has.
const PROGRAMS: &[&str] = &[
    "bpftool",
    "crun",
    "curl",
    "dnsmasq",
    "ip",
    "nft",
    "nginx",
    "redis-cli",
    "redis-server",
    "tc",
    // To compare tracer with.
    "tcpconnect",
    "tcplife",
    "tcpstates",
    "tcptracer",
];

/// Files that these programs read, those that this machine has.
const FILES: &[&str] = &["/etc/nginx/mime.types", "/etc/protocols", "/etc/services"];

const DIRECTORIES: &[&str] = &[
    "/dev",
    "/proc",
    "/root",
    "/run",
    "/sys",
    "/var/lib/nginx",
    "/var/log/nginx",
];

/// Directories that every modern system has under `/usr`, and a link to where they were.
const MERGED: &[&str] = &["bin", "lib", "lib64", "sbin"];

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/false
www-data:x:33:33:www-data:/:/bin/false
nobody:x:65534:65534:nobody:/:/bin/false
";

const GROUP: &str = "\
root:x:0:
www-data:x:33:
nogroup:x:65534:
";

const HOSTS: &str = "\
127.0.0.1 localhost
::1 localhost
";

/// Where in the image the modules are listed, in the order to load them.
const MODULES_LIST: &str = "/etc/modules.load";

/// Writes the image to `file`: `init` is its first process, `tracer` its `/bin/tracer`.
pub(super) fn write(file: &Path, init: &Path, tracer: &Path, modules: &Path) -> Result<()> {
    let context = || format!("write {}", file.display());
    let out = BufWriter::new(File::create(file).with_context(context)?);
    let mut image = Image {
        archive: Archive::new(out),
    };
    for name in MERGED {
        image
            .archive
            .symlink(name, &format!("usr/{name}"))
            .with_context(context)?;
    }
    for directory in DIRECTORIES {
        image
            .archive
            .directory(directory, false)
            .with_context(context)?;
    }
    image
        .archive
        .directory("/tmp", true)
        .with_context(context)?;
    for (path, text) in [
        ("/etc/passwd", PASSWD),
        ("/etc/group", GROUP),
        ("/etc/hosts", HOSTS),
        ("/etc/os-release", "ID=debian\n"),
        ("/etc/resolv.conf", ""),
    ] {
        image
            .archive
            .file(path, 0o644, text.as_bytes())
            .with_context(context)?;
    }
    image.copy(init, "/init")?;
    image.copy(tracer, "/bin/tracer")?;
    image.modules(modules)?;
    for file in FILES {
        if Path::new(file).is_file() {
            image.copy(Path::new(file), file)?;
        }
    }
    for program in PROGRAMS {
        if let Some(file) = process::find(program) {
            image.program(program, &file)?;
        }
    }
    image.archive.finish().with_context(context)?;
    Ok(())
}

struct Image<W> {
    archive: Archive<W>,
}

impl<W: Write> Image<W> {
    /// Copies `file` of this machine to `path`, with its permissions.
    fn copy(&mut self, file: &Path, path: &str) -> Result<()> {
        let path = below_usr(path);
        if self.archive.contains(&path) {
            return Ok(());
        }
        let context = || format!("pack {}", file.display());
        let permissions = file.metadata().with_context(context)?.permissions().mode() & 0o777;
        let data = std::fs::read(file).with_context(context)?;
        self.archive
            .file(&path, permissions, &data)
            .with_context(context)
    }

    /// A program, under its own name, and the libraries that it is linked with.
    fn program(&mut self, name: &str, file: &Path) -> Result<()> {
        self.copy(file, &format!("/bin/{name}"))?;
        // A static program has none, and then ldd fails.
        let Ok(libraries) = process::output(Command::new("ldd").arg(file)) else {
            return Ok(());
        };
        for library in libraries.lines().filter_map(library) {
            self.copy(&library, &library.to_string_lossy())?;
        }
        Ok(())
    }

    fn modules(&mut self, directory: &Path) -> Result<()> {
        let mut list = String::new();
        for module in modules::wanted(directory)? {
            let path = format!("/lib/modules/{}.ko", module.name);
            self.archive
                .file(&below_usr(&path), 0o644, &module.data)
                .with_context(|| format!("pack the module {}", module.name))?;
            list.push_str(&path);
            list.push('\n');
        }
        self.archive
            .file(MODULES_LIST, 0o644, list.as_bytes())
            .context("pack the list of modules")
    }
}

/// `path` with the links that the image has at its top resolved.
fn below_usr(path: &str) -> String {
    let top = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    if MERGED.contains(&top) {
        format!("/usr{path}")
    } else {
        path.to_owned()
    }
}

/// The file in a line of what `ldd` prints: `libc.so.6 => /lib/…/libc.so.6 (0x…)`,
/// or only the path for the loader.
fn library(line: &str) -> Option<PathBuf> {
    let line = line.trim();
    let path = line.split_once(" => ").map_or(line, |(_, path)| path);
    let (path, _) = path.rsplit_once(" (")?;
    path.starts_with('/').then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let path = |line| library(line).map(|path| path.display().to_string());
        let libc = "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f23df1ff000)";
        assert_eq!(
            path(libc).as_deref(),
            Some("/lib/x86_64-linux-gnu/libc.so.6")
        );
        let loader = "\t/lib64/ld-linux-x86-64.so.2 (0x00007f23dfb8f000)";
        assert_eq!(path(loader).as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(path("\tlinux-vdso.so.1 (0x00007f23dfb8d000)"), None);
        assert_eq!(path("\tlibgone.so => not found"), None);
    }

    #[test]
    fn old_places_lead_below_usr() {
        assert_eq!(below_usr("/lib64/ld.so"), "/usr/lib64/ld.so");
        assert_eq!(below_usr("/usr/lib/libc.so"), "/usr/lib/libc.so");
        assert_eq!(below_usr("/library/x"), "/library/x");
        assert_eq!(below_usr("/init"), "/init");
    }
}
