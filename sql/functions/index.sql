-- The IVFFlat index.

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
comment on function vsdb.needs_index(bigint) is
    'Internal. Whether the database holds min_patches or more and has no index yet.';

create or replace function vsdb.build_index(min_patches bigint default 150000, lists integer default null)
returns boolean
language plpgsql volatile
set search_path = ''
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
                   ' (embedding %s.halfvec_l2_ops) with (lists = %s)',
                   (select e.extnamespace::regnamespace from pg_extension e where e.extname = 'vector'), chosen);
    return true;
end;
$$;
comment on function vsdb.build_index(bigint, integer) is
    'Builds the IVFFlat index if the database holds min_patches or more and has none, and says whether it did. lists: a sixteenth of the patch runs, 4,000 at most, if null. Raise maintenance_work_mem (4 bytes for each list and each of 50 runs a list) before a large build. Only the owner of the tables may call it. What recalls most is built after vsdb.store_turning, as the program that ingests does it.';
