//! Include files, on a real directory.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{MINIMAL, told};
use crate::config::{LogPath, load};

/// A directory of these files.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().expect("a directory is made");
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("is made");
        fs::write(path, text).expect("is written");
    }
    directory
}

/// The diagnostics of loading `main.toml`, the directory cut out.
fn mistakes(directory: &TempDir) -> String {
    let errors = load(&directory.path().join("main.toml")).expect_err("it has mistakes");
    told(&errors).replace(&format!("{}/", directory.path().display()), "")
}

#[test]
fn objects_of_all_files_are_one_configuration() {
    let main = format!("include = [\"conf.d/*.toml\", \"one.toml\"]\n{MINIMAL}");
    let directory = directory(&[
        ("main.toml", &main),
        ("one.toml", "[apis.one.routes.\"GET /1\"]\nupstream = \"two\"\n"),
        ("conf.d/b.toml", "[upstreams.two]\nendpoints = [\"10.0.0.2:80\"]\n"),
        ("conf.d/a.toml", "include = [\"deep/*.toml\"]\n[log.access]\npath = \"access.log\"\n"),
        ("conf.d/deep/x.toml", "[upstreams.x]\nendpoints = [\"x:80\"]\n"),
        ("conf.d/c.txt", "not read"),
        ("conf.d/.hidden.toml", "not read"),
    ]);
    let path = directory.path().join("main.toml");
    let loaded = load(&path).unwrap_or_else(|errors| panic!("{}", told(&errors)));
    let names: Vec<_> = loaded.config.upstreams.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["app", "two", "x"]);
    let files = loaded.files.iter().map(|file| file.strip_prefix(&directory).expect("is below"));
    let expected =
        ["main.toml", "conf.d/a.toml", "conf.d/deep/x.toml", "conf.d/b.toml", "one.toml"];
    assert_eq!(files.collect::<Vec<_>>(), expected.map(Path::new));
    // A path is relative to the file that names it.
    let LogPath::File(log) = loaded.config.log.access.path else { panic!("a file is named") };
    assert_eq!(log.path, directory.path().join("conf.d/access.log"));
    assert_eq!(log.place.line, 3);
}

#[test]
fn an_object_in_two_files_is_told_with_both_places() {
    let main = format!("include = [\"a.toml\"]\n{MINIMAL}\n[gateway]\npin = true\n");
    let directory = directory(&[
        ("main.toml", &main),
        ("a.toml", "[gateway]\npin = false\n\n[upstreams.app]\nendpoints = [\"10.0.0.2:80\"]\n"),
    ]);
    assert_eq!(
        mistakes(&directory),
        "a.toml:1:2: gateway: written twice; the first is at main.toml:13:2; remove or rename one \
         of them\n\
         a.toml:4:12: upstreams.app: written twice; the first is at main.toml:7:12; remove or \
         rename one of them\n"
    );
}

#[test]
fn mistakes_of_all_files_are_told_in_their_order() {
    let main = "include = [\"b.toml\"]\nlisteners = 1\n[gateway]\npinn = true\n";
    let directory = directory(&[("main.toml", main), ("b.toml", "[apis.x]\nbase = \"/\"\n")]);
    let told = mistakes(&directory);
    let files: Vec<_> = told.lines().filter_map(|line| line.split_once(": ")).collect();
    let places: Vec<_> = files.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, ["main.toml:2:13", "main.toml:4:1", "b.toml:2:1"], "{told}");
}

#[test]
fn a_file_that_includes_itself_is_a_mistake_not_a_loop() {
    let directory = directory(&[
        ("main.toml", "include = [\"a.toml\"]\n"),
        ("a.toml", "include = [\"./main.toml\"]\n"),
    ]);
    assert_eq!(
        mistakes(&directory),
        "a.toml:1:12: include[0] = \"./main.toml\": ./main.toml: included again; it was read \
         before as main.toml; \
         a file is read once, and never includes itself\n"
    );
}

#[test]
fn includes_are_bounded_in_depth() {
    let names: Vec<String> = (0..12).map(|i| format!("{i}.toml")).collect();
    let mut files = vec![("main.toml".to_owned(), "include = [\"0.toml\"]\n".to_owned())];
    for pair in names.windows(2) {
        files.push((pair[0].clone(), format!("include = [\"{}\"]\n", pair[1])));
    }
    files.push((names[11].clone(), String::new()));
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(
        mistakes(&directory(&files)),
        "7.toml:1:12: include[0] = \"8.toml\": 8.toml: included more than 8 files deep; \
         include it from a file further up\n"
    );
}

#[test]
fn files_that_cannot_be_read_are_named_where_they_are_included() {
    let main = "include = [\"no.toml\", \"none/*.toml\", \"*/a.toml\", \"\", 7]\n";
    let directory = directory(&[("main.toml", main)]);
    assert_eq!(
        mistakes(&directory),
        "main.toml:1:12: include[0] = \"no.toml\": no.toml: cannot be read: No such file or \
         directory (os error 2); check the path\n\
         main.toml:1:23: include[1] = \"none/*.toml\": none: cannot be listed: No such file or \
         directory (os error 2); create the directory, or correct the path\n\
         main.toml:1:38: include[2] = \"*/a.toml\": a `*` before the last part of the path; \
         include each directory by a path of its own\n\
         main.toml:1:50: include[3] = \"\": not a path to a file; write \"conf.d/*.toml\"\n\
         main.toml:1:54: include[4] = 7: expected a text, found a number; \
         write a text in quotes (a path, `*` allowed in its last part)\n"
    );
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_told_without_a_line() {
    let directory = directory(&[]);
    assert_eq!(
        mistakes(&directory),
        "main.toml: cannot be read: No such file or directory (os error 2); check the path\n"
    );
    fs::write(directory.path().join("main.toml"), b"[gateway]\npin = \xff\n").expect("is written");
    assert_eq!(mistakes(&directory), "main.toml: not UTF-8 (line 2); save it as UTF-8\n");
}

#[test]
fn a_file_beyond_the_bound_is_refused() {
    let directory = directory(&[]);
    let file = fs::File::create(directory.path().join("main.toml")).expect("is made");
    file.set_len(crate::bounds::CONFIG_FILE_BYTES_MAX + 1).expect("a sparse file costs nothing");
    assert_eq!(mistakes(&directory), "main.toml: larger than 16MiB; split it with `include`\n");
}
