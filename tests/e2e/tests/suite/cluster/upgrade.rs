//! A newer version has brought the tables to its own schema while processes of this one run: they go on, and finish what
//! they do; none of this version is started on those tables again, and says why.

use loa::compose::open_store;
use loa_harness::turns::alone;
use loa_harness::{Plan, TestResult};
use loa_real::Parts;
use loa_runtime::Role;

const PEOPLE: u64 = 1_000;
/// What every newer version may do: add a table, and a column with a default to one that is there.
const MIGRATION: &str = "create table of_the_future (id bigint primary key);
    alter table lease add column of_the_future bigint not null default 0;
    alter table outbox add column of_the_future bigint not null default 0;
    insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (9000, 'of the future', true, 'x', 1)";
const ROLES: [Role; 6] = [Role::Registry, Role::Audience, Role::Dispatch, Role::Sms, Role::Email, Role::Report];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn older_processes_go_on_after_a_migration() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = alone().await;
    let mut site = parts.site()?.rate(150).start().await?;
    site.people(PEOPLE).await?;
    let id = site.running(&Plan::default()).await?;
    site.accepted(100).await?;

    let config = site.cluster()?.first().config()?;
    for role in ROLES {
        let url = config.store.url(role).ok_or("no database of this role")?;
        let (_, database) = url.rsplit_once('/').ok_or("a URL without a database")?;
        parts.postgres.ask(database, MIGRATION)?;
    }
    let (sms, mail) = site.sims.accepted();
    assert!(sms + mail < PEOPLE, "the tables changed too late to prove anything");
    site.pause(&id).await?;
    site.resume(&id).await?;
    let ledger = site.finished(&id).await?;
    assert!(ledger.variants.iter().all(|one| one.delivered == PEOPLE), "{ledger:?}");

    site.finish().await?;
    for role in ROLES {
        let refused = open_store(&config, role).await.err().map(|failure| failure.to_string()).unwrap_or_default();
        assert!(refused.contains("none goes back to an older version"), "{role}: {refused}");
    }
    Ok(())
}
