//! Why an attempt gave no answer to pass on, and whether another provider might do better.

use std::time::Duration;

use crate::failure::{Details, Failure};
use crate::http::date;
use crate::http::{Name, ResponseHead};
use crate::snapshot::Cause;

/// An attempt that failed.
#[derive(Debug)]
pub struct Fault {
    pub failure: Failure,
    /// Under which rule another provider may be tried; `None`: it would say the same, or it is too
    /// late.
    pub cause: Option<Cause>,
    /// The provider says when to come back.
    pub retry_after: Option<Duration>,
    /// What the provider said, for the client.
    pub said: Option<String>,
    /// The parameter at fault, where the request itself is.
    pub param: Option<String>,
    /// The request was sent: the provider may have begun, and may bill it.
    pub sent: bool,
}

/// A provider's error, as it came.
pub struct Said {
    pub status: u16,
    pub body: Vec<u8>,
    pub retry_after: Option<Duration>,
}

/// The most characters of a provider's sentence that are passed on.
const SAID_CHARS_MAX: usize = 1000;

// === impl Fault ===

impl Fault {
    /// A failure that ends the request.
    #[must_use]
    pub fn last(failure: Failure) -> Fault {
        Fault { failure, cause: None, retry_after: None, said: None, param: None, sent: true }
    }

    /// The target was not asked at all.
    #[must_use]
    pub fn passed_over(failure: Failure) -> Fault {
        Fault { cause: Some(Cause::RateLimit), sent: false, ..Fault::last(failure) }
    }

    /// Whether the provider is to blame.
    #[must_use]
    pub fn is_theirs(&self) -> bool {
        let ours = matches!(
            self.failure,
            Failure::ClientGone | Failure::ClientStalled | Failure::ModelRequest
        );
        self.sent && !ours || self.cause == Some(Cause::Connect)
    }

    /// A provider that answers what is no answer.
    #[must_use]
    pub fn unusable() -> Fault {
        Fault { cause: Some(Cause::ServerError), ..Fault::last(Failure::ProviderError) }
    }

    /// What the exchange with the provider failed with, before a byte of the answer.
    #[must_use]
    pub fn of_exchange(failure: Failure) -> Fault {
        let (failure, cause, sent) = match failure {
            Failure::ClientGone => (failure, None, true),
            Failure::UpstreamConnect
            | Failure::UpstreamConnectTimeout
            | Failure::UpstreamTls
            | Failure::UpstreamNone
            | Failure::UpstreamQueueFull
            | Failure::UpstreamQueueTimeout => {
                (Failure::RouterAllFailed, Some(Cause::Connect), false)
            }
            Failure::UpstreamFirstByteTimeout | Failure::UpstreamIdleTimeout => {
                (Failure::RouterTimeout, Some(Cause::Timeout), true)
            }
            Failure::UpstreamTotalTimeout => (Failure::RouterTimeout, None, true),
            _ => (Failure::RouterAllFailed, Some(Cause::ServerError), true),
        };
        Fault { cause, sent, ..Fault::last(failure) }
    }

    /// What a provider's error means; `None`: the request is at fault, and the client is told so
    /// in the provider's words.
    #[must_use]
    pub fn of_answer(said: &Said) -> Option<Fault> {
        let spoken = Spoken::of(&said.body);
        let is_spent = ["insufficient_quota", "billing", "credit_balance"]
            .iter()
            .any(|word| spoken.kind.contains(word) || spoken.code.contains(word));
        let (failure, cause) = match said.status {
            401 | 403 => (Failure::ProviderKey, Cause::Auth),
            402 => (Failure::ProviderQuota, Cause::Auth),
            429 if is_spent => (Failure::ProviderQuota, Cause::Auth),
            429 => (Failure::ProviderRateLimit, Cause::RateLimit),
            503 | 529 => (Failure::ProviderError, Cause::Overloaded),
            408 | 504 => (Failure::RouterTimeout, Cause::Timeout),
            500..=599 => (Failure::ProviderError, Cause::ServerError),
            // Redirects are not followed: credentials would go along.
            300..=399 => (Failure::ProviderError, Cause::ServerError),
            _ => return None,
        };
        Some(Fault {
            cause: Some(cause),
            retry_after: said.retry_after,
            said: (!spoken.message.is_empty()).then_some(spoken.message),
            ..Fault::last(failure)
        })
    }

