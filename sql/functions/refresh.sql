-- Measuring the background: the neutral prompts are asked like any other.

create or replace function vsdb.neutral_queries() returns table (plain halfvec, centred halfvec, prompt_mean halfvec)
language sql stable
begin atomic
    select n.embedding, vsdb.take_off(n.embedding, m.prompt_mean, 0.7), m.prompt_mean
    from vsdb.neutral_prompts n
    cross join (select avg(n.embedding) as prompt_mean from vsdb.neutral_prompts n) m;
end;
comment on function vsdb.neutral_queries() is
    'Internal. The neutral prompts'' embeddings as they are and as vsdb.centre makes them, beside their mean.';

create or replace function vsdb.best_score(query halfvec) returns real
language sql volatile
begin atomic
    select score from vsdb.search_embedding(query, max_moments => 1, min_z => '-infinity');
end;
comment on function vsdb.best_score(halfvec) is 'Internal. Score (100 x cosine) of the best patch; null without patches.';

create or replace function vsdb.refresh_background() returns boolean
language plpgsql volatile
set search_path = ''
set jit = off
as $$
declare
    measured integer;
begin
    -- A prompt is embedded once for each model; where the text tower is missing, the caller has to store embeddings.
    update vsdb.neutral_prompts n set embedding = vsdb.embed(n.prompt) where n.embedding is null;

    with peaks as materialized (
        select n.prompt_mean, p.patch_mean,
               vsdb.mean_score(n.centred, p.patch_mean) as mean, vsdb.best_score(n.centred) as peak,
               vsdb.mean_score(n.plain, p.patch_mean) as plain_mean, vsdb.best_score(n.plain) as plain_peak
        from vsdb.neutral_queries() n
        cross join (select vsdb.mean_patch() as patch_mean offset 0) p
    )
    insert into vsdb.background (prompt_mean, patch_mean, neutral_score, peak_mean, peak_deviation,
                                 plain_neutral_score, plain_peak_mean, plain_peak_deviation, num_prompts, num_patches)
    select (array_agg(p.prompt_mean))[1], (array_agg(p.patch_mean))[1],
           avg(p.mean), avg(p.peak), stddev(p.peak),
           avg(p.plain_mean), avg(p.plain_peak), stddev(p.plain_peak),
           count(*), (select sum(v.num_patches) from vsdb.videos v)
    from peaks p
    having stddev(p.peak) > 0 and stddev(p.plain_peak) > 0
    on conflict (singleton) do update
    set (prompt_mean, patch_mean, neutral_score, peak_mean, peak_deviation,
         plain_neutral_score, plain_peak_mean, plain_peak_deviation, num_prompts, num_patches, refreshed_at) =
        (excluded.prompt_mean, excluded.patch_mean, excluded.neutral_score, excluded.peak_mean,
         excluded.peak_deviation, excluded.plain_neutral_score, excluded.plain_peak_mean,
         excluded.plain_peak_deviation, excluded.num_prompts, excluded.num_patches, excluded.refreshed_at);
    get diagnostics measured = row_count;
    perform vsdb.measure_judgements();  -- their z, too, is against the background
    return measured = 1;
end;
$$;
comment on function vsdb.refresh_background() is
    'Measures what all prompts share and how the neutral prompts score against the database''s own patches, so that prompts are centred and moments carry z; says whether there was anything to measure. Call it after large ingests.';
