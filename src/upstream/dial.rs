//! A new connection to an endpoint: TCP, then the PROXY protocol's header, then TLS.

use std::io;
use std::net::SocketAddr;

use super::pool::{Local, Member};
use crate::clock::{self, Tick};
use crate::config::{ProxyProtocolVersion, UpstreamProtocol};
use crate::failure::Failure;
use crate::net::buffer::Buf;
use crate::net::patience::Patience;
use crate::net::stream::Stream;
use crate::net::tls::Session;
use crate::net::{Timer, dial, proxy_protocol};
use crate::snapshot::{Endpoint, Upstream};

/// Who the connection is opened for: what the PROXY protocol tells the endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The client's address.
    pub client: SocketAddr,
    /// The address the client connected to.
    pub listener: SocketAddr,
}

/// Dials `member` for exchanges.
///
/// # Errors
/// Which step failed; nothing of a request was sent.
pub async fn connect(
    local: &Local,
    member: &Member,
    origin: Option<Origin>,
    timer: &Timer,
) -> Result<Stream, Failure> {
    let opened = open(&local.def, &member.endpoint, origin, Tick::NEVER, timer).await;
    match &opened {
        Ok(_) => local.cells().connected(),
        Err(failure) => local.cells().connect_failed(*failure),
    }
    opened
}

/// Whether a connection that [`open`] gave is one for HTTP/2.
#[must_use]
pub fn speaks_h2(upstream: &Upstream, stream: &Stream) -> bool {
    let is_h2 = |tls: &Session| tls.negotiated().is_some_and(|it| it.alpn == Some(b"h2"));
    let agreed = stream.with_tls(is_h2);
    upstream.may_speak_h2() && agreed.unwrap_or(true)
}

/// Opens a connection to an endpoint; it takes no longer than until `until`, whatever the
/// upstream's own timeouts say. Without an `origin` the connection is ours: a probe's.
///
/// # Errors
/// Which step failed.
pub async fn open(
    upstream: &Upstream,
    endpoint: &Endpoint,
    origin: Option<Origin>,
    until: Tick,
    timer: &Timer,
) -> Result<Stream, Failure> {
    let within = upstream.conf.timeouts.connect;
    let by = clock::now().after(within).min(until);
    let dialled = dial::connect(endpoint.address, timer, by).await;
    let stream = dialled.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Failure::UpstreamConnectTimeout,
        _ => Failure::UpstreamConnect,
    })?;
    let patience = Patience { timer, idle: within, until, client: None };
    if let Some(version) = upstream.conf.proxy_protocol {
        announce(&stream, version, origin, &patience).await?;
    }
    match &upstream.tls {
        None => Ok(stream),
        Some(tls) => {
            let stream = stream.secure_client(tls, &endpoint.host).map_err(|error| {
                tracing::warn!(upstream = &*upstream.name, endpoint = endpoint.name, %error, "TLS");
                Failure::UpstreamTls
            })?;
            let stream = shake(stream, upstream, endpoint, &patience).await?;
            let wanted = upstream.conf.protocol == UpstreamProtocol::H2;
            if wanted && !speaks_h2(upstream, &stream) {
                let (upstream, endpoint) = (&*upstream.name, &*endpoint.name);
                tracing::warn!(upstream, endpoint, "the endpoint did not agree to HTTP/2 (ALPN)");
                return Err(Failure::UpstreamTls);
            }
            Ok(stream)
        }
    }
}

async fn announce(
    stream: &Stream,
    version: ProxyProtocolVersion,
    origin: Option<Origin>,
    patience: &Patience<'_>,
) -> Result<(), Failure> {
    let mut header = Vec::with_capacity(128);
    match (version, origin) {
        (ProxyProtocolVersion::V1, Some(origin)) => {
            proxy_protocol::write_v1(origin.client, origin.listener, &mut header);
        }
        (ProxyProtocolVersion::V2, Some(origin)) => {
            proxy_protocol::write_v2(origin.client, origin.listener, &mut header);
        }
        // Section 2.1: what version 1 has for a connection on nobody's behalf.
        (ProxyProtocolVersion::V1, None) => header.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        (ProxyProtocolVersion::V2, None) => proxy_protocol::write_v2_local(&mut header),
    }
    let mut buf = Buf::small();
    buf.put_some(&header);
    patience.write(stream, buf).await.map_err(|_| Failure::UpstreamConnect)
}

async fn shake(
    stream: Stream,
    upstream: &Upstream,
    endpoint: &Endpoint,
    patience: &Patience<'_>,
) -> Result<Stream, Failure> {
    let (shaken, ended) = {
        let work = std::pin::pin!(stream.handshake(Buf::small()));
        patience.guard(&stream, work).await
    };
    match (shaken, ended) {
        (Ok(_), None) => Ok(stream),
        (_, Some(_)) => Err(Failure::UpstreamConnectTimeout),
        (Err(error), None) => {
            // Once probes have taken it out, each further one would say the same.
            let known = endpoint.is_down();
            let (upstream, endpoint) = (&*upstream.name, &*endpoint.name);
            let what = "TLS handshake with the upstream failed";
            if known {
                tracing::debug!(upstream, endpoint, %error, "{what}");
            } else {
                tracing::warn!(upstream, endpoint, %error, "{what}");
            }
            Err(Failure::UpstreamTls)
        }
    }
}
