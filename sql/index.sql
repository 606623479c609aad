-- The HNSW index. Re-applied at every migrate.

create or replace function vsdb.has_index() returns boolean
language sql stable parallel safe
begin atomic
    select exists (
        select from pg_index i
        where i.indexrelid = to_regclass('vsdb.patch_runs_embedding_hnsw') and i.indisvalid
    );
end;
comment on function vsdb.has_index() is 'Internal. Whether vsdb.patch_runs has its HNSW index.';

create or replace function vsdb.needs_index(min_patches bigint default 2000000) returns boolean
language sql stable parallel safe
begin atomic
    select not vsdb.has_index() and coalesce(sum(v.num_patches), 0) >= min_patches from vsdb.videos v;
end;
comment on function vsdb.needs_index(bigint) is 'Whether the database holds min_patches or more and has no HNSW index yet.';

create or replace function vsdb.build_index(
    min_patches bigint default 2000000, m integer default 16, ef_construction integer default 200
)
returns boolean
language plpgsql volatile
set search_path from current
set client_min_messages = warning
as $$
begin
    if not vsdb.needs_index(min_patches) then
        return false;
    end if;
    drop index if exists vsdb.patch_runs_embedding_hnsw;  -- one that a cut-off build left behind is not valid
    execute format('create index patch_runs_embedding_hnsw on vsdb.patch_runs using hnsw (embedding halfvec_ip_ops)'
                   ' with (m = %s, ef_construction = %s)', m, ef_construction);
    return true;
end;
$$;
comment on function vsdb.build_index(bigint, integer, integer) is
    'Builds the HNSW index if the database holds min_patches or more and has none, and says whether it did. Raise maintenance_work_mem (about 300 bytes a patch) and max_parallel_maintenance_workers before a large build. Only the owner of the tables may call it.';
