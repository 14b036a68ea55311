//! `loa call SERVICE/METHOD JSON`: any call of a server, as the server itself describes it (gRPC reflection).
//!
//! JSON is the canonical form of Protobuf with the names of the `.proto` files: bytes in base64, times in RFC 3339, enums by
//! name. Numbers of 64 bits are printed as numbers, as by every other command, and may be written as text too.
//!
//! Must stay true: a request with a field that the server does not know is not sent; every answer is one line.

use std::collections::BTreeMap;

use clap::Args;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MethodDescriptor, SerializeOptions};
use prost_types::FileDescriptorProto;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};
use tonic_reflection::pb::v1 as reflection;

use super::args::Global;
use super::client::{Client, Link};
use super::text::say;
use crate::exit::Failure;

/// `loa call`
#[derive(Debug, Args)]
pub struct CallArgs {
    /// SERVICE/METHOD; the service by its full name or by its last word.
    #[arg(value_name = "SERVICE/METHOD", required_unless_present = "list")]
    pub method: Option<String>,
    /// The request as JSON; `-` reads it from standard input. For a stream of requests: an array, or one after the other.
    #[arg(value_name = "JSON", default_value = "{}")]
    pub request: String,
    /// List services and methods; with SERVICE/METHOD, the fields of its request and answer.
    #[arg(long)]
    pub list: bool,
}

/// Does what was typed.
pub async fn run(global: &Global, args: CallArgs) -> Result<(), Failure> {
    let server = Server { link: Client::new(global)?.link() };
    let services = server.services().await?;
    let Some(typed) = args.method else { return server.list(global, &services).await };
    let (service, method) = typed
        .split_once('/')
        .ok_or_else(|| Failure::Usage(format!("`{typed}`: write SERVICE/METHOD; `loa call --list` shows them")))?;
    let service = named(&services, service)?;
    let described = server.service(&service).await?;
    let method = described.methods().find(|known| known.name() == method).ok_or_else(|| {
        let known = described.methods().map(|method| method.name().to_owned()).collect::<Vec<_>>();
        Failure::Usage(format!("{service} has no method `{method}`; it has: {}", known.join(", ")))
    })?;
    if args.list {
        say(fields_of(&method).to_string());
        return Ok(());
    }
    let typed = match args.request.as_str() {
        "-" => {
            let mut text = String::new();
            tokio::io::stdin().read_to_string(&mut text).await?;
            text
        }
        text => text.to_owned(),
    };
    server.call(method.clone(), requests(&method, &typed)?).await
}

/// The service that somebody means by a name or its last word.
fn named(services: &[String], name: &str) -> Result<String, Failure> {
    let short = |full: &str| full.rsplit('.').next().map(str::to_owned);
    let meant = services.iter().filter(|full| *full == name || short(full).as_deref() == Some(name));
    match meant.collect::<Vec<_>>().as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::Usage(format!("the server has no service `{name}`; it has: {}", services.join(", ")))),
        many => {
            let full = many.iter().map(|full| full.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::Usage(format!("`{name}` may be each of: {full}")))
        }
    }
}

/// The requests that were typed: one, or any number where the method takes a stream.
fn requests(method: &MethodDescriptor, typed: &str) -> Result<Vec<DynamicMessage>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Usage(format!("the request is not as it must be: {error}"));
    let read: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(typed).into_iter().collect();
    let mut values = read.map_err(|error| wrong(&error))?;
    if method.is_client_streaming() {
        if let [Value::Array(array)] = values.as_mut_slice() {
            values = std::mem::take(array);
        }
    } else if values.len() != 1 {
        return Err(wrong(&format!("{} takes one object, not {}", method.name(), values.len())));
    }
    values.into_iter().map(|value| message(method, value)).collect::<Result<_, _>>().map_err(|error| wrong(&error))
}

/// One request; what is wrong with it names the field.
fn message(method: &MethodDescriptor, value: Value) -> Result<DynamicMessage, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let read = DynamicMessage::deserialize_with_options(method.input(), tracked, &options);
    read.map_err(|error| match track.path() {
        at if at.iter().len() == 0 => error.to_string(),
        at => format!("{at}: {error}"),
    })
}

/// A message as one line of JSON.
fn line(message: &DynamicMessage) -> Result<String, Failure> {
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false).skip_default_fields(false);
    let mut out = Vec::new();
    let written = message.serialize_with_options(&mut serde_json::Serializer::new(&mut out), &options);
    written.map_err(|error| Failure::Failed(format!("the answer cannot be written as JSON: {error}")))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Names and types of what a method takes and answers.
