//! A message that leaves over HTTP/2: an answer's head, data as the peer's window allows, trailers.
//!
//! Shared by whoever writes the message and whoever ends it early: the one who watches that the
//! client still wants its answer, or that the endpoint still wants the request's body.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response};

use super::incoming::Stopped;
use crate::net::buffer::{Buf, Class};

/// The sending half of a stream: of one a client opened, or of one to an endpoint.
pub struct Outgoing {
    state: RefCell<State>,
    gone: Cell<bool>,
    /// Bytes of data handed over, within the peer's window.
    sent: Cell<u64>,
    stopped: Rc<Stopped>,
    /// How many streams of the connection there are like this one.
    open: Rc<Cell<u32>>,
    /// What a reset says.
    reason: Reason,
}

enum State {
    /// No final head has been sent.
    Head(SendResponse<Bytes>),
    /// Data follow.
    Data(SendStream<Bytes>),
    /// The last frame has been handed over. A request's stream can still be reset.
    Ended(Option<SendStream<Bytes>>),
}

// === impl Outgoing ===

impl Outgoing {
    pub(super) fn new(
        respond: SendResponse<Bytes>,
        stopped: Rc<Stopped>,
        open: Rc<Cell<u32>>,
    ) -> Outgoing {
        Outgoing::in_state(State::Head(respond), stopped, open, Reason::INTERNAL_ERROR)
    }

    /// Of a request whose head has been handed over; `last`: nothing follows it.
    pub(super) fn of_request(
        stream: SendStream<Bytes>,
        last: bool,
        stopped: Rc<Stopped>,
    ) -> Outgoing {
        let state = if last { State::Ended(Some(stream)) } else { State::Data(stream) };
        Outgoing::in_state(state, stopped, Rc::default(), Reason::CANCEL)
    }

    fn in_state(
        state: State,
        stopped: Rc<Stopped>,
        open: Rc<Cell<u32>>,
        reason: Reason,
    ) -> Outgoing {
        open.set(open.get() + 1);
        let state = RefCell::new(state);
        Outgoing { state, gone: Cell::new(false), sent: Cell::new(0), stopped, open, reason }
    }

    /// The largest buffer worth filling for this answer: all streams of a connection share its
    /// window, and what it does not take waits here.
    #[must_use]
    pub fn buffer_max(&self) -> Class {
        match self.open.get() {
            0..=1 => Class::Medium,
            _ => Class::Tiny,
        }
    }

    /// Sends an interim head.
    ///
    /// # Errors
    /// When the client has reset the stream, or left.
    pub fn interim(&self, head: Response<()>) -> io::Result<()> {
        match &mut *self.state.borrow_mut() {
            State::Head(respond) => respond.send_informational(head).map_err(broken),
            State::Data(_) | State::Ended(_) => Ok(()),
        }
    }

    /// Sends the final head; `last`: nothing follows it.
    ///
    /// # Errors
    /// When the client has reset the stream, or left.
    pub fn head(&self, head: Response<()>, last: bool) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let State::Head(respond) = &mut *state else { return Ok(()) };
        let stream = respond.send_response(head, last).map_err(broken)?;
        *state = if last { State::Ended(None) } else { State::Data(stream) };
        Ok(())
    }

    /// Sends data as the peer's window allows, without a copy.
    ///
    /// # Errors
    /// When the client has reset the stream, or left.
    pub async fn data(&self, buf: Buf, last: bool) -> io::Result<()> {
        let mut data = Bytes::from_owner(buf);
        while !data.is_empty() {
            let room = std::future::poll_fn(|cx| self.poll_room(cx, data.len())).await?;
            let part = data.split_to(room.min(data.len()));
            self.hand_over(part, last && data.is_empty())?;
        }
        Ok(())
    }

    /// Waits until the peer's window takes data.
    ///
    /// # Errors
    /// When the client has reset the stream, or left.
    pub async fn room(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_room(cx, 1)).await.map(drop)
    }

    /// Ends the body, with trailers if there are any.
    ///
    /// # Errors
    /// When the client has reset the stream, or left.
    pub fn end(&self, trailers: Option<HeaderMap>) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let State::Data(stream) = &mut *state else { return Ok(()) };
        match trailers {
            Some(trailers) => stream.send_trailers(trailers).map_err(broken)?,
            None => stream.send_data(Bytes::new(), true).map_err(broken)?,
        }
        self.ended(&mut state);
        Ok(())
    }

    /// Resets the stream: what was sent must not pass for complete.
    pub fn reset(&self) {
        match &mut *self.state.borrow_mut() {
            State::Head(respond) => respond.send_reset(self.reason),
            State::Data(stream) | State::Ended(Some(stream)) => stream.send_reset(self.reason),
            State::Ended(None) => {}
        }
    }

    /// Nobody needs the rest of the request's body.
    pub fn stop_reading(&self) {
        self.stopped.ask();
    }

    /// Ready once the client has reset the stream, or left.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.gone.get() {
            match &mut *self.state.borrow_mut() {
                State::Head(respond) => drop(ready!(respond.poll_reset(cx))),
                State::Data(stream) => drop(ready!(stream.poll_reset(cx))),
                // Whatever comes now, the answer was complete.
                State::Ended(_) => return Poll::Pending,
            }
            self.gone.set(true);
        }
        Poll::Ready(())
    }

    /// Whether that has happened. Whoever waits for it must poll again.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.poll_gone(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Bytes of data that were within the peer's window so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.get()
    }

    fn poll_room(&self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        let State::Data(stream) = &mut *state else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        stream.reserve_capacity(wanted);
        loop {
            if stream.capacity() > 0 {
                return Poll::Ready(Ok(stream.capacity()));
            }
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }

    fn hand_over(&self, part: Bytes, last: bool) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let State::Data(stream) = &mut *state else { return Ok(()) };
        self.sent.set(self.sent.get() + part.len() as u64);
        stream.send_data(part, last).map_err(broken)?;
        if last {
            self.ended(&mut state);
        }
        Ok(())
    }

    fn ended(&self, state: &mut State) {
        let before = std::mem::replace(state, State::Ended(None));
        if let (State::Data(stream), Reason::CANCEL) = (before, self.reason) {
            *state = State::Ended(Some(stream));
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
