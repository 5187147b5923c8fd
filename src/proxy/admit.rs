//! Whether the caller may call: address rules, then authorizers, then its API key.
//!
//! Of several authorizers the first that proves the caller is enough; if none does, the client is
//! told of the one it came nearest to. Whoever is refused is told what would be accepted
//! (`WWW-Authenticate`, RFC 9110 section 11.6.1). Invariants: a route without authorizers costs one
//! look at a pointer; where something is missing to judge by, the answer is no.

mod certificate;
mod password;
mod proofs;
mod token;

use std::sync::Arc;

use super::serve::Scene;
use crate::auth::jwt::{self, Token};
use crate::auth::{Challenge, Claims, Scheme};
use crate::failure::Failure;
use crate::integration::Exchange;
use crate::observe::proofs::Judged;
use crate::snapshot::{Access, Authorizer, Proof, Route};

pub use proofs::Proofs;

/// Who the caller is.
pub(super) struct Proven {
    claims: Arc<Claims>,
    subject: Arc<str>,
    /// What was shown, if it was a token: scopes are asked of it.
    token: Option<Arc<Token>>,
    /// It was known from a request before.
    known: bool,
}

/// Why an authorizer does not let the caller in. The later in this list, the nearer it came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    Missing,
    /// More than one was shown, or in a form that is not understood.
    Unclear(&'static str),
    /// A token that proves nothing.
    Token(Bad),
    Password,
    Certificate,
    Unavailable(&'static str),
    Mfa,
    Scope,
    /// Nobody is there to be told.
    ClientGone,
}

/// [`jwt::Refused`] in the order of its declaration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad(pub jwt::Refused);

/// Lets the caller in, or says why not.
///
/// # Errors
/// The refusal; what would be accepted is in `exchange.challenges`.
pub async fn caller<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    route: &'c Route,
) -> Result<(), Failure> {
    let Some(access) = &route.access else { return Ok(()) };
    if let Some(networks) = &access.networks
        && !networks.admit(exchange.party.client)
    {
        return Err(Failure::AddressForbidden);
    }
    if !access.authorizers.is_empty() {
        authorize(scene, exchange, access).await?;
    }
    // The API key is next: AWS asks for it last, for an authorizer may be who gives it.
    Ok(())
}

async fn authorize<'c>(
    scene: &Scene<'c>,
    exchange: &mut Exchange<'c>,
    access: &'c Access,
) -> Result<(), Failure> {
    let mut nearest: Option<(Refusal, usize)> = None;
    for (at, authorizer) in access.authorizers.iter().enumerate() {
        let judged = judge(scene, exchange, authorizer).await;
        let judged = judged.and_then(|proven| may(access, &proven).map(|()| proven));
        let cells = authorizer.cells.of(scene.context.worker);
        match judged {
            Ok(proven) => {
                cells.judged(if proven.known { Judged::Known } else { Judged::Accepted });
                exchange.identity.claims = Some(proven.claims);
                exchange.identity.subject = Some(proven.subject);
                exchange.authorizer = Some(authorizer);
                return Ok(());
            }
            Err(refusal) => {
                cells.judged(refusal.judged());
                if nearest.is_none_or(|(other, _)| refusal > other) {
                    nearest = Some((refusal, at));
                }
            }
        }
    }
    let (refusal, at) = nearest.expect("there is an authorizer, and it did not let the caller in");
    exchange.detail = refusal.detail();
    if !matches!(refusal, Refusal::Unavailable(_) | Refusal::ClientGone) {
        exchange.challenges = challenges(access, refusal, at);
    }
    Err(refusal.failure())
}

async fn judge(
    scene: &Scene<'_>,
    exchange: &Exchange<'_>,
    authorizer: &Authorizer,
) -> Result<Proven, Refusal> {
    match &authorizer.proof {
        Proof::Token(tokens) => token::judge(scene, exchange, authorizer, tokens).await,
        Proof::Password(users) => password::judge(scene, exchange, authorizer, users).await,
        Proof::Certificate(patterns) => certificate::judge(scene, authorizer, patterns),
    }
}

