//! Loa is killed five times in mid-run: nobody gets anything twice, nobody is lost, and what is in doubt is only what was
//! claimed and not settled at the moment of a kill. Of processes alone: they are killed as the machine kills them. On real
//! parts everything else is killed too.

use std::sync::Arc;

use loa_harness::kills::Kills;
use loa_harness::seed::dice;
use loa_harness::turns::{alone, beside_others};
use loa_harness::{SiteOptions, TestResult};
use loa_real::soak::Soak;
use loa_real::{Parts, ThirdParty};

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_still_adds_up() -> TestResult {
    let _turn = beside_others().await;
    Kills { people: 5_000, kills: 5, rate: 1_500 }.run(SiteOptions::process(), &mut dice("kill -9")).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn killed_again_and_again_it_still_adds_up_on_real_parts() -> TestResult {
    let parts = Parts::shared().await?;
    let _turn = beside_others().await;
    let kills = Kills { people: 5_000, kills: 5, rate: 1_500 };
    kills.run(parts.site()?, &mut dice("kill -9 of two processes")).await
}

/// Each of two processes, the broker, PostgreSQL and Redis once, in any order, and sinks of others tell what was sent;
/// `make soak` does more of it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn whatever_is_killed_it_still_adds_up_on_real_parts() -> TestResult {
    let _turn = alone().await;
    let parts = Parts::start(1).await?;
    let options = parts.site()?.sinks(Arc::new(ThirdParty::start().await?));
    let soak = Soak { people: 3_000, rate: 80, kills: 5, freezes: false, rolls: false };
    soak.run(parts, options, &mut dice("kill -9 of everything")).await
}
