//! A token's proof (RFC 7519, as a signed token in compact form, RFC 7515): bytes, keys and the
//! time in, what is proven or why not out.
//!
//! Follows RFC 8725: the algorithm is the key's and the configuration's, never the token's own
//! choice; what a header points at (`jku`, `x5u`, `jwk`, `x5c`) is not read; an extension that must
//! be understood (`crit`) is refused, for none is. Invariant: no claim leaves this file unless the
//! signature over it was verified.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, Algorithms};
use super::claims::Claims;
use super::jwks::{KeySet, Verdict};
use crate::bounds::TOKEN_BYTES_MAX;

/// What a token must be besides signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `iss` must be this.
    pub issuer: Box<str>,
    /// `aud`, or where there is none `client_id`, must be one of these. `None`: anybody's.
    pub audiences: Option<Vec<Box<str>>>,
    pub algorithms: Algorithms,
    /// How far the clocks of issuer and gateway may be apart, in seconds.
    pub leeway: u64,
}

/// What a verified token proves.
#[derive(Debug)]
pub struct Token {
    pub claims: Arc<Claims>,
    pub subject: Arc<str>,
    pub scopes: Vec<Box<str>>,
    /// The caller has shown a second factor (`amr`, RFC 8176).
    pub mfa: bool,
    /// The first second at which it is no longer good, leeway included.
    pub ends: u64,
}

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    TooLong,
    Malformed,
    /// Encrypted, or of more parts than are known.
    NotSigned,
    /// `none`, HMAC, unknown, or not in the configuration's list.
    Algorithm,
    /// An extension that must be understood.
    Critical,
    Issuer,
    /// No key of that id may be used with its algorithm: perhaps the issuer has new ones.
    UnknownKey,
    Signature,
    Audience,
    Expired,
    NotYet,
    /// It does not say until when it is good, or in no number.
    Dates,
    /// A claim that is to become a field cannot be one.
    Claim,
    /// The keys have not been fetched, or too long ago.
    NoKeys,
}

/// The parts of a token's header that matter. A member that is there twice is an error.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
    b64: Option<Value>,
}

/// Verifies a token at a time, in seconds since 1970.
///
/// # Errors
/// Why it proves nothing.
pub fn verify(
    token: &[u8],
    keys: Option<&KeySet>,
    rules: &Rules,
    now: u64,
) -> Result<Token, Refused> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refused::TooLong);
    }
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(head), Some(body), Some(signature)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(Refused::Malformed);
    };
    if parts.next().is_some() || signature.is_empty() {
        // RFC 7516 has five parts; an unsigned token's third is empty.
        return Err(Refused::NotSigned);
    }
    let header: Header = json(head)?;
    if header.crit.is_some() || header.b64.is_some() {
        return Err(Refused::Critical);
    }
    let algorithm = Algorithm::named(&header.alg).filter(|known| rules.algorithms.has(*known));
    let algorithm = algorithm.ok_or(Refused::Algorithm)?;
    let claims: Map<String, Value> = json(body)?;
    // Before any arithmetic: a token of another issuer is another authorizer's business, and the
    // keys we may be missing are not the ones it needs. Nothing is believed of it yet.
    if claims.get("iss").and_then(Value::as_str) != Some(&rules.issuer) {
        return Err(Refused::Issuer);
    }
    let keys = keys.ok_or(Refused::NoKeys)?;
    let signed = &token[..head.len() + 1 + body.len()];
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refused::Malformed)?;
    match keys.verify(header.kid.as_deref(), algorithm, signed, &signature) {
        Verdict::Good => {}
        Verdict::Bad => return Err(Refused::Signature),
        Verdict::NoSuchKey => return Err(Refused::UnknownKey),
    }
    let ends = check(&claims, rules, now)?;
    Ok(Token::of(claims, ends))
}

/// Whether this could be a token in compact form at all: three parts of base64url.
#[must_use]
pub fn looks_like_one(token: &[u8]) -> bool {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    token.iter().filter(|byte| **byte == b'.').count() == 2 && token.iter().all(inner)
}

