//! The log ring and the table of limits alone, as the gateway compiles them: their loom tests stand
//! in the files themselves.

#[path = "../../../src/observe/ring.rs"]
pub mod ring;

#[path = "../../../src/clock.rs"]
pub mod clock;

pub mod limit;