fn fields_of(method: &MethodDescriptor) -> Value {
    let fields = |message: prost_reflect::MessageDescriptor| {
        let field = |field: prost_reflect::FieldDescriptor| {
            let kind = format!("{:?}", field.kind()).to_lowercase();
            let kind = match field.kind() {
                prost_reflect::Kind::Message(message) => message.full_name().to_owned(),
                prost_reflect::Kind::Enum(words) => {
                    let names = words.values().map(|value| value.name().to_owned()).collect::<Vec<_>>();
                    names.join(" | ")
                }
                _ => kind,
            };
            (field.name().to_owned(), Value::from(if field.is_list() { format!("[{kind}]") } else { kind }))
        };
        Value::Object(message.fields().map(field).collect())
    };
    json!({ "request": fields(method.input()), "answer": fields(method.output()) })
}

/// A server that describes itself.
struct Server {
    link: Link,
}

impl Server {
    /// Its services.
    async fn services(&self) -> Result<Vec<String>, Failure> {
        use reflection::server_reflection_response::MessageResponse as Answer;
        let question = reflection::server_reflection_request::MessageRequest::ListServices(String::new());
        match self.ask(question).await? {
            Answer::ListServicesResponse(list) => Ok(list.service.into_iter().map(|service| service.name).collect()),
            other => Err(strange(&other)),
        }
    }

    /// A service with everything that its messages are made of.
    async fn service(&self, name: &str) -> Result<prost_reflect::ServiceDescriptor, Failure> {
        use reflection::server_reflection_request::MessageRequest as Ask;
        let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
        let mut wanted = vec![Ask::FileContainingSymbol(name.to_owned())];
        while let Some(question) = wanted.pop() {
            for file in self.files(question).await? {
                let missing = file.dependency.iter().filter(|name| !files.contains_key(*name));
                wanted.extend(missing.cloned().map(Ask::FileByFilename));
                files.insert(file.name().to_owned(), file);
            }
            wanted.retain(|question| !matches!(question, Ask::FileByFilename(name) if files.contains_key(name)));
        }
        let bad = |why: String| Failure::Failed(format!("the server's description of {name} cannot be used: {why}"));
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_protos(files.into_values()).map_err(|error| bad(error.to_string()))?;
        pool.get_service_by_name(name).ok_or_else(|| bad("it is not in it".to_owned()))
    }

    async fn files(
        &self,
        question: reflection::server_reflection_request::MessageRequest,
    ) -> Result<Vec<FileDescriptorProto>, Failure> {
        use reflection::server_reflection_response::MessageResponse as Answer;
        let files = match self.ask(question).await? {
            Answer::FileDescriptorResponse(files) => files.file_descriptor_proto,
            other => return Err(strange(&other)),
        };
        let read = files.iter().map(|file| FileDescriptorProto::decode(file.as_slice()));
        read.collect::<Result<_, _>>().map_err(|error| Failure::of(&error))
    }

    async fn ask(
        &self,
        question: reflection::server_reflection_request::MessageRequest,
    ) -> Result<reflection::server_reflection_response::MessageResponse, Failure> {
        use reflection::server_reflection_client::ServerReflectionClient;
        let request = reflection::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut client = ServerReflectionClient::new(self.link.clone());
        let mut answers = client.server_reflection_info(tokio_stream::once(request)).await?.into_inner();
        let answer = answers.message().await?.and_then(|answer| answer.message_response);
        answer.ok_or_else(|| Failure::Failed("the server does not describe itself".to_owned()))
    }

    /// Every service with its methods.
    async fn list(&self, global: &Global, services: &[String]) -> Result<(), Failure> {
        for name in services {
            for method in self.service(name).await?.methods() {
                let stream = |is_stream: bool| if is_stream { "stream " } else { "" };
                let takes = stream(method.is_client_streaming());
                let answers = stream(method.is_server_streaming());
                let (input, output) = (method.input(), method.output());
                say(match global.json {
                    true => json!({
                        "service": name, "method": method.name(), "request": input.full_name(), "answer": output.full_name(),
                        "request_stream": method.is_client_streaming(), "answer_stream": method.is_server_streaming(),
                    })
                    .to_string(),
                    false => format!("{name}/{}  {takes}{} → {answers}{}", method.name(), input.name(), output.name()),
                });
            }
        }
        Ok(())
    }

