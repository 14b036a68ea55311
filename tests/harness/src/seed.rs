//! Chance with a seed that is printed and accepted again: `LOA_SEED=7 make test`.

use loa_testkit::dice::Dice;

/// The seed of this run: from LOA_SEED, else drawn; printed.
pub fn seed(what: &str) -> u64 {
    #[allow(clippy::disallowed_methods, reason = "the seed of a test run is no configuration of the product")]
    let given = std::env::var("LOA_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
    crate::say(format!("{what}: LOA_SEED={seed}"));
    seed
}

/// Dice of this run.
pub fn dice(what: &str) -> Dice {
    Dice::new(seed(what), 0)
}
