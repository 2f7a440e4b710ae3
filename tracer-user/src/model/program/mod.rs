//! What a process runs: the name that this goes by when nothing but its executable is known, and where
//! an interpreter has it from. Two programs of one interpreter may have one name: `app.py`.

use std::sync::Arc;

use super::Process;

/// The longest name, bytes; longer ones are cut.
pub(crate) const MAX_NAME_BYTES: usize = 128;
/// The longest directory of which a place is made, bytes; of longer ones the end counts.
const MAX_PLACE_BYTES: usize = 256;
/// How much of a program in an argument tells it from others, bytes.
const MAX_CODE_BYTES: usize = 256;
/// What is before the number of a program in an argument, after its directory.
pub(crate) const CODE: &str = " #";
/// How many arguments are looked at for a script: options may come before it.
const MAX_OPTIONS: usize = 32;

/// Programs that run another one, which is where they were started.
const RUNNERS: [&str; 38] = [
    "celery",
    "daphne",
    "django-admin",
    "dramatiq",
    "flask",
    "granian",
    "gunicorn",
    "huey_consumer",
    "hypercorn",
    "jupyter",
    "jupyter-lab",
    "rq",
    "streamlit",
    "twistd",
    "uvicorn",
    "waitress-serve",
    "puma",
    "rackup",
    "rails",
    "resque",
    "sidekiq",
    "thin",
    "unicorn",
    "plackup",
    "starman",
    "http-server",
    "nest",
    "next",
    "nodemon",
    "npm",
    "npx",
    "nuxt",
    "pm2",
    "pnpm",
    "serve",
    "ts-node",
    "tsx",
    "vite",
];

/// An interpreter, and which of its options say what it runs.
struct Interpreter {
    /// It takes no file but one whose name has a point or a slash; another word is what it shall do.
    /// Of these, those that a script follows.
    commands: Option<&'static [&'static str]>,
    /// Its argument is the name of a class, which says not where it is.
    runs_classes: bool,
    /// It runs what is typed, wherever somebody is: where it is says nothing.
    is_shell: bool,
    /// Options that a value follows, which is not the script.
    valued: &'static [&'static str],
    /// Options that are followed by the script, by a module or an archive.
    scripts: &'static [&'static str],
    /// Options after which no script comes, as the program itself is in an argument.
    inline: &'static [&'static str],
    /// Letters that say the same in a group of options, such as `-ec`.
    inline_letters: &'static [char],
}

const PLAIN: Interpreter = Interpreter {
    commands: None,
    runs_classes: false,
    is_shell: false,
    valued: &[],
    scripts: &[],
    inline: &[],
    inline_letters: &[],
};
const PYTHON: Interpreter = Interpreter {
    valued: &["-W", "-X"],
    scripts: &["-m"],
    inline: &["-c"],
    inline_letters: &['c'],
    ..PLAIN
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
    ..PLAIN
};
const RUBY: Interpreter = Interpreter {
    valued: &["-C", "-E", "-I", "-r"],
    scripts: &[],
    inline: &["-e"],
    inline_letters: &['e'],
    ..PLAIN
};
const PERL: Interpreter = Interpreter {
    valued: &["-I"],
    scripts: &[],
    inline: &["-e", "-E"],
    inline_letters: &['e', 'E'],
    ..PLAIN
};
const PHP: Interpreter = Interpreter {
    valued: &["-c", "-d", "-z", "-S", "-t"],
    scripts: &["-f", "--file"],
    inline: &["-r", "--run", "-B", "-R", "-E"],
    inline_letters: &[],
    ..PLAIN
};
const SHELL: Interpreter = Interpreter {
    valued: &["-o", "+o", "-O", "+O", "--rcfile", "--init-file"],
    scripts: &[],
    inline: &["-c", "-s", "-i"],
    inline_letters: &['c'],
    is_shell: true,
    ..PLAIN
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
    runs_classes: true,
    ..PLAIN
};

