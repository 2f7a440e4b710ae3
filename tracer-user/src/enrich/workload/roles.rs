//! What programs are for, as far as their names and ports tell: a table of hints, embedded
//! and extended by the user.
//!
//! A hint is a guess that is right for what is installed as usual. What a program is called
//! says more than its image, which may hold several, and an image more than a port, on which
//! anything may listen.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use globset::{Glob, GlobSet, GlobSetBuilder};
use thiserror::Error;

/// How many lines a table may have.
const MAX_LINES: usize = 10_000;
/// The longest name of a role and the longest pattern, bytes.
const MAX_WORD_BYTES: usize = 128;
/// Takes the role from what would have had one.
const NO_ROLE: &str = "-";

const BUILTIN: &str = include_str!("roles.txt");

/// Tells roles.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    executables: Patterns,
    images: Patterns,
    ports: HashMap<u16, Arc<str>>,
}

/// Patterns and what they stand for; the last that matches counts.
#[derive(Clone, Debug, Default)]
struct Patterns {
    set: GlobSet,
    roles: Vec<Arc<str>>,
}

/// Why a table of roles was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: {problem}")]
pub struct RolesError {
    /// Where, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// Not three words.
    #[error("{0} words where there should be three; write for example: exe nginx web")]
    Words(usize),
    /// The first word is none of those it can be.
    #[error("{0:?} is no kind of hint; begin with exe, image or port")]
    Kind(String),
    /// No port.
    #[error("{0:?} is no port; write a number from 1 to 65535")]
    Port(String),
    /// No pattern.
    #[error(
        "{pattern:?} is no pattern: {why}; write text with * ? [a-z] {{a,b}}, and \\ before \
         one of these that is meant as it is"
    )]
    Pattern {
        /// The word.
        pattern: String,
        /// What the pattern's parser says.
        why: String,
    },
    /// Not what a role is named by.
    #[error(
        "{0:?} is no name of a role; write small letters, digits and hyphens, at most \
         {MAX_WORD_BYTES}, or a single - for no role"
    )]
    Role(String),
    /// Too long.
    #[error("more than {MAX_LINES} lines; leave out what is not needed on this host")]
    Lines,
}

impl Roles {
    /// The embedded table alone.
    pub fn builtin() -> Self {
        static ROLES: LazyLock<Roles> = LazyLock::new(|| {
            // A test reads the table; were it wrong nevertheless, there would be no roles.
            Roles::parse([BUILTIN]).unwrap_or_default()
        });
        ROLES.clone()
    }

    /// The embedded table and after it the user's, `text`: one hint a line, of three words.
    ///
    /// ```text
    /// exe nginx web              # file name of the executable or script
    /// image *postgres* database  # reference of the image, or the last part of its path
    /// port 5432 database         # port it listens on
    /// exe nginx -                # no role
    /// ```
    ///
    /// Of lines of one kind that match, the last counts; so the user's come before the
    /// embedded ones.
    ///
    /// # Errors
    /// At the first line that is not such a hint.
    pub fn with(text: &str) -> Result<Self, RolesError> {
        Self::parse([BUILTIN, text])
    }

    /// How many bytes the user's table may have.
    pub const MAX_BYTES: u64 = 1 << 20;

    /// Of `tables`, which stand one after the other; lines are numbered in each.
    pub(super) fn parse<const N: usize>(tables: [&str; N]) -> Result<Self, RolesError> {
        let (mut executables, mut images) = (Builder::new(), Builder::new());
        let mut ports = HashMap::new();
        for table in tables {
            for (at, text) in table.lines().enumerate() {
                let line = at + 1;
                let refuse = |problem| RolesError { line, problem };
                if line > MAX_LINES {
                    return Err(refuse(Problem::Lines));
                }
                let Some((kind, pattern, role)) = words(text).map_err(refuse)? else {
                    continue;
                };
                let added = match kind {
                    "exe" => executables.add(pattern, role),
                    "image" => images.add(pattern, role),
                    "port" => port(pattern).map(|port| {
                        ports.insert(port, role.into());
                    }),
                    _ => Err(Problem::Kind(quoted(kind))),
                };
                added.map_err(refuse)?;
            }
        }
        Ok(Self {
            executables: executables.build()?,
            images: images.build()?,
            ports,
        })
    }

