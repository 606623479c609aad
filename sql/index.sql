-- The IVFFlat index. Re-applied at every migrate.

create or replace function vsdb.has_index() returns boolean
language sql stable parallel safe
begin atomic
    select exists (
        select from pg_index i
        where i.indexrelid = to_regclass('vsdb.patch_runs_embedding_l2') and i.indisvalid
    );
end;
comment on function vsdb.has_index() is 'Internal. Whether vsdb.patch_runs has its index.';

create or replace function vsdb.needs_index(min_patches bigint default 150000) returns boolean
language sql stable parallel safe
begin atomic
    select not vsdb.has_index() and coalesce(sum(v.num_patches), 0) >= min_patches from vsdb.videos v;
end;
comment on function vsdb.needs_index(bigint) is 'Whether the database holds min_patches or more and has no index yet.';

create or replace function vsdb.store_turning(directions text[], centres real[], stretches real[]) returns void
language plpgsql volatile
set search_path from current
as $$
begin
    if exists (select from vsdb.turning) then
        raise exception 'the patch runs are turned already'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'vsdb.turning is stored once, before the index is first built.';
    end if;
    -- Runs stored meanwhile would not be turned. Who removes a video locks it first and its runs then: so does this.
    lock table vsdb.videos, vsdb.patch_runs in share row exclusive mode;
    insert into vsdb.turning (axis, direction, centre, stretch)
    select t.place - 1, t.direction::halfvec, t.centre, t.stretch
    from unnest(directions, centres, stretches) with ordinality as t (direction, centre, stretch, place);
    -- Not an update: the planner would leave an index on its rows alone until all older transactions have ended.
    with unturned as (
        delete from vsdb.patch_runs returning *
    )
    insert into vsdb.patch_runs (video_id, first_frame, last_frame, start_seconds, last_seconds, patch_index, embedding)
    select u.video_id, u.first_frame, u.last_frame, u.start_seconds, u.last_seconds, u.patch_index,
           vsdb.turn(u.embedding)
    from unturned u;
end;
$$;
comment on function vsdb.store_turning(text[], real[], real[]) is
    'Internal. Stores vsdb.turning, one entry for each axis, and turns the patch runs, about 2,000 a second.';

create or replace function vsdb.build_index(min_patches bigint default 150000, lists integer default null)
returns boolean
language plpgsql volatile
set search_path from current
set client_min_messages = warning
as $$
declare
    -- A list of about 16 runs is one thing in a few scenes. More than 4,000 lists would cost too much to compare.
    chosen constant integer := coalesce(
        lists, (select least(4000, greatest(1, count(*) / 16)) from vsdb.patch_runs));
begin
    if not vsdb.needs_index(min_patches) then
        return false;
    end if;
    drop index if exists vsdb.patch_runs_embedding_l2;  -- one that a cut-off build left behind is not valid
    execute format('create index patch_runs_embedding_l2 on vsdb.patch_runs using ivfflat'
                   ' (embedding halfvec_l2_ops) with (lists = %s)', chosen);
    return true;
end;
$$;
comment on function vsdb.build_index(bigint, integer) is
    'Builds the IVFFlat index if the database holds min_patches or more and has none, and says whether it did. lists: a sixteenth of the patch runs, 4,000 at most, if null. Raise maintenance_work_mem (4 bytes for each list and each of 50 runs a list) before a large build. Only the owner of the tables may call it. What recalls most is built after vsdb.store_turning, as the program that ingests does it.';
