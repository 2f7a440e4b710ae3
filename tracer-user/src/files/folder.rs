//! The way to a file that is to be written: a folder in which nobody else can put another file in its
//! place.

use std::{
    ffi::{OsStr, OsString},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Component, Path},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, fstat, openat, readlinkat},
    io::Errno,
};

use super::{caller, error::Refusal};

/// As many links as the kernel follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

const STEP: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folder of `path`, held open, and the name in it. Links on the way are followed if they are
/// root's or the caller's.
pub(super) fn of(path: &Path) -> Result<(OwnedFd, OsString), Refusal> {
    let mut links = 0;
    let mut rest = parts(path);
    let mut folder = start(path)?;
    loop {
        let Some(part) = rest.pop() else {
            return Err(Refusal::Kind("a folder"));
        };
        if rest.is_empty() {
            if part == ".." {
                return Err(Refusal::Kind("a folder"));
            }
            check(&folder)?;
            return Ok((folder, part));
        }
        let next = openat(&folder, &part, STEP, Mode::empty())?;
        let stat = fstat(&next)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => folder = next,
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                if !is_trusted(stat.st_uid) {
                    return Err(Refusal::FolderLink(stat.st_uid));
                }
                let target = readlinkat(&next, "", Vec::new())?;
                let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                if target.is_absolute() {
                    folder = start(target)?;
                }
                rest.extend(parts(target));
            }
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
}

fn start(path: &Path) -> Result<OwnedFd, Refusal> {
    let from = if path.is_absolute() { "/" } else { "." };
    Ok(openat(CWD, from, STEP | OFlags::DIRECTORY, Mode::empty())?)
}

/// The parts of `path`, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let named = path.components().rev().filter_map(|it| match it {
        Component::Normal(_) | Component::ParentDir => Some(it.as_os_str().to_owned()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    named.collect()
}

fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == caller::caller() || Some(uid) == caller::called_by()
}

/// Whether nobody but the trusted may remove and rename what is in `folder`. In a sticky one, as
/// `/tmp`, only the owner of a file may.
fn check(folder: &OwnedFd) -> Result<(), Refusal> {
    let stat = fstat(folder)?;
    if !is_trusted(stat.st_uid) {
        return Err(Refusal::FolderOwner(stat.st_uid));
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    // Many have a group of their own, and let it write to all that is theirs.
    let is_own_group = [0, caller::group()].contains(&stat.st_gid);
    let is_open = mode.contains(Mode::WOTH) || (mode.contains(Mode::WGRP) && !is_own_group);
    match is_open && !mode.contains(Mode::SVTX) {
        true => Err(Refusal::FolderOpen),
        false => Ok(()),
    }
}
