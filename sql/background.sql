-- What a prompt scores against patches that have nothing to do with it: the ground that moments stand out from.
-- Re-applied at every migrate.

create or replace function vsdb.sample_tids(num_pages bigint) returns tid[]
language sql immutable parallel safe
begin atomic
    -- Six rows fill a page of vsdb.patches. 170 pages spread evenly hold about 1,000 rows, whatever the size.
    select array_agg(format('(%s,%s)', page, place)::tid order by page, place)
    from (select distinct i * num_pages / 170 as page from generate_series(0, 169) as i) as pages,
         generate_series(1, 6) as place;
end;
comment on function vsdb.sample_tids(bigint) is
    'Internal. Row addresses of a repeatable sample of about 1,000 patches, spread evenly over num_pages pages.';

create or replace function vsdb.background_score(query halfvec) returns real
language sql stable parallel safe
begin atomic
    select avg((-100 * (p.embedding <#> query))::real)::real
    from vsdb.patches p
    -- The sub-select makes the addresses a value that is known before the scan, so that they are all it reads.
    where p.ctid = any ((
        select vsdb.sample_tids(pg_relation_size('vsdb.patches') / current_setting('block_size')::bigint)
    )::tid[]);
end;
comment on function vsdb.background_score(halfvec) is
    'Internal. Mean score (100 x cosine) of a query of length 1 over a repeatable sample of the database''s patches; null without patches.';