    /// What the first event of a stream means, if it is an error.
    #[must_use]
    pub fn of_event(kind: &str) -> Fault {
        let (failure, cause) = if kind.contains("overloaded") {
            (Failure::ProviderError, Cause::Overloaded)
        } else if kind.contains("rate_limit") {
            (Failure::ProviderRateLimit, Cause::RateLimit)
        } else {
            (Failure::ProviderError, Cause::ServerError)
        };
        Fault { cause: Some(cause), ..Fault::last(failure) }
    }

    /// What the client is told beside the failure's row.
    #[must_use]
    pub fn details(&self, provider: &str, attempts: u32) -> Details {
        let mut details = Details::new()
            .text("provider", provider)
            .number("attempts", u64::from(attempts));
        if let Some(said) = &self.said {
            let row = self.failure.row().message;
            details = details.message(format!("{row} {provider} said: {said}"));
        }
        if let Some(wait) = self.retry_after {
            let millis = wait.as_millis().to_string();
            details = details.retry_after(wait.as_secs_f64().ceil() as u64);
            details = details.field("retry-after-ms", millis);
        }
        let again = if self.failure.row().retryable { "true" } else { "false" };
        details.field("x-should-retry", again)
    }
}

/// When a provider says to come back: `retry-after-ms`, else `Retry-After` in seconds or as a date
/// (RFC 9110 section 10.2.3).
#[must_use]
pub fn retry_after(response: &ResponseHead, block: &[u8], now: u64) -> Option<Duration> {
    let text = |value: &[u8]| std::str::from_utf8(value).ok().map(|text| text.trim().to_owned());
    let millis = response.values_named(b"retry-after-ms", block).next().and_then(text);
    if let Some(ms) = millis.and_then(|text| text.parse::<f64>().ok()) {
        return duration(ms / 1000.0);
    }
    let text = text(response.value(Name::RetryAfter, block)?)?;
    if let Ok(seconds) = text.parse::<f64>() {
        return duration(seconds);
    }
    let at = date::seconds(text.as_bytes())?;
    Some(Duration::from_secs(at.saturating_sub(now)))
}

/// A day is as good as for ever.
fn duration(seconds: f64) -> Option<Duration> {
    (0.0..=86_400.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// What stands in a provider's error, in either dialect.
#[derive(Default)]
struct Spoken {
    kind: String,
    code: String,
    message: String,
}

// === impl Spoken ===

impl Spoken {
    fn of(body: &[u8]) -> Spoken {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else {
            return Spoken::default();
        };
        let error = value.get("error").unwrap_or(&value);
        let text = |name: &str| {
            let text = error.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
            text.chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect()
        };
        Spoken { kind: text("type"), code: text("code"), message: text("message") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, body: &str) -> Option<Fault> {
        Fault::of_answer(&Said { status, body: body.as_bytes().to_vec(), retry_after: None })
    }

    #[test]
    fn the_clients_faults_are_the_clients_and_the_providers_are_not() {
        for status in [400, 404, 409, 413, 422] {
            assert!(fault(status, "{}").is_none(), "{status}");
        }
        for (status, cause) in [
            (401, Cause::Auth),
            (403, Cause::Auth),
            (429, Cause::RateLimit),
            (500, Cause::ServerError),
            (502, Cause::ServerError),
            (503, Cause::Overloaded),
            (504, Cause::Timeout),
            (529, Cause::Overloaded),
            (302, Cause::ServerError),
        ] {
            assert_eq!(fault(status, "no json").and_then(|f| f.cause), Some(cause), "{status}");
        }
    }

    #[test]
    fn a_spent_account_is_not_a_rate() {
        let body = r#"{"error":{"message":"You exceeded\nyour quota","type":"insufficient_quota"}}"#;
        let fault = fault(429, body).expect("a fault");
        assert_eq!(fault.failure, Failure::ProviderQuota);
        assert_eq!(fault.said.as_deref(), Some("You exceededyour quota"));
    }
}
