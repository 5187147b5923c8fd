//! Providers and models of a configuration -> those of a snapshot.
