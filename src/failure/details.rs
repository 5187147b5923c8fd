//! What a client is told of its failure beside the row: values of this one request.
//!
//! Made where a step fails, read where the answer is written. Values may come from the network:
//! they are escaped when they are written, never before. Holds fields for the answer's head too
//! (`Retry-After`, `WWW-Authenticate`): one place that says all of a refusal.

use std::borrow::Cow;

/// What more a client is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    list: Vec<(&'static str, Detail)>,
    /// In place of the row's sentence.
    pub message: Option<String>,
    /// The parameter at fault, as OpenAI's errors name it.
    pub param: Option<String>,
    /// In how many seconds the same request may be sent again.
    pub retry_after: Option<u64>,
    /// In place of the row's word on whether the same request may succeed later.
    pub retryable: Option<bool>,
    /// Fields of the answer, each with a value that may stand in a head.
    pub fields: Vec<(&'static str, Vec<u8>)>,
}

/// One value of the details.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    Text(String),
    Texts(Vec<String>),
    Number(u64),
    Flag(bool),
}

// === impl Details ===

impl Details {
    #[must_use]
    pub fn new() -> Details {
        Details::default()
    }

    /// With a value under a key of our own; keys stand in the order they were given.
    #[must_use]
    pub fn with(mut self, key: &'static str, detail: Detail) -> Details {
        self.list.push((key, detail));
        self
    }

    /// With a text.
    #[must_use]
    pub fn text(self, key: &'static str, text: impl Into<String>) -> Details {
        self.with(key, Detail::Text(text.into()))
    }

    /// With a list of texts.
    #[must_use]
    pub fn texts<T: Into<String>>(
        self,
        key: &'static str,
        texts: impl IntoIterator<Item = T>,
    ) -> Details {
        self.with(key, Detail::Texts(texts.into_iter().map(Into::into).collect()))
    }

    /// With a number.
    #[must_use]
    pub fn number(self, key: &'static str, number: u64) -> Details {
        self.with(key, Detail::Number(number))
    }

    /// With a sentence in place of the row's.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Details {
        self.message = Some(message.into());
        self
    }

    /// With the name of the parameter at fault.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>) -> Details {
        self.param = Some(name.into());
        self
    }

    /// With the seconds after which the request may be sent again: in the details and as a field.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Details {
        self.retry_after = Some(seconds);
        self
    }

    /// With whether it is worth sending again.
    #[must_use]
    pub fn retryable(mut self, is: bool) -> Details {
        self.retryable = Some(is);
        self
    }

    /// With a field of the answer. Its value is ours or has been checked by the grammar.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Details {
        self.fields.push((name, value.into()));
        self
    }

    /// Appends the members of the JSON object, each after a comma.
    pub(super) fn put_members(&self, out: &mut Vec<u8>) {
        for (key, detail) in &self.list {
            out.push(b',');
            put_text(out, key);
            out.push(b':');
            match detail {
                Detail::Text(text) => put_text(out, text),
                Detail::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
                Detail::Flag(flag) => out.extend_from_slice(flag.to_string().as_bytes()),
                Detail::Texts(texts) => {
                    out.push(b'[');
                    for (at, text) in texts.iter().enumerate() {
                        if at > 0 {
                            out.push(b',');
                        }
                        put_text(out, text);
                    }
                    out.push(b']');
                }
            }
        }
        if let Some(seconds) = self.retry_after {
            out.extend_from_slice(format!(",\"retry_after\":{seconds}").as_bytes());
        }
    }
}

/// Appends a JSON string.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    put_escaped(out, text);
    out.push(b'"');
}

/// Appends what stands between the quotes of a JSON string (RFC 8259 section 7). Less-than and the
/// line separators are escaped too: whoever puts the answer into a page or a script gets no
/// surprise.
fn put_escaped(out: &mut Vec<u8>, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '<' | '\u{2028}' | '\u{2029}' | '\u{7f}' | '\0'..='\u{1f}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Bytes from the network as text: what is no UTF-8 becomes U+FFFD.
#[must_use]
pub(super) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_from_the_network_cannot_leave_their_string() {
        let nasty = "a\"},\"admin\":true,\\\u{2028}<script>\r\n\0é";
        let details = Details::new()
            .text("guide", nasty)
            .texts("missing", [nasty, "b"])
            .number("limit", 7)
            .with("shadow", Detail::Flag(true))
            .retry_after(30);
        let mut out = b"{\"reason\":1".to_vec();
        details.put_members(&mut out);
        out.push(b'}');
        assert!(!out.contains(&b'<') && !out.contains(&b'\r'));
        let value: serde_json::Value = serde_json::from_slice(&out).expect("is JSON");
        assert_eq!(value["guide"], nasty);
        assert_eq!(value["missing"], serde_json::json!([nasty, "b"]));
        assert_eq!(value["limit"], 7);
        assert_eq!(value["shadow"], true);
        assert_eq!(value["retry_after"], 30);
        assert_eq!(value.as_object().map(serde_json::Map::len), Some(6));
    }
}
