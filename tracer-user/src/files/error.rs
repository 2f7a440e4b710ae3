//! Why a file is not used.

use std::{io, path::Path};

use rustix::fs::FileType;
use thiserror::Error;

/// Why a file is not used: what, why, what to do.
#[derive(Debug, Error)]
#[error("{path}: {why}")]
pub struct FileError {
    path: String,
    why: Refusal,
}

impl FileError {
    pub(super) fn new(path: &Path, why: impl Into<Refusal>) -> Self {
        Self {
            path: path.display().to_string(),
            why: why.into(),
        }
    }

    /// Why.
    pub fn why(&self) -> &Refusal {
        &self.why
    }
}

/// What is wrong with a file, and what to do.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The kernel refuses.
    #[error("{0}{remedy}", remedy = remedy(.0))]
    System(io::Error),
    /// It is none.
    #[error("it is {0}, not a file; name a regular file")]
    Kind(&'static str),
    /// It has too many bytes.
    #[error(
        "it has more than {} KiB, which no such file has; name another file, or leave out what is \
         not needed",
        .0 >> 10
    )]
    Large(u64),
    /// It is not text.
    #[error("it is not UTF-8 text; name another file, or convert it with iconv")]
    Encoding,
    /// It is a link.
    #[error("it is a symbolic link, which may lead elsewhere a moment later; name the file itself")]
    Link,
    /// It has other names.
    #[error(
        "it has {0} names (hard links), so others may reach it by another one; remove it, or name \
         another file"
    )]
    Linked(u64),
    /// It is somebody else's.
    #[error(
        "it belongs to user {0}, who could read and change what is written; remove it, or name \
         another file"
    )]
    Owner(u32),
    /// Others can read it, and that cannot be changed.
    #[error(
        "others may read it and its file system does not let that be changed; name a file on another \
         one"
    )]
    Open,
    /// Somebody is writing to it.
    #[error("another program is writing to it; name another file, or stop that program")]
    Busy,
    /// Somebody else may change what is in its folder.
    #[error(
        "its folder belongs to user {0}, who could put another file in its place; name a file in a \
         folder of your own"
    )]
    FolderOwner(u32),
    /// Anybody, or a group, may.
    #[error(
        "others may write to its folder and so put another file in its place; name a file in a folder \
         of your own, or take that right away with `chmod go-w`"
    )]
    FolderOpen,
    /// The way there leads by a link of somebody else.
    #[error(
        "the way there leads by a symbolic link of user {0}, who could turn it; name the folder itself"
    )]
    FolderLink(u32),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<rustix::io::Errno> for Refusal {
    fn from(error: rustix::io::Errno) -> Self {
        Self::System(error.into())
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; it is opened with the rights of who calls tracer, whatever tracer itself may: name a \
             file that you may use"
        }
        io::ErrorKind::NotFound => "; name a file that is there, or a folder to make it in",
        _ => "",
    }
}

/// Whether `mode` is that of a regular file, else what it is.
pub(super) fn is_file(mode: u32) -> Result<(), Refusal> {
    Err(Refusal::Kind(match FileType::from_raw_mode(mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Symlink => return Err(Refusal::Link),
        FileType::Directory => "a folder",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something unknown",
    }))
}
