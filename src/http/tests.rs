//! The codec as a whole: the data tables, properties over every split, and one test per rule that
//! no single file owns.

mod cases;
mod drive;
mod heads;
mod properties;
mod reference;
mod rewrite;
mod tables;
