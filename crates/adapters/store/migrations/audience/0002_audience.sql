-- 0002 audience: dataset versions and the imports that make them, freezes and their inputs, suppression entries.
-- The people themselves are files; no row here holds a number or a mailbox. Times are microseconds since 1970 UTC.

-- Which people does a dataset have? The row with the highest version; its files carry the import's id.
create table dataset_version (
    dataset      text    not null check (length(dataset) between 1 and 64),
    version      bigint  not null check (version >= 1),
    import_id    text    not null unique,
    people       bigint  not null check (people >= 0),
    rejected     bigint  not null check (rejected >= 0),
    synthetic    bigint  not null check (synthetic in (0, 1)),
    created_at   bigint  not null,
    primary key (dataset, version)
);

-- Which files wait to become a version, and what became of the others? `progress` and `report` are Protobuf
-- (loa.audience.v1), `faults` is JSON.
create table import_job (
    import_id    text    not null primary key,
    dataset      text    not null check (length(dataset) between 1 and 64),
    synthetic    bigint  not null check (synthetic in (0, 1)),
    delta        bigint  not null check (delta in (0, 1)),
    file_name    text    not null,
    created_at   bigint  not null,
    state        text    not null check (state in ('waiting', 'running', 'done', 'failed')),
    progress     bytea   not null,
    report       bytea,
    faults       text    not null
);

-- Which import is next?
create index import_job_state on import_job (state, created_at, import_id);

-- Who gets a campaign version's texts? One freeze each. The inputs (dataset version, position of the suppression entries,
-- routes) are stored before it begins; `request` and `manifest` are Protobuf.
create table freeze_job (
    campaign_id          text    not null,
    campaign_version     bigint  not null,
    freeze_id            text    not null unique,
    dataset              text    not null,
    created_at           bigint  not null,
    state                text    not null check (state in ('waiting', 'running', 'done', 'failed')),
    request              bytea   not null,
    dataset_version      bigint  not null,
    suppression_position bigint  not null,
    routes               text    not null,
    done                 bigint  not null,
    manifest             bytea,
    error                text    not null,
    primary key (campaign_id, campaign_version)
);

-- Which freeze is next?
create index freeze_job_state on freeze_job (state, created_at, freeze_id);

-- Who must not be written to, and by whom? `hash` is the address's keyed hash in its signed, order-keeping form. Rows stay
-- when an entry is lifted, so that what was in force at a position can always be read.
create table suppression (
    position        bigint  not null primary key,
    hash            bigint  not null,
    scope           bigint  not null,
    channel         bigint  not null,
    hint            text    not null check (length(hint) <= 2),
    unit_code       text    not null,
    class           text    not null,
    topic           text    not null,
    created_at      bigint  not null,
    created_by      text    not null,
    -- 9223372036854775807 = in force.
    lifted_position bigint  not null,
    lifted_at       bigint  not null,
    lifted_by       text    not null,
    -- One entry in force for each address and scope.
    unique (hash, scope, lifted_position)
);

-- Which entries are in force, newest first?
create index suppression_in_force on suppression (lifted_position, position);

-- The position of the last change.
create table suppression_position (
    only_row     bigint  not null primary key check (only_row = 1),
    position     bigint  not null
);

insert into suppression_position (only_row, position) values (1, 0);
