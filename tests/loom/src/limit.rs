//! The part of the room that shares memory.

#[path = "../../../src/limit/bucket.rs"]
pub mod bucket;
#[path = "../../../src/limit/id.rs"]
pub mod id;
#[path = "../../../src/limit/quota.rs"]
pub mod quota;
#[path = "../../../src/limit/table.rs"]
pub mod table;
