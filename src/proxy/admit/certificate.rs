//! A client certificate: verified in the handshake, judged by its names here.

use super::token::can_be_fields;
use super::{Proven, Refusal};
use crate::auth::Patterns;
use crate::proxy::serve::Scene;
use crate::snapshot::Authorizer;

/// Judges the certificate of the connection, if it has one.
pub fn judge(
    scene: &Scene<'_>,
    authorizer: &Authorizer,
    patterns: &Patterns,
) -> Result<Proven, Refusal> {
    let shown = scene.tls.and_then(|tls| tls.certificate.as_ref()).ok_or(Refusal::Missing)?;
    if !patterns.accept(&shown.certificate) {
        return Err(Refusal::Certificate);
    }
    if !can_be_fields(authorizer, &shown.claims) {
        return Err(Refusal::Unclear("certificate_names"));
    }
    let (claims, subject) = (shown.claims.clone(), shown.subject.clone());
    Ok(Proven { claims, subject, token: None, known: false })
}
