//! Why a message is refused: one variant per rule.
//!
//! Owns the reasons, their log tokens and which row of the failure table each becomes. A reason
//! does not say which side sent the message; [`Reject::failure`] speaks of a request,
//! [`Reject::upstream_failure`] of a response. Whatever the reason, the connection's position in
//! the byte stream is lost and it closes.

use crate::failure::Failure;

macro_rules! rejects {
    ($($variant:ident $token:literal $failure:ident $why:literal;)*) => {
        /// The rule a message broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reject { $(#[doc = $why] $variant,)* }

        impl Reject {
            /// Every reason.
            pub const ALL: &[Reject] = &[$(Reject::$variant),*];

            /// The reason in the access log: stable, `snake_case`.
            #[must_use]
            pub fn token(self) -> &'static str {
                match self { $(Reject::$variant => $token,)* }
            }

            /// The failure when a client sent it.
            #[must_use]
            pub fn failure(self) -> Failure {
                match self { $(Reject::$variant => Failure::$failure,)* }
            }
        }
    };
}

rejects! {
    BareLf "bare_lf" BadRequest
        "LF without CR before it (RFC 9112 2.2 lets us refuse; two readings otherwise)";
    BareCr "bare_cr" BadRequest
        "CR without LF after it (RFC 9112 2.2)";
    EmptyLines "empty_lines" BadRequest
        "more empty lines before the request line than are skipped";
    RequestLine "request_line" BadRequest
        "the request line is not `method SP target SP version` (RFC 9112 3)";
    Method "method" BadRequest
        "the method is not a token of at most 32 bytes";
    Version "version" BadRequest
        "what stands for the version is not one (RFC 9112 2.3)";
    VersionUnsupported "version_unsupported" VersionNotSupported
        "a version other than HTTP/1.0 and HTTP/1.1";
    TargetBytes "target_bytes" BadRequest
        "a byte in the target that is not visible ASCII, or `#`";
    TargetForm "target_form" BadRequest
        "the target's form does not fit the method (RFC 9112 3.2)";
    TargetScheme "target_scheme" BadRequest
        "an absolute target of a scheme other than http and https";
    TargetUserinfo "target_userinfo" BadRequest
        "user information in the target (RFC 9110 4.2.4)";
    TargetTooLong "target_too_long" TargetTooLong
        "the target is longer than the limit";
    HeadTooLarge "head_too_large" HeadTooLarge
        "the head is longer than the limit";
    FieldsTooMany "fields_too_many" HeadTooLarge
        "more fields than the limit";
    ObsFold "obs_fold" BadRequest
        "a folded field line (RFC 9112 5.2)";
    BlankBeforeFields "blank_before_fields" BadRequest
        "a blank between the start line and the first field (RFC 9112 2.2)";
    FieldNoColon "field_no_colon" BadRequest
        "a field line without a colon";
    FieldNameEmpty "field_name_empty" BadRequest
        "a field without a name";
    FieldName "field_name" BadRequest
        "a field name that is not a token";
    BlankBeforeColon "blank_before_colon" BadRequest
        "a blank between field name and colon (RFC 9112 5.1)";
    FieldValue "field_value" BadRequest
        "a control byte in a field's value (RFC 9110 5.5)";
    HostMissing "host_missing" BadRequest
        "HTTP/1.1 without Host (RFC 9112 3.2)";
    HostRepeated "host_repeated" BadRequest
        "more than one Host, equal or not (RFC 9112 3.2)";
    Host "host" BadRequest
        "Host, or the target's authority, is not `host [: port]`";
    Length "length" BadRequest
        "Content-Length is not one decimal number below 2^63 (RFC 9112 6.3)";
    LengthRepeated "length_repeated" BadRequest
        "more than one Content-Length, equal or not";
    LengthWithCoding "length_with_coding" BadRequest
        "Content-Length and Transfer-Encoding both (RFC 9112 6.1)";
    Coding "coding" BadRequest
        "Transfer-Encoding is not a list of plain tokens";
    CodingRepeated "coding_repeated" BadRequest
        "chunked more than once (RFC 9112 6.1)";
    CodingNotFinal "coding_not_final" BadRequest
        "chunked is not the last transfer coding (RFC 9112 6.3)";
    CodingUnknown "coding_unknown" MethodNotImplemented
        "a transfer coding other than chunked (RFC 9112 6.1)";
    CodingInHttp10 "coding_in_http10" BadRequest
        "Transfer-Encoding in HTTP/1.0 (RFC 9112 6.1)";
    BodyForbidden "body_forbidden" BadRequest
        "CONNECT or TRACE with a body (RFC 9110 9.3.6, 9.3.8)";
    ConnectionOption "connection_option" BadRequest
        "Connection is not a list of tokens, or a too long one";
    ConnectionProtected "connection_protected" BadRequest
        "Connection names a field that is not hop-by-hop";
    Expectation "expectation" ExpectationFailed
        "an expectation other than 100-continue (RFC 9110 10.1.1)";
    StatusLine "status_line" BadRequest
        "the status line is not `version SP 3DIGIT SP reason` (RFC 9112 4)";
    Status "status" BadRequest
        "a status below 100";
    ChunkSize "chunk_size" BadRequest
        "a chunk size that is not 1 to 16 hex digits (RFC 9112 7.1)";
    ChunkTooLarge "chunk_too_large" BadRequest
        "a chunk of 2^63 bytes or more";
    ChunkExtension "chunk_extension" BadRequest
        "a malformed chunk extension (RFC 9112 7.1.1)";
    ChunkExtensionTooLong "chunk_extension_too_long" BadRequest
        "chunk extensions longer than the limit";
    ChunkEnd "chunk_end" BadRequest
        "no CRLF after a chunk's data";
    TrailersTooLarge "trailers_too_large" HeadTooLarge
        "the trailer section is longer than the limit";
    TrailersTooMany "trailers_too_many" HeadTooLarge
        "more trailer fields than the limit";
    Pseudo "pseudo" BadRequest
        "a pseudo-header field of HTTP/2 is missing or out of place (RFC 9113 8.3)";
    HostDiffers "host_differs" BadRequest
        "`:authority` and Host name different hosts (RFC 9113 8.3.1)";
    HopField "hop_field" BadRequest
        "a field of one HTTP/1.1 connection in HTTP/2 (RFC 9113 8.2.2)";
    ValueBlank "value_blank" BadRequest
        "a blank at an end of a field's value in HTTP/2 (RFC 9113 8.2.1)";
    Base64 "base64" BadRequest
        "a body of gRPC-Web's text form that is not base64";
    Connect "connect" MethodNotImplemented
        "CONNECT in HTTP/2 without a protocol we can tunnel (RFC 8441)";
}

// === impl Reject ===

impl Reject {
    /// The failure when an upstream sent it.
    #[must_use]
    pub fn upstream_failure(self) -> Failure {
        match self {
            Reject::HeadTooLarge
            | Reject::FieldsTooMany
            | Reject::TrailersTooLarge
            | Reject::TrailersTooMany => Failure::UpstreamHeadTooLarge,
            _ => Failure::UpstreamInvalid,
        }
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.token())
    }
}

impl std::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_token_stands_twice_and_each_has_a_client_failure() {
        let mut tokens = HashSet::new();
        for reject in Reject::ALL {
            assert!(tokens.insert(reject.token()), "{reject} twice");
            assert!((400..=505).contains(&reject.failure().row().status));
            assert_eq!(reject.upstream_failure().row().status, 502);
            assert!(reject.failure().row().close, "{reject}: the stream's position is lost");
        }
    }
}
