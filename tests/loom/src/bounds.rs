//! Of the gateway's bounds those that are needed here.

pub const BALANCE_WINDOW_SLOTS: usize = 8;
