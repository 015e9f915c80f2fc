//! The shape of the source: data flows one way, files stay small, every file says what it is for.
#![cfg(test)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The stages of the data path, in the order in which data flows. A stage imports only from those before it.
const STAGES: [&str; 10] = [
    "lsn",
    "secret_source",
    "trusted_roots",
    "position",
    "postgres",
    "replication",
    "pgoutput",
    "outbox",
    "publish",
    "relay",
];

/// Lines of a file that is still one job; tests included.
const MAX_FILE_LINES: usize = 500;
/// Lines of a file without its tests.
const MAX_CODE_LINES: usize = 400;

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&root);
    assert!(files.len() > 20, "the sources were not found");
    let read = |path: PathBuf| (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
    files.into_iter().map(read).collect()
}

/// The top-level module that a file belongs to.
fn module_of(file: &Path) -> String {
    let first = file.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The top-level modules that a file names after `crate::`, alone or in braces.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(first_names_in_braces(list)),
            None => found.extend(leading_name(rest)),
        }
    }
    found
}

fn leading_name(text: &str) -> Option<String> {
    let name: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn first_names_in_braces(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut expects_name) = (1, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expects_name = true,
            c if depth == 1 && expects_name && c.is_alphanumeric() => {
                names.extend(leading_name(&list[at..]));
                expects_name = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

#[test]
fn data_flows_one_way() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let module = module_of(&file);
        let Some(stage) = STAGES.iter().position(|name| *name == module) else { continue };
        for import in imports(&text) {
            let allowed = match STAGES.iter().position(|name| *name == import) {
                Some(other) => other <= stage,
                None => false,
            };
            if !allowed {
                wrong.push(format!("{} imports {import}, which does not come before it", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Webhooks are a leaf: nothing of the relay knows of them, and they know nothing of Postgres, its log and its slot. Whoever
/// only looks may look at them, too.
#[test]
fn webhooks_cannot_touch_the_slot() {
    let (may_import, may_be_imported_by) = (
        ["config", "outbox", "publish", "telemetry", "trusted_roots", "webhooks"],
        ["cli", "config", "doctor", "endpoint_table", "status", "survey"],
    );
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let (module, imports) = (module_of(&file), imports(&text));
        if module == "webhooks" {
            wrong.extend(imports.iter().filter(|import| !may_import.contains(&import.as_str())).cloned());
        } else if imports.contains("webhooks") && !may_be_imported_by.contains(&module.as_str()) {
            wrong.push(file.display().to_string());
        }
        // Whoever reads their table speaks SQL, and knows no log and no slot either.
        if module == "endpoint_table" {
            let may_import = ["config", "postgres", "preflight", "webhooks"];
            wrong.extend(imports.iter().filter(|import| !may_import.contains(&import.as_str())).cloned());
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_library_lists_its_stages_in_the_order_of_the_flow() {
    let (_, text) = sources().into_iter().find(|(file, _)| file == Path::new("lib.rs")).unwrap();
    let listed: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(listed[..STAGES.len()], STAGES);
}

/// A clock that somebody may set back: it dates what people read, and decides nothing.
#[test]
fn the_wall_clock_is_asked_for_figures_only() {
    let reads = ["SystemTime::now", "OffsetDateTime::now", "UtcDateTime::now", "UNIX_EPOCH.elapsed"];
    let files: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(_, text)| reads.iter().any(|read| text.contains(read)))
        .map(|(file, _)| file.display().to_string())
        .collect();
    // The age of the oldest event, for `/status` and the metrics; the moments that the metrics name.
    assert_eq!(files, ["relay/progress.rs", "telemetry/metrics.rs"].map(String::from).into());
}

#[test]
fn imports_are_recognised() {
    let text = "// use crate::no;\nuse crate::{a::{x, y}, b, c::z};\nlet v = crate::d::e();";
    let expected: BTreeSet<String> = ["a", "b", "c", "d"].map(String::from).into();
    assert_eq!(imports(text), expected);
}

#[test]
fn files_stay_small() {
    let mut large = Vec::new();
    for (file, text) in sources() {
        let all = text.lines().count();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines().count();
        if all > MAX_FILE_LINES || code > MAX_CODE_LINES {
            large.push(format!("{}: {code} lines of code, {all} with tests", file.display()));
        }
    }
    assert!(large.is_empty(), "{}", large.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(f, _)| f).collect();
    assert!(silent.is_empty(), "no module doc: {silent:?}");
}
