//! A campaign as a test wants it, and its way from draft to running.

use std::time::Duration;

use loa::cli::campaign::{approve, get};
use loa_contract::convert::timestamp;
use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::event::v1::{Channel, Class, Lane};
use loa_contract::pb::registry::v1 as registry;
use loa_ports::clock::{Clock as _, SystemClock};
use loa_sim::people::People;
use tokio_stream::wrappers::ReceiverStream;

use crate::secrets::CANARY;
use crate::users::Users;
use crate::wait::{patiently, patiently_for, wait_for};
use crate::{Fault, fault};

/// The dataset of a site's people.
pub const DATASET: &str = "dan-cu";
/// The unit that leads.
pub const UNIT: &str = "ubnd-ba-tri";
/// How long a freeze may take.
const FREEZE_LIMIT: Duration = Duration::from_secs(60);
/// What a megabyte of an import may take, on a machine that is slow.
const IMPORT_MB: Duration = Duration::from_secs(1);
/// Bytes of one message of an import.
const BLOCK_BYTES: usize = 256 * 1024;
/// A campaign's window reaches that far back and ahead, so that a turned clock stays in it.
const WINDOW_US: i64 = 3 * 24 * 3_600 * 1_000_000;

/// What is sent, to whom, how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its title.
    pub title: String,
    /// Text of the SMS variant, if there is one.
    pub sms: Option<String>,
    /// `strip`, `as_is` or `auto`.
    pub diacritics: String,
    /// Subject, text and HTML of the mail variant, if there is one.
    pub email: Option<(String, String, String)>,
    /// Class.
    pub class: Class,
    /// Lane.
    pub lane: Lane,
    /// Topic of opt-outs.
    pub topic: String,
    /// Who.
    pub segment: String,
    /// Daily hours in minutes; none = those of the class.
    pub hours: Option<(u32, u32)>,
}

impl Default for Plan {
    /// Both channels, one part, everybody, public information in bulk.
    fn default() -> Self {
        Self {
            title: "Ngày Chuyển đổi số".to_owned(),
            sms: Some(format!("Bến Tre chuyển đổi số: {{ten}} ơi, nộp hồ sơ trực tuyến. {CANARY}")),
            diacritics: "strip".to_owned(),
            email: Some((
                "Bến Tre: nộp hồ sơ trực tuyến".to_owned(),
                format!("Kính gửi {{danh_xung}} {{ten}},\n\nBà con nộp hồ sơ trực tuyến. {CANARY}\n"),
                format!("<p>Kính gửi {{danh_xung}} <b>{{ten}}</b>,</p><p>{CANARY}</p>"),
            )),
            class: Class::PublicInformation,
            lane: Lane::Bulk,
            topic: "chuyen-doi-so".to_owned(),
            segment: "has mobile or has email".to_owned(),
            hours: None,
        }
    }
}

impl Plan {
    /// The campaign as an author writes it; its templates are named after `name`.
    pub fn campaign(&self, name: &str) -> registry::Campaign {
        let now_us = SystemClock::new().now_us();
        let variant = |kind: &str, sender: &str, sender_name: &str| registry::Variant {
            template: format!("{name}-{kind}"),
            sender: sender.to_owned(),
            sender_name: sender_name.to_owned(),
            ..Default::default()
        };
        let sms = self.sms.iter().map(|_| variant("sms", "UBND BENTRE", ""));
        let email = self.email.iter().map(|_| variant("thu", "tin@bentre.example.test", "Tin Bến Tre"));
        registry::Campaign {
            title: self.title.clone(),
            task_ref: "T2".to_owned(),
            lead_units: vec![UNIT.to_owned()],
            legal_basis: vec!["Kế hoạch tuyên truyền chuyển đổi số của tỉnh".to_owned()],
            class: self.class.into(),
            lane: self.lane.into(),
            topic: self.topic.clone(),
            starts_at: Some(timestamp(now_us - WINDOW_US)),
            ends_at: Some(timestamp(now_us + WINDOW_US)),
            hours: self.hours.map(|(open_minute, close_minute)| registry::DailyHours { open_minute, close_minute }),
            variants: sms.chain(email).collect(),
            dataset: DATASET.to_owned(),
            segment: self.segment.clone(),
            ..Default::default()
        }
    }

    fn contents(&self, name: &str) -> Vec<(String, registry::Content)> {
        let sms = self.sms.as_ref().map(|text| registry::Content {
            channel: Channel::Sms.into(),
            text: text.clone(),
            diacritics: self.diacritics.clone(),
            ..Default::default()
        });
        let email = self.email.as_ref().map(|(subject, text, html)| registry::Content {
            channel: Channel::Email.into(),
            subject: subject.clone(),
            text: text.clone(),
            html: html.clone(),
            diacritics: String::new(),
        });
        let named = |kind: &str, content: Option<_>| content.map(|content| (format!("{name}-{kind}"), content));
        [named("sms", sms), named("thu", email)].into_iter().flatten().collect()
    }

