//! Bounds of who calls: tokens, their issuers' keys, passwords, API keys.

use super::{DAY_MS, HOUR_MS};

// --- auth --------------------------------------------------------------------

/// Bytes of a token. Those of real issuers, groups and all, stay under 8 KiB; the head's bound is
/// 32 KiB.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a JWK Set: what AWS API Gateway reads.
pub const JWKS_BYTES_MAX: usize = 150_000;
/// Keys of a set: issuers have two to ten.
pub const JWKS_KEYS_MAX: usize = 128;
/// Keys tried for a token that names none, or one that several have: each costs a verification.
pub const JWKS_TRIES_MAX: usize = 8;
/// Objects within a claim that a dotted name can lead through.
pub const CLAIM_DEPTH_MAX: usize = 6;
/// Tokens a worker knows again: at 4 KiB each, 16 MiB if every one of them is that long.
pub const TOKENS_KEPT: usize = 4096;
/// Passwords a worker knows again, by their digests.
pub const PASSWORDS_KEPT: usize = 4096;
/// And for so long: what a password changed in a file may still be good for.
pub const PASSWORD_KEPT_FOR: std::time::Duration = std::time::Duration::from_secs(60);
/// Bytes of a password: a passphrase fits many times over.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// KiB of memory an argon2 hash may need: with two of them at once, 512 MiB.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Memory in KiB times passes: about a second.
pub const ARGON2_WORK_MAX: u64 = 1 << 20;
/// 2^14 rounds take about a second.
pub const BCRYPT_COST_MAX: u32 = 14;
/// Threads that verify passwords, for all workers together: each may hold an argon2 hash's memory.
pub const PASSWORD_THREADS: usize = 2;
/// Passwords that wait for one of them; past it the answer is 503.
pub const PASSWORD_QUEUE: usize = 64;
/// How often a request looks whether its password has been verified, or its key has come.
pub const PROOF_LOOK: std::time::Duration = std::time::Duration::from_millis(4);
/// Requests of a worker that wait for keys at once; the others are refused at once.
pub const KEY_WAITERS_MAX: usize = 1024;
/// How long a request waits for keys that are being fetched.
pub const KEY_WAIT: std::time::Duration = std::time::Duration::from_secs(2);
/// How often it is looked whether keys are due, or asked for.
pub const JWKS_LOOK: std::time::Duration = std::time::Duration::from_millis(50);
/// How often a file of keys is looked at.
pub const JWKS_FILE_LOOK: std::time::Duration = std::time::Duration::from_secs(1);
/// After a fetch that failed the next follows so soon, then later and later.
pub const JWKS_RETRY: std::time::Duration = std::time::Duration::from_secs(1);
pub const JWKS_RETRY_MAX: std::time::Duration = std::time::Duration::from_secs(60);
/// Milliseconds a fetch may take: AWS API Gateway's bound.
pub const JWKS_TIMEOUT_MS: u64 = 1_500;
/// At least so often keys are fetched: AWS API Gateway keeps them for two hours.
pub const JWKS_REFRESH_MS: u64 = HOUR_MS;
/// An unknown key has them fetched again no sooner than so long after the last time.
pub const JWKS_COOLDOWN_MS: u64 = 10_000;
/// So long keys stay in use that cannot be fetched again.
pub const JWKS_STALE_MS: u64 = DAY_MS;
/// How far the clocks of an issuer and the gateway may be apart.
pub const TOKEN_LEEWAY_MS: u64 = 10_000;
pub const TOKEN_LEEWAY_MAX_MS: u64 = 60_000;

// --- API keys ---------------------------------------------------------------------

/// Values of one key: the one in use, the one that is rotated in, and what was forgotten.
pub const KEY_VALUES_MAX: usize = 8;
/// Entries of any list of a key: plans (AWS: 10), tags (AWS: 50), networks, routes.
pub const KEY_LIST_MAX: usize = 64;
/// An owner, a tag's name or value (AWS: 256).
pub const KEY_TEXT_MAX: usize = 256;
