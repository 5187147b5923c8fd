//! Who may ask the admin API for what.
//!
//! Reads are open where only this host can ask; everything else shows the admin token. Tokens are
//! compared by their digests, in the same time whatever differs. A page of another site may not
//! write, token or not.

use std::io::Read;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use super::problem::Problem;
use crate::auth::Shown;
use crate::auth::shown::bearer;
use crate::bounds;
use crate::config;
use crate::control::house::page::{Asked, Page};
use crate::http::Name;

/// Whether the request may go on.
///
/// # Errors
/// The page that says why not.
pub fn check(
    asked: &Asked<'_>,
    conf: &config::Admin,
    loopback: bool,
    writes: bool,
) -> Result<(), Page> {
    if !writes && loopback {
        return Ok(());
    }
    if writes {
        same_origin(asked)?;
    }
    let tokens = tokens(conf);
    if tokens.is_empty() {
        return Err(Problem::Closed.page(
            "This needs a token, and the gateway has none: set admin.token = { file = \"..\" } or \
             { env = \"..\" }, or admin.token_sha256, in its configuration. A token has at least \
             16 characters. If one is set, the gateway's log says why it is not usable.",
        ));
    }
    let token = match Shown::authorization(asked.request.head, asked.request.block) {
        Shown::Nothing => {
            return Err(challenge(Problem::NoToken, "Send Authorization: Bearer TOKEN.", ""));
        }
        Shown::One(value) => bearer(value),
        Shown::Several => None,
    };
    let shown = token.map(|token| digest(&SHA256, token));
    let is = |token: &[u8; 32]| {
        shown.as_ref().is_some_and(|shown| verify_slices_are_equal(shown.as_ref(), token).is_ok())
    };
    // All are compared, so that the time does not tell which one was near.
    if tokens.iter().filter(|token| is(token)).count() == 0 {
        let why = ", error=\"invalid_token\"";
        return Err(challenge(Problem::WrongToken, "This is not the admin token.", why));
    }
    Ok(())
}

/// What is said at a start and a reload of a token that cannot be used.
#[must_use]
pub fn complaints(conf: &config::Admin) -> Vec<String> {
    let Some(source) = &conf.token else { return Vec::new() };
    let mut all = Vec::new();
    if let Some(name) = &source.env {
        match std::env::var(name) {
            Ok(token) if is_long(token.trim().as_bytes()) => {}
            Ok(_) => {
                all.push(format!("admin.token: {name} has fewer than 16 characters: not used"))
            }
            Err(error) => all.push(format!("admin.token: {name}: {error}: not used")),
        }
    }
    if let Some(file) = &source.file {
        let path = file.path.display();
        match read(file) {
            Ok(token) if is_long(token.trim_ascii()) => {}
            Ok(_) => {
                all.push(format!("admin.token: {path} has fewer than 16 characters: not used"))
            }
            Err(error) => all.push(format!("admin.token: {path}: {error}: not used")),
        }
    }
    all
}

/// A browser names the page that sends a request; only our own would have the same origin.
fn same_origin(asked: &Asked<'_>) -> Result<(), Page> {
    let request = &asked.request;
    let Some(origin) = request.value(Name::Origin) else { return Ok(()) };
    let of_ours = origin.strip_prefix(b"http://").is_some_and(|host| host == request.authority());
    if of_ours {
        return Ok(());
    }
    Err(Problem::CrossOrigin.page("The Origin field names another site than Host does."))
}

/// The digests of all tokens that are good.
fn tokens(conf: &config::Admin) -> Vec<[u8; 32]> {
    let mut all = Vec::new();
    let mut take = |token: &[u8]| {
        let token = token.trim_ascii();
        if is_long(token) {
            all.push(sum(token));
        }
    };
    if let Some(source) = &conf.token {
        if let Some(token) = source.env.as_ref().and_then(std::env::var_os) {
            take(token.as_encoded_bytes());
        }
        // Each time anew, so that a token that was replaced is good for nothing at once.
        if let Some(token) = source.file.as_ref().and_then(|file| read(file).ok()) {
            take(&token);
        }
    }
    all.extend(conf.token_sha256.as_deref().and_then(unhex));
    all
}

fn sum(token: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, token).as_ref());
    out
}

fn is_long(token: &[u8]) -> bool {
    token.len() >= bounds::ADMIN_TOKEN_BYTES_MIN
}

fn read(file: &config::FilePath) -> std::io::Result<Vec<u8>> {
    let mut token = Vec::new();
    let opened = std::fs::File::open(&file.path)?;
    opened.take(bounds::ADMIN_TOKEN_BYTES_MAX).read_to_end(&mut token)?;
    Ok(token)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(out)
}

fn challenge(problem: Problem, detail: &str, error: &str) -> Page {
    let value = format!("Bearer realm=\"ringway admin\"{error}");
    problem.page(detail).with("www-authenticate", value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_from_hexadecimal_digits() {
        let digits = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!(unhex(digits), Some(sum(b"test")));
        assert_eq!(unhex("9f"), None);
    }
}
