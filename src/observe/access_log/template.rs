//! A log line of the operator's own making: text with `{field}`s.
//!
//! Owns the parsing and the proof that a line fits: a template whose longest line would not fit the
//! buffer is refused when loaded. Fields are escaped like nginx's whatever stands around them; what
//! may hold spaces (`user_agent`) is the operator's to quote. `{{` and `}}` are braces.

use super::field::{Field, TABLE};
use super::query::QueryPolicy;
use super::{Dates, LineBuf, Record, text};
use crate::bounds::LOG_LINE_BYTES_MAX;

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template(Vec<Part>);

/// Why a template was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Box<[u8]>),
    Field(Field),
}

// === impl Template ===

impl Template {
    pub(super) fn parse(source: &str) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = source.chars().enumerate().peekable();
        while let Some((at, c)) = chars.next() {
            let doubled = chars.next_if(|(_, next)| *next == c && matches!(c, '{' | '}')).is_some();
            match c {
                '{' | '}' if doubled => literal.push(c),
                '{' => {
                    let mut name = String::new();
                    let closed = loop {
                        match chars.next() {
                            Some((_, '}')) => break true,
                            Some((_, c)) => name.push(c),
                            None => break false,
                        }
                    };
                    if !closed {
                        return Err(error(at, "this { has no }; write {{ for a brace".into()));
                    }
                    let field = Field::named(&name).ok_or_else(|| unknown(at, &name))?;
                    flush(&mut literal, &mut parts);
                    parts.push(Part::Field(field));
                }
                '}' => return Err(error(at, "this } has no {; write }} for a brace".into())),
                c if c.is_control() => {
                    return Err(error(at, "a control character would break the line".into()));
                }
                c => literal.push(c),
            }
        }
        flush(&mut literal, &mut parts);
        Template(parts).bounded()
    }

    pub(super) fn write(
        &self,
        record: &Record<'_>,
        policy: &QueryPolicy,
        dates: &Dates,
        out: &mut LineBuf,
    ) {
        for part in &self.0 {
            match part {
                Part::Literal(bytes) => out.raw(bytes),
                Part::Field(field) => text::write_field(*field, record, policy, dates, out),
            }
        }
    }

    fn bounded(self) -> Result<Template, TemplateError> {
        if !self.0.iter().any(|part| matches!(part, Part::Field(_))) {
            return Err(error(0, format!("names no field; {}", known_fields())));
        }
        let longest = self.0.iter().map(Part::bytes_max).sum::<usize>() + 1;
        if longest > LOG_LINE_BYTES_MAX {
            let message = format!(
                "a line could take {longest} bytes, {LOG_LINE_BYTES_MAX} is the most: name long \
                 fields (path, query, request, referer) once"
            );
            return Err(error(0, message));
        }
        Ok(self)
    }
}

// === impl TemplateError ===

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

impl std::error::Error for TemplateError {}

// === impl Part ===

impl Part {
    fn bytes_max(&self) -> usize {
        match self {
            Part::Literal(bytes) => bytes.len(),
            Part::Field(field) => field.row().bytes_max,
        }
    }
}

fn flush(literal: &mut String, parts: &mut Vec<Part>) {
    if !literal.is_empty() {
        parts.push(Part::Literal(std::mem::take(literal).into_bytes().into_boxed_slice()));
    }
}

fn error(at: usize, message: String) -> TemplateError {
    TemplateError { column: at + 1, message }
}

fn unknown(at: usize, name: &str) -> TemplateError {
    error(at, format!("no field is called \"{}\"; {}", name.escape_debug(), known_fields()))
}

fn known_fields() -> String {
    let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
    format!("the fields are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(source: &str) -> (usize, String) {
        let error = Template::parse(source).expect_err(source);
        (error.column, error.message)
    }

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        for (source, column, word) in [
            ("é {statu}", 3, "\"statu\"; the fields are time,"),
            ("{time} {status", 8, "has no }"),
            ("{time} }", 8, "has no {"),
            ("{time}\n", 7, "control"),
            ("{time} {}", 8, "\"\""),
            ("nothing", 1, "names no field"),
            ("", 1, "names no field"),
            ("{path}{path}{path}{path}{path}{path}", 1, "12289 bytes"),
        ] {
            let (at, message) = refused(source);
            assert_eq!(at, column, "{source}: {message}");
            assert!(message.contains(word), "{source}: {message}");
        }
    }

    #[test]
    fn every_field_of_the_table_can_stand_in_a_template() {
        for row in TABLE {
            assert!(Template::parse(&format!("{{{{{{{}}}}}}}", row.name)).is_ok(), "{}", row.name);
        }
    }
}