    /// Calls, and prints each answer as it comes. On the wire a single message is a stream of one, so one kind of call
    /// serves all.
    async fn call(&self, method: MethodDescriptor, requests: Vec<DynamicMessage>) -> Result<(), Failure> {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path = http::uri::PathAndQuery::try_from(path).map_err(|error| Failure::of(&error))?;
        let mut grpc = Grpc::new(self.link.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(format!("transport: {error}")))?;
        let messages = tokio_stream::iter(requests);
        let mut answers = grpc.streaming(Request::new(messages), path, Described(method)).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            say(line(&answer)?);
        }
        Ok(())
    }
}

fn strange(answer: &reflection::server_reflection_response::MessageResponse) -> Failure {
    use reflection::server_reflection_response::MessageResponse as Answer;
    Failure::Failed(match answer {
        Answer::ErrorResponse(error) => format!("the server cannot describe it: {}", error.error_message),
        _ => "the server answered another question than was asked".to_owned(),
    })
}

/// Messages of a method.
struct Described(MethodDescriptor);

impl Codec for Described {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(self.0.clone())
    }

    fn decoder(&mut self) -> Self {
        Self(self.0.clone())
    }
}

impl Encoder for Described {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Described {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, octets: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.output(), octets);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(service: &str, name: &str) -> MethodDescriptor {
        let pool = DescriptorPool::decode(loa_contract::DESCRIPTORS).expect("our own descriptors");
        let service = pool.get_service_by_name(service).expect("a service");
        service.methods().find(|method| method.name() == name).expect("a method")
    }

    #[test]
    fn a_name_or_its_last_word() {
        let services = ["a.v1.One", "b.v1.Two", "c.v1.Two"].map(str::to_owned);
        assert_eq!(named(&services, "One").ok().as_deref(), Some("a.v1.One"));
        assert_eq!(named(&services, "c.v1.Two").ok().as_deref(), Some("c.v1.Two"));
        for (name, why) in [("Two", "may be each of: b.v1.Two, c.v1.Two"), ("Three", "has no service `Three`")] {
            let error = named(&services, name).expect_err("it is not one").to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn requests_are_read_as_the_method_takes_them() {
        let list = method("loa.registry.v1.RegistryService", "ListCampaigns");
        let import = method("loa.audience.v1.AudienceService", "ImportDataset");
        let count = |method: &MethodDescriptor, typed: &str| requests(method, typed).map(|all| all.len());
        assert_eq!(count(&list, r#"{"page_size": 2}"#).ok(), Some(1));
        assert_eq!(count(&import, r#"[{"data": "YQ=="}, {"data": "Yg=="}]"#).ok(), Some(2));
        assert_eq!(count(&import, "{\"data\": \"YQ==\"}\n{\"data\": \"Yg==\"}\n").ok(), Some(2));
        for (typed, why) in [
            (r#"{"pages": 2}"#, "pages"),
            (r#"{"page_size": "x"}"#, "page_size: invalid digit"),
            ("{} {}", "takes one object, not 2"),
            ("{", "EOF"),
        ] {
            let error = count(&list, typed).expect_err("it is wrong").to_string();
            assert!(error.starts_with("the request is not as it must be: ") && error.contains(why), "{error}");
        }
        let create = method("loa.registry.v1.RegistryService", "CreateCampaign");
        let deep = r#"{"campaign": {"variants": [{}, {"channel": 7.5}]}}"#;
        let error = count(&create, deep).expect_err("no channel is 7.5").to_string();
        assert!(error.contains("campaign.variants[1].channel: "), "{error}");
    }

    #[test]
    fn an_answer_is_a_line_with_every_field() {
        let answer = method("loa.report.v1.ReportService", "GetLedger").output();
        let text = r#"{"ledger": {"campaign_id": "c", "variants": [{"frozen": 9007199254740993}]}}"#;
        let mut read = serde_json::Deserializer::from_str(text);
        let message = DynamicMessage::deserialize(answer, &mut read).expect("a ledger");
        let line = line(&message).expect("a line");
        assert!(line.contains(r#""campaign_id":"c""#) && line.contains(r#""frozen":9007199254740993"#), "{line}");
        assert!(line.contains(r#""records_missed":"#) && !line.contains('\n'), "{line}");
    }
}
