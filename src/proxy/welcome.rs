//! What precedes HTTP on a connection: the PROXY protocol's header, then the TLS handshake.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::{Certificate, Claims};
use crate::clock::Tick;
use crate::net::Timer;
use crate::net::buffer::Buf;
use crate::net::patience::Patience;
use crate::net::proxy_protocol::{self, Parsed, ProxyProtocolError};
use crate::net::stream::Stream;
use crate::observe::cells::{Handshake, WorkerId};
use crate::snapshot::{Listener, contains};

/// What the handshake agreed on, for the log.
#[derive(Debug, Default)]
pub struct TlsFacts {
    pub version: &'static str,
    pub sni: String,
    /// The client speaks HTTP/2 (ALPN).
    pub h2: bool,
    /// What the client has shown, if the listener asked for it and has verified it.
    pub certificate: Option<Shown>,
}

/// A client's certificate, ready to be judged by every request.
#[derive(Debug)]
pub struct Shown {
    pub certificate: Certificate,
    pub claims: Arc<Claims>,
    pub subject: Arc<str>,
}

/// A connection that may speak HTTP now.
pub struct Welcomed {
    pub stream: Stream,
    /// Whom it comes from, the PROXY protocol believed.
    pub peer: SocketAddr,
    pub tls: Option<TlsFacts>,
    /// What was read behind the preliminaries.
    pub ahead: Option<Buf>,
}

// === impl Shown ===

impl Shown {
    fn of(certificate: Certificate) -> Shown {
        let (claims, subject) = certificate.proof();
        Shown { certificate, claims, subject }
    }
}

/// Sees a new connection through its preliminaries; `None`: it is closed, and why is logged.
pub async fn welcome(
    listener: &Listener,
    worker: WorkerId,
    mut stream: Stream,
    peer: SocketAddr,
    timer: &Timer,
) -> Option<Welcomed> {
    let conf = &listener.conf;
    let patience =
        Patience { timer, idle: conf.timeouts.tls_handshake, until: Tick::NEVER, client: None };
    let mut buf = Buf::small();
    let mut peer = peer;
    if let Some(accept) = &conf.proxy_protocol {
        let expected = contains(&accept.from, peer.ip());
        if expected {
            (buf, peer) = proxy_header(&stream, buf, peer, accept.required, &patience).await?;
        } else if accept.required {
            tracing::debug!(%peer, listener = &*listener.name, "not a PROXY protocol peer");
            return None;
        }
    }
    let mut facts = None;
    if let Some(tls) = &listener.tls {
        stream = stream.secure_server(tls).ok()?;
        let work = std::pin::pin!(stream.handshake(buf));
        let (shaken, ended) = patience.guard(&stream, work).await;
        let cells = listener.cells.of(worker);
        match (shaken, ended) {
            (Ok(back), None) => buf = back,
            (shaken, _) => {
                cells.tls_handshake(Handshake::Failed);
                let why = shaken.err().map_or_else(|| "timeout".into(), |error| error.to_string());
                tracing::debug!(%peer, listener = &*listener.name, why, "TLS handshake failed");
                return None;
            }
        }
        let (made, resumed) = stream.with_tls(|session| {
            let agreed = session.negotiated();
            let facts = TlsFacts {
                version: agreed.as_ref().map_or("", |agreed| agreed.version.as_str()),
                sni: agreed.as_ref().and_then(|a| a.server_name).unwrap_or_default().to_owned(),
                h2: agreed.as_ref().is_some_and(|agreed| agreed.alpn == Some(b"h2")),
                certificate: agreed.as_ref().and_then(|agreed| agreed.peer()).map(Shown::of),
            };
            (facts, agreed.is_some_and(|agreed| agreed.resumed))
        })?;
        cells.tls_handshake(if resumed { Handshake::Resumed } else { Handshake::Full });
        facts = Some(made);
    }
    let ahead = (!buf.is_empty()).then_some(buf);
    Some(Welcomed { stream, peer, tls: facts, ahead })
}

/// Reads the PROXY protocol's header off a connection's start.
async fn proxy_header(
    stream: &Stream,
    mut buf: Buf,
    peer: SocketAddr,
    required: bool,
    patience: &Patience<'_>,
) -> Option<(Buf, SocketAddr)> {
    loop {
        match proxy_protocol::parse(buf.filled()) {
            Ok(Parsed::Header(header)) => {
                buf.consume(header.consumed);
                buf.compact();
                return Some((buf, header.addresses.map_or(peer, |pair| pair.source)));
            }
            Ok(Parsed::Partial) => {}
            Err(ProxyProtocolError::NoHeader) if !required => return Some((buf, peer)),
            Err(refused) => {
                tracing::debug!(%peer, %refused, "PROXY protocol header refused");
                return None;
            }
        }
        let (read, back) = patience.read(stream, buf).await;
        buf = back;
        if read.ok()? == 0 {
            return None;
        }
    }
}
