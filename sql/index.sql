-- The HNSW index. Re-applied at every migrate.

create or replace function vsdb.has_index() returns boolean
language sql stable parallel safe
begin atomic
    select exists (
        select from pg_index i
        where i.indexrelid = to_regclass('vsdb.patches_embedding_hnsw') and i.indisvalid
    );
end;
comment on function vsdb.has_index() is 'Internal. Whether vsdb.patches has its HNSW index.';
