//! One step of input and output on a connection: write what is pending, read what is there, whichever is possible.
//!
//! Both in one poll, because a peer that reads only while we read must not block us, nor we it. What was written is told
//! even when the read that followed failed: a part may be handed over again only if none of its octets left.
//!
//! Must stay true: cancel-safe; octets that were written or read are always reported by the poll that moved them.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one step moved.
#[derive(Debug, Default)]
pub(crate) struct Exchanged {
    /// Octets written.
    pub(crate) written: usize,
    /// Octets read; 0 at the end of the stream.
    pub(crate) read: Option<usize>,
    /// The connection is broken; `written` still holds.
    pub(crate) broken: Option<io::Error>,
}

/// Waits until something could be written or read. Nothing is read without `space`.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    out: &[u8],
    flush: &mut bool,
    mut space: Option<&mut [u8]>,
) -> Exchanged {
    poll_fn(|context| {
        let mut done = Exchanged::default();
        if let Err(error) = step(stream, context, out, flush, space.as_deref_mut(), &mut done) {
            done.broken = Some(error);
        }
        let moved = done.written > 0 || done.read.is_some() || done.broken.is_some();
        if moved { Poll::Ready(done) } else { Poll::Pending }
    })
    .await
}

fn step<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    context: &mut Context<'_>,
    out: &[u8],
    flush: &mut bool,
    space: Option<&mut [u8]>,
    done: &mut Exchanged,
) -> io::Result<()> {
    let mut stream = Pin::new(stream);
    if !out.is_empty()
        && let Poll::Ready(written) = stream.as_mut().poll_write(context, out)?
    {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        done.written = written;
        *flush = true;
    }
    if *flush && done.written == out.len() && stream.as_mut().poll_flush(context)?.is_ready() {
        *flush = false;
    }
    if let Some(space) = space {
        let mut buffer = ReadBuf::new(space);
        if stream.as_mut().poll_read(context, &mut buffer)?.is_ready() {
            done.read = Some(buffer.filled().len());
        }
    }
    Ok(())
}
