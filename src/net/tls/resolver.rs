//! Which certificate a name gets, replaceable while connections live.

use std::cell::RefCell;

thread_local! {
    /// rustls' unbuffered server tells nobody which name the client asked for, except the resolver.
    /// The resolver runs inside `Session::receive`, on its thread, and leaves the name here for it.
    static ASKED_FOR: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

pub(super) fn note_server_name(name: Option<&str>) {
    ASKED_FOR.set(name.map(Box::from));
}

pub(super) fn take_server_name() -> Option<Box<str>> {
    ASKED_FOR.take()
}
