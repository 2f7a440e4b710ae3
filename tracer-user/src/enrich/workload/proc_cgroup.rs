//! Reads `/proc/PID/cgroup`: which cgroup a process is in, in each hierarchy.

use std::cmp::Reverse;

/// How many lines are read: v1 has at most about twenty hierarchies.
const MAX_LINES: usize = 64;
/// How many bytes are read. Paths are not cut: what does not end within this is left out.
const MAX_BYTES: usize = 64 * 1024;

/// A line of `/proc/PID/cgroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Controllers of the hierarchy, as `cpu,cpuacct` or `name=systemd`; empty for v2.
    pub controllers: String,
    /// The path, which begins with a slash. Bytes that are not UTF-8 are U+FFFD.
    pub path: String,
}

/// The lines of `text`, those to believe first:
///
/// 1. systemd's own hierarchy of v1, in which nobody is left behind;
/// 2. v2, if it is not the root, where a hybrid host may leave all;
/// 3. of v1 the controllers that container runtimes always set: memory, pids, cpu, devices,
///    cpuset, freezer, blkio;
/// 4. the rest.
///
/// Lines that are none are left out. A ` (deleted)` after a path is, too.
pub fn from_proc_cgroup(text: &[u8]) -> Vec<Line> {
    let kept = match text.get(..MAX_BYTES) {
        None => text,
        Some(kept) => {
            let end = kept.iter().rposition(|byte| *byte == b'\n');
            &kept[..end.unwrap_or(0)]
        }
    };
    let lines = kept.split(|byte| *byte == b'\n').take(MAX_LINES);
    let mut lines: Vec<Line> = lines.filter_map(parse_line).collect();
    lines.sort_by_key(|line| Reverse(belief(line)));
    lines
}

/// `ID:CONTROLLERS:PATH`; there may be colons in the path.
fn parse_line(line: &[u8]) -> Option<Line> {
    let line = String::from_utf8_lossy(line);
    let mut fields = line.splitn(3, ':');
    fields.next()?.parse::<u32>().ok()?;
    let controllers = fields.next()?;
    let path = fields.next()?;
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.starts_with('/').then(|| Line {
        controllers: controllers.to_owned(),
        path: path.to_owned(),
    })
}

fn belief(line: &Line) -> usize {
    const BEST_LAST: [&str; 7] = [
        "blkio", "freezer", "cpuset", "devices", "cpu", "pids", "memory",
    ];
    match line.controllers.as_str() {
        "name=systemd" => BEST_LAST.len() + 2,
        "" if line.path != "/" => BEST_LAST.len() + 1,
        list => list
            .split(',')
            .filter_map(|name| BEST_LAST.iter().position(|it| *it == name))
            .max()
            .map_or(0, |at| at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(String, String)> {
        let lines = from_proc_cgroup(text.as_bytes()).into_iter();
        lines.map(|it| (it.controllers, it.path)).collect()
    }

    fn line(controllers: &str, path: &str) -> (String, String) {
        (controllers.to_owned(), path.to_owned())
    }

    #[test]
    fn v2_has_one_line() {
        let expected = [line("", "/system.slice/ssh.service")];
        assert_eq!(lines("0::/system.slice/ssh.service\n"), expected);
    }

    #[test]
    fn hybrid_and_v1_are_sorted_by_belief() {
        let text =
            "12:rdma:/\n11:cpu,cpuacct:/c\n9:memory:/m\n8:pids:/p\n1:name=systemd:/s\n0::/u\n";
        let expected = [
            line("name=systemd", "/s"),
            line("", "/u"),
            line("memory", "/m"),
            line("pids", "/p"),
            line("cpu,cpuacct", "/c"),
            line("rdma", "/"),
        ];
        assert_eq!(lines(text), expected);
    }

    #[test]
    fn an_unused_v2_comes_last() {
        let expected = [line("memory", "/m"), line("", "/")];
        assert_eq!(lines("0::/\n4:memory:/m\n"), expected);
    }

    #[test]
    fn colons_belong_to_the_path_and_deletion_does_not() {
        let expected = [line("", "/system.slice:docker:ab")];
        assert_eq!(lines("0::/system.slice:docker:ab (deleted)"), expected);
    }

    #[test]
    fn what_is_no_line_is_left_out() {
        assert_eq!(lines(""), []);
        assert_eq!(lines("\n::\n0:\nx:memory:/m\n0::relative\n:::::"), []);
        let many = "3:memory:/m\n".repeat(10_000);
        assert_eq!(lines(&many).len(), MAX_LINES);
        let huge = format!("0::/{}\n", "a".repeat(MAX_BYTES));
        assert_eq!(lines(&huge), []);
    }
}
