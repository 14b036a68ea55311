//! Loa is killed five times in mid-run: nobody gets anything twice, nobody is lost, and what is in doubt is only what was
//! claimed and not settled at the moment of a kill. Of a process alone: it is killed as the machine kills it.

use loa_harness::kills::Kills;
use loa_harness::seed::dice;
use loa_harness::turns::{alone, beside_others};
use loa_harness::{SiteOptions, TestResult};
use loa_real::Parts;

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_still_adds_up() -> TestResult {
    let _turn = beside_others().await;
    Kills { people: 5_000, kills: 5, rate: 1_500 }.run(SiteOptions::process(), &mut dice("kill -9")).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers: make test-real"]
async fn killed_again_and_again_it_still_adds_up_on_real_parts() -> TestResult {
    let _turn = alone().await;
    let parts = Parts::start().await?;
    let kills = Kills { people: 5_000, kills: 5, rate: 1_500 };
    kills.run(parts.site(), &mut dice("kill -9 of two processes")).await
}
