//! The log ring, the table of limits and the tally of breakers alone, as the gateway compiles them:
//! their loom tests stand in the files themselves.

#[path = "../../../src/observe/ring.rs"]
pub mod ring;

#[path = "../../../src/clock.rs"]
pub mod clock;

pub mod bounds;
pub mod limit;

#[path = "../../../src/balance/tally.rs"]
pub mod tally;
