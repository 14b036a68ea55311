//! Records of the log, as a process of another version, or a damaged one, would write them.

use loa_contract::convert;
use loa_contract::pb::event::v1 as event;
use prost::Message as _;

use super::{class, kind, told};

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let chunk = || Some(event::ChunkKey { freeze_id: vec![7; 16], variant: 0, chunk: 3 });
    let release = event::Release {
        chunk: chunk(),
        release_no: 1,
        campaign_id: vec![8; 16],
        account: "a".to_owned(),
        mask: vec![0xff],
        msisdns: vec![84_912_345_678; 8],
        slice_length: 3,
        ..Default::default()
    };
    let slice = event::SliceSettled {
        chunk: chunk(),
        release_no: 1,
        slice: 2,
        campaign_id: vec![8; 16],
        mask: vec![0x0f],
        outcomes: vec![1, 1, 4, 3],
        own: true,
        details: vec![event::SettleDetail { index: 2, reason: 19, ..Default::default() }],
        ..Default::default()
    };
    let outcomes = event::Outcomes {
        shard: 9,
        chunks: vec![event::ReferenceChunk { chunk: chunk(), shard: 9, campaign_id: vec![8; 16] }],
        outcomes: vec![event::Outcome { index: 1, state: 4, receipt: true, ..Default::default() }],
        accepted: Vec::new(),
        unmatched: vec![event::Unmatched { address_hash: 7, state: 4, ..Default::default() }],
    };
    let tagged = |tag: u8, bytes: Vec<u8>| [vec![tag], bytes].concat();
    vec![
        tagged(0, release.encode_to_vec()),
        tagged(1, event::Settlements { slices: vec![slice] }.encode_to_vec()),
        tagged(2, outcomes.encode_to_vec()),
        Vec::new(),
    ]
}

/// What decodes converts, or is refused by the name of its field.
pub(crate) fn run(input: &[u8]) -> u64 {
    let (tag, bytes) = input.split_first().map_or((0, input), |(tag, bytes)| (tag % 3, bytes));
    let outcome: Result<u32, String> = match tag {
        0 => event::Release::decode(bytes).map_err(|error| kind(&error)).and_then(|release| {
            let mask = convert::mask(&release.mask).map_err(|error| error.field.to_owned())?;
            convert::release_key(&release).map_err(|error| error.field.to_owned())?;
            let length = usize::try_from(release.slice_length).unwrap_or(0);
            if length > 0 {
                let runs = mask.runs(length);
                let sum: usize = (0..runs).map(|run| mask.run(run, length).len()).sum();
                assert_eq!(sum, mask.len(), "slices do not cover the mask");
            }
            Ok(class(mask.len()))
        }),
        1 => event::Settlements::decode(bytes).map_err(|error| kind(&error)).and_then(|settlements| {
            for slice in &settlements.slices {
                convert::slice_key(slice).map_err(|error| error.field.to_owned())?;
                let mask = convert::mask(&slice.mask).map_err(|error| error.field.to_owned())?;
                for at in 0..mask.len() {
                    convert::outcome_at(slice, at).map_err(|error| error.field.to_owned())?;
                }
            }
            Ok(class(settlements.slices.len()))
        }),
        _ => event::Outcomes::decode(bytes).map_err(|error| kind(&error)).and_then(|outcomes| {
            for chunk in &outcomes.chunks {
                convert::chunk_key(chunk.chunk.as_ref()).map_err(|error| error.field.to_owned())?;
                convert::campaign_id(&chunk.campaign_id).map_err(|error| error.field.to_owned())?;
                convert::shard(chunk.shard).map_err(|error| error.field.to_owned())?;
            }
            Ok(class(outcomes.outcomes.len()))
        }),
    };
    told((tag, outcome))
}