    /// The role of a program that goes by `names`, the most telling first, was made of
    /// `image`, and listens on `port`.
    pub fn role(&self, names: &[&str], image: Option<&str>, port: Option<u16>) -> Option<Arc<str>> {
        let by_name = || names.iter().find_map(|name| self.executables.find(name));
        let by_image = || {
            let image = image?;
            let at = self
                .images
                .position(image)
                .max(self.images.position(repository(image)));
            self.images.roles.get(at?)
        };
        let role = by_name()
            .or_else(by_image)
            .or_else(|| self.ports.get(&port?))?;
        (**role != *NO_ROLE).then(|| Arc::clone(role))
    }
}

impl Patterns {
    fn position(&self, text: &str) -> Option<usize> {
        // Nothing that has a name of this length is what the table means.
        let is_sane = text.len() <= 1024;
        is_sane
            .then(|| self.set.matches(text).into_iter().max())
            .flatten()
    }

    fn find(&self, text: &str) -> Option<&Arc<str>> {
        self.roles.get(self.position(text)?)
    }
}

struct Builder {
    globs: GlobSetBuilder,
    roles: Vec<Arc<str>>,
}

impl Builder {
    fn new() -> Self {
        Self {
            globs: GlobSetBuilder::new(),
            roles: Vec::new(),
        }
    }

    fn add(&mut self, pattern: &str, role: &str) -> Result<(), Problem> {
        let glob = Glob::new(pattern).map_err(|error| refused_pattern(pattern, &error))?;
        self.globs.add(glob);
        self.roles.push(role.into());
        Ok(())
    }

    fn build(self) -> Result<Patterns, RolesError> {
        let set = self.globs.build().map_err(|error| RolesError {
            // Each compiles for itself: all of them together are too large.
            line: self.roles.len(),
            problem: refused_pattern(error.glob().unwrap_or("*"), &error),
        })?;
        Ok(Patterns {
            set,
            roles: self.roles,
        })
    }
}

fn refused_pattern(pattern: &str, error: &globset::Error) -> Problem {
    Problem::Pattern {
        pattern: quoted(pattern),
        why: error.kind().to_string(),
    }
}

/// The three words of a line; none of an empty one. `#` begins a comment.
fn words(line: &str) -> Result<Option<(&str, &str, &str)>, Problem> {
    let words = || {
        line.split_whitespace()
            .take_while(|word| !word.starts_with('#'))
    };
    let mut three = words();
    match (three.next(), three.next(), three.next(), three.next()) {
        (None, ..) => Ok(None),
        (Some(kind), Some(pattern), Some(role), None) => {
            if pattern.len() > MAX_WORD_BYTES {
                return Err(Problem::Pattern {
                    pattern: quoted(pattern),
                    why: format!("longer than {MAX_WORD_BYTES} bytes"),
                });
            }
            if !is_role(role) {
                return Err(Problem::Role(quoted(role)));
            }
            Ok(Some((kind, pattern, role)))
        }
        _ => Err(Problem::Words(words().count())),
    }
}

fn port(text: &str) -> Result<u16, Problem> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| Problem::Port(quoted(text)))
}

