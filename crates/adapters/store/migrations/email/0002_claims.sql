-- 0002 claims: who hands a slice over, or gives it back? One store for all gateways of a channel (sms and email alike).
-- A slice is (freeze, variant, chunk, release_no, slice); UUIDs are kept once and named by a number, so a claim stays small.

-- Which process start is meant by writer_no?
create table claim_writer (
    number       bigint  not null primary key,
    incarnation  bytea   not null unique
);

-- Which freeze is meant by freeze_no, and when may its claims be forgotten? over_at 0 = its campaign is not over.
create table claim_freeze (
    number          bigint  not null primary key,
    freeze_id       bytea   not null unique,
    campaign_id     bytea   not null,
    first_claim_at  bigint  not null,
    over_at         bigint  not null
);

-- Who has the slice? intent 1 = begun (may have been handed over), 2 = returning (was not, for that reason).
-- The settlement is stored once it was published: what a reader of the same record says again.
create table claim (
    freeze_no   bigint  not null,
    variant     bigint  not null,
    chunk       bigint  not null,
    release_no  bigint  not null,
    slice       bigint  not null,
    writer_no   bigint  not null,
    nonce       bigint  not null,
    intent      bigint  not null check (intent in (1, 2)),
    reason      bigint  not null,
    settlement  bytea,
    primary key (freeze_no, variant, chunk, release_no, slice)
);
