//! A token: found in the request, looked up among those known, verified if it is not.
//!
//! A key that is not known yet may be the issuer's newest: the request then waits for the keys to
//! be fetched again, if the cooldown lets that happen, and only once. Invariant: no wait is
//! unbounded, and neither is the number of those who wait.

use std::sync::Arc;

use super::proofs::Known;
use super::{Bad, Proven, Refusal};
use crate::auth::jwt::{self, Refused, Token};
use crate::auth::shown::bearer;
use crate::auth::{Claims, Shown};
use crate::bounds::{KEY_WAIT, KEY_WAITERS_MAX, PROOF_LOOK};
use crate::clock::{self, Tick};
use crate::integration::Exchange;
use crate::message::Request;
use crate::net::deadline;
use crate::net::patience::Ended;
use crate::proxy::serve::Scene;
use crate::snapshot::{Authorizer, KeyStore, TokenSource as Source, Tokens};

/// Judges the token of a request, if it has one.
pub async fn judge(
    scene: &Scene<'_>,
    exchange: &Exchange<'_>,
    authorizer: &Authorizer,
    tokens: &Tokens,
) -> Result<Proven, Refusal> {
    let token = shown(exchange, tokens)?;
    let now = clock::wall_coarse().seconds();
    let digest = scene.context.proofs.digest(authorizer.id, &[token]);
    let known = scene.context.proofs.tokens.borrow_mut().get(&digest);
    if let Some(Known { token, keys }) = known {
        let same_keys = tokens.keys.id(exchange.started) == Some(keys);
        if same_keys && now < token.ends {
            return Ok(Proven::of(token, true));
        }
        scene.context.proofs.tokens.borrow_mut().remove(&digest);
    }
    let mut verified = verify(authorizer, tokens, token, exchange.started, now);
    if matches!(verified, Err(Refused::UnknownKey | Refused::NoKeys))
        && let Some(round) = tokens.keys.ask(clock::now())
    {
        // Boxed: a request that need not wait does not pay for the room.
        Box::pin(wait(scene, &tokens.keys, round)).await?;
        verified = verify(authorizer, tokens, token, clock::now(), now);
    }
    match verified {
        Ok((token, keys)) => {
            let token = Arc::new(token);
            let known = Known { token: token.clone(), keys };
            scene.context.proofs.tokens.borrow_mut().put(digest, known);
            Ok(Proven::of(token, false))
        }
        Err(Refused::NoKeys) => Err(Refusal::Unavailable(Refused::NoKeys.token())),
        Err(refused) => Err(Refusal::Token(Bad(refused))),
    }
}

fn verify(
    authorizer: &Authorizer,
    tokens: &Tokens,
    token: &[u8],
    now: Tick,
    wall: u64,
) -> Result<(Token, u64), Refused> {
    let keys = tokens.keys.keys(now);
    let verified = jwt::verify(token, keys.as_deref(), &tokens.rules, wall)?;
    if !can_be_fields(authorizer, &verified.claims) {
        return Err(Refused::Claim);
    }
    Ok((verified, keys.map_or(0, |keys| keys.id)))
}

/// Whether all the claims that become fields can be.
pub(super) fn can_be_fields(authorizer: &Authorizer, claims: &Claims) -> bool {
    authorizer.headers.iter().filter_map(|(_, name)| claims.text(name)).all(is_field_value)
}

/// RFC 9110 section 5.5: no controls, and no blanks at the ends, which whoever reads the field
/// would take off: two subjects must not become one.
fn is_field_value(text: &str) -> bool {
    let bare = text.trim_matches([' ', '\t']).len() == text.len();
    bare && text.bytes().all(|byte| byte >= b' ' && byte != 0x7f)
}

/// Waits for a round of fetching to be over.
async fn wait(scene: &Scene<'_>, keys: &KeyStore, round: u64) -> Result<(), Refusal> {
    let waiting = &scene.context.proofs.waiting;
    if waiting.get() >= KEY_WAITERS_MAX {
        return Err(Refusal::Unavailable("too_many_waiting"));
    }
    let _place = super::password::Place::take(waiting);
    let until = clock::now().after(KEY_WAIT);
    let over = async {
        while !keys.is_over(round) && clock::now() < until {
            deadline::sleep_until(clock::now().after(PROOF_LOOK)).await;
        }
    };
    match scene.patience.wait(over).await {
        Ok(()) => Ok(()),
        Err(Ended::Deadline) => Err(Refusal::Unavailable(Refused::NoKeys.token())),
        Err(Ended::ClientGone | Ended::Io(_)) => Err(Refusal::ClientGone),
    }
}

/// The token of a request.
fn shown<'a>(exchange: &'a Exchange<'_>, tokens: &'a Tokens) -> Result<&'a [u8], Refusal> {
    let Request { head, block } = exchange.request;
    match &tokens.source {
        Source::Header(name) if name == "authorization" => {
            let value = only(Shown::authorization(head, block))?;
            match bearer(value) {
                Some(token) => Ok(token),
                None if !tokens.bearer_required && jwt::looks_like_one(value) => Ok(value),
                // Another scheme's credentials are another authorizer's business.
                None => Err(Refusal::Missing),
            }
        }
        Source::Header(name) => {
            let value = only(Shown::field(name, head, block))?;
            Ok(bearer(value).unwrap_or(value))
        }
        Source::Cookie(name) => only(Shown::cookie(name, head, block)),
        Source::Query(name) => only(Shown::parameter(name, exchange.request.query())),
    }
}

/// What was shown once.
pub(super) fn only(shown: Shown<'_>) -> Result<&[u8], Refusal> {
    match shown {
        Shown::Nothing | Shown::One(b"") => Err(Refusal::Missing),
        Shown::One(value) => Ok(value),
        Shown::Several => Err(Refusal::Unclear("credentials_twice")),
    }
}

// === impl Proven ===

impl Proven {
    fn of(token: Arc<Token>, known: bool) -> Proven {
        let (claims, subject) = (token.claims.clone(), token.subject.clone());
        Proven { claims, subject, token: Some(token), known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_becomes_a_field_only_as_it_is() {
        for good in ["alice", "Zoë", "a b", "", "a,b"] {
            assert!(is_field_value(good), "{good:?}");
        }
        for bad in ["a\r\nx: y", "a\0", " admin", "admin ", "a\tb", "\u{7f}"] {
            assert!(!is_field_value(bad), "{bad:?}");
        }
    }
}