    /// Unit, templates and a draft; its id.
    pub async fn draft(&self, users: &Users, name: &str) -> Result<String, Fault> {
        put_unit(users).await?;
        for (name, content) in self.contents(name) {
            let request = registry::PutTemplateRequest { name, content: Some(content) };
            patiently(async || users.author.registry().put_template(request.clone()).await).await?;
        }
        let request = registry::CreateCampaignRequest {
            campaign: Some(self.campaign(name)),
            idempotency_key: uuid::Uuid::new_v4().to_string(),
        };
        let answer = patiently(async || users.author.registry().create_campaign(request.clone()).await).await?;
        Ok(answer.into_inner().campaign.ok_or_else(|| fault("no campaign in the answer"))?.id)
    }
}

/// The unit that leads every campaign of the tests.
pub async fn put_unit(users: &Users) -> Result<(), Fault> {
    let unit = registry::Unit {
        code: UNIT.to_owned(),
        name: "UBND huyện Ba Tri".to_owned(),
        kind: "ubnd_huyen".to_owned(),
        valid_from: Some(timestamp(0)),
        ..Default::default()
    };
    let request = registry::PutUnitRequest { unit: Some(unit) };
    patiently(async || users.operator.registry().put_unit(request.clone()).await).await?;
    Ok(())
}

/// Submits and waits for the freeze.
pub async fn submit(users: &Users, id: &str) -> Result<registry::Campaign, Fault> {
    let request = registry::SubmitCampaignRequest { id: id.to_owned() };
    patiently(async || users.author.registry().submit_campaign(request.clone()).await).await?;
    wait_for("the recipients are frozen", FREEZE_LIMIT, async || {
        let campaign = campaign(users, id).await?;
        Ok((campaign.state != "freezing").then_some(campaign))
    })
    .await
    .and_then(|campaign| match campaign.state.as_str() {
        "submitted" => Ok(campaign),
        state => Err(fault(format!("the freeze ended as {state}: {}", campaign.freeze_error))),
    })
}

/// A campaign as it stands.
pub async fn campaign(users: &Users, id: &str) -> Result<registry::Campaign, Fault> {
    get(&users.viewer, id).await.map_err(|failure| fault(failure.to_string()))
}

/// Approves what was frozen.
pub async fn approved(users: &Users, id: &str) -> Result<registry::Campaign, Fault> {
    wait_for("the approval is taken", FREEZE_LIMIT, async || {
        approve(&users.approver, id).await.map(Some).map_err(|failure| fault(failure.to_string()))
    })
    .await
}

/// Starts it.
pub async fn start(users: &Users, id: &str) -> Result<(), Fault> {
    let request = registry::StartCampaignRequest { id: id.to_owned() };
    patiently(async || users.operator.registry().start_campaign(request.clone()).await).await.map(drop)
}

/// Streams people into [`DATASET`].
pub async fn import(users: &Users, people: &People) -> Result<audience::ImportReport, Fault> {
    let mut file = Vec::new();
    people.write(&mut file)?;
    import_file(users, &file, DATASET).await
}

/// Streams a file into a dataset of synthetic people.
pub async fn import_file(users: &Users, file: &[u8], dataset: &str) -> Result<audience::ImportReport, Fault> {
    let start = audience::ImportStart {
        dataset: dataset.to_owned(),
        synthetic: true,
        size_bytes: u64::try_from(file.len())?,
        file_name: "people.csv".to_owned(),
        ..Default::default()
    };
    let itself = IMPORT_MB * u32::try_from(file.len() / 1_000_000)?;
    patiently_for(itself, async || import_once(users, file, start.clone()).await).await
}

async fn import_once(
    users: &Users,
    file: &[u8],
    start: audience::ImportStart,
) -> Result<audience::ImportReport, tonic::Status> {
    use audience::import_dataset_request::Part as Ask;
    use audience::import_dataset_response::Part;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let message = |part| audience::ImportDatasetRequest { part: Some(part) };
    let blocks = file.chunks(BLOCK_BYTES).map(|block| Ask::Data(block.to_vec().into()));
    let messages: Vec<_> = std::iter::once(Ask::Start(start)).chain(blocks).map(message).collect();
    let feed = async move {
        for message in messages {
            // A closed channel means that the server has answered already.
            if sender.send(message).await.is_err() {
                break;
            }
        }
    };
    let mut client = users.operator.audience();
    let call = async {
        let mut answers = client.import_dataset(ReceiverStream::new(receiver)).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            if let Some(Part::Report(report)) = answer.part {
                return Ok(report);
            }
        }
        Err(tonic::Status::internal("the import ended without a report"))
    };
    tokio::join!(call, feed).0
}

/// The rejected rows of an import, as the CSV that the operator opens.
pub async fn rejects(users: &Users, import_id: &str) -> Result<String, Fault> {
    let request = audience::ReadRejectsRequest { import_id: import_id.to_owned() };
    let mut answers = users.operator.audience().read_rejects(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(answer) = answers.message().await? {
        bytes.extend_from_slice(&answer.data);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
