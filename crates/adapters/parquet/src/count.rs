//! How many people a rule selects.
//!
//! Must stay true: a count and a freeze of the same rule over the same version select the same people.

use arrow_array::Array;
use arrow_buffer::BooleanBuffer;
use loa_domain::segment::Rule;
use loa_ports::audience::{Counts, DatasetError};

use crate::rule::{self, Plan, present};
use crate::schema::Stored;
use crate::version::{Projection, Version};
use crate::workers::each_bucket;

/// Counts on `threads` threads.
pub(crate) fn count(version: &Version, rule: &Rule, threads: usize) -> Result<Counts, DatasetError> {
    let addresses = [Stored::Msisdn.index(), Stored::Email.index()];
    let projection = Projection::new(rule::columns(rule).into_iter().chain(addresses));
    let plan = Plan::new(rule, &version.manifest, &projection);
    let (mobile, email) = (projection.of(Stored::Msisdn), projection.of(Stored::Email));
    let of_buckets = each_bucket(threads, |bucket| {
        let mut counts = Counts::default();
        version.read(bucket, &projection, |batch| {
            let selected = plan.select(batch);
            let with = |place: usize| ones(&(&selected & &present(batch.column(place).nulls(), batch.num_rows())));
            counts.selected += ones(&selected);
            counts.with_mobile += with(mobile);
            counts.with_email += with(email);
            Ok(())
        })?;
        Ok(counts)
    })?;
    Ok(of_buckets.into_iter().fold(Counts::default(), |sum, counts| Counts {
        selected: sum.selected + counts.selected,
        with_mobile: sum.with_mobile + counts.with_mobile,
        with_email: sum.with_email + counts.with_email,
    }))
}

fn ones(bits: &BooleanBuffer) -> u64 {
    u64::try_from(bits.count_set_bits()).unwrap_or(0)
}