const DENO: Interpreter = Interpreter {
    commands: Some(&["run", "serve"]),
    valued: &[
        "-c",
        "--config",
        "--import-map",
        "--lock",
        "--cert",
        "--env-file",
    ],
    inline: &["eval"],
    ..PLAIN
};
const BUN: Interpreter = Interpreter {
    commands: Some(&["run"]),
    valued: &["-r", "--preload", "-c", "--config", "--cwd", "--env-file"],
    inline: &["-e", "--eval", "-p", "--print"],
    ..PLAIN
};
const DOTNET: Interpreter = Interpreter {
    commands: Some(&["exec"]),
    valued: &[
        "--additionalprobingpath",
        "--additional-deps",
        "--depsfile",
        "--fx-version",
        "--roll-forward",
        "--runtimeconfig",
    ],
    ..PLAIN
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
        "deno" => &DENO,
        "bun" => &BUN,
        "dotnet" => &DOTNET,
        "lua" | "luajit" | "Rscript" | "tclsh" => &PLAIN,
        _ => return None,
    })
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs<'a> {
    /// A file: script or archive.
    File(&'a str),
    /// A module or a class, which the interpreter looks for.
    Module(&'a str),
    /// The program itself, in an argument.
    Code(&'a str),
    /// Its input, or what cannot be made out.
    Unknown,
}

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

fn is_runner(path: &str) -> bool {
    let name = clean(path).unwrap_or_default();
    let name = name.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
    RUNNERS.contains(&name.strip_suffix(".js").unwrap_or(name))
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

fn runs<'a>(interpreter: &Interpreter, args: &'a [String]) -> Runs<'a> {
    let found = found_in(interpreter, args);
    match found.unwrap_or(Runs::Unknown) {
        // A name must be one.
        Runs::File(name) | Runs::Module(name) if clean(name).is_none() => Runs::Unknown,
        found => found,
    }
}

fn found_in<'a>(interpreter: &Interpreter, args: &'a [String]) -> Option<Runs<'a>> {
    let mut args = args.iter().skip(1).take(MAX_OPTIONS).map(String::as_str);
    let mut commands = interpreter.commands;
    loop {
        let arg = args.next()?;
        let has = |options: &[&str]| options.contains(&arg);
        if has(interpreter.inline) || is_inline_group(interpreter, arg) {
            // These follow the program that is read, or typed.
            let is_code = !matches!(arg, "-s" | "-i");
            return args.next().filter(|_| is_code).map(Runs::Code);
        }
        if has(interpreter.scripts) || arg == "--" {
            let is_file = matches!(arg, "-jar" | "-f" | "--file" | "--");
            return args
                .next()
                .map(if is_file { Runs::File } else { Runs::Module });
        }
        if has(interpreter.valued) {
            args.next()?;
        } else if !arg.starts_with(['-', '+', '@']) {
            if commands.take().is_some_and(|it| it.contains(&arg)) {
                continue;
            }
            return match interpreter.runs_classes {
                true => Some(Runs::Module(arg)),
                false if interpreter.commands.is_some() && !arg.contains(['.', '/']) => None,
                false => Some(Runs::File(arg)),
            };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ProcessKey;

    fn process(exe: &str, args: &[&str], cwd: Option<&str>) -> Process {
        Process {
            key: ProcessKey {
                pid: 7,
                start_ns: 0,
            },
            exec_id: 0,
            cgroup: 1,
            netns_owner: None,
            workload: None,
            pid: 7,
            ppid: None,
            uid: None,
            comm: exe.rsplit('/').next().unwrap_or(exe).into(),
            exe: Some(exe.into()),
            args: Some(args.iter().map(|it| (*it).to_owned()).collect()),
            cwd: cwd.map(Into::into),
            started: None,
        }
    }

    fn at(exe: &str, args: &[&str], cwd: &str) -> (String, Option<String>) {
        let it = process(exe, args, Some(cwd));
        (telling(&it).to_string(), place(&it).map(|it| it.text))
    }

    #[test]
    fn a_program_of_an_interpreter_is_a_script_and_a_directory() {
        const PYTHON: &str = "/usr/bin/python3.11";
        const NODE: &str = "/usr/bin/node";
        for (exe, args, cwd, name, place) in [
            (
                PYTHON,
                &["python3", "app.py"][..],
                "/srv/shop",
                "app.py",
                Some("/srv/shop"),
            ),
            (
                PYTHON,
                &["python3", "./web/../app.py"],
                "/srv/shop/",
                "app.py",
                Some("/srv/shop"),
            ),
            (
                PYTHON,
                &["python3", "/srv/blog/app.py"],
                "/root",
                "app.py",
                Some("/srv/blog"),
            ),
            (PYTHON, &["python3", "app.py"], "/", "app.py", None),
            (
                PYTHON,
                &["python3", "-m", "shop.main"],
                "/srv/shop",
                "shop.main",
                Some("/srv/shop"),
            ),
            (
                PYTHON,
                &["python3", "/usr/bin/gunicorn", "a:b"],
                "/srv/shop",
                "gunicorn",
                Some("/srv/shop"),
            ),
            (
                PYTHON,
                &["python3", "/usr/bin/gunicorn", "a:b"],
                "/",
                "gunicorn",
                Some("/usr/bin"),
            ),
            (
                PYTHON,
                &["python3", "/usr/bin/certbot"],
                "/root",
                "certbot",
                Some("/usr/bin"),
            ),
            (
                PYTHON,
                &["python3"],
                "/srv/shop",
                "python3.11",
                Some("/srv/shop"),
            ),
            (
                PYTHON,
                &["python3", "/srv/shop/releases/20261130004500/app.py"],
                "/",
                "app.py",
                Some("/srv/shop/releases/*"),
            ),
            (
                NODE,
                &["node", "index.js"],
                "/srv/cart",
                "index.js",
                Some("/srv/cart"),
            ),
            (
                NODE,
                &["node", "/srv/a/node_modules/.bin/next"],
                "/srv/a",
                "next",
                Some("/srv/a"),
            ),
            (
                "/usr/bin/deno",
                &["deno", "run", "-A", "main.ts"],
                "/srv/a",
                "main.ts",
                Some("/srv/a"),
            ),
            (
                "/usr/bin/deno",
                &["deno", "task", "dev"],
                "/srv/a",
                "deno",
                Some("/srv/a"),
            ),
            (
                "/usr/bin/bun",
                &["bun", "run", "dev"],
                "/srv/a",
                "bun",
                Some("/srv/a"),
            ),
            (
                "/usr/bin/bun",
                &["bun", "./index.ts"],
                "/srv/a",
                "index.ts",
                Some("/srv/a"),
            ),
            (
                "/usr/bin/dotnet",
                &["dotnet", "Shop.dll"],
                "/srv/a",
                "Shop.dll",
                Some("/srv/a"),
            ),
            (
                "/usr/bin/java",
                &["java", "-jar", "shop.jar"],
                "/srv/a",
                "shop.jar",
                Some("/srv/a"),
            ),
            (
                "/usr/bin/java",
                &["java", "kafka.Kafka"],
                "/opt/k1",
                "kafka.Kafka",
                Some("/opt/k1"),
            ),
            (
                "/usr/bin/php",
                &["php", "-S", "0:80"],
                "/srv/a",
                "php",
                Some("/srv/a"),
            ),
            (
                "/bin/bash",
                &["bash", "-c", "while :; do x; done"],
                "/srv/a",
                "bash",
                Some("/srv/a"),
            ),
            // Wherever somebody types.
            ("/bin/bash", &["-bash"], "/root", "bash", None),
            (
                "/usr/sbin/nginx",
                &["nginx", "-g", "x"],
                "/srv/a",
                "nginx",
                None,
            ),
        ] {
            let expected = (name.to_owned(), place.map(str::to_owned));
            assert_eq!(at(exe, args, cwd), expected, "{args:?}");
            let it = process(exe, args, None);
            let has_place = super::place(&it).is_some();
            assert!(place.is_none() || has_place || needs_cwd(&it), "{args:?}");
        }
    }

    #[test]
    fn a_program_in_an_argument_is_its_text() {
        let of = |code: &str, cwd: &str| at("/usr/bin/python3", &["python3", "-c", code], cwd).1;
        let shop = of("import shop; shop.serve(8080)", "/srv");
        assert_ne!(shop, of("import blog; blog.serve(8080)", "/srv"));
        assert_ne!(shop, of("import shop; shop.serve(8080)", "/opt"));
        // A number in it may be another one each time.
        assert_eq!(shop, of("import shop; shop.serve(8081)", "/srv"));
        assert!(of("import shop", "/").is_some(), "without a directory");
    }
}
