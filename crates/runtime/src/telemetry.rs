//! Logs to stderr, spans to an OTLP collector if one is configured, and the trace context of records and calls.
//!
//! Must stay true: nothing here, and no field of any event, holds a number, an address or a text of a person.

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::TelemetryConfig;

/// Keeps the exporter; dropping or closing it sends what is left.
#[derive(Debug, Default)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Why telemetry could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not of tracing's form.
    #[error("telemetry.level `{given}` is not a filter such as `info` or `info,loa_sms=debug`")]
    Level {
        /// As configured.
        given: String,
        /// What the parser said.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter could not be made.
    #[error("telemetry.otlp_endpoint could not be used")]
    Otlp(#[from] opentelemetry_otlp::ExporterBuildError),
}

impl Telemetry {
    /// Opens logs and, if configured, spans; once per process.
    pub fn open(config: &TelemetryConfig) -> Result<Self, TelemetryError> {
        Self::open_to(config, std::io::stderr)
    }

    /// As [`Telemetry::open`], with the log written elsewhere.
    pub fn open_to<W>(config: &TelemetryConfig, writer: W) -> Result<Self, TelemetryError>
    where
        W: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static,
    {
        let level = |source| TelemetryError::Level { given: config.level.clone(), source };
        let filter: Targets = config.level.parse().map_err(level)?;
        let json = config.json.then(|| tracing_subscriber::fmt::layer().json().with_writer(writer.clone()));
        let plain =
            (!config.json).then(|| tracing_subscriber::fmt::layer().with_ansi(config.colour).with_writer(writer));
        let provider = config.otlp_endpoint.as_deref().map(provider).transpose()?;
        let spans =
            provider.as_ref().map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("loa")));
        // A second opening in one process (tests) keeps the first.
        if tracing_subscriber::registry().with(spans).with(filter).with(plain).with(json).try_init().is_err() {
            tracing::debug!("telemetry was open already");
        }
        Ok(Self { provider })
    }

    /// Sends what is left.
    pub fn close(self) {
        if let Some(Err(error)) = self.provider.map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, opentelemetry_otlp::ExporterBuildError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("loa").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The W3C trace context of the current span, if it is part of a trace.
pub fn traceparent() -> Option<String> {
    struct One(Option<String>);
    impl Injector for One {
        fn set(&mut self, key: &str, value: String) {
            if key == crate::record::TRACEPARENT {
                self.0 = Some(value);
            }
        }
    }
    let mut one = One(None);
    TraceContextPropagator::new().inject_context(&tracing::Span::current().context(), &mut one);
    one.0
}

/// Makes the span a child of the trace context that came with a record or call.
pub fn continue_trace(span: &tracing::Span, traceparent: &str) {
    struct One<'a>(&'a str);
    impl Extractor for One<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            (key == crate::record::TRACEPARENT).then_some(self.0)
        }
        fn keys(&self) -> Vec<&str> {
            vec![crate::record::TRACEPARENT]
        }
    }
    let parent = TraceContextPropagator::new().extract(&One(traceparent));
    // Fails only where no exporter is configured: then there is nothing to continue.
    span.set_parent(parent).unwrap_or_default();
}
