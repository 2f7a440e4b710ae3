//! What a process runs: the name that this goes by when nothing but its executable is known, and where
//! an interpreter has it from. Two programs of one interpreter may have one name: `app.py`.

mod interpreter;

use std::sync::Arc;

use self::interpreter::{Interpreter, Runs, interpreter, is_runner, runs};
use super::Process;

/// The longest name, bytes; longer ones are cut.
pub(crate) const MAX_NAME_BYTES: usize = 128;
/// The longest directory of which a place is made, bytes; of longer ones the end counts.
const MAX_PLACE_BYTES: usize = 256;
/// How much of a program in an argument tells it from others, bytes.
const MAX_CODE_BYTES: usize = 256;
/// What is before the number of a program in an argument, after its directory.
pub(crate) const CODE: &str = " #";

/// The file name of `process`'s executable, else its own name, which it may change at will.
/// The name of a kernel thread is cut before the slash: `kworker`.
pub(crate) fn executable(process: &Process) -> Arc<str> {
    let file = process.exe.as_deref().and_then(file_name);
    let name = file.unwrap_or_else(|| match process.comm.split_once('/') {
        Some((kind, _)) if !kind.is_empty() => kind,
        _ => &process.comm,
    });
    cut(name).into()
}

/// What to call `process`: as [`executable`], or the name by which that was started, as one file
/// may be several programs (busybox, redis-server). But if that is an interpreter, what it runs: the
/// file name of the script or the archive, the module, the main class.
///
/// Arguments are what the process says of itself. So this is modest: only interpreters that are known,
/// only the first argument that is no option; and if anything is not as expected, the interpreter's name
/// is kept.
pub(crate) fn telling(process: &Process) -> Arc<str> {
    let name = match interpreted(process) {
        Some((_, Runs::File(path))) => clean(path),
        Some((_, Runs::Module(name))) => clean(name),
        _ => None,
    };
    name.map_or_else(|| started_as(process), Into::into)
}

/// The executable, by the name that it was started by.
fn started_as(process: &Process) -> Arc<str> {
    called(process).map_or_else(|| executable(process), Into::into)
}

/// What an interpreter runs, as its arguments say.
fn interpreted(process: &Process) -> Option<(&'static Interpreter, Runs<'_>)> {
    let interpreter = interpreter(&started_as(process))?;
    let args = process.args.as_deref()?;
    Some((interpreter, runs(interpreter, args)))
}

/// Whether the name of `process`, or what tells it from others of that name, may be another one than what is known
/// of it gives: its executable is not known; or its arguments are not, and an interpreter runs it, or it goes by
/// another name than its executable has.
pub(crate) fn is_in_doubt(process: &Process) -> bool {
    let Some(exe) = process.exe.as_deref().and_then(file_name) else {
        return true;
    };
    match process.args {
        None => is_interpreted(process) || !is_kept(exe, &process.comm),
        Some(_) => process.cwd.is_none() && needs_cwd(process),
    }
}

/// Whether an interpreter runs what `process` does.
pub(crate) fn is_interpreted(process: &Process) -> bool {
    interpreter(&started_as(process)).is_some()
}

/// Where an interpreter has its program from: what tells two of one name apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The directory, and what the program begins with where it is an argument: `/srv/shop`.
    pub(crate) text: String,
    /// Whether the directory is that of a file, else the one that it was started in.
    pub(crate) is_of_file: bool,
}

/// Whether [`place`] needs to know the directory that `process` works in.
pub(crate) fn needs_cwd(process: &Process) -> bool {
    match interpreted(process) {
        None => false,
        Some((_, Runs::File(path))) => !path.starts_with('/') || is_runner(path),
        Some((interpreter, Runs::Unknown)) => !interpreter.is_shell,
        Some((_, Runs::Module(_) | Runs::Code(_))) => true,
    }
}

