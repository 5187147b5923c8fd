//! A failure in the words of AWS API Gateway and of Anthropic's API, for clients written for those.
//!
//! AWS: REST APIs' gateway responses (status, `x-amzn-ErrorType`, message), since clients that look
//! at the type were written for REST APIs; where only HTTP APIs know the case (404), theirs. Known
//! codes stand in a table, the rest follows its status. Anthropic: the type alone; the status stays
//! our row's. Codes are the key, so that a code keeps its words however its variant is called.

use super::{Blame, Row};

/// What AWS API Gateway answers in such a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aws {
    pub status: u16,
    /// The value of `x-amzn-ErrorType`.
    pub kind: &'static str,
    /// Empty: the details' own sentence, or the row's.
    pub message: &'static str,
}

const FORBIDDEN: Aws = Aws { status: 403, kind: "ForbiddenException", message: "Forbidden" };
const UNAUTHORIZED: Aws =
    Aws { status: 401, kind: "UnauthorizedException", message: "Unauthorized" };
const THROTTLED: Aws =
    Aws { status: 429, kind: "TooManyRequestsException", message: "Too Many Requests" };
/// INTEGRATION_TIMEOUT.
const TIMED_OUT: Aws = Aws {
    status: 504,
    kind: "InternalServerErrorException",
    message: "Endpoint request timed out",
};
/// INTEGRATION_FAILURE where no answer came at all.
const UNREACHED: Aws = Aws {
    status: 504,
    kind: "InternalServerErrorException",
    message: "Network error communicating with endpoint",
};
/// INTEGRATION_FAILURE where an answer came that is none.
const MALFORMED: Aws =
    Aws { status: 502, kind: "InternalServerErrorException", message: "Internal server error" };

/// Codes whose answer at AWS is known; see docs/edge.md for what it rests on.
const AWS: &[(&str, Aws)] = &[
    ("AUTH_001", UNAUTHORIZED),
    ("AUTH_002", FORBIDDEN),
    ("AUTH_003", FORBIDDEN),
    // INVALID_API_KEY: 403 also where no key was sent.
    ("AUTH_004", FORBIDDEN),
    ("AUTH_005", FORBIDDEN),
    ("AUTH_006", FORBIDDEN),
    ("AUTH_007", FORBIDDEN),
    // AUTHORIZER_FAILURE.
    (
        "AUTH_008",
        Aws { status: 500, kind: "InternalServerErrorException", message: "Internal server error" },
    ),
    ("AUTH_009", UNAUTHORIZED),
    (
        "COMMON_007",
        Aws { status: 413, kind: "RequestTooLargeException", message: "Request Too Long" },
    ),
    (
        "COMMON_015",
        Aws {
            status: 403,
            kind: "MissingAuthenticationTokenException",
            message: "Missing Authentication Token",
        },
    ),
    // BAD_REQUEST_PARAMETERS: "Missing required request parameters: [a, b]".
    ("COMMON_016", Aws { status: 400, kind: "BadRequestException", message: "" }),
    (
        "COMMON_017",
        Aws { status: 415, kind: "BadRequestException", message: "Unsupported Media Type" },
    ),
    ("RATE_LIMIT_001", THROTTLED),
    ("RATE_LIMIT_002", THROTTLED),
    ("RATE_LIMIT_003", THROTTLED),
    (
        "RATE_LIMIT_004",
        Aws { status: 429, kind: "LimitExceededException", message: "Limit Exceeded" },
    ),
    ("ROUTER_003", TIMED_OUT),
    ("UPSTREAM_001", UNREACHED),
    ("UPSTREAM_002", TIMED_OUT),
    ("UPSTREAM_006", UNREACHED),
    ("UPSTREAM_007", MALFORMED),
    ("UPSTREAM_008", TIMED_OUT),
    ("UPSTREAM_009", MALFORMED),
    ("UPSTREAM_010", UNREACHED),
    ("UPSTREAM_011", TIMED_OUT),
    ("UPSTREAM_012", TIMED_OUT),
    ("UPSTREAM_013", MALFORMED),
];

/// What AWS API Gateway answers in such a case.
#[must_use]
pub fn aws(row: &Row) -> Aws {
    let known = AWS.iter().find(|(code, _)| *code == row.code);
    known.map_or_else(|| aws_of_status(row.status), |(_, aws)| *aws)
}

