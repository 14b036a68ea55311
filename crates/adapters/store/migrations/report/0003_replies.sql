-- 0003 replies: which requests of requests.v1 are still to be answered on results.v1?

-- A row comes with the acceptance of the request and goes once its final state is on results.v1.
-- told = code of the state that was told last; the code of `open` = accepted, -1 = nothing yet.
create table reply (
    freeze_id        bytea   not null,
    variant          bigint  not null,
    chunk            bigint  not null,
    place            bigint  not null,
    shard            bigint  not null check (shard between 0 and 63),
    idempotency_key  text    not null,
    message_id       bigint  not null,
    partition_no     bigint  not null check (partition_no >= 0),
    record_key       bytea   not null,
    accepted_at      bigint  not null,
    told             bigint  not null,
    primary key (freeze_id, variant, chunk, place)
);

-- What must a new owner of a shard still answer?
create index reply_shard on reply (shard);

-- Where did the ledger miss words because the log had dropped them? from_no to next_no are offsets of the partition.
create table log_gap (
    campaign_id   bytea   not null,
    topic         text    not null,
    shard         bigint  not null check (shard between 0 and 63),
    from_no       bigint  not null,
    next_no       bigint  not null,
    noticed_at    bigint  not null,
    primary key (campaign_id, topic, shard, from_no)
);
