//! Writes a "newc" cpio archive, the form in which the kernel takes its initial
//! file system. Owns the bytes only; what goes in is `image`'s business.

use std::collections::BTreeSet;
use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// An archive being written. Parent directories are added as they are needed.
pub(super) struct Archive<W> {
    out: W,
    inodes: u32,
    paths: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            inodes: 0,
            paths: BTreeSet::new(),
        }
    }

    /// Whether `path` is in the archive already.
    pub(super) fn contains(&self, path: &str) -> bool {
        self.paths.contains(path.trim_start_matches('/'))
    }

    /// Adds a directory that everybody may write to if `shared`, as `/tmp` is.
    pub(super) fn directory(&mut self, path: &str, shared: bool) -> io::Result<()> {
        let permissions = if shared { 0o1777 } else { 0o755 };
        self.entry(path, DIRECTORY | permissions, &[])
    }

    /// Adds a file; `permissions` are the lower nine bits of its mode.
    pub(super) fn file(&mut self, path: &str, permissions: u32, data: &[u8]) -> io::Result<()> {
        self.entry(path, REGULAR | permissions, data)
    }

    /// Adds a symbolic link at `path` that leads to `target`.
    pub(super) fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, SYMLINK | 0o777, target.as_bytes())
    }

    /// Ends the archive and gives the writer back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.record("TRAILER!!!", 0, &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, mode: u32, data: &[u8]) -> io::Result<()> {
        let path = path.trim_start_matches('/');
        if let Some((parent, _)) = path.rsplit_once('/')
            && !self.paths.contains(parent)
        {
            self.directory(parent, false)?;
        }
        if !self.paths.insert(path.to_owned()) {
            return Ok(());
        }
        self.record(path, mode, data)
    }

    fn record(&mut self, name: &str, mode: u32, data: &[u8]) -> io::Result<()> {
        self.inodes += 1;
        let links = if mode & DIRECTORY != 0 { 2 } else { 1 };
        let size = u32::try_from(data.len())
            .map_err(|_| io::Error::other(format!("{name} is too large for a cpio archive")))?;
        let name_size = u32::try_from(name.len() + 1)
            .map_err(|_| io::Error::other(format!("{name} is too long for a cpio archive")))?;
        // inode, mode, uid, gid, links, mtime, size, device (2), rdev (2), name size, checksum
        let fields = [
            self.inodes,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        write!(self.out, "070701")?;
        for field in fields {
            write!(self.out, "{field:08X}")?;
        }
        write!(self.out, "{name}\0")?;
        self.pad(110 + name.len() + 1)?;
        self.out.write_all(data)?;
        self.pad(data.len())
    }

    /// Everything starts at a multiple of four; `written` bytes came since the last such place.
    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..(4 - written % 4) % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(fill: impl FnOnce(&mut Archive<Vec<u8>>) -> io::Result<()>) -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        fill(&mut archive).expect("a vector takes every byte");
        archive.finish().expect("a vector takes every byte")
    }

    /// Name, mode and data of each entry, read back the way the kernel reads them.
    fn entries(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |index: usize| {
                let text = std::str::from_utf8(&bytes[6 + index * 8..][..8]).expect("ASCII");
                u32::from_str_radix(text, 16).expect("hexadecimal")
            };
            let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).expect("UTF-8");
            let data = (110 + name_size).next_multiple_of(4);
            if name == "TRAILER!!!" {
                assert_eq!(bytes.len(), data);
                return entries;
            }
            entries.push((name, mode, bytes[data..data + size].to_vec()));
            bytes = &bytes[data + size.next_multiple_of(4)..];
        }
    }

    #[test]
    fn parents_come_first_and_once() {
        let bytes = archive(|archive| {
            archive.file("/etc/nginx/mime.types", 0o644, b"types {}")?;
            archive.file("etc/passwd", 0o600, b"root")?;
            archive.symlink("bin", "usr/bin")
        });
        let names: Vec<_> = entries(&bytes)
            .into_iter()
            .map(|(name, mode, _)| (name, mode))
            .collect();
        let expected = [
            ("etc", 0o040_755),
            ("etc/nginx", 0o040_755),
            ("etc/nginx/mime.types", 0o100_644),
            ("etc/passwd", 0o100_600),
            ("bin", 0o120_777),
        ];
        assert_eq!(names, expected.map(|(name, mode)| (name.to_owned(), mode)));
    }

    #[test]
    fn data_of_any_length_is_padded_to_four() {
        for length in 0..9 {
            let data = vec![b'x'; length];
            let bytes = archive(|archive| archive.file("x", 0o644, &data));
            assert_eq!(entries(&bytes)[0].2, data);
        }
    }

    #[test]
    fn a_second_entry_of_the_same_path_is_dropped() {
        let bytes = archive(|archive| {
            archive.file("a", 0o644, b"first")?;
            archive.file("/a", 0o644, b"second")
        });
        assert_eq!(entries(&bytes).len(), 1);
    }
}
