//! Why an attempt gave no answer to pass on, and whether another provider might do better.

use std::time::Duration;

use crate::clock;
use crate::failure::{Details, Failure};
use crate::http::date;
use crate::http::{Name, ResponseHead};
use crate::llm::{Fault as Reported, ProviderError};
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
}

/// A provider's error, as it came.
pub struct Said {
    pub status: u16,
    pub body: Vec<u8>,
    pub retry_after: Option<Duration>,
}

// === impl Fault ===

impl Fault {
    /// A failure that ends the request.
    #[must_use]
    pub fn last(failure: Failure) -> Fault {
        Fault { failure, cause: None, retry_after: None, said: None, param: None }
    }

    /// Whether the provider is to blame.
    #[must_use]
    pub fn is_theirs(&self) -> bool {
        !matches!(
            self.failure,
            Failure::ClientGone | Failure::ClientStalled | Failure::ModelRequest
        )
    }

    /// A provider that answers what is no answer.
    #[must_use]
    pub fn unusable() -> Fault {
        Fault { cause: Some(Cause::ServerError), ..Fault::last(Failure::ProviderError) }
    }

    /// What the exchange with the provider failed with, before a byte of the answer.
    #[must_use]
    pub fn of_exchange(failure: Failure) -> Fault {
        let (failure, cause) = match failure {
            Failure::ClientGone => (failure, None),
            Failure::UpstreamConnect
            | Failure::UpstreamConnectTimeout
            | Failure::UpstreamTls
            | Failure::UpstreamNone
            | Failure::UpstreamQueueFull
            | Failure::UpstreamQueueTimeout => (Failure::RouterAllFailed, Some(Cause::Connect)),
            Failure::UpstreamFirstByteTimeout | Failure::UpstreamIdleTimeout => {
                (Failure::RouterTimeout, Some(Cause::Timeout))
            }
            Failure::UpstreamTotalTimeout => (Failure::RouterTimeout, None),
            _ => (Failure::RouterAllFailed, Some(Cause::ServerError)),
        };
        Fault { cause, ..Fault::last(failure) }
    }

    /// What a provider's error means; `None`: the request is at fault, and the client is told so
    /// in the provider's words.
    #[must_use]
    pub fn of_answer(said: &Said) -> Option<Fault> {
        let error = ProviderError::of_body(&said.body).unwrap_or_default();
        let kind = match said.status {
            401 | 403 => Reported::Auth,
            402 => Reported::Quota,
            429 if error.fault() == Reported::Quota => Reported::Quota,
            429 => Reported::RateLimit,
            503 | 529 => Reported::Overloaded,
            408 | 504 => Reported::Timeout,
            // Redirects are not followed: credentials would go along.
            300..=399 | 500..=599 => Reported::Server,
            _ => return None,
        };
        Some(Fault { retry_after: said.retry_after, ..Fault::reported(kind, &error) })
    }

    /// What an error means that came where an answer should: as the first event of a stream, or in
    /// a body of success.
    #[must_use]
    pub fn reported(kind: Reported, error: &ProviderError) -> Fault {
        let (failure, cause) = match kind {
            Reported::Auth => (Failure::ProviderKey, Some(Cause::Auth)),
            Reported::Quota => (Failure::ProviderQuota, Some(Cause::Auth)),
            Reported::RateLimit => (Failure::ProviderRateLimit, Some(Cause::RateLimit)),
            Reported::Overloaded => (Failure::ProviderError, Some(Cause::Overloaded)),
            Reported::Timeout => (Failure::RouterTimeout, Some(Cause::Timeout)),
            Reported::NotFound => (Failure::ProviderModel, None),
            Reported::Invalid => (Failure::ModelRequest, None),
            Reported::Server => (Failure::ProviderError, Some(Cause::ServerError)),
        };
        let message = error.message.chars().filter(|c| !c.is_control()).collect::<String>();
        Fault { cause, said: (!message.is_empty()).then_some(message), ..Fault::last(failure) }
    }

    /// What the client is told beside the failure's row.
    #[must_use]
    pub fn details(&self, provider: &str, attempts: u32) -> Details {
        let mut details =
            Details::new().text("provider", provider).number("attempts", u64::from(attempts));
        // What a provider says of a credential is not for those who never had it.
        if let Some(said) = self.said.as_ref().filter(|_| self.failure != Failure::ProviderKey) {
            let row = self.failure.row().message;
            details = details.message(format!("{row} {provider} said: {said}"));
        }
        if let Some(wait) = self.retry_after {
            details = come_back(details, wait);
        }
        let again = if self.failure.row().retryable { "true" } else { "false" };
        details.field("x-should-retry", again)
    }
}

/// Says when to come back, in both fields clients look at.
#[must_use]
pub fn come_back(details: Details, wait: Duration) -> Details {
    let details = details.retry_after(clock::nanos(wait).div_ceil(1_000_000_000));
    details.field("retry-after-ms", wait.as_millis().to_string())
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
        let body =
            r#"{"error":{"message":"You exceeded\nyour quota","type":"insufficient_quota"}}"#;
        let fault = fault(429, body).expect("a fault");
        assert_eq!(fault.failure, Failure::ProviderQuota);
        assert_eq!(fault.said.as_deref(), Some("You exceededyour quota"));
    }
}
