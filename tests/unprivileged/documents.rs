//! What the documents name is there: links, headings, files and identifiers of the sources. Checked in every
//! Markdown file of the repository.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

/// Longest line outside of tables and blocks.
const WIDTH: usize = 120;

/// Marks the block below it as a copy of this file of the repository.
const COPY: &str = "<!-- copy of ";

/// The files of the repository, by their paths from its root.
struct Tree {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    /// The text of sources and documents.
    texts: BTreeMap<PathBuf, String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace is around this crate")
}

impl Tree {
    fn read() -> Self {
        let mut tree = Self {
            files: BTreeSet::new(),
            folders: BTreeSet::new(),
            texts: BTreeMap::new(),
        };
        tree.visit(Path::new(""));
        tree
    }

    fn visit(&mut self, folder: &Path) {
        for entry in fs::read_dir(root().join(folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name();
            let path = folder.join(&name);
            if name == ".git" || name == "target" {
                continue;
            }
            if entry.file_type().expect("a type").is_dir() {
                self.visit(&path);
                self.folders.insert(path);
                continue;
            }
            if path.extension().is_some_and(|it| it == "rs" || it == "md") {
                let text = fs::read_to_string(entry.path()).expect("text");
                self.texts.insert(path.clone(), text);
            }
            self.files.insert(path);
        }
    }

    fn documents(&self) -> impl Iterator<Item = (&Path, &str)> {
        let documents = self.texts.iter();
        documents
            .filter(|(path, _)| path.extension().is_some_and(|it| it == "md"))
            .map(|(path, text)| (path.as_path(), text.as_str()))
    }

    fn has(&self, path: &Path) -> bool {
        self.files.contains(path) || self.folders.contains(path)
    }

    /// Whether a file or folder has this path, or one that ends so.
    fn has_ending(&self, end: &Path) -> bool {
        let mut all = self.files.iter().chain(&self.folders);
        all.any(|path| path.ends_with(end))
    }

    /// Whether `name` is defined in a file that belongs to `owner`: a module of that name, or one that defines it.
    fn defines(&self, owner: &str, name: &str) -> bool {
        let of_owner = |path: &Path| {
            let mut parts = path.with_extension("");
            if parts.ends_with("mod") || parts.ends_with("lib") {
                parts.pop();
            }
            let parts: Vec<String> = parts
                .components()
                .map(|it| it.as_os_str().to_string_lossy().replace('-', "_"))
                .collect();
            (
                parts.iter().any(|it| it == owner),
                parts.ends_with(&[owner.to_owned(), name.to_owned()])
                    || parts.ends_with(&[owner.to_owned(), "src".to_owned(), name.to_owned()]),
            )
        };
        let mut sources = self.texts.iter().filter(|(path, _)| is_source(path));
        sources.any(|(path, text)| {
            let (is_within, is_it) = of_owner(path);
            is_it || ((is_within || is_defined(text, owner)) && is_defined(text, name))
        })
    }
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "rs")
}

/// Whether this source defines an item or a variant of this name.
fn is_defined(text: &str, name: &str) -> bool {
    const ITEMS: [&str; 9] = [
        "fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod",
    ];
    text.lines().any(|line| {
        let line = line.trim_start();
        let words: Vec<&str> = line
            .split(|it: char| !it.is_alphanumeric() && it != '_')
            .filter(|it| !it.is_empty())
            .collect();
        let is_item = words
            .windows(2)
            .any(|pair| ITEMS.contains(&pair[0]) && pair[1] == name);
        let is_variant = line
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([',', '(', '=']) || rest.starts_with(" {"));
        is_item || is_variant
    })
}

/// A document without its blocks, as paragraphs: the number of the first line, and the text.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    let mut is_block = false;
    let mut is_new = true;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
            is_new = true;
        } else if !is_block {
            // A row of a table is a paragraph of its own.
            is_new |= line.trim().is_empty() || line.starts_with('|');
            match all.last_mut().filter(|_| !is_new) {
                Some((_, paragraph)) => {
                    paragraph.push(' ');
                    paragraph.push_str(line);
                }
                None => all.push((at + 1, line.to_owned())),
            }
            is_new = line.trim().is_empty();
        }
    }
    all
}

