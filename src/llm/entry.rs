//! A line of the usage ledger: one request, what it cost and whom.

use super::Usage;
use crate::clock::Wall;

/// What the ledger keeps of a request.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When it ended.
    pub time: Wall,
    pub request_id: &'a [u8],
    /// The name of the API key; empty if there was none.
    pub key: &'a str,
    /// The key's tag `team`; empty if it has none.
    pub team: &'a str,
    pub api: &'a str,
    /// `gen_ai.operation.name`.
    pub operation: &'static str,
    /// The model's name as the client wrote it.
    pub model: &'a str,
    /// Who served it; empty if nobody did.
    pub provider: &'a str,
    /// The provider's own name for the model.
    pub served: &'a str,
    pub stream: bool,
    pub usage: Usage,
    /// The usage was not the provider's word but the gateway's estimate.
    pub estimated: bool,
    /// In 10^-12 USD.
    pub cost_pico: u64,
    /// The status the client got.
    pub status: u16,
    /// `ok`, or the name of the failure.
    pub outcome: &'static str,
    /// How often it was sent to a provider.
    pub attempts: u32,
    pub total_us: u64,
    /// To the first token; `None` if none came.
    pub first_token_us: Option<u64>,
}