/// The claims of a signed token against the rules; says when it ends.
fn check(claims: &Map<String, Value>, rules: &Rules, now: u64) -> Result<u64, Refused> {
    if let Some(audiences) = &rules.audiences {
        // AWS: "aud or client_id"; `client_id` counts only where there is no `aud`.
        let is_ours = |value: &str| audiences.iter().any(|audience| **audience == *value);
        let fits = match claims.get("aud") {
            Some(Value::String(audience)) => is_ours(audience),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(is_ours),
            Some(_) => false,
            None => claims.get("client_id").and_then(Value::as_str).is_some_and(is_ours),
        };
        if !fits {
            return Err(Refused::Audience);
        }
    }
    let expires = date(claims, "exp")?.ok_or(Refused::Dates)?;
    // RFC 7519 section 4.1.4: "on or after" is too late.
    let ends = expires.saturating_add(rules.leeway);
    if now >= ends {
        return Err(Refused::Expired);
    }
    for begins in ["nbf", "iat"] {
        if date(claims, begins)?.is_some_and(|begins| begins > now.saturating_add(rules.leeway)) {
            return Err(Refused::NotYet);
        }
    }
    Ok(ends)
}

/// A NumericDate (RFC 7519 section 2): seconds, perhaps with a fraction, which is cut off.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    if let Some(seconds) = value.as_u64() {
        return Ok(Some(seconds));
    }
    let seconds = value.as_f64().ok_or(Refused::Dates)?;
    if !(0.0..=9e15).contains(&seconds) {
        return Err(Refused::Dates);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range above")]
    Ok(Some(seconds as u64))
}

fn json<'t, T: for<'d> Deserialize<'d>>(part: &'t [u8]) -> Result<T, Refused> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Refused::Malformed)
}

// === impl Token ===

impl Token {
    fn of(claims: Map<String, Value>, ends: u64) -> Token {
        let scopes = scopes(&claims);
        let mfa = match claims.get("amr") {
            Some(Value::Array(list)) => list.iter().any(|method| method == "mfa"),
            Some(Value::String(text)) => text.split(' ').any(|method| method == "mfa"),
            _ => false,
        };
        // Access tokens of a client for itself have no `sub` with some issuers (RFC 9068 has one).
        let subject =
            ["sub", "client_id", "azp"].iter().find_map(|name| claims.get(*name)?.as_str());
        let subject = Arc::from(subject.unwrap_or(""));
        Token { subject, scopes, mfa, ends, claims: Arc::new(Claims::new(claims)) }
    }

    /// Whether it has at least one of the scopes; always if none is asked for.
    #[must_use]
    pub fn has_scope_of(&self, wanted: &[Box<str>]) -> bool {
        wanted.is_empty() || wanted.iter().any(|scope| self.scopes.contains(scope))
    }
}

/// RFC 8693 section 4.2: a text with blanks between; others write a list, or call it `scp`.
fn scopes(claims: &Map<String, Value>) -> Vec<Box<str>> {
    let mut scopes: Vec<Box<str>> = Vec::new();
    for name in ["scope", "scp"] {
        match claims.get(name) {
            Some(Value::String(text)) => {
                scopes.extend(text.split(' ').filter(|scope| !scope.is_empty()).map(Box::from));
            }
            Some(Value::Array(list)) => {
                scopes.extend(list.iter().filter_map(Value::as_str).map(Box::from));
            }
            _ => {}
        }
    }
    scopes
}

// === impl Refused ===

impl Refused {
    /// The word in the log and in an error's details.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Refused::TooLong => "token_too_long",
            Refused::Malformed => "token_malformed",
            Refused::NotSigned => "token_not_signed",
            Refused::Algorithm => "token_algorithm",
            Refused::Critical => "token_critical_header",
            Refused::Issuer => "token_issuer",
            Refused::UnknownKey => "token_key_unknown",
            Refused::Signature => "token_signature",
            Refused::Audience => "token_audience",
            Refused::Expired => "token_expired",
            Refused::NotYet => "token_not_yet_valid",
            Refused::Dates => "token_dates",
            Refused::Claim => "token_claim",
            Refused::NoKeys => "keys_not_available",
        }
    }

    /// For `error_description`; of the characters RFC 6750 section 3 lets it have.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Refused::TooLong => "the token is too long",
            Refused::Malformed => "the token is malformed",
            Refused::NotSigned => "the token is not signed",
            Refused::Algorithm => "the token's algorithm is not accepted",
            Refused::Critical => "the token has a critical header that is not understood",
            Refused::Issuer => "the token does not have a valid issuer",
            Refused::UnknownKey => "the token's key is not known",
            Refused::Signature => "the token's signature is not valid",
            Refused::Audience => "the token does not have a valid audience",
            Refused::Expired => "the token has expired",
            Refused::NotYet => "the token is not valid yet",
            Refused::Dates => "the token's dates are not valid",
            Refused::Claim => "a claim of the token has characters that cannot be passed on",
            Refused::NoKeys => "the issuer's keys are not available",
        }
    }
}
