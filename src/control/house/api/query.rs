//! What stands in a request's query and conditions: read by the row, strictly.

use serde_json::{Value, json};

use super::problem::Problem;
use super::table::{self, Row};
use crate::bounds;
use crate::control::house::page::{Asked, Page};

/// The parameters a row may have, with their defaults.
#[derive(Debug)]
pub struct Query {
    pub limit: usize,
    pub after: String,
    pub before: Option<i64>,
    pub owner: Option<String>,
    pub plan: Option<String>,
    pub tag: Option<String>,
    pub state: Option<String>,
    pub api: Option<String>,
    pub object: Option<String>,
    pub by: String,
    pub since: String,
    pub until: Option<String>,
    pub only: String,
}

/// The states a key is shown in.
pub const STATES: [&str; 3] = ["active", "disabled", "expired"];

// === impl Query ===

impl Query {
    /// Reads the parameters that the row has.
    ///
    /// # Errors
    /// The first that it has not, stands twice, or is not of its form.
    pub fn read(asked: &Asked<'_>, row: &Row) -> Result<Query, Page> {
        let mut query = Query {
            limit: bounds::ADMIN_PAGE,
            after: String::new(),
            before: None,
            owner: None,
            plan: None,
            tag: None,
            state: None,
            api: None,
            object: None,
            by: String::new(),
            since: "24h".to_owned(),
            until: None,
            only: String::new(),
        };
        let text = std::str::from_utf8(asked.request.query())
            .map_err(|_| Problem::Invalid.page("The query is not UTF-8."))?;
        let mut seen = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(&value.replace('+', " "))?);
            let known = row.query.iter().find(|known| known.name() == name);
            let Some(known) = known else {
                return Err(wrong(&name, "there is no such parameter here"));
            };
            if seen.contains(known) {
                return Err(wrong(&name, "it stands twice"));
            }
            seen.push(*known);
            query.take(*known, value)?;
        }
        Ok(query)
    }

    fn take(&mut self, known: table::Query, value: String) -> Result<(), Page> {
        let name = known.name();
        match known {
            table::Query::Limit => {
                let limit = number(&value).and_then(|n| usize::try_from(n).ok());
                let fits = limit.filter(|n| (1..=bounds::ADMIN_PAGE_MAX).contains(n));
                self.limit = fits.ok_or_else(|| wrong(name, "write a number from 1 to 1000"))?;
            }
            table::Query::Before => {
                let fits = number(&value).filter(|n| *n > 0);
                self.before = Some(fits.ok_or_else(|| wrong(name, "write a number above 0"))?);
            }
            table::Query::State => {
                if !STATES.contains(&value.as_str()) {
                    return Err(wrong(name, "write active, disabled or expired"));
                }
                self.state = Some(value);
            }
            table::Query::After => self.after = value,
            table::Query::Owner => self.owner = Some(value),
            table::Query::Plan => self.plan = Some(value),
            table::Query::Tag => self.tag = Some(value),
            table::Query::Api => self.api = Some(value),
            table::Query::Object => self.object = Some(value),
            table::Query::By => self.by = value,
            table::Query::Since => self.since = value,
            table::Query::Until => self.until = Some(value),
            table::Query::Where => self.only = value,
        }
        Ok(())
    }
}

/// Percent-decoded (RFC 3986 section 2.1).
///
/// # Errors
/// When it is not, or is not UTF-8.
pub fn decoded(text: &str) -> Result<String, Page> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let hex = rest.split_at_checked(2).and_then(|(hex, after)| {
            rest = after;
            // `from_str_radix` takes a sign, which is no digit.
            let text = std::str::from_utf8(hex).ok().filter(|text| !text.contains('+'))?;
            u8::from_str_radix(text, 16).ok()
        });
        bytes.push(hex.ok_or_else(|| Problem::Invalid.page("A % without two digits behind it."))?);
    }
    String::from_utf8(bytes).map_err(|_| Problem::Invalid.page("Not UTF-8 once decoded."))
}

/// The entity tag of If-Match (RFC 9110 section 13.1.1); none for `*`, which any key meets.
///
/// # Errors
/// When there are several tags, which nobody needs here, or none that we make.
pub fn if_match(asked: &Asked<'_>) -> Result<Option<String>, Page> {
    let request = &asked.request;
    let mut values = request.head.values_named(b"if-match", request.block);
    let Some(value) = values.next() else { return Ok(None) };
    let tag = std::str::from_utf8(value).map(str::trim).unwrap_or_default();
    if tag == "*" && values.next().is_none() {
        return Ok(None);
    }
    let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let is_one = inner.is_some_and(|inner| inner.len() == 24 && inner.bytes().all(is_hex));
    if !is_one || values.next().is_some() {
        return Err(Problem::Invalid.page("If-Match is not `*` or one tag as ETag told it."));
    }
    Ok(Some(tag.to_owned()))
}

/// One page of a list that goes back in time: one more was asked for, to see whether there is.
#[must_use]
pub fn page_back(name: &str, mut list: Vec<Value>, limit: usize) -> Page {
    let more = list.len() > limit;
    list.truncate(limit);
    let next = list.last().filter(|_| more).map(|last| last["id"].clone());
    Page::json(200, &json!({ name: list, "next": next }))
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn number(text: &str) -> Option<i64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// What is said of a parameter that is not of its form.
pub fn wrong(name: &str, why: &str) -> Page {
    let errors = [json!({ "parameter": name, "detail": why })];
    Problem::Invalid.page_with(format!("The parameter {name:?}: {why}."), &errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_coding_is_taken_off_strictly() {
        let ok = |text: &str| decoded(text).ok();
        assert_eq!(ok("a%20b%C3%A4").as_deref(), Some("a bä"));
        for bad in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert_eq!(ok(bad), None, "{bad}");
        }
    }
}
