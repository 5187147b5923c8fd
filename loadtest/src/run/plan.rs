//! Reads the requests of a run: one from the flags, or a weighted mix from a TOML file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::request::Definition;
use super::target::Target;
use crate::cli::RunArgs;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    request: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default = "one")]
    weight: u64,
    #[serde(default = "get")]
    method: String,
    /// The URL's if left out.
    path: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
}

fn one() -> u64 {
    1
}

fn get() -> String {
    "GET".into()
}

pub fn definitions(args: &RunArgs, target: &Target) -> Result<Vec<Definition>, String> {
    let common = fields(&args.headers)?;
    let Some(path) = &args.plan else {
        return Ok(vec![Definition {
            weight: 1,
            method: args.method.clone(),
            path: target.path.clone(),
            headers: common,
            body: body(args)?,
        }]);
    };
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    parse(&text, &target.path, &common).map_err(|e| format!("{}: {e}", path.display()))
}

fn parse(text: &str, path: &str, common: &[(String, String)]) -> Result<Vec<Definition>, String> {
    let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
    let define = |entry: Entry| Definition {
        weight: entry.weight,
        method: entry.method,
        path: entry.path.unwrap_or_else(|| path.to_owned()),
        headers: common.iter().cloned().chain(entry.headers).collect(),
        body: entry.body.map(String::into_bytes),
    };
    Ok(file.request.into_iter().map(define).collect())
}

fn fields(flags: &[String]) -> Result<Vec<(String, String)>, String> {
    flags
        .iter()
        .map(|flag| {
            let (name, value) =
                flag.split_once(':').ok_or_else(|| format!("-H `{flag}`: no colon"))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

fn body(args: &RunArgs) -> Result<Option<Vec<u8>>, String> {
    if let Some(size) = args.body_size {
        return Ok(Some(b"0123456789abcdef".iter().copied().cycle().take(size).collect()));
    }
    match args.body.as_deref() {
        None => Ok(None),
        Some(text) => match text.strip_prefix('@') {
            None => Ok(Some(text.as_bytes().to_vec())),
            Some(file) => std::fs::read(file).map(Some).map_err(|e| format!("{file}: {e}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read() {
        let text = "[[request]]\nweight = 9\npath = '/a'\n[[request]]\nmethod = 'POST'\n\
                    headers = { X-B = 'c' }\nbody = 'd'\n";
        let mix = parse(text, "/default", &[("X-All".into(), "1".into())]).unwrap();
        assert_eq!((mix[0].weight, mix[0].path.as_str(), mix[0].method.as_str()), (9, "/a", "GET"));
        assert_eq!((mix[1].weight, mix[1].path.as_str()), (1, "/default"));
        assert_eq!(mix[1].headers[1], ("X-B".to_owned(), "c".to_owned()));
        assert_eq!(mix[1].body.as_deref(), Some(b"d".as_slice()));
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(parse("[[request]]\nwieght = 9\n", "/", &[]).is_err());
    }
}
