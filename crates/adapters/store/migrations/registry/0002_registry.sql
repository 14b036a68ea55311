-- 0002 registry: who sends what in whose name, and who has allowed it.
-- Times are microseconds since 1970 UTC. A `body` is the Protobuf form of the object (loa.registry.v1); the columns beside it
-- are what is asked for.

-- What is an organisation at a date? The newest row that is not younger than the date, if it has not ended by then.
create table unit (
    code         text    not null check (length(code) between 1 and 40),
    valid_from   bigint  not null,
    -- 9223372036854775807 = still valid.
    valid_to     bigint  not null check (valid_to > valid_from),
    body         bytea   not null,
    primary key (code, valid_from)
);

-- What is sent, by the SHA-256 of it; never changed.
create table content (
    hash         bytea   not null primary key,
    body         bytea   not null
);

-- Which version of a template has which content? The same content is never two versions.
create table template (
    name         text    not null check (length(name) between 1 and 64),
    version      bigint  not null check (version >= 1),
    content_hash bytea   not null references content (hash),
    body         bytea   not null,
    primary key (name, version),
    unique (name, content_hash)
);

-- What may single sends name? `number` orders them by creation.
create table notice (
    id           text    not null primary key,
    number       bigint  not null unique,
    version      bigint  not null check (version >= 1),
    state        text    not null check (state in ('proposed', 'approved', 'stopped')),
    body         bytea   not null
);

-- What shall be sent, to whom, when; `authors` is a JSON list of the users who may not approve it.
create table campaign (
    id           text    not null primary key,
    number       bigint  not null unique,
    version      bigint  not null check (version >= 1),
    state        text    not null check (state in ('draft', 'freezing', 'submitted', 'approved', 'scheduled', 'running', 'paused',
                                                   'halted', 'done', 'cancelled')),
    -- 0 = not scheduled.
    scheduled_at bigint  not null,
    authors      text    not null,
    body         bytea   not null
);

-- Which campaigns are freezing? Which are due?
create index campaign_state on campaign (state, scheduled_at);

-- Who did what? Rows are only ever added.
create table audit (
    number       bigint  not null primary key,
    happened_at  bigint  not null,
    user_name    text    not null,
    object_kind  text    not null check (object_kind in ('campaign', 'notice', 'template', 'unit')),
    object_id    text    not null,
    action       text    not null,
    detail       text    not null
);

-- What was done to one object, oldest first?
create index audit_object on audit (object_id, number);

-- Was this create-call made before? Forgotten after 72 h.
create table idempotency (
    caller       text    not null,
    call_key     text    not null check (length(call_key) between 1 and 64),
    body_hash    bytea   not null,
    object_id    text    not null,
    stored_at    bigint  not null,
    primary key (caller, call_key)
);

-- Which keys may be forgotten?
create index idempotency_age on idempotency (stored_at);
