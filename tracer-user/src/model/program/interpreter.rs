//! Interpreters: which there are, and which of their arguments is the program.

use super::clean;

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
pub(super) struct Interpreter {
    /// It takes no file but one whose name has a point or a slash; another word is what it shall do.
    /// Of these, those that a script follows.
    commands: Option<&'static [&'static str]>,
    /// Its argument is the name of a class, which says not where it is.
    runs_classes: bool,
    /// It runs what is typed, wherever somebody is: where it is says nothing.
    pub(super) is_shell: bool,
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
pub(super) fn interpreter(file: &str) -> Option<&'static Interpreter> {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs<'a> {
    /// A file: script or archive.
    File(&'a str),
    /// A module or a class, which the interpreter looks for.
    Module(&'a str),
    /// The program itself, in an argument.
    Code(&'a str),
    /// Its input, or what cannot be made out.
    Unknown,
}

/// Whether the file at `path` is a program that runs another one.
pub(super) fn is_runner(path: &str) -> bool {
    let name = clean(path).unwrap_or_default();
    let name = name.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
    RUNNERS.contains(&name.strip_suffix(".js").unwrap_or(name))
}

/// What `interpreter` runs, by its arguments.
pub(super) fn runs<'a>(interpreter: &Interpreter, args: &'a [String]) -> Runs<'a> {
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
