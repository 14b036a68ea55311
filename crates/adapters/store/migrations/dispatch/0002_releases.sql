-- 0002 releases: what may be offered to whom, where the cursors stand, whom nobody may write to, which single sends were taken in.
-- Times are microseconds since 1970 UTC; masks are little-endian bits, bit i = index i of the chunk.

-- What was offered of a chunk, what is never sent, and what became of it? One row per release; only the last five columns change.
create table release (
    freeze_id     bytea   not null,
    variant       bigint  not null,
    chunk         bigint  not null,
    release_no    bigint  not null check (release_no >= 1),
    shard         bigint  not null check (shard between 0 and 63),
    campaign_id   bytea   not null,
    channel       bigint  not null,
    account       text    not null,
    lane          bigint  not null,
    is_single     bigint  not null check (is_single in (0, 1)),
    mask          bytea   not null,
    slice_length  bigint  not null,
    parts         bigint  not null,
    attempts      bytea   not null,
    released_at   bigint  not null,
    hand_over_by  bigint  not null,
    decided       bytea   not null,
    settled       bytea   not null,
    in_doubt      bytea   not null,
    returned      bytea   not null,
    is_told       bigint  not null check (is_told in (0, 1)),
    is_open       bigint  not null check (is_open in (0, 1)),
    primary key (freeze_id, variant, chunk, release_no)
);

-- What must a new owner of a shard look at?
create index release_open on release (shard) where is_open = 1;

-- What is old enough to be deleted?
create index release_age on release (hand_over_by);

-- Where do the rows of a route end?
create table release_cursor (
    freeze_id  bytea   not null,
    variant    bigint  not null,
    shard      bigint  not null,
    account    text    not null,
    chunk      bigint  not null,
    index_no   bigint  not null,
    primary key (shard, freeze_id, variant, account)
);

-- Of which freezes are all chunks of a shard in rows?
create table freeze_finished (
    shard      bigint  not null,
    freeze_id  bytea   not null,
    primary key (shard, freeze_id)
);

-- Whom may nobody write to? address = keyed hash as a number that sorts like it; an entry that was lifted stays a while,
-- so that an older word about it that comes again is known to be older.
create table suppression (
    shard        bigint  not null,
    address      bigint  not null,
    scope        bigint  not null,
    position_no  bigint  not null,
    changed_at   bigint  not null,
    is_lifted    bigint  not null check (is_lifted in (0, 1)),
    primary key (shard, address, scope)
);

-- Which lifted entries are old enough to be deleted?
create index suppression_lifted on suppression (changed_at) where is_lifted = 1;

-- Which single sends form a chunk, and how far is it? Its recipients stand in body, as dispatch encodes them.
create table single_chunk (
    freeze_id   bytea   not null primary key,
    shard       bigint  not null,
    notice_id   bytea   not null,
    account     text    not null,
    size        bigint  not null,
    passed      bigint  not null,
    is_told     bigint  not null check (is_told in (0, 1)),
    expires_at  bigint  not null,
    body        bytea   not null
);

-- Which chunks of a shard are still to be released or told of?
create index single_chunk_ahead on single_chunk (shard) where passed < size or is_told = 0;

-- Which are old enough to be deleted?
create index single_chunk_age on single_chunk (expires_at);

-- Does a single send stand in a chunk already?
create table single_member (
    id         bigint  not null primary key,
    freeze_id  bytea   not null
);

-- Which members go with a chunk?
create index single_member_chunk on single_member (freeze_id);

-- Was this key used by this caller, and for what?
create table single_request (
    caller       text    not null,
    request_key  text    not null,
    body_hash    bytea   not null,
    accepted_at  bigint  not null,
    primary key (caller, request_key)
);

-- Which keys are old enough to be forgotten?
create index single_request_age on single_request (accepted_at);

-- How many single sends of a notice were taken in on a local day?
create table notice_day (
    notice_id  bytea   not null,
    day_no     bigint  not null,
    accepted   bigint  not null,
    primary key (notice_id, day_no)
);
