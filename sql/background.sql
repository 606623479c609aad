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

create or replace function vsdb.score_sample(query halfvec) returns table (mean real, deviation real)
language sql stable parallel safe
begin atomic
    with scored as materialized (
        select (-100 * (p.embedding <#> query))::real as score
        from vsdb.patches p
        -- The sub-select makes the addresses a value that is known before the scan, so that they are all it reads.
        where p.ctid = any ((
            select vsdb.sample_tids(pg_relation_size('vsdb.patches') / current_setting('block_size')::bigint)
        )::tid[])
    )
    select avg(s.score)::real, stddev_pop(s.score)::real from scored s;
end;
comment on function vsdb.score_sample(halfvec) is
    'Internal. Mean and standard deviation of the scores (100 x cosine) of a query of length 1 over a repeatable sample of the database''s patches; null without patches.';

create or replace function vsdb.refresh_background() returns boolean
language plpgsql volatile
as $$
declare
    measured integer;
begin
    -- A prompt is embedded once for each model; where the text tower is missing, the caller has to store embeddings.
    update vsdb.neutral_prompts n set embedding = vsdb.embed(n.prompt) where n.embedding is null;

    with peaks as (
        select s.mean, peak.score, (peak.score - s.mean) / s.deviation as height
        from vsdb.neutral_prompts n,
             vsdb.score_sample(n.embedding) s,
             vsdb.search_embedding(n.embedding, max_moments => 1, min_z => '-infinity') peak
        where s.deviation > 0
    )
    insert into vsdb.background (neutral_score, peak_mean, peak_deviation, height_mean, height_deviation,
                                 num_prompts, num_patches)
    select avg(p.mean), avg(p.score), stddev(p.score), avg(p.height), stddev(p.height),
           count(*), (select sum(v.num_patches) from vsdb.videos v)
    from peaks p
    having stddev(p.score) > 0 and stddev(p.height) > 0
    on conflict (singleton) do update
    set (neutral_score, peak_mean, peak_deviation, height_mean, height_deviation,
         num_prompts, num_patches, refreshed_at) =
        (excluded.neutral_score, excluded.peak_mean, excluded.peak_deviation, excluded.height_mean,
         excluded.height_deviation, excluded.num_prompts, excluded.num_patches, excluded.refreshed_at);
    get diagnostics measured = row_count;
    return measured = 1;
end;
$$;
comment on function vsdb.refresh_background() is
    'Measures how the neutral prompts score against the database''s own patches, so that moments carry z; says whether there was anything to measure. Call it after large ingests.';
