-- 0001 base: what the store of every role has: who lives, who owns, what was read, what is still to be published.
-- Times are microseconds since 1970 UTC (bigint), so both databases sort and compare alike.

-- Which nodes live, and where they are reached? A node raises its own beat each second.
create table node (
    node        text    not null primary key,
    endpoint    text    not null,
    beat        bigint  not null
);

-- Who owns a shard, a partition, a bind, an import? The epoch rises with each change of owner, seq with each of its transactions.
create table lease (
    kind        text    not null check (length(kind) between 1 and 80),
    number      bigint  not null check (number >= 0),
    node        text    not null,
    epoch       bigint  not null,
    seq         bigint  not null,
    primary key (kind, number)
);

-- From where does a reader go on? Stored with the state that reading produced; reader = its name within the role.
create table reader_offset (
    reader        text    not null,
    topic         text    not null,
    partition_no  bigint  not null check (partition_no >= 0),
    next_offset   bigint  not null check (next_offset >= 0),
    primary key (reader, topic, partition_no)
);

-- What was changed and is not yet on the log? A row is deleted once its record is acknowledged.
create table outbox (
    number        bigint  not null primary key,
    stored_at     bigint  not null,
    topic         text    not null,
    partition_no  bigint  not null,
    record_key    bytea   not null,
    record        bytea   not null
);
