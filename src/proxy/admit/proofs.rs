//! What a worker knows of callers it has seen: tokens and passwords that were proven a moment ago.
//!
//! Keys are digests, so that no credential is kept. Invariants: bounded by count; what is known is
//! good only for the authorizer (this very object of it, so a reload forgets) and the keys it was
//! proven with, and never beyond its own end.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use crate::auth::jwt::Token;
use crate::auth::{Claims, Digest, Recent};
use crate::bounds::{PASSWORDS_KEPT, TOKENS_KEPT};
use crate::clock::Tick;

/// A worker's.
pub struct Proofs {
    pub(super) tokens: RefCell<Recent<Known>>,
    pub(super) passwords: RefCell<Recent<Tried>>,
    /// Requests that wait for keys or for a password to be verified.
    pub(super) waiting: Cell<usize>,
    /// Mixed into digests: what one worker's map holds tells nothing to who sees it.
    secret: [u8; 32],
}

/// A token that was verified.
#[derive(Clone)]
pub(super) struct Known {
    pub token: Arc<Token>,
    /// By this set of keys.
    pub keys: u64,
}

/// A password that was verified, and what came of it.
#[derive(Clone)]
pub(super) struct Tried {
    /// `None`: it was wrong.
    pub proven: Option<(Arc<Claims>, Arc<str>)>,
    pub until: Tick,
}

// === impl Proofs ===

impl Proofs {
    /// Knows nobody.
    ///
    /// # Panics
    /// If the system has no random numbers: then nothing here is safe.
    pub fn new() -> Proofs {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).expect("the system gives random numbers");
        Proofs {
            tokens: RefCell::new(Recent::new(TOKENS_KEPT)),
            passwords: RefCell::new(Recent::new(PASSWORDS_KEPT)),
            waiting: Cell::new(0),
            secret,
        }
    }

    /// Forgets all: a new snapshot is served.
    pub fn forget(&self) {
        self.tokens.borrow_mut().clear();
        self.passwords.borrow_mut().clear();
    }

    /// The digest of what was shown to this authorizer; parts cannot run into each other.
    pub(super) fn digest(&self, authorizer: u64, parts: &[&[u8]]) -> Digest {
        let mut context = Context::new(&SHA256);
        context.update(&self.secret);
        context.update(&authorizer.to_ne_bytes());
        for part in parts {
            context.update(&part.len().to_ne_bytes());
            context.update(part);
        }
        context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}
