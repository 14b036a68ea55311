//! The sample run of `make run`: synthetic people of Bến Tre, a Vietnamese SMS and email campaign, live progress, ledgers.
//!
//! It goes the way every campaign goes, over gRPC and with two users, so what it shows is what the product does.

use std::path::{Path, PathBuf};

use loa_contract::pb::audience::v1 as audience;
use loa_contract::pb::registry::v1 as registry;
use loa_ports::clock::{Clock as _, SystemClock};
use loa_sim::people::People;

use crate::cli::args::Global;
use crate::cli::client::Client;
use crate::cli::content::UNIT_FROM;
use crate::cli::text::{Lang, note, say};
use crate::cli::{audience as files, campaign, campaign_file, text};
use crate::exit::Failure;
use crate::keys::Keys;
use crate::place::Addresses;

/// The dataset of the sample.
const DATASET: &str = "dan-cu";
/// Rows that the import must refuse, with reasons.
const BAD_ROWS: u64 = 300;

/// What the sample needs to know.
pub struct Sample<'a> {
    /// Options of the command.
    pub global: &'a Global,
    /// The data folder.
    pub data: &'a Path,
    /// Keys of the demo users.
    pub keys: &'a Keys,
    /// Where everything listens.
    pub addresses: &'a Addresses,
    /// Good rows of the subscriber file.
    pub people: u64,
}

impl Sample<'_> {
    /// Imports (the first time), freezes, approves, starts, watches; fails with the ledger if one does not add up.
    pub async fn run(&self) -> Result<(), Failure> {
        let (author, approver, operator) = (self.client("author")?, self.client("approver")?, self.client("operator")?);
        let lang = Lang::of(self.global);
        self.import(&operator).await?;
        self.contents(&author, &operator).await?;
        let draft =
            campaign_file::parse(campaign_file::EXAMPLE, SystemClock::new().now_us()).map_err(Failure::Failed)?;
        let request = registry::CreateCampaignRequest {
            campaign: Some(draft),
            idempotency_key: uuid::Uuid::new_v4().to_string(),
        };
        let created = author.registry().create_campaign(request).await?.into_inner().campaign;
        let id = created.ok_or_else(|| Failure::Failed("the server answered without a campaign".to_owned()))?.id;
        note(format!("{} {id}", lang.pick("chiến dịch", "campaign")));
        let frozen = campaign::submit(&author, &id).await?;
        let recipients: u64 =
            frozen.freeze.iter().flat_map(|freeze| &freeze.variants).map(|variant| variant.frozen).sum();
        note(format!("{}: {}", lang.pick("đã chốt người nhận", "recipients frozen"), lang.number(recipients)));
        campaign::approve(&approver, &id).await?;
        operator.registry().start_campaign(registry::StartCampaignRequest { id: id.clone() }).await?;
        let ledger = campaign::watch(self.global, &operator, &id).await?;
        match text::adds_up(&ledger) {
            true => Ok(()),
            false => Err(Failure::Ledger(format!("the ledger of {id} does not add up"))),
        }
    }

    fn client(&self, user: &str) -> Result<Client, Failure> {
        let key = self.keys.of(user).ok_or_else(|| Failure::Failed(format!("no key of `{user}` in keys.toml")))?;
        Client::to(&format!("http://{}", self.addresses.grpc), key, None)
    }

    async fn import(&self, operator: &Client) -> Result<(), Failure> {
        let known =
            operator.audience().list_datasets(audience::ListDatasetsRequest::default()).await?.into_inner().datasets;
        if known.iter().any(|dataset| dataset.name == DATASET) {
            return Ok(());
        }
        let file = self.people_file()?;
        let start = audience::ImportStart { dataset: DATASET.to_owned(), synthetic: true, ..Default::default() };
        let report = files::import(operator, &file, start).await?;
        files::show_report(self.global, &report);
        Ok(())
    }

    fn people_file(&self) -> Result<PathBuf, Failure> {
        let folder = self.data.join("sim");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("people.csv");
        let mut out = std::io::BufWriter::new(std::fs::File::create(&path)?);
        People { seed: 1, count: self.people, bad_rows: BAD_ROWS }.write(&mut out)?;
        std::io::Write::flush(&mut out)?;
        Ok(path)
    }

    async fn contents(&self, author: &Client, operator: &Client) -> Result<(), Failure> {
        let units = [
            ("ubnd-ben-tre", "UBND tỉnh Bến Tre", "ubnd_tinh", ""),
            ("so-tttt", "Sở Thông tin và Truyền thông", "so", "ubnd-ben-tre"),
            ("ubnd-ba-tri", "UBND huyện Ba Tri", "ubnd_huyen", "ubnd-ben-tre"),
            ("vien-thong", "Doanh nghiệp viễn thông", "telecom", ""),
        ];
        for (code, name, kind, parent) in units {
            let unit = registry::Unit {
                code: code.to_owned(),
                name: name.to_owned(),
                kind: kind.to_owned(),
                parent_code: parent.to_owned(),
                valid_from: campaign_file::rfc3339(UNIT_FROM).ok(),
                ..Default::default()
            };
            operator.registry().put_unit(registry::PutUnitRequest { unit: Some(unit) }).await?;
        }
        for (name, content) in contents() {
            let request = registry::PutTemplateRequest { name: name.to_owned(), content: Some(content) };
            author.registry().put_template(request).await?;
        }
        Ok(())
    }

    /// Tells where to look.
    pub fn pages(&self) {
        let lang = Lang::of(self.global);
        say(format!("{}: http://{}", lang.pick("trang điều hành", "console"), self.addresses.console));
        say(format!("{}: http://{}/inbox", lang.pick("hộp thư mô phỏng", "simulated inbox"), self.addresses.console));
        say(format!("metrics: http://{}/metrics", self.addresses.probes));
    }
}

fn contents() -> [(&'static str, registry::Content); 2] {
    use loa_contract::pb::event::v1::Channel;
    let sms = registry::Content {
        channel: Channel::Sms.into(),
        text: "Ben Tre chuyen doi so vi nguoi dan: {ten} oi, nop ho so truc tuyen khong can xep hang. Ho tro: 02753000000.".to_owned(),
        diacritics: "strip".to_owned(),
        ..Default::default()
    };
    let email = registry::Content {
        channel: Channel::Email.into(),
        subject: "Bến Tre: 5 việc có thể làm trực tuyến ngay hôm nay".to_owned(),
        text: "Kính gửi {danh_xung} {ten},\n\nTừ hôm nay bà con có thể nộp hồ sơ, theo dõi kết quả, thanh toán, đặt lịch và góp ý trực tuyến.\n\nTrân trọng.\n".to_owned(),
        html: "<p>Kính gửi {danh_xung} <b>{ten}</b>,</p><ul><li>Nộp hồ sơ</li><li>Theo dõi kết quả</li><li>Thanh toán</li><li>Đặt lịch</li><li>Góp ý</li></ul>".to_owned(),
        diacritics: String::new(),
    };
    [("ngay-so-sms", sms), ("ngay-so-thu", email)]
}
