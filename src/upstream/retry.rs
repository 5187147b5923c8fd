//! Whether a request may be sent again: only what is provably safe, within a budget.
//!
//! RFC 9110 section 9.2.2: a proxy must not automatically retry requests with non-idempotent
//! methods, unless it knows the request was never applied. Here "never applied" means no byte of it
//! left.

use crate::config::RetryCause;
use crate::failure::Failure;

/// How far an attempt got before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the request were handed to the socket.
    pub sent: bool,
    /// A byte of the response arrived.
    pub answered: bool,
}

/// The cause under which a failed attempt may be repeated; `None` if it must not be.
#[must_use]
pub fn cause(failure: Failure, progress: Progress, idempotent: bool) -> Option<RetryCause> {
    if progress.answered {
        return None;
    }
    if !progress.sent {
        return match failure {
            Failure::UpstreamConnect
            | Failure::UpstreamConnectTimeout
            | Failure::UpstreamTls
            | Failure::UpstreamReset => Some(RetryCause::Connect),
            _ => None,
        };
    }
    match failure {
        Failure::UpstreamReset if idempotent => Some(RetryCause::Reset),
        Failure::UpstreamFirstByteTimeout if idempotent => Some(RetryCause::Timeout),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Progress = Progress { sent: false, answered: false };
    const SENT: Progress = Progress { sent: true, answered: false };
    const ANSWERED: Progress = Progress { sent: true, answered: true };

    #[test]
    fn what_was_never_sent_may_be_sent_again_whatever_the_method() {
        for idempotent in [true, false] {
            assert_eq!(
                cause(Failure::UpstreamConnect, NOTHING, idempotent),
                Some(RetryCause::Connect)
            );
            assert_eq!(
                cause(Failure::UpstreamReset, NOTHING, idempotent),
                Some(RetryCause::Connect)
            );
        }
    }

    #[test]
    fn what_may_have_been_applied_is_sent_again_only_if_that_does_no_harm() {
        assert_eq!(cause(Failure::UpstreamReset, SENT, true), Some(RetryCause::Reset));
        assert_eq!(cause(Failure::UpstreamReset, SENT, false), None);
        assert_eq!(cause(Failure::UpstreamFirstByteTimeout, SENT, true), Some(RetryCause::Timeout));
        assert_eq!(cause(Failure::UpstreamFirstByteTimeout, SENT, false), None);
    }

    #[test]
    fn once_a_byte_of_the_answer_came_nothing_is_repeated() {
        for row in crate::failure::TABLE {
            assert_eq!(cause(row.failure, ANSWERED, true), None);
        }
    }

    #[test]
    fn a_client_that_left_and_a_malformed_answer_are_never_repeated() {
        for failure in [Failure::ClientGone, Failure::UpstreamInvalid, Failure::UpstreamCut] {
            assert_eq!(cause(failure, SENT, true), None);
            assert_eq!(cause(failure, NOTHING, true), None);
        }
    }
}
