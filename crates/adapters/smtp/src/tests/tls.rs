//! STARTTLS against a small server of its own, for the mail world offers none.

use loa_ports::carrier::CarrierTls;
use loa_ports::mailer::{Connection, Mailer as _};
use loa_wire_smtp::server::{Command, Inbound, Input};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A certificate for `mx.example.test`, and its PEM.
fn acceptor() -> (TlsAcceptor, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["mx.example.test".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(made.cert.der().to_vec())], key)
        .expect("a pair");
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem().into_bytes())
}

/// Takes mails until the client leaves or asks for TLS; how many it took.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, offers: &str, mails: &mut u32) -> bool {
    let mut inbound = Inbound::new(1 << 20);
    loop {
        if matches!(stream.read_buf(inbound.input()).await, Ok(0) | Err(_)) {
            return false;
        }
        loop {
            let (answer, content) = match inbound.next_input().expect("small") {
                None => break,
                Some(Input::Content(_)) => {
                    *mails += 1;
                    ("250 taken\r\n".to_owned(), false)
                }
                Some(Input::Command(Command::Ehlo(_))) => (format!("250-mx\r\n250 {offers}\r\n"), false),
                Some(Input::Command(Command::Data)) => ("354 go\r\n".to_owned(), true),
                Some(Input::Command(Command::StartTls)) => {
                    stream.write_all(b"220 go\r\n").await.expect("a client");
                    return true;
                }
                Some(Input::Command(Command::Quit)) => ("221 bye\r\n".to_owned(), false),
                Some(Input::Command(_)) => ("250 ok\r\n".to_owned(), false),
            };
            if content {
                inbound.begin_content();
            }
            stream.write_all(answer.as_bytes()).await.expect("a client");
        }
    }
}

/// Serves connections until `mails` have come; in the clear and under TLS.
async fn serve_all(listener: TcpListener, tls: Option<TlsAcceptor>, mails: u32) -> (u32, u32) {
    let (mut clear, mut secret) = (0, 0);
    while clear + secret < mails {
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(b"220 mx\r\n").await.expect("a client");
        let offers = if tls.is_some() { "STARTTLS" } else { "HELP" };
        if !serve(&mut stream, offers, &mut clear).await {
            continue;
        }
        let acceptor = tls.as_ref().expect("offered");
        if let Ok(mut stream) = acceptor.accept(stream).await {
            serve(&mut stream, "PIPELINING", &mut secret).await;
        }
    }
    (clear, secret)
}

/// Sends one mail by `policy`; the task's handle, its source and how many mails came in the clear and under TLS.
async fn send(policy: TlsPolicy, tls: Option<TlsAcceptor>) -> (Box<dyn Connection>, Arc<Letters>, (u32, u32)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let relay = Relay { tls: policy, ..relay(&listener.local_addr().expect("an address").to_string()) };
    let letters = Letters::count(1);
    let timeouts = Timeouts { idle: Duration::from_millis(10), ..Timeouts::default() };
    let connection = mailer().with_timeouts(timeouts).open(&relay, 0, letters.clone());
    let failed = letters.clone();
    let failure = eventually("it fails", move || failed.lock().connections.iter().any(Result::is_err));
    let counts = tokio::select! {
        counts = serve_all(listener, tls, 1) => counts,
        () = failure => (0, 0),
    };
    (connection, letters, counts)
}

#[tokio::test]
async fn sends_as_the_policy_says() {
    let (tls, pem) = acceptor();
    let required = |server_name: &str, ca_pem: &[u8]| {
        TlsPolicy::Required(CarrierTls { server_name: server_name.to_owned(), ca_pem: ca_pem.to_vec() })
    };
    for (policy, offered, expected) in [
        (TlsPolicy::Off, true, (1, 0)),
        (TlsPolicy::Opportunistic, true, (0, 1)),
        (TlsPolicy::Opportunistic, false, (1, 0)),
        (required("mx.example.test", &pem), true, (0, 1)),
    ] {
        let says = format!("{policy:?} {offered}");
        let (connection, letters, counts) = send(policy, offered.then(|| tls.clone())).await;
        assert_eq!(counts, expected, "{says}");
        assert_eq!(letters.verdicts(1).await, [MailVerdict::Accepted], "{says}");
        connection.stop(LIMIT).await;
    }

    let (_, other_pem) = acceptor();
    for (policy, offered, why) in [
        (required("mx.example.test", &pem), false, "does not offer STARTTLS"),
        (required("mx.example.test", &other_pem), true, "could not agree on TLS"),
        (required("other.example.test", &pem), true, "could not agree on TLS"),
        (required("mx.example.test", b"rubbish"), true, "the CA file must hold PEM certificates"),
    ] {
        let (connection, letters, counts) = send(policy, offered.then(|| tls.clone())).await;
        let said = letters.lock().connections.iter().find_map(|state| state.clone().err()).expect("a failure");
        assert!(said.contains(why), "{said}");
        assert_eq!((counts, letters.lock().pulled), ((0, 0), 0), "nothing was taken, nothing left: {why}");
        connection.stop(LIMIT).await;
    }
}
