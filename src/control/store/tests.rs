//! The store by itself: what is written is there again, whoever wrote it.
