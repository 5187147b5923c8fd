//! What is counted per limit: its verdicts.

use super::count::Array;

/// What a limit said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Admitted,
    Refused,
    /// It would have been refused, were the limit not in shadow.
    ShadowRefused,
}

/// What is counted per limit.
#[derive(Default)]
pub struct LimitCells {
    pub(super) verdicts: Array<{ Verdict::NAMES.len() }>,
}

// === impl Verdict ===

impl Verdict {
    pub(super) const NAMES: [&str; 3] = ["admitted", "refused", "shadow_refused"];
}

// === impl LimitCells ===

impl LimitCells {
    /// The limit had its say on a request.
    pub fn judged(&self, verdict: Verdict) {
        self.verdicts.add(verdict as usize);
    }
}
