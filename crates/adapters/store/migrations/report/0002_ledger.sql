-- 0002 ledger: where does every recipient stand? One row per chunk of at most 500 recipients, with a small state blob.

-- Which chunk holds an address (by first and last key of its shard), and what never changes of it?
-- Keys are the address hashes, eight bytes each, by index; first_key and last_key are their order-safe signed form.
create table chunk (
    campaign_id  bytea   not null,
    freeze_id    bytea   not null,
    variant      bigint  not null,
    chunk        bigint  not null,
    shard        bigint  not null,
    account      text    not null,
    channel      bigint  not null,
    first_key    bigint  not null,
    last_key     bigint  not null,
    address_keys bytea   not null,
    primary key (freeze_id, variant, chunk)
);
create index chunk_by_key on chunk (shard, first_key);
create index chunk_by_campaign on chunk (campaign_id, variant, chunk);

-- Where do a chunk's recipients stand? Apart from the keys, so that an update rewrites little.
create table chunk_state (
    freeze_id    bytea   not null,
    variant      bigint  not null,
    chunk        bigint  not null,
    state        bytea   not null,
    primary key (freeze_id, variant, chunk)
);

-- How many stand where? Progress is the sum of 64 rows.
create table totals (
    campaign_id  bytea   not null,
    variant      bigint  not null,
    shard        bigint  not null,
    channel      bigint  not null,
    counts       bytea   not null,
    at_us        bigint  not null,
    primary key (campaign_id, variant, shard)
);

-- Are all chunks of a campaign known to a shard?
create table loaded_shard (
    campaign_id  bytea   not null,
    shard        bigint  not null,
    primary key (campaign_id, shard)
);

-- Who asked for a single send, so that its result can be told?
create table single_send (
    freeze_id        bytea   not null,
    variant          bigint  not null,
    chunk            bigint  not null,
    place            bigint  not null,
    caller           text    not null,
    idempotency_key  text    not null,
    primary key (freeze_id, variant, chunk, place)
);
