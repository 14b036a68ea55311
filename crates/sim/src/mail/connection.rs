//! One connection of the mail world: read, decide, log, answer; one write per round.
//!
//! Must stay true: nothing is written to the socket between a decision and its line in the sink log.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use loa_wire_smtp::server::{Inbound, InboundError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Shared;
use super::transaction::{Desk, Next};
use crate::clock;
use crate::counters::add;

/// A connection that says nothing for this long is ended with 421 (RFC 5321 §4.5.3.2.7).
const IDLE_MAX: Duration = Duration::from_secs(300);

/// How long a parting client may take to close its side.
const PART_MAX: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(shared: Arc<Shared>, mut stream: S) {
    add(&shared.counters.connections, 1);
    let before = shared.counters.connected.fetch_add(1, Ordering::Relaxed);
    let full = usize::try_from(before).is_ok_and(|before| before >= shared.config.connections_max);
    let mut desk = Desk::new(Arc::clone(&shared));
    let ended = if full {
        desk.say("421 4.7.0 too many connections");
        match write(&mut stream, &mut desk).await {
            Ok(()) => part(&mut stream).await,
            Err(error) => Err(error),
        }
    } else {
        run(&mut stream, &mut desk).await
    };
    if let Err(error) = ended {
        tracing::debug!(connection = desk.id, %error, "connection ended");
    }
    shared.counters.connected.fetch_sub(1, Ordering::Relaxed);
}

async fn run<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, desk: &mut Desk) -> io::Result<()> {
    let shared = Arc::clone(&desk.shared);
    let mut hang_ups = shared.controls.hang_ups();
    let mut inbound = Inbound::new(shared.config.mail_octets_max);
    let mut cut_content = false;
    desk.say(&format!("220 {} ESMTP, mail of synthetic people only", shared.config.host));
    write(stream, desk).await?;
    loop {
        tokio::select! {
            biased;
            () = shared.controls.stopping() => {
                desk.say("421 4.3.2 going down");
                write(stream, desk).await?;
                return part(stream).await;
            }
            _ = hang_ups.changed() => return Ok(()),
            read = tokio::time::timeout(IDLE_MAX, stream.read_buf(inbound.input())) => match read {
                Ok(Ok(0)) => return Ok(()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    desk.say("421 4.4.2 idle for too long");
                    write(stream, desk).await?;
                    return part(stream).await;
                }
            },
        }
        if cut_content {
            add(&shared.counters.closed, 1);
            return Ok(());
        }
        let next = round(&mut inbound, desk)?;
        tokio::select! {
            biased;
            written = write(stream, desk) => written?,
            _ = hang_ups.changed() => return Ok(()),
        }
        match next {
            Next::Close => return part(stream).await,
            Next::HangUp => return Ok(()),
            Next::CutContent => cut_content = true,
            Next::Go | Next::Content => {}
        }
    }
}

/// Answers whatever was read, and writes the log.
fn round(inbound: &mut Inbound, desk: &mut Desk) -> io::Result<Next> {
    desk.faults = desk.shared.controls.faults();
    desk.unix_us = clock::unix_us();
    let mut next = Next::Go;
    while matches!(next, Next::Go | Next::Content) {
        match inbound.next_input() {
            Ok(Some(input)) => next = desk.take(input),
            Ok(None) => break,
            Err(error) => {
                let code = if error == InboundError::LineTooLong { "500 5.5.2" } else { "552 5.3.4" };
                desk.say(&format!("{code} {error}"));
                next = Next::Close;
            }
        }
        if matches!(next, Next::Content | Next::CutContent) {
            inbound.begin_content();
        }
    }
    desk.shared.config.log.write(&mut desk.log)?;
    add(&desk.shared.counters.accepted, std::mem::take(&mut desk.accepted));
    add(&desk.shared.counters.refused, std::mem::take(&mut desk.refused));
    Ok(next)
}

/// Writes the replies put out, after the simulated latency.
async fn write<S: AsyncWrite + Unpin>(stream: &mut S, desk: &mut Desk) -> io::Result<()> {
    if desk.out.is_empty() {
        return Ok(());
    }
    let latency = desk.faults.latency;
    if !latency.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(latency) => {}
            () = desk.shared.controls.stopping() => {}
        }
    }
    stream.write_all(&desk.out).await?;
    stream.flush().await?;
    desk.out.clear();
    Ok(())
}

/// Closes our side and reads what is still coming: closing with unread octets would make the system take back the last
/// replies, and the client would never know that its mail was taken.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let rest = async {
        stream.shutdown().await?;
        let mut unread = [0; 4_096];
        while stream.read(&mut unread).await? > 0 {}
        Ok(())
    };
    tokio::time::timeout(PART_MAX, rest).await.unwrap_or(Ok(()))
}