/// What is between backticks, and the rest.
fn code_and_prose(paragraph: &str) -> (Vec<&str>, String) {
    let mut code = Vec::new();
    let mut prose = String::new();
    for (at, part) in paragraph.split('`').enumerate() {
        match at % 2 {
            0 => prose.push_str(part),
            _ => {
                code.push(part);
                prose.push('x');
            }
        }
    }
    (code, prose)
}

/// What the links of a paragraph lead to.
fn links(paragraph: &str) -> impl Iterator<Item = &str> {
    let ends = paragraph.split("](").skip(1);
    ends.filter_map(|rest| rest.split_once(')').map(|it| it.0))
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for (_, paragraph) in paragraphs(text) {
        let Some(heading) = paragraph.strip_prefix('#') else {
            continue;
        };
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let anchor: String = heading
            .chars()
            .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'))
            .map(|it| if it == ' ' { '-' } else { it })
            .collect();
        let before = seen.entry(anchor.clone()).or_default();
        anchors.insert(match *before {
            0 => anchor,
            count => format!("{anchor}-{count}"),
        });
        *before += 1;
    }
    anchors
}

/// `path` without `.` and `..`; none if it leads out of the repository.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

/// What is wrong with a link of this document.
fn link_fault(tree: &Tree, document: &Path, text: &str, target: &str) -> Option<String> {
    if target.starts_with("https://") || target.starts_with("http://") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = document.parent().expect("a folder");
    let path = match path {
        "" => document.to_owned(),
        path => match plain(&folder.join(path)).filter(|it| tree.has(it)) {
            Some(path) => path,
            None => return Some(format!("the link {target} is dead")),
        },
    };
    let there = match path == document {
        true => Some(text),
        false => tree.texts.get(&path).map(String::as_str),
    };
    let is_there = anchor.is_empty() || there.is_some_and(|it| anchors(it).contains(anchor));
    (!is_there).then(|| format!("no heading for the link {target}"))
}

/// What is wrong with a name between backticks: a file or folder of the repository, or a path of Rust.
fn name_fault(tree: &Tree, code: &str) -> Option<String> {
    let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let identifier = code.trim_end_matches("()").trim_end_matches('!');
    let parts: Vec<&str> = identifier.split("::").collect();
    let is_identifier = |it: &&str| {
        it.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_') && it.chars().all(is_word)
    };
    if parts.len() > 1 && parts.iter().all(is_identifier) {
        let mut pairs = parts.windows(2);
        let is_there = pairs.all(|pair| tree.defines(pair[0], pair[1]));
        return (!is_there).then(|| format!("no source defines {code}"));
    }
    let is_path = code.chars().all(|it| is_word(it) || "./-".contains(it));
    if !is_path || code.starts_with(['/', '-']) {
        return None;
    }
    let path = plain(Path::new(code))?;
    let top = path.components().next()?;
    if path.components().count() > 1 && tree.folders.contains(Path::new(top.as_os_str())) {
        return (!tree.has(&path)).then(|| format!("{code} is not there"));
    }
    let is_ours = code.ends_with('/')
        || path
            .extension()
            .is_some_and(|it| it == "rs" || it == "md" || it == "toml");
    (is_ours && !tree.has_ending(&path)).then(|| format!("nothing here is called {code}"))
}

/// What a document names that is not there.
fn faults(tree: &Tree, document: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (line, paragraph) in paragraphs(text) {
        let (code, prose) = code_and_prose(&paragraph);
        let names = code.into_iter().filter_map(|it| name_fault(tree, it));
        let links = links(&prose).filter_map(|it| link_fault(tree, document, text, it));
        let here = document.display();
        faults.extend(names.chain(links).map(|it| format!("{here}:{line}: {it}")));
    }
    faults
}