fn aws_of_status(status: u16) -> Aws {
    let (kind, message) = match status {
        401 => return UNAUTHORIZED,
        403 => return FORBIDDEN,
        429 => return THROTTLED,
        400 => ("BadRequestException", "Bad Request"),
        402 => ("PaymentRequiredException", "Payment Required"),
        404 => ("NotFoundException", "Not Found"),
        408 => ("RequestTimeoutException", "Request Timeout"),
        410 => ("GoneException", "Gone"),
        414 => ("BadRequestException", "URI Too Long"),
        431 => ("BadRequestException", "Request Header Fields Too Large"),
        503 => ("ServiceUnavailableException", "Service Unavailable"),
        504 => return TIMED_OUT,
        // What we do not implement, AWS finds to be a bad request; so does it what we cannot do.
        500.. => ("InternalServerErrorException", "Internal server error"),
        _ => ("BadRequestException", "Bad Request"),
    };
    Aws { status, kind, message }
}

/// The `type` of an error as Anthropic's SDKs know it.
#[must_use]
pub fn anthropic_type(row: &Row) -> &'static str {
    match row.status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 | 410 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        500.. if row.blame != Blame::Client => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Failure, TABLE};
    use super::*;

    /// research: REST gateway responses, and what HTTP APIs say where REST has no such case.
    #[test]
    fn aws_words_are_those_of_its_gateway_responses() {
        for (failure, status, kind, message) in [
            (Failure::NotFound, 404, "NotFoundException", "Not Found"),
            (Failure::BodyTooLarge, 413, "RequestTooLargeException", "Request Too Long"),
            (Failure::MediaTypeUnsupported, 415, "BadRequestException", "Unsupported Media Type"),
            (Failure::TokenLimit, 429, "TooManyRequestsException", "Too Many Requests"),
            (
                Failure::UpstreamFirstByteTimeout,
                504,
                "InternalServerErrorException",
                "Endpoint request timed out",
            ),
            (
                Failure::UpstreamConnect,
                504,
                "InternalServerErrorException",
                "Network error communicating with endpoint",
            ),
            (Failure::Internal, 500, "InternalServerErrorException", "Internal server error"),
            (Failure::UpstreamNone, 503, "ServiceUnavailableException", "Service Unavailable"),
        ] {
            assert_eq!(aws(failure.row()), Aws { status, kind, message }, "{failure:?}");
        }
    }

    #[test]
    fn keys_and_quotas_have_the_words_of_aws_whatever_our_own_status_is() {
        let of = |code: &'static str| aws(&Row { code, status: 401, ..*Failure::NotFound.row() });
        assert_eq!(of("AUTH_005"), FORBIDDEN);
        assert_eq!(of("AUTH_001"), UNAUTHORIZED);
        assert_eq!(of("RATE_LIMIT_004").message, "Limit Exceeded");
        assert_eq!(of("COMMON_015").kind, "MissingAuthenticationTokenException");
    }

    #[test]
    fn every_row_has_words_and_no_code_stands_twice() {
        for row in TABLE {
            let aws = aws(row);
            assert!((400..600).contains(&aws.status) && aws.kind.ends_with("Exception"));
            assert!(!aws.message.is_empty() || row.code == "COMMON_016", "{}", row.code);
            let ours = [400, 401, 402, 403, 404, 408, 413, 429, 500, 503, 504];
            if ours.contains(&row.status) && row.blame == Blame::Client && row.status < 500 {
                assert!(aws.status < 500, "{}: whose doing it is stays", row.code);
            }
        }
        for (at, (code, _)) in AWS.iter().enumerate() {
            assert!(AWS[..at].iter().all(|(other, _)| other != code), "{code} twice");
        }
    }

    /// The types of Anthropic's API reference, by the status its SDKs raise them for.
    #[test]
    fn anthropic_types_are_those_its_sdks_know() {
        for (failure, kind) in [
            (Failure::BadRequest, "invalid_request_error"),
            (Failure::ProviderKey, "authentication_error"),
            (Failure::BillingBalance, "billing_error"),
            (Failure::NotFound, "not_found_error"),
            (Failure::BodyTooLarge, "request_too_large"),
            (Failure::TokenLimit, "rate_limit_error"),
            (Failure::UpstreamReset, "api_error"),
            (Failure::UpstreamFirstByteTimeout, "timeout_error"),
            (Failure::Unavailable, "overloaded_error"),
            (Failure::MethodNotImplemented, "invalid_request_error"),
            (Failure::LoopDetected, "api_error"),
        ] {
            assert_eq!(anthropic_type(failure.row()), kind, "{failure:?}");
        }
    }
}
