//! Templates and the contents they name by hash.

use async_trait::async_trait;
use loa_contract::pb::registry::v1::{Content, Template};
use loa_ports::store::StoreError;
use loa_ports::store::registry::{Act, Page, PageAsk, Templates};
use prost::Message;

use super::{SqlRegistry, audit, counted, decode, limit, start};
use crate::db::Tx;
use crate::error::damaged;
use crate::query::sql;

#[async_trait]
impl Templates for SqlRegistry {
    async fn put_template(&self, template: &Template, content: &Content, act: &Act) -> Result<Template, StoreError> {
        const SAME: &str = "select body from template where name = $1 and content_hash = $2";
        let mut tx = self.db.begin_in_turn().await?;
        let query = sql(SAME).bind(&template.name).bind(&template.content_hash);
        let same: Option<Vec<u8>> = query.fetch_optional(&mut tx).await?;
        let mut stored = match same {
            Some(body) => decode(&body)?,
            None => {
                let stored = add_version(&mut tx, template, content).await?;
                let detail = format!("version {}", stored.version);
                audit::add(&mut tx, &Act { detail, ..act.clone() }).await?;
                tx.commit().await?;
                stored
            }
        };
        stored.content = Some(content.clone());
        Ok(stored)
    }

    async fn template(&self, name: &str, version: u32) -> Result<Option<Template>, StoreError> {
        const SQL: &str = "select t.body, c.body from template t join content c on c.hash = t.content_hash
            where t.name = $1 and (t.version = $2 or $2 = 0) order by t.version desc limit 1";
        let query = sql(SQL).bind(name).bind(i64::from(version));
        let row: Option<(Vec<u8>, Vec<u8>)> = query.fetch_optional(&self.db).await?;
        row.map(|row| with_content(&row)).transpose()
    }

    async fn templates(&self, page: PageAsk) -> Result<Page<Template>, StoreError> {
        const SQL: &str = "select t.body, c.body from template t join content c on c.hash = t.content_hash
            where t.version = (select max(v.version) from template v where v.name = t.name)
            order by t.name limit $1 offset $2";
        let query = sql(SQL).bind(limit(page)).bind(start(page));
        let rows: Vec<(Vec<u8>, Vec<u8>)> = query.fetch_all(&self.db).await?;
        Ok(counted(rows.iter().map(with_content).collect::<Result<_, _>>()?, page))
    }

    async fn content(&self, hash: &[u8]) -> Result<Option<Content>, StoreError> {
        let query = sql("select body from content where hash = $1").bind(hash);
        let row: Option<Vec<u8>> = query.fetch_optional(&self.db).await?;
        row.map(|body| decode(&body)).transpose()
    }
}

/// The stored form leaves the content to its own table.
async fn add_version(tx: &mut Tx, template: &Template, content: &Content) -> Result<Template, StoreError> {
    const CONTENT: &str = "insert into content (hash, body) values ($1, $2) on conflict (hash) do nothing";
    const NEXT: &str = "select coalesce(max(version), 0) + 1 from template where name = $1";
    const SQL: &str = "insert into template (name, version, content_hash, body) values ($1, $2, $3, $4)";
    let query = sql(CONTENT).bind(&template.content_hash).bind(content.encode_to_vec());
    query.execute(&mut *tx).await?;
    let version: i64 = sql(NEXT).bind(&template.name).fetch_one(&mut *tx).await?;
    let stored = Template { version: u32::try_from(version).map_err(damaged)?, content: None, ..template.clone() };
    let query = sql(SQL).bind(&stored.name).bind(version).bind(&stored.content_hash);
    query.bind(stored.encode_to_vec()).execute(&mut *tx).await?;
    Ok(stored)
}

fn with_content((template, content): &(Vec<u8>, Vec<u8>)) -> Result<Template, StoreError> {
    Ok(Template { content: Some(decode(content)?), ..decode(template)? })
}