/// Whether this caller may do this. Only a token has scopes, or tells of a second factor.
fn may(access: &Access, proven: &Proven) -> Result<(), Refusal> {
    let token = proven.token.as_deref();
    if !access.scopes.is_empty() && !token.is_some_and(|token| token.has_scope_of(&access.scopes)) {
        return Err(Refusal::Scope);
    }
    if access.mfa && !token.is_some_and(|token| token.mfa) {
        return Err(Refusal::Mfa);
    }
    Ok(())
}

/// One challenge an authorizer; a reason only with the one that was come nearest to.
fn challenges(access: &Access, refusal: Refusal, nearest: usize) -> Vec<Challenge> {
    let of = |(at, authorizer): (usize, &Arc<Authorizer>)| {
        let challenge = Challenge::new(scheme(authorizer), &authorizer.realm);
        match refusal.reason().filter(|_| at == nearest) {
            None => challenge,
            Some((error, description)) => {
                let challenge = challenge.because(error, description);
                match refusal {
                    Refusal::Scope => challenge.wanting(&access.scopes),
                    _ => challenge,
                }
            }
        }
    };
    access.authorizers.iter().enumerate().map(of).collect()
}

fn scheme(authorizer: &Authorizer) -> Scheme {
    match authorizer.proof {
        Proof::Token(_) => Scheme::Bearer,
        Proof::Password(_) => Scheme::Basic,
        Proof::Certificate(_) => Scheme::Certificate,
    }
}

// === impl Refusal ===

impl Refusal {
    fn failure(self) -> Failure {
        match self {
            Refusal::Missing => Failure::CredentialsMissing,
            Refusal::Unclear(_) | Refusal::Token(_) | Refusal::Password | Refusal::Certificate => {
                Failure::TokenInvalid
            }
            Refusal::Unavailable(_) => Failure::AuthorizerUnavailable,
            Refusal::Mfa => Failure::MfaRequired,
            Refusal::Scope => Failure::Forbidden,
            Refusal::ClientGone => Failure::ClientGone,
        }
    }

    fn judged(self) -> Judged {
        match self {
            Refusal::Missing => Judged::Missing,
            Refusal::Unclear(_) | Refusal::Token(_) | Refusal::Password | Refusal::Certificate => {
                Judged::Invalid
            }
            Refusal::Unavailable(_) | Refusal::ClientGone => Judged::Unavailable,
            Refusal::Mfa | Refusal::Scope => Judged::Forbidden,
        }
    }

    /// The word in the log and in the error's details.
    fn detail(self) -> &'static str {
        match self {
            Refusal::Missing | Refusal::ClientGone => "",
            Refusal::Unclear(word) | Refusal::Unavailable(word) => word,
            Refusal::Token(Bad(refused)) => refused.token(),
            // Never which of the two.
            Refusal::Password => "user_or_password",
            Refusal::Certificate => "certificate_not_listed",
            Refusal::Mfa => "mfa_required",
            Refusal::Scope => "scope_missing",
        }
    }

    /// `error` and `error_description` of RFC 6750 section 3.1; none if nothing was shown.
    fn reason(self) -> Option<(&'static str, &'static str)> {
        match self {
            Refusal::Missing | Refusal::ClientGone | Refusal::Unavailable(_) => None,
            Refusal::Password | Refusal::Certificate => None,
            Refusal::Unclear(_) => {
                Some(("invalid_request", "the credentials are there twice or malformed"))
            }
            Refusal::Token(Bad(refused)) => Some(("invalid_token", refused.description())),
            Refusal::Scope => Some(("insufficient_scope", "the token has none of the scopes")),
            // RFC 9470 section 3.
            Refusal::Mfa => {
                Some(("insufficient_user_authentication", "a second factor is required"))
            }
        }
    }
}

impl PartialOrd for Bad {
    fn partial_cmp(&self, other: &Bad) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bad {
    fn cmp(&self, other: &Bad) -> std::cmp::Ordering {
        (self.0 as u8).cmp(&(other.0 as u8))
    }
}
