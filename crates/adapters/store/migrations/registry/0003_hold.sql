-- 0003 hold: whether the whole installation stands still; and holds and restores have their entries in the audit.
-- Times are microseconds since 1970 UTC; `body` is the Protobuf form (loa.registry.v1.Hold).

-- Who holds the installation? One row, kept when the hold is over (`seconds` = 0), so that its version only rises.
create table hold (
    only_row    bigint  not null primary key check (only_row = 1),
    version     bigint  not null check (version >= 1),
    seconds     bigint  not null check (seconds >= 0),
    renewed_at  bigint  not null,
    body        bytea   not null
);

-- Who did what? Rows are only ever added. As before, and now of holds too.
create table audit_of_all (
    number       bigint  not null primary key,
    happened_at  bigint  not null,
    user_name    text    not null,
    object_kind  text    not null check (object_kind in ('campaign', 'notice', 'template', 'unit', 'hold')),
    object_id    text    not null,
    action       text    not null,
    detail       text    not null
);
insert into audit_of_all (number, happened_at, user_name, object_kind, object_id, action, detail)
    select number, happened_at, user_name, object_kind, object_id, action, detail from audit;
drop table audit;
alter table audit_of_all rename to audit;

-- What was done to one object, oldest first?
create index audit_object on audit (object_id, number);
