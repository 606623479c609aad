-- What a prompt scores against patches that have nothing to do with it: the ground that moments stand out from.

create or replace function vsdb.score_sample(query halfvec) returns table (mean real, deviation real)
language sql stable parallel safe
begin atomic
    -- By key and not by page: rows that were removed, or are not committed yet, must not change a score.
    with spans as (
        select v.video_id,
               v.num_patches / v.num_frames as patches_a_frame,
               sum(v.num_frames) over (order by v.video_id) - v.num_frames as frames_before,
               sum(v.num_frames) over (order by v.video_id) as frames_through,
               sum(v.num_frames) over () as num_frames
        from vsdb.videos v
    ),
    -- 170 frames spread evenly over all, each with six of its patches, which are others from frame to frame.
    places as (
        select s.video_id,
               (place * s.num_frames / 170 - s.frames_before)::integer as frame_index,
               6 * place % s.patches_a_frame as patch_index
        from spans s
        cross join lateral generate_series((170 * s.frames_before + s.num_frames - 1) / s.num_frames,
                                           (170 * s.frames_through - 1) / s.num_frames) as place
        limit 170  -- there are no more: it tells the planner
    )
    select avg(p.score)::real, stddev_pop(p.score)::real
    from places
    cross join lateral (
        select (-100 * (p.embedding <#> query))::real as score
        from vsdb.patches p
        where p.video_id = places.video_id
          and p.frame_index = places.frame_index
          and p.patch_index >= places.patch_index
        order by p.patch_index
        limit 6  -- which also keeps the planner from reading the whole table
    ) p;
end;
comment on function vsdb.score_sample(halfvec) is
    'Internal. Mean and standard deviation of the scores (100 x cosine) of a query of length 1 over a repeatable sample of the database''s patches; null without patches.';

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