/// Where the program of `process` is, if an interpreter runs it and that is known. The directory of a
/// script; of one without a path of its own (a module, a class, an argument, the input) the one that the
/// process works in. Numbers that are others after each delivery do not count.
///
/// Daemons go to `/`: to be there says nothing.
pub(crate) fn place(process: &Process) -> Option<Place> {
    let (interpreter, runs) = interpreted(process)?;
    let cwd = process
        .cwd
        .as_deref()
        .filter(|cwd| cwd.len() > 1 && cwd.starts_with('/'));
    let in_cwd = |code: String| {
        let text = cwd.map(lasting).unwrap_or_default() + &code;
        (!text.is_empty()).then_some(text)
    };
    let (text, is_of_file) = match runs {
        // What was cut when it was read may be any.
        Runs::File(path) if path.ends_with('…') => return None,
        Runs::File(path) if is_runner(path) && cwd.is_some() => (in_cwd(String::new())?, false),
        Runs::File(path) if path.starts_with('/') => (lasting(&parent("/", path)), true),
        Runs::File(path) => (lasting(&parent(cwd?, path)), true),
        Runs::Module(_) => (in_cwd(String::new())?, false),
        Runs::Code(_) if interpreter.is_shell => (in_cwd(String::new())?, false),
        Runs::Code(code) => (in_cwd(digest(code))?, false),
        Runs::Unknown if interpreter.is_shell => return None,
        Runs::Unknown => (in_cwd(String::new())?, false),
    };
    Some(Place { text, is_of_file })
}

/// What `process` runs, so that another process of which the same is said runs the same: the file name
/// of its executable, or the script that an interpreter runs and where that is. None where an interpreter
/// runs what cannot be told from other programs.
pub(crate) fn identity(process: &Process) -> Option<String> {
    let name = telling(process);
    let place = place(process);
    if !is_interpreted(process) {
        process.exe.as_ref()?;
        return Some(name.to_string());
    }
    let place = place?.text;
    Some(match interpreted(process) {
        Some((_, Runs::File(_) | Runs::Module(_))) => format!("{place}/{name}"),
        _ => format!("{name} ({place})"),
    })
}

/// The directory that `path` is in, from `directory` on, without `.` and `..`.
fn parent(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let from = if path.starts_with('/') { "" } else { directory };
    let path = path.trim_end_matches('/');
    let up = path.rsplit_once('/').map_or("", |(up, _)| up);
    for part in from.split('/').chain(up.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `directory` without what each delivery names anew: times, numbers of builds, hashes.
fn lasting(directory: &str) -> String {
    let is_made = |part: &str| {
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        let hex = part.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
        let all_digits = part
            .bytes()
            .all(|it| it.is_ascii_digit() || b"-_.TZ".contains(&it));
        (all_digits && digits >= 8) || (hex && digits > 0 && part.len() >= 12)
    };
    let parts = directory
        .split('/')
        .map(|it| if is_made(it) { "*" } else { it });
    let text = parts.collect::<Vec<_>>().join("/");
    if text.len() <= MAX_PLACE_BYTES {
        return text;
    }
    let mut from = text.len() - MAX_PLACE_BYTES;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    format!("…{}", &text[from..])
}

/// What tells a program in an argument from others: its letters, as numbers in it (of a process, a time)
/// may be others each time.
fn digest(code: &str) -> String {
    let letters = code.bytes().take(MAX_CODE_BYTES);
    let letters = letters.filter(|it| !it.is_ascii_digit() && !it.is_ascii_whitespace());
    // FNV-1a.
    let hash = letters.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{CODE}{hash:08x}")
}

/// The name by which the executable was started, if that is another than its file's: the kernel
/// and the process agree on it. The kernel keeps its beginning, the process may add to it, as in
/// `/usr/bin/redis-server *:6379`.
fn called(process: &Process) -> Option<&str> {
    file_name(process.exe.as_deref()?)?;
    let first = process.args.as_deref()?.first()?;
    let name = clean(first.split(' ').next()?)?;
    is_kept(name, &process.comm).then_some(name)
}

/// Whether `comm` is what the kernel keeps of `name`.
fn is_kept(name: &str, comm: &str) -> bool {
    /// Bytes of it (`TASK_COMM_LEN`), but for the last.
    const KEPT: usize = 15;
    name.as_bytes()[..name.len().min(KEPT)] == *comm.as_bytes()
}

/// The last part of a path, if it can be a name. One that was cut when it was read is none,
/// for it would not be that of its fellows.
fn clean(arg: &str) -> Option<&str> {
    let name = file_name(arg)?;
    let is_sane = name.len() <= MAX_NAME_BYTES
        && !name.ends_with('…')
        && !matches!(name, "." | ".." | "-")
        && !name.chars().any(|it| it.is_control() || it.is_whitespace());
    is_sane.then_some(name)
}

fn file_name(path: &str) -> Option<&str> {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
}

fn cut(name: &str) -> &str {
    let mut end = name.len().min(MAX_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests;
