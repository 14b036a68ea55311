//! What a reply means, given what it answers.
//!
//! Must stay true: a reply is taken for the answer to the oldest command not yet answered, and for nothing else; a code
//! that cannot answer that command ends the session.

use super::{Event, Mail, Phase, Session, SessionError, Step, TlsPolicy};
use crate::capabilities::Capabilities;
use crate::dot;
use crate::reply::{self, Raw, Reply};

const SERVICE_CLOSING: u16 = 421;
const START_CONTENT: u16 = 354;

impl<M: Mail> Session<M> {
    /// Goes through the replies of `input` up to the first that means something to the driver.
    pub(super) fn consume(&mut self, input: &[u8], taken: &mut usize) -> Result<Option<Event<M>>, SessionError> {
        while self.phase != Phase::Closed {
            let rest = input.get(*taken..).unwrap_or_default();
            let Some((reply, length)) = reply::first(rest)? else { break };
            *taken += length;
            let event = self.on_reply(reply)?;
            self.quit_when_idle();
            if matches!(event, Some(Event::StartTls)) && *taken < input.len() {
                return Err(SessionError::ChatterBeforeTls);
            }
            if event.is_some() {
                return Ok(event);
            }
        }
        // A closing connection may have told its last event above.
        Ok(self.closing.take().map(|reply| Event::Closing { reply }))
    }

    fn on_reply(&mut self, reply: Raw<'_>) -> Result<Option<Event<M>>, SessionError> {
        let step = self.expected.pop_front();
        let unexpected = Err(SessionError::Unexpected { step, code: reply.code });
        match (step, reply.code) {
            (Some(Step::Greeting | Step::Hello | Step::StartTls), _) => self.on_opening(step, reply),
            (None | Some(Step::Reset | Step::Nothing), SERVICE_CLOSING) => Ok(self.close(reply)),
            (None, _) => unexpected,
            (Some(Step::Reset), 200..=299) => Ok(self.advance(Step::Reset)),
            (Some(Step::Nothing), 200..=599) => Ok(None),
            (Some(Step::Quit), _) => Ok(self.close(reply)),
            (Some(step @ (Step::Mail | Step::Recipient)), 200..=299) => Ok(self.advance(step)),
            (Some(step @ (Step::Mail | Step::Recipient)), 400..=599) => Ok(self.on_refusal(step, reply)),
            (Some(Step::Data), START_CONTENT | 400..=599) => Ok(self.on_data(reply)),
            (Some(Step::Content), 200..=299 | 400..=599) => Ok(self.on_content(reply)),
            (Some(_), _) => unexpected,
        }
    }

    fn on_opening(&mut self, step: Option<Step>, reply: Raw<'_>) -> Result<Option<Event<M>>, SessionError> {
        let plain_will_do = self.tls != TlsPolicy::Required;
        match (step, self.phase, reply.code) {
            (Some(Step::Greeting), _, 220) => self.hello(false),
            (Some(Step::Hello), _, 200..=299) => {
                self.capabilities = Capabilities::read(reply);
                return self.open_or_secure();
            }
            (Some(Step::Hello), Phase::Opening { helo: false }, 500..=599) => self.hello(true),
            (Some(Step::StartTls), _, 220) => {
                self.phase = Phase::Handshake;
                return Ok(Some(Event::StartTls));
            }
            (Some(Step::StartTls), _, 422..=599) if plain_will_do => {
                self.phase = Phase::Open;
                return Ok(Some(Event::Open));
            }
            (Some(step), ..) => return Err(SessionError::Unwelcome { step, reply: reply.to_reply() }),
            (None, ..) => return Err(SessionError::Unexpected { step, code: reply.code }),
        }
        Ok(None)
    }

    fn open_or_secure(&mut self) -> Result<Option<Event<M>>, SessionError> {
        let wanted = !self.secured && self.tls != TlsPolicy::Off;
        if wanted && self.capabilities.starttls {
            self.command(Step::StartTls, &[b"STARTTLS"]);
            return Ok(None);
        }
        if wanted && self.tls == TlsPolicy::Required {
            return Err(SessionError::TlsNotOffered);
        }
        self.phase = Phase::Open;
        Ok(Some(Event::Open))
    }

    /// The next command of a transaction, where commands go one by one.
    fn advance(&mut self, done: Step) -> Option<Event<M>> {
        if !self.capabilities.pipelining {
            match done {
                Step::Reset => self.put_mail(),
                Step::Mail => self.put_recipient(),
                _ => self.command(Step::Data, &[b"DATA"]),
            }
        }
        None
    }

    fn on_refusal(&mut self, step: Step, reply: Raw<'_>) -> Option<Event<M>> {
        let refused = (step, reply.to_reply());
        let more_to_come = self.capabilities.pipelining && reply.code != SERVICE_CLOSING;
        match &mut self.staged {
            // The first refusal tells why; the server has still to answer the rest of the group.
            Some(staged) if more_to_come => {
                staged.refusal.get_or_insert(refused);
                None
            }
            _ => self.refuse(refused),
        }
    }

    fn on_data(&mut self, reply: Raw<'_>) -> Option<Event<M>> {
        let refusal = self.staged.as_mut().and_then(|staged| staged.refusal.take());
        match (refusal, reply.code) {
            (None, START_CONTENT) => Some(Event::GoAhead),
            (Some(refused), START_CONTENT) => {
                // The server wants content for a message it refused: it gets none (RFC 2920 §3.1).
                self.output.octets.extend_from_slice(dot::FINAL_DOT);
                self.expected.push_back(Step::Nothing);
                self.refuse(refused)
            }
            (refused, _) => {
                let answer = reply.to_reply();
                self.close_on(&answer);
                self.refuse(refused.unwrap_or((Step::Data, answer)))
            }
        }
    }

    fn refuse(&mut self, (step, reply): (Step, Reply)) -> Option<Event<M>> {
        self.must_reset = true;
        self.close_on(&reply);
        let mail = self.staged.take()?.mail;
        Some(Event::Refused { mail, step, reply })
    }

    fn on_content(&mut self, reply: Raw<'_>) -> Option<Event<M>> {
        let reply = reply.to_reply();
        self.close_on(&reply);
        let mail = self.sent.take()?.mail;
        Some(if reply.is_positive() {
            Event::Accepted { mail, reply }
        } else {
            Event::Refused { mail, step: Step::Content, reply }
        })
    }

    /// After 421 the server reads nothing more.
    fn close_on(&mut self, reply: &Reply) {
        if reply.code == SERVICE_CLOSING {
            self.phase = Phase::Closed;
            self.expected.clear();
            self.closing = Some(reply.clone());
        }
    }

    fn close(&mut self, reply: Raw<'_>) -> Option<Event<M>> {
        self.phase = Phase::Closed;
        self.expected.clear();
        Some(Event::Closing { reply: reply.to_reply() })
    }
}