#[test]
fn what_documents_name_is_there() {
    let tree = Tree::read();
    let faults: Vec<String> = tree
        .documents()
        .flat_map(|(path, text)| faults(&tree, path, text))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_is_not_there_is_found() {
    let tree = Tree::read();
    let of = |text: &str| faults(&tree, Path::new("docs/made-up.md"), text);
    for broken in [
        "[page](no-such-page.md)",
        "[page](../docs/no-such-page.md#words)",
        "[page](../../outside.md)",
        "[a\nheading](output.md#no-such-heading)",
        "[a heading](#no-such-heading)\n\n# Another",
        "`docs/no_such_file.txt`",
        "`tests/no_such_folder`",
        "`no_such_source.rs`",
        "`no_such_folder/`",
        "`map/no_such_source.rs`",
        "`no_such_module::Scope`",
        "`Scope::NoSuchVariant`",
        "`Scope::no_such_function()`",
        "| `a` | `no_such_source.rs` |",
    ] {
        assert_eq!(of(broken).len(), 1, "{broken}");
    }
    for fine in [
        "[page](output.md) and [a heading](../docs/output.md#words)",
        "[a heading](#one-heading)\n\n# One `heading`",
        "[elsewhere](https://example.org/no/such#thing)",
        "`docs/output.md`, `tests/recordings`, `documents.rs`, `unprivileged/`",
        "`Scope::Traffic`, `Scope::name()`, `tracer_common::share`",
        "`/etc/no_such_file.toml`, `fe80::1%2`, `10.0.0.0/8`, `plan.txt`",
        "```\n[page](no-such-page.md) and `no_such_source.rs`\n```",
    ] {
        assert_eq!(of(fine), [""; 0], "{fine}");
    }
}

#[test]
fn every_page_is_in_the_index() {
    let tree = Tree::read();
    let index = Path::new("docs/README.md");
    let linked: BTreeSet<PathBuf> = paragraphs(&tree.texts[index])
        .iter()
        .flat_map(|(_, paragraph)| links(paragraph))
        .filter_map(|it| plain(&Path::new("docs").join(it.split('#').next()?)))
        .collect();
    let pages = tree.documents().map(|it| it.0);
    for page in pages.filter(|it| it.starts_with("docs") && *it != index) {
        assert!(
            linked.contains(page),
            "docs/README.md lacks {}",
            page.display()
        );
    }
}

#[test]
fn lines_are_no_longer_than_a_screen_is_wide() {
    let tree = Tree::read();
    let mut long = Vec::new();
    for (path, text) in tree.documents() {
        let mut is_block = false;
        for (at, line) in text.lines().enumerate() {
            is_block ^= line.trim_start().starts_with("```");
            let is_free = is_block || line.starts_with('|');
            if !is_free && line.chars().count() > WIDTH {
                long.push(format!("{}:{}", path.display(), at + 1));
            }
        }
    }
    assert!(long.is_empty(), "longer than {WIDTH}: {}", long.join(" "));
}

#[test]
fn copies_are_what_they_are_copies_of() {
    let tree = Tree::read();
    let mut copies = 0;
    for (path, text) in tree.documents() {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(COPY) {
            let (before, marked) = rest.split_at(at);
            let (mark, block) = marked.split_once("```").expect("a block below the mark");
            let (kind, block) = block.split_once('\n').expect("a block");
            let (_, after) = block.split_once("```").expect("a block ends");
            let of = mark[COPY.len()..].split(" -->").next().expect("a path");
            let file = fs::read_to_string(root().join(of)).expect("the file is there");
            out.push_str(&format!(
                "{before}{mark}```{kind}\n{}\n```",
                file.trim_end()
            ));
            rest = after;
            copies += 1;
        }
        out.push_str(rest);
        if out == text {
            continue;
        }
        if std::env::var_os("TRACER_WRITE_DOCS").is_some() {
            fs::write(root().join(path), out).expect("written");
        } else {
            panic!(
                "{} has an old copy: TRACER_WRITE_DOCS=1 makes it anew",
                path.display()
            );
        }
    }
    assert!(copies > 0, "no document has a copy");
}
