//! The log ring alone, as the gateway compiles it: its loom tests stand in the file itself.

#[path = "../../../src/observe/ring.rs"]
pub mod ring;
