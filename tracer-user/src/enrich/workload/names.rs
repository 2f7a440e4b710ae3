//! What a process goes by when nothing but its executable is known.

use std::sync::Arc;

use crate::model::Process;

/// The longest name, bytes; longer ones are cut.
pub const MAX_NAME_BYTES: usize = 128;
/// How many arguments are looked at for a script: options may come before it.
const MAX_OPTIONS: usize = 32;

/// An interpreter, and which of its options say what it runs.
struct Interpreter {
    /// Options that a value follows, which is not the script.
    valued: &'static [&'static str],
    /// Options that are followed by the script, by a module or an archive.
    scripts: &'static [&'static str],
    /// Options after which no script comes, as the program itself is in an argument.
    inline: &'static [&'static str],
    /// Letters that say the same in a group of options, such as `-ec`.
    inline_letters: &'static [char],
}

const PYTHON: Interpreter = Interpreter {
    valued: &["-W", "-X"],
    scripts: &["-m"],
    inline: &["-c"],
    inline_letters: &['c'],
};
const NODE: Interpreter = Interpreter {
    valued: &[
        "-r",
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "-C",
        "--conditions",
    ],
    scripts: &[],
    inline: &["-e", "--eval", "-p", "--print", "-pe"],
    inline_letters: &[],
};
const RUBY: Interpreter = Interpreter {
    valued: &["-C", "-E", "-I", "-r"],
    scripts: &[],
    inline: &["-e"],
    inline_letters: &['e'],
};
const PERL: Interpreter = Interpreter {
    valued: &["-I"],
    scripts: &[],
    inline: &["-e", "-E"],
    inline_letters: &['e', 'E'],
};
const PHP: Interpreter = Interpreter {
    valued: &["-c", "-d", "-z", "-S", "-t"],
    scripts: &["-f", "--file"],
    inline: &["-r", "--run", "-B", "-R", "-E"],
    inline_letters: &[],
};
const SHELL: Interpreter = Interpreter {
    valued: &["-o", "+o", "-O", "+O", "--rcfile", "--init-file"],
    scripts: &[],
    inline: &["-c", "-s", "-i"],
    inline_letters: &['c'],
};
const JAVA: Interpreter = Interpreter {
    valued: &[
        "-cp",
        "-classpath",
        "--class-path",
        "-p",
        "--module-path",
        "--upgrade-module-path",
        "--add-modules",
        "--add-opens",
        "--add-exports",
        "--add-reads",
        "--patch-module",
        "--enable-native-access",
    ],
    scripts: &["-jar", "-m", "--module"],
    inline: &[],
    inline_letters: &[],
};

/// The interpreter that `file` is: a version may follow the name, as in `python3.11`.
fn interpreter(file: &str) -> Option<&'static Interpreter> {
    let digits = |it: char| it.is_ascii_digit() || it == '.' || it == '-';
    Some(match file.trim_end_matches(digits) {
        "python" | "pypy" => &PYTHON,
        "node" | "nodejs" => &NODE,
        "ruby" => &RUBY,
        "perl" => &PERL,
        "php" => &PHP,
        "bash" | "sh" | "dash" | "zsh" | "ksh" | "mksh" | "ash" => &SHELL,
        "java" => &JAVA,
        _ => return None,
    })
}

/// The file name of `process`'s executable, else its own name, which it may change at will.
/// The name of a kernel thread is cut before the slash: `kworker`.
pub(super) fn executable(process: &Process) -> Arc<str> {
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
/// Arguments are what the process says of itself. So this is modest: only Python, Node.js,
/// Ruby, Perl, PHP, Java and shells; only the first argument that is no option; and if
/// anything is not as expected, the interpreter's name is kept.
pub(super) fn telling(process: &Process) -> Arc<str> {
    let file = called(process).map_or_else(|| executable(process), Into::into);
    let script = interpreter(&file)
        .zip(process.args.as_deref())
        .and_then(|(interpreter, args)| script(interpreter, args));
    script.map_or(file, Into::into)
}

/// The name by which the executable was started, if that is another than its file's: the kernel
/// and the process agree on it. The kernel keeps its beginning, the process may add to it, as in
/// `/usr/bin/redis-server *:6379`.
fn called(process: &Process) -> Option<&str> {
    /// Bytes that the kernel keeps (`TASK_COMM_LEN`), but for the last.
    const KEPT: usize = 15;
    file_name(process.exe.as_deref()?)?;
    let first = process.args.as_deref()?.first()?;
    let name = clean(first.split(' ').next()?)?;
    let kept = &name.as_bytes()[..name.len().min(KEPT)];
    (kept == process.comm.as_bytes()).then_some(name)
}

fn script<'a>(interpreter: &Interpreter, args: &'a [String]) -> Option<&'a str> {
    let mut args = args.iter().skip(1).take(MAX_OPTIONS).map(String::as_str);
    loop {
        let arg = args.next()?;
        let has = |options: &[&str]| options.contains(&arg);
        if has(interpreter.inline) || is_inline_group(interpreter, arg) {
            return None;
        }
        if has(interpreter.scripts) || arg == "--" {
            return clean(args.next()?);
        }
        if has(interpreter.valued) {
            args.next()?;
        } else if !arg.starts_with(['-', '+', '@']) {
            return clean(arg);
        }
    }
}

fn is_inline_group(interpreter: &Interpreter, arg: &str) -> bool {
    let letters = arg.strip_prefix('-').unwrap_or("");
    // Longer ones are options with a value, such as `-I/usr/lib`.
    (2..=4).contains(&letters.len())
        && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
        && letters.contains(interpreter.inline_letters)
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
