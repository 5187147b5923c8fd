//! A route that ends in a language model: one attempt at one provider, and its answer passed on.
//!
//! Owns [`Chat`], what is known of such a request; the head a provider gets; what an attempt's end
//! means for the next ([`fault`]); answers as a whole and as streams. Refuses to know
//! who is asked next and what it costs whom: that is `proxy::llm`'s. Invariants: until the first
//! byte of an answer has gone to the client another provider may be asked, and after it never; an
//! answer that its provider did not complete never looks complete; nobody generates for a client
//! that has gone.

mod attempt;
pub mod body;
mod chat;
pub mod fault;
mod head;
mod stream;
mod whole;

pub use attempt::{REFUSED, Way, run};
pub use chat::{Chat, Lost};
pub use fault::Fault;
