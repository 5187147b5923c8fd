//! What `tidy` sees of a source file: code without comments, strings and tests; the rooms it names,
//! its items, its functions. Text as rustfmt lays it out is enough: no parser.

use std::collections::BTreeSet;

/// The text with everything in comments, strings and character literals turned into blanks.
pub fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = opaque(rest);
        if length == 0 {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            let blanks = rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
            out.extend(blanks);
            rest = &rest[length..];
        }
    }
    out
}

/// The length of the comment or literal that `text` begins with; 0 if it begins with code.
fn opaque(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    if let Some(after) = text.strip_prefix('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        if after[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = 1 + hashes + 1;
            return text[body..].find(&close).map_or(text.len(), |at| body + at + close.len());
        }
    }
    let mut chars = text.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\''), Some('\\'), _) => quoted(text, '\''),
        // 'x', not the lifetime 'x.
        (Some('\''), Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 0,
    }
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Blanks items under `#[cfg(test)]`, as rustfmt lays them out; names those that are modules of a
/// file of their own.
pub fn without_tests(code: &str) -> (String, Vec<String>) {
    let (mut out, mut modules) = (String::with_capacity(code.len()), Vec::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let bare = line.trim_start();
        if !bare.starts_with("#[cfg(test)]") && !bare.starts_with("#[cfg(all(test") {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        out.push('\n');
        let end = format!("{}}}", &line[..line.len() - bare.len()]);
        let mut item = "";
        for line in lines.by_ref() {
            out.push('\n');
            let bare = line.trim();
            if item.is_empty() {
                if bare.starts_with("#[") || bare.is_empty() {
                    continue;
                }
                item = bare;
                if bare.ends_with([';', '}', ',']) {
                    break;
                }
            } else if line.starts_with(&end) {
                break;
            }
        }
        let module = item.strip_suffix(';').and_then(|item| item.split("mod ").nth(1));
        modules.extend(module.map(str::to_owned));
    }
    (out, modules)
}

/// The first names of all paths that begin with `prefix`, those in braces included.
pub fn rooms(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(is_word) {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            named.insert(first_word(rest).to_owned());
            continue;
        };
        let (mut depth, mut fresh) = (0_u32, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' => fresh = depth == 0,
                c if fresh && depth == 0 && is_word(c) => {
                    named.insert(first_word(&list[at..]).to_owned());
                    fresh = false;
                }
                _ => {}
            }
        }
    }
    named
}

/// Every function of more than one line, with how many it has.
pub fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let Some(name) = item(line).filter(|(kind, _)| *kind == "fn").map(|(_, name)| name) else {
            continue;
        };
        let end = lines[at..].iter().position(|line| {
            let own = line.strip_prefix(indent).filter(|rest| !rest.starts_with(' '));
            own.is_some_and(|rest| rest.trim_end().ends_with([';', '}']))
        });
        if let Some(lines) = end.filter(|lines| *lines > 0) {
            found.push((name.to_owned(), lines + 1));
        }
    }
    found
}

/// The names of all items.
pub fn items(code: &str) -> Vec<String> {
    let statements = code.lines().flat_map(|line| line.split_inclusive(';'));
    statements.filter_map(item).map(|(_, name)| name.to_owned()).collect()
}

/// The kind and name of the item that a line begins.
fn item(line: &str) -> Option<(&str, &str)> {
    const KINDS: &[&str] = &[
        "fn",
        "struct",
        "enum",
        "trait",
        "mod",
        "const",
        "static",
        "type",
        "union",
        "macro_rules!",
    ];
    let mut words = line.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let next = words.peek().copied().unwrap_or_default();
        let modifies = word.starts_with("pub") || matches!(word, "async" | "unsafe" | "extern");
        if KINDS.contains(&word) && next != "fn" && next != "unsafe" {
            let name = first_word(next.trim_start_matches("r#"));
            return (!name.is_empty()).then_some((word, name));
        }
        if !modifies && word != "const" {
            return None;
        }
    }
    None
}

/// `HttpRoute_x` is http, route, x.
pub fn words_in(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("never empty").extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

pub fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word)
    })
}

fn first_word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The scanner itself: a rule that sees nothing would always pass.
#[test]
fn the_scanner_sees_code_and_nothing_else() {
    let text = concat!(
        "//! crate::doc\n",
        "use crate::{a, b::{c, d}, e};\n",
        "const S: &str = \"crate::text { \\\" \"; /* crate::x /* y */ */ const C: char = '\"';\n",
        "fn long<'a>(x: &'a str) {\n    r#\"fn raw() { \"#;\n    crate::f::g();\n}\n",
        "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests {\n    use crate::hidden;\n}\n",
        "fn manage_util() {}\n",
    );
    let code = blanked(text);
    assert_eq!(code.lines().count(), text.lines().count());
    let (code, modules) = without_tests(&code);
    assert!(modules.is_empty(), "an inline module is no file");
    assert_eq!(rooms(&code, "crate::"), ["a", "b", "e", "f"].map(str::to_owned).into());
    assert_eq!(functions(&code), [("long".to_owned(), 4)]);
    assert_eq!(items(&code), ["S", "C", "long", "manage_util"]);
    assert_eq!(words_in("HttpRouteUtil_x"), ["http", "route", "util", "x"]);
    let (_, modules) = without_tests("#[cfg(test)]\nmod kit;\npub use x;\n");
    assert_eq!(modules, ["kit"]);
}
