//! What the admin API says when it does not do what it is asked: RFC 9457, with our codes.
//!
//! Codes of the gateway's own table (docs/errors.md) where they fit; `ADMIN_` where they do not.
//! Never renumber.

use serde_json::{Value, json};

use crate::control::house::page::{PROBLEM, Page};

macro_rules! problems {
    ($($variant:ident $code:literal $status:literal $title:literal;)*) => {
        /// A way a request to the admin API can end badly.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Problem { $(#[doc = $title] $variant),* }

        /// All of them: code, status, title.
        pub const PROBLEMS: &[(&str, u16, &str)] = &[$(($code, $status, $title)),*];
    };
}

problems! {
    Invalid "COMMON_001" 400 "The request is not valid";
    NotFound "COMMON_002" 404 "There is no such thing";
    Unavailable "COMMON_004" 503 "The gateway cannot do this now";
    TooLarge "COMMON_007" 413 "The body is too large";
    MediaType "COMMON_017" 415 "The body is of another media type";
    NoToken "AUTH_009" 401 "The admin token is missing";
    WrongToken "AUTH_001" 401 "The admin token is not the right one";
    Closed "ADMIN_001" 403 "No admin token is configured";
    CrossOrigin "ADMIN_002" 403 "The request comes from another site's page";
    Method "ADMIN_003" 405 "The method is not for this";
    Exists "ADMIN_004" 409 "There is one already";
    Conflict "ADMIN_005" 409 "It cannot be as things are";
    Refused "ADMIN_006" 409 "The configuration is refused";
    Changed "ADMIN_007" 412 "It has been changed meanwhile";
}

// === impl Problem ===

impl Problem {
    #[must_use]
    pub fn status(self) -> u16 {
        PROBLEMS[self as usize].1
    }

    /// The page that says it.
    #[must_use]
    pub fn page(self, detail: impl Into<String>) -> Page {
        self.page_with(detail, &[])
    }

    /// The same, with each mistake and where it is (a JSON pointer, a parameter, a place).
    #[must_use]
    pub fn page_with(self, detail: impl Into<String>, errors: &[Value]) -> Page {
        let (code, status, title) = PROBLEMS[self as usize];
        let mut problem = json!({
            "type": format!("urn:ringway:problem:{}", code.to_ascii_lowercase()),
            "title": title,
            "status": status,
            "detail": detail.into(),
            "code": code,
        });
        if !errors.is_empty() {
            problem["errors"] = errors.into();
        }
        Page::of(status, PROBLEM, format!("{problem:#}\n").into_bytes())
    }
}
