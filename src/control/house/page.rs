//! A question to an internal server and the page that answers it. No socket, no clock.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use serde_json::json;

use crate::failure::Failure;
use crate::http::Name;
use crate::message::Request;
use crate::net::wake::{self, Waker, Wakes};

/// A request with its body, as far as it was kept.
pub struct Asked<'a> {
    pub request: Request<'a>,
    /// Who asks.
    pub peer: SocketAddr,
    /// The first bytes of the body, at most [`crate::bounds::HOUSE_BODY_BYTES_KEPT`].
    pub body: &'a [u8],
    /// Bytes of the whole body.
    pub body_bytes: u64,
}

/// An answer.
pub struct Page {
    pub status: u16,
    pub content_type: &'static str,
    /// Further fields. INVARIANT: names are constants of ours, values fit a field.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    pub content: Content,
}

/// What a page consists of.
pub enum Content {
    /// Known whole.
    Whole(Vec<u8>),
    /// Part by part, with a pause before each but the first.
    Paced(Duration, Box<dyn Iterator<Item = Vec<u8>> + Send>),
    /// The same, as bytes of the WebSocket that the request opens (status 101).
    Frames(Duration, Box<dyn Iterator<Item = Vec<u8>> + Send>),
    /// Made by another thread: status and fields come with it.
    Later(Later),
}

/// A page that another thread makes.
pub struct Later {
    page: Receiver<Page>,
    wakes: Wakes,
}

/// The other end: keeps it, or breaks it by being dropped.
pub struct Promise {
    page: Sender<Page>,
    _wakes_when_dropped: Waker,
}

pub const TEXT: &str = "text/plain; charset=utf-8";
pub const PROBLEM: &str = "application/problem+json";
pub const JSON: &str = "application/json";
pub const HTML: &str = "text/html; charset=utf-8";

// === impl Asked ===

impl Asked<'_> {
    /// The value of a query parameter as it is written; `None` if it is not there.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        let query = std::str::from_utf8(self.request.query()).ok()?;
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|pair| pair.0 == name)
            .map(|(_, value)| value)
    }

    /// Whether the client names this media type among those it accepts.
    #[must_use]
    pub fn accepts(&self, media_type: &str) -> bool {
        let request = &self.request;
        let values = request.head.values(Name::Accept, request.block);
        values.flat_map(|value| value.split(|b| *b == b',')).any(|range| {
            let name = range.split(|b| *b == b';').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
        })
    }
}

// === impl Page ===

impl Page {
    /// A page of this text.
    #[must_use]
    pub fn text(status: u16, text: impl Into<String>) -> Page {
        Page::of(status, TEXT, text.into().into_bytes())
    }

    /// A page of this value.
    #[must_use]
    pub fn json(status: u16, value: &serde_json::Value) -> Page {
        Page::of(status, JSON, format!("{value:#}\n").into_bytes())
    }

    /// A page of these bytes.
    #[must_use]
    pub fn of(status: u16, content_type: &'static str, bytes: Vec<u8>) -> Page {
        Page { status, content_type, fields: Vec::new(), content: Content::Whole(bytes) }
    }

    /// What is said when a request fails.
    #[must_use]
    pub fn failure(failure: Failure) -> Page {
        let row = failure.row();
        Page::refused(row.status, failure, row.message)
    }

    /// The same with a status and words of its own.
    #[must_use]
    pub fn refused(status: u16, failure: Failure, message: &str) -> Page {
        let row = failure.row();
        let doc_url = format!("/docs/errors/{}", row.code.to_ascii_lowercase());
        let error = json!({"error": {
            "code": row.code, "type": row.kind, "message": message, "param": null, "details": {},
            "request_id": null, "doc_url": doc_url, "retryable": row.retryable,
        }});
        Page::json(status, &error)
    }

    /// The same page with one more field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Page {
        self.fields.push((name, value.into()));
        self
    }

    /// A page that whoever has the promise makes.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn later() -> io::Result<(Promise, Page)> {
        let (waker, wakes) = wake::pair()?;
        let (told, page) = crossbeam_channel::bounded(1);
        let promise = Promise { page: told, _wakes_when_dropped: waker };
        let mut waiting = Page::of(200, TEXT, Vec::new());
        waiting.content = Content::Later(Later { page, wakes });
        Ok((promise, waiting))
    }
}

// === impl Later ===

impl Later {
    /// Waits for it; `None` if the promise was broken.
    pub async fn page(self) -> Option<Page> {
        // Ends when the promise is gone, kept or not.
        self.wakes.each(|| ()).await.ok()?;
        self.page.try_recv().ok()
    }

    /// The same, for a thread that has nothing else to do.
    #[must_use]
    pub fn wait(self) -> Option<Page> {
        self.page.recv().ok()
    }
}

// === impl Promise ===

impl Promise {
    /// Here it is.
    pub fn keep(self, page: Page) {
        // Nobody waits any more if the client's connection has panicked.
        let _ = self.page.send(page);
    }
}
