//! The pages behind `doc_url`: what a code means, and all codes, as HTML or JSON.
//!
//! Written from the table alone: no byte of a request comes in.

use std::fmt::Write;

use super::{Failure, Row, TABLE};

/// The list of all codes.
pub const LIST: &str = "/docs/errors";
/// What the page of a code begins with.
pub const BELOW: &str = "/docs/errors/";

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    List,
    Code(Failure),
}

// === impl Page ===

impl Page {
    /// The page at this path, if there is one.
    #[must_use]
    pub fn at(path: &[u8]) -> Option<Page> {
        let rest = path.strip_prefix(LIST.as_bytes())?;
        match rest {
            b"" | b"/" => Some(Page::List),
            [b'/', code @ ..] => Failure::of_code(code).map(Page::Code),
            _ => None,
        }
    }

    /// The page as a browser shows it.
    #[must_use]
    pub fn html(self) -> String {
        let (title, content) = match self {
            Page::List => ("Errors".to_owned(), list()),
            Page::Code(failure) => (failure.row().code.to_owned(), of(failure.row())),
        };
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <title>{title}</title>\n\
             <style>body{{font:16px/1.5 sans-serif;max-width:48em;margin:2em auto;padding:0 1em}}\
             td,th{{text-align:left;padding:.1em 1em .1em 0}}</style>\n\
             <h1>{title}</h1>\n{content}</html>\n"
        )
    }

    /// The page as a program reads it.
    #[must_use]
    pub fn json(self) -> String {
        let value = match self {
            Page::List => {
                serde_json::json!({ "errors": TABLE.iter().map(value).collect::<Vec<_>>() })
            }
            Page::Code(failure) => value(failure.row()),
        };
        format!("{value}\n")
    }
}

/// Whether the same request may be sent again.
#[must_use]
pub fn advice(row: &Row) -> &'static str {
    match row.retryable {
        true => "The same request may succeed when it is sent again.",
        false => "The same request fails again if it is sent unchanged.",
    }
}

fn of(row: &Row) -> String {
    format!(
        "<p>{}\n<p>{}\n<table>\n<tr><th>Status<td>{}\n<tr><th>Type<td><code>{}</code>\n\
         <tr><th>Name<td><code>{}</code>\n<tr><th>Whose doing<td>{}\n</table>\n\
         <p><a href=\"{LIST}\">All errors</a>\n",
        escaped(row.message),
        advice(row),
        row.status,
        row.kind,
        row.name,
        row.blame.whose()
    )
}

fn list() -> String {
    let mut text = String::from("<table>\n<tr><th>Code<th>Status<th>What happened\n");
    for row in TABLE {
        let (link, message) = (super::body::doc_url(row.code), escaped(row.message));
        writeln!(
            text,
            "<tr><td><a href=\"{link}\">{}</a><td>{}<td>{message}",
            row.code, row.status
        )
        .expect("a String takes all text");
    }
    text.push_str("</table>\n");
    text
}

fn value(row: &Row) -> serde_json::Value {
    serde_json::json!({
        "code": row.code, "name": row.name, "type": row.kind, "status": row.status,
        "retryable": row.retryable, "blame": row.blame.whose(), "message": row.message,
        "advice": advice(row), "doc_url": super::body::doc_url(row.code),
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_page_in_any_letter_case_and_nothing_else_has() {
        assert_eq!(Page::at(b"/docs/errors"), Some(Page::List));
        assert_eq!(Page::at(b"/docs/errors/"), Some(Page::List));
        for row in TABLE {
            let path = super::super::body::doc_url(row.code);
            assert_eq!(Page::at(path.as_bytes()), Some(Page::Code(row.failure)));
            let upper = format!("{BELOW}{}", row.code);
            assert_eq!(Page::at(upper.as_bytes()), Some(Page::Code(row.failure)));
            let page = Page::Code(row.failure);
            assert!(page.html().contains(&escaped(row.message)));
            let value: serde_json::Value = serde_json::from_str(&page.json()).expect("is JSON");
            assert_eq!(value["code"], row.code);
            assert!(Page::List.html().contains(&format!(">{}<", row.code)));
        }
        for path in ["/", "/docs", "/docs/errorsx", "/docs/errors/x", "/docs/errors/common_001/"] {
            assert_eq!(Page::at(path.as_bytes()), None, "{path}");
        }
    }
}
