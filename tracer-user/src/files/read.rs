//! Files that are read.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Mode, OFlags, fstat, open, stat};

use super::{
    caller::as_caller,
    error::{FileError, Refusal, is_file},
};

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// What is in the regular file at `path`, if it is at most `max` bytes.
///
/// # Errors
/// If it is none, is longer, or the caller may not read it.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>, FileError> {
    let refuse = |why| FileError::new(path, why);
    let file = opened(path, false)?;
    let mut bytes = Vec::new();
    // It may grow meanwhile, and some say that they are empty: one more, to see that.
    file.take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| refuse(Refusal::System(error)))?;
    match u64::try_from(bytes.len()) {
        Ok(len) if len <= max => Ok(bytes),
        _ => Err(refuse(Refusal::Large(max))),
    }
}

/// The same as text.
///
/// # Errors
/// Likewise, and if it is not UTF-8.
pub fn read_text(path: &Path, max: u64) -> Result<String, FileError> {
    let bytes = read(path, max)?;
    String::from_utf8(bytes).map_err(|_| FileError::new(path, Refusal::Encoding))
}

/// The regular file at `path`, or the pipe, as in `--from <(zcat old.jsonl.gz)`: waits for who
/// writes to that.
///
/// # Errors
/// If it is neither, or the caller may not read it.
pub fn open_recording(path: &Path) -> Result<File, FileError> {
    opened(path, true)
}

/// Whether `path` is one of these files, by whatever name; where the caller may not look, it is none.
pub fn is_one_of(path: &Path, files: &[PathBuf]) -> bool {
    let place = |path: &Path| as_caller(|| Ok(stat(path)?)).map(|it| (it.st_dev, it.st_ino));
    place(path).is_ok_and(|it| {
        files
            .iter()
            .any(|file| place(file).is_ok_and(|other| other == it))
    })
}

fn opened(path: &Path, takes_pipes: bool) -> Result<File, FileError> {
    let is_right = |mode| match FileType::from_raw_mode(mode) {
        FileType::Fifo if takes_pipes => Ok(true),
        _ => is_file(mode).map(|()| false),
    };
    let attempt = || {
        // Opening a device may do something by itself: so look first.
        let is_pipe = is_right(stat(path)?.st_mode)?;
        let waits = match is_pipe {
            true => OFlags::empty(),
            false => OFlags::NONBLOCK,
        };
        let file = open(path, READ | waits, Mode::empty())?;
        // What was opened may be another one by now.
        match is_right(fstat(&file)?.st_mode)? == is_pipe {
            true => Ok(File::from(file)),
            false => Err(Refusal::Kind("no longer what it was")),
        }
    };
    as_caller(attempt).map_err(|why| FileError::new(path, why))
}
