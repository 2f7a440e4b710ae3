//! A file that is written: of the caller alone, whatever is at its place already.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, ftruncate, openat,
        statat, unlinkat,
    },
    io::Errno,
};

use super::{
    caller::{as_caller, caller},
    error::{FileError, Refusal, is_file},
    folder,
};

/// Without following a link, and without waiting for who reads a pipe.
const WRITE: OFlags = OFlags::WRONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);
/// For its owner alone.
const OWN: Mode = Mode::RUSR.union(Mode::WUSR);

/// A file to write to. What was in it before stays until the first byte is written: if nothing ever
/// is, nothing is lost.
#[derive(Debug)]
pub struct Output {
    file: File,
    folder: OwnedFd,
    name: OsString,
    /// There was none before.
    is_new: bool,
    is_begun: bool,
}

impl Output {
    /// Opens the file at `path`, or makes it, with mode 0600. One that is there has to be a regular
    /// file of the caller's, by this one name, in a folder where nobody else can replace it.
    ///
    /// # Errors
    /// If it is not, or the caller may not write there.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        as_caller(|| Self::try_open(path)).map_err(|why| FileError::new(path, why))
    }

    fn try_open(path: &Path) -> Result<Self, Refusal> {
        let (folder, name) = folder::of(path)?;
        let (file, is_new) = match statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
            // Opening a device may do something by itself: so look first.
            Ok(stat) => {
                check(&stat)?;
                (openat(&folder, &name, WRITE, Mode::empty())?, false)
            }
            Err(Errno::NOENT) => {
                let flags = WRITE | OFlags::CREATE | OFlags::EXCL;
                (openat(&folder, &name, flags, OWN)?, true)
            }
            Err(error) => return Err(error.into()),
        };
        let output = Self {
            file: file.into(),
            folder,
            name,
            is_new,
            is_begun: false,
        };
        // What was opened may be another one by now.
        let stat = fstat(&output.file)?;
        check(&stat)?;
        if flock(&output.file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(Refusal::Busy);
        }
        output.close_to_others(&stat)?;
        Ok(output)
    }

    /// Also what others were let read so far.
    fn close_to_others(&self, stat: &Stat) -> Result<(), Refusal> {
        let is_open = |stat: &Stat| Mode::from_raw_mode(stat.st_mode) != OWN;
        if !is_open(stat) {
            return Ok(());
        }
        // Some file systems have no such rights, and do as if they had.
        let changed = fchmod(&self.file, OWN).and_then(|()| fstat(&self.file));
        match changed {
            Ok(stat) if !is_open(&stat) => Ok(()),
            _ => Err(Refusal::Open),
        }
    }

    /// Writes all of `bytes`; before the first, takes away what was there.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.is_begun {
            ftruncate(&self.file, 0)?;
            self.is_begun = true;
        }
        self.file.write_all(bytes)
    }
}

impl Drop for Output {
    /// Leaves no empty file where there was none.
    fn drop(&mut self) {
        if self.is_new && !self.is_begun {
            // Nothing of it is lost if it stays. A run that has given up to remove files can but say so.
            let removed = as_caller(|| Ok(unlinkat(&self.folder, &self.name, AtFlags::empty())?));
            if removed.is_err() {
                let name = self.name.display();
                tracing::warn!("{name} was made and is empty, as nothing was written: remove it");
            }
        }
    }
}

/// Whether what is there can be written to: nobody else has it, or another way to it.
fn check(stat: &Stat) -> Result<(), Refusal> {
    is_file(stat.st_mode)?;
    if stat.st_uid != caller() {
        return Err(Refusal::Owner(stat.st_uid));
    }
    match stat.st_nlink {
        0 | 1 => Ok(()),
        names => Err(Refusal::Linked(names)),
    }
}