fn is_role(text: &str) -> bool {
    text.len() <= MAX_WORD_BYTES
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// As much of a word as a message needs.
fn quoted(word: &str) -> String {
    word.chars().take(40).collect()
}

/// `registry:5000/library/postgres:16@sha256:…` → `postgres`.
fn repository(image: &str) -> &str {
    let path = image.split_once('@').map_or(image, |(path, _)| path);
    let last = path.rsplit('/').next().unwrap_or(path);
    last.split_once(':').map_or(last, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(roles: &Roles, exe: &str, image: Option<&str>, port: Option<u16>) -> Option<String> {
        roles.role(&[exe], image, port).map(|role| role.to_string())
    }

    #[test]
    fn the_embedded_table_can_be_read() {
        let roles = Roles::parse([BUILTIN]).expect("no error");
        assert!(roles.executables.roles.len() > 100);
    }

    #[test]
    fn executable_beats_image_beats_port() {
        let roles = Roles::builtin();
        let image = Some("docker.io/library/postgres:16");
        assert_eq!(
            role(&roles, "nginx", image, Some(6379)).as_deref(),
            Some("web")
        );
        assert_eq!(
            role(&roles, "foo", image, Some(6379)).as_deref(),
            Some("database")
        );
        assert_eq!(
            role(&roles, "foo", None, Some(6379)).as_deref(),
            Some("cache")
        );
        assert_eq!(role(&roles, "foo", Some("foo"), Some(40_000)), None);
        assert_eq!(role(&roles, "foo", None, None), None);
    }

    #[test]
    fn usual_names_have_their_roles() {
        let roles = Roles::builtin();
        for (exe, expected) in [
            ("haproxy", "proxy"),
            ("mysqld", "database"),
            ("redis-server", "cache"),
            ("php-fpm8.2", "web"),
            ("sshd", "ssh"),
            ("sshd-session", "ssh"),
            ("slapd", "directory"),
            ("systemd-resolved", "dns"),
            ("chronyd", "time"),
            ("node_exporter", "monitoring"),
            ("postgres_exporter", "monitoring"),
            ("fluent-bit", "logging"),
            ("kubelet", "orchestration"),
            ("master", "mail"),
        ] {
            assert_eq!(
                role(&roles, exe, None, None).as_deref(),
                Some(expected),
                "{exe}"
            );
        }
        for (image, expected) in [
            (
                "quay.io/prometheuscommunity/postgres-exporter:v0.15",
                "monitoring",
            ),
            ("registry:5000/bitnami/redis@sha256:0123", "cache"),
            ("opensearchproject/opensearch:2", "search"),
        ] {
            assert_eq!(
                role(&roles, "x", Some(image), None).as_deref(),
                Some(expected),
                "{image}"
            );
        }
    }

    #[test]
    fn the_users_lines_come_before_the_embedded_ones() {
        let text = "# mine\n\nexe nginx proxy # in front\nport 5432 -\n image  *shop*  web\nexe api-* web\n";
        let roles = Roles::with(text).expect("no error");
        assert_eq!(role(&roles, "nginx", None, None).as_deref(), Some("proxy"));
        assert_eq!(role(&roles, "x", None, Some(5432)), None);
        assert_eq!(
            role(&roles, "x", Some("r/shop/a:1"), None).as_deref(),
            Some("web")
        );
        assert_eq!(role(&roles, "api-7", None, None).as_deref(), Some("web"));
        assert_eq!(
            role(&roles, "mysqld", None, None).as_deref(),
            Some("database")
        );
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        for (text, expected) in [
            (
                "exe nginx",
                "line 1: 2 words where there should be three; write for example: exe nginx web",
            ),
            (
                "exe a b c",
                "line 1: 4 words where there should be three; write for example: exe nginx web",
            ),
            (
                "\n# x\nprot 80 web",
                "line 3: \"prot\" is no kind of hint; begin with exe, image or port",
            ),
            (
                "port 0 web",
                "line 1: \"0\" is no port; write a number from 1 to 65535",
            ),
            (
                "port 70000 web",
                "line 1: \"70000\" is no port; write a number from 1 to 65535",
            ),
            (
                "exe a Web",
                "line 1: \"Web\" is no name of a role; write small letters, digits and hyphens, \
                 at most 128, or a single - for no role",
            ),
            (
                "exe [a web",
                "line 1: \"[a\" is no pattern: unclosed character class; missing ']'; write text \
                 with * ? [a-z] {a,b}, and \\ before one of these that is meant as it is",
            ),
        ] {
            let error = Roles::with(text).expect_err("an error");
            assert_eq!(error.to_string(), expected);
        }
        let long = Roles::with(&format!("exe {} web", "a".repeat(200)));
        assert!(matches!(
            long,
            Err(RolesError {
                line: 1,
                problem: Problem::Pattern { .. }
            })
        ));
        let many = Roles::with(&"\n".repeat(MAX_LINES + 1));
        assert_eq!(
            many.map(|_| ()),
            Err(RolesError {
                line: MAX_LINES + 1,
                problem: Problem::Lines
            })
        );
    }
}
