//! Any call by its path and the bytes of its request, over a channel with any key or none.
//!
//! On the wire a single answer is a stream of one, so one kind of call serves all.

use bytes::{Buf as _, BufMut as _, Bytes};
use loa_harness::Fault;
use loa_runtime::peers::{AddKey, endpoint};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A caller.
#[derive(Clone)]
pub(crate) struct Raw {
    link: InterceptedService<Channel, AddKey>,
}

impl Raw {
    /// Over a URL with a key; a key that no header can hold is left out.
    pub(crate) fn to(url: &str, key: &str) -> Result<Self, Fault> {
        Ok(Self { link: InterceptedService::new(endpoint(url, None)?.connect_lazy(), AddKey::new(key)) })
    }

    /// Calls `package.Service/Method`; every message of the answer.
    pub(crate) async fn call(&self, path: &str, request: Vec<u8>) -> Result<Vec<Bytes>, Status> {
        let mut grpc = Grpc::new(self.link.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = format!("/{path}").parse().map_err(|_| Status::internal("no path"))?;
        let messages = OneMessage(Some(Bytes::from(request)));
        let mut answers = grpc.streaming(Request::new(messages), path, Octets).await?.into_inner();
        let mut all = Vec::new();
        while let Some(answer) = answers.message().await? {
            all.push(answer);
        }
        Ok(all)
    }
}

/// A stream of one.
struct OneMessage(Option<Bytes>);

impl tokio_stream::Stream for OneMessage {
    type Item = Bytes;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<Bytes>> {
        std::task::Poll::Ready(self.0.take())
    }
}

/// Messages as they are.
#[derive(Default)]
struct Octets;

impl Codec for Octets {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Octets {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Octets {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, input: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(input.copy_to_bytes(input.remaining())))
    }
}
