//! Body up and answer down at once: either side may finish, or fail, first.
//!
//! Invariant: when this returns nothing is pending on either socket; whichever side ended first has
//! told the other, which never waits longer than it must.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::exchange::Exchange;
use super::http::{After, Way, call, framing_out, respond};
use super::pump::Pump;
use crate::bounds;
use crate::clock;
use crate::failure::Failure;
use crate::http::{Framing, ResponseHead};
use crate::message::{Body, HeadOut, Reply, Spare, Stop};
use crate::net::buffer::Buf;
use crate::net::patience::Patience;
use crate::net::{Timer, deadline};
use crate::snapshot::{Endpoint, Route};
use crate::upstream::{Lease, exchange as upstream};

/// What the two directions tell each other.
#[derive(Default)]
struct Between {
    /// Nobody needs the rest of the body.
    abandoned: Cell<bool>,
    /// The client's side failed: the answer does not matter any more.
    client_failed: Cell<bool>,
    /// The pump has ended.
    uploaded: Cell<bool>,
    /// A gRPC call's answer has begun: its client speaks when it has something to say.
    talks: Cell<bool>,
}

/// Pumps `first` and the rest of `body` to the endpoint while its answer is passed on.
///
/// # Errors
/// Which side failed, and how.
pub async fn run(
    exchange: &mut Exchange<'_>,
    route: &Route,
    way: &Way<'_, '_>,
    (first, body): (Option<Buf>, &mut Body<'_>),
    reply: &mut Reply<'_>,
    lease: Lease,
) -> Result<(), Failure> {
    let between = Between::default();
    let timer = Timer::new();
    // While the pump reads from the client it notices by itself that the client has gone.
    if let Some(watch) = way.client.client {
        watch.hush();
    }
    let until = way.until(exchange);
    let up = Patience { timer: &timer, idle: way.body_idle, until, client: None };
    let pump = Pump {
        from: up,
        to: up.with_idle(way.target.idle),
        chunked: framing_out(exchange, true, None) == Framing::Chunked,
        bytes_max: route.body_max,
        abandoned: &between.abandoned,
        may_rest: &between.talks,
        claimed: &route.claimed,
    };
    let client = reply.stop();
    let (pumped, answered) = both(
        pump.run(first, body, &lease),
        answer(exchange, route, way, reply, &lease, &between),
        |pumped| {
            between.uploaded.set(true);
            if let Some(watch) = way.client.client {
                watch.rouse();
            }
            // The client failed us: the endpoint need not go on.
            if pumped.is_err() && !between.abandoned.get() {
                between.client_failed.set(true);
                lease.abort();
            }
        },
        |answered| {
            // The endpoint failed us: nobody needs the body, neither from the client nor to it.
            if answered.is_err() && !between.client_failed.get() {
                between.abandoned.set(true);
                lease.abort();
                client.stop_reading();
            }
        },
    )
    .await;
    if between.client_failed.get() {
        pumped?;
    }
    if pumped != Ok(true) {
        reply.close();
    }
    if matches!(answered?, After::Reusable) && pumped == Ok(true) {
        lease.give_back(clock::coarse());
    }
    Ok(())
}

/// Reads the answer and passes it on.
async fn answer(
    exchange: &mut Exchange<'_>,
    route: &Route,
    way: &Way<'_, '_>,
    reply: &mut Reply<'_>,
    lease: &Lease,
    between: &Between,
) -> Result<After, Failure> {
    let nothing = |_: &Endpoint, _: &mut HeadOut| {};
    let mut call = call(exchange, route, way, &nothing, None, true);
    // Counted from the end of the upload, whose own timeouts hold until then.
    let first_byte = std::mem::replace(&mut call.first_byte, Duration::MAX);
    let mut response = Spare::<ResponseHead>::take();
    let (mut answered, buf) = (false, way.local.answer_buffer(way.buffer_max));
    let reading = upstream::read_head(lease, &call, buf, &mut response, &mut answered);
    let read = in_time(reading, first_byte, lease, &between.uploaded).await;
    let waited = clock::nanos(clock::now().since(exchange.started));
    (exchange.timings.first_byte_ns, exchange.upstream_ns) = (waited, Some(waited));
    let block = read.inspect_err(|failure| {
        if !between.client_failed.get() {
            upstream::note_failure(lease.local(), lease, *failure, clock::now());
        }
    })?;
    between.talks.set(exchange.grpc.is_some());
    let client = reply.stop();
    let reusable = respond(exchange, route, way, reply, lease, block, &mut response).await;
    between.abandoned.set(true);
    if reusable.is_ok() && !between.uploaded.get() {
        let_go(lease, client, &between.uploaded).await;
    }
    reusable
}

/// Reads the head, which must begin within `first_byte` of the end of the upload.
async fn in_time(
    reading: impl Future<Output = Result<Buf, Failure>>,
    first_byte: Duration,
    lease: &Lease,
    uploaded: &Cell<bool>,
) -> Result<Buf, Failure> {
    let mut reading = pin!(reading);
    let (mut patience, mut is_late) = (None, false);
    let read = poll_fn(|cx| {
        let read = reading.as_mut().poll(cx);
        if read.is_pending() && uploaded.get() && !is_late {
            let patience = patience.get_or_insert_with(|| {
                Box::pin(deadline::sleep_until(clock::now().after(first_byte)))
            });
            if patience.as_mut().poll(cx).is_ready() {
                is_late = true;
                lease.abort();
                return reading.as_mut().poll(cx);
            }
        }
        read
    })
    .await;
    read.map_err(|failure| if is_late { Failure::UpstreamFirstByteTimeout } else { failure })
}

/// The endpoint answered without waiting for the rest of the body: it is done with. The client may
/// be about to finish, which keeps its connection, but is not waited for long.
async fn let_go(lease: &Lease, client: Stop, uploaded: &Cell<bool>) {
    lease.abort();
    let mut patience = pin!(deadline::sleep_until(clock::now().after(bounds::LINGER)));
    poll_fn(|cx| match uploaded.get() {
        true => Poll::Ready(()),
        false => patience.as_mut().poll(cx),
    })
    .await;
    if !uploaded.get() {
        client.stop_reading();
    }
}

/// Awaits two futures, and tells each that the other has ended when it does.
async fn both<A, B, X, Y>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
    first_ended: impl FnOnce(&A) -> X,
    second_ended: impl FnOnce(&B) -> Y,
) -> (A, B) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut a, mut b) = (None, None);
    let (mut first_ended, mut second_ended) = (Some(first_ended), Some(second_ended));
    poll_fn(move |cx| {
        if a.is_none()
            && let Poll::Ready(out) = first.as_mut().poll(cx)
        {
            first_ended.take().map(|tell| tell(&out));
            a = Some(out);
        }
        if b.is_none()
            && let Poll::Ready(out) = second.as_mut().poll(cx)
        {
            second_ended.take().map(|tell| tell(&out));
            b = Some(out);
        }
        match (a.take(), b.take()) {
            (Some(x), Some(y)) => Poll::Ready((x, y)),
            (x, y) => {
                (a, b) = (x, y);
                Poll::Pending
            }
        }
    })
    .await
}
