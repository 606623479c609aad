-- What all prompts share, and what a prompt scores against patches that have nothing to do with it: the ground that
-- moments stand out from.

create or replace function vsdb.take_off(query halfvec, part halfvec, share float8) returns halfvec
language sql immutable parallel safe
begin atomic
    select l2_normalize(query::vector - part::vector * array_fill(share::real, array[vector_dims(part)])::vector)::halfvec;
end;
comment on function vsdb.take_off(halfvec, halfvec, float8) is 'Internal. query less share x part, of length 1.';

-- Most of a prompt's embedding is what all prompts share. Without seven tenths of it, nouns and captions are told best
-- from what is not there (docs/performance.md).
create or replace function vsdb.centre(query halfvec) returns halfvec
language sql stable parallel safe
begin atomic
    select coalesce((select vsdb.take_off(query, b.prompt_mean, 0.7) from vsdb.background b limit 1), query);
end;
comment on function vsdb.centre(halfvec) is
    'A prompt''s embedding without most of what all prompts share, of length 1: what vsdb.search orders patches by. As it is until the background is measured.';

create or replace function vsdb.mean_patch() returns halfvec
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
    select avg(p.embedding)
    from places
    cross join lateral (
        select p.embedding
        from vsdb.patches p
        where p.video_id = places.video_id
          and p.frame_index = places.frame_index
          and p.patch_index >= places.patch_index
        order by p.patch_index
        limit 6  -- which also keeps the planner from reading the whole table
    ) p;
end;
comment on function vsdb.mean_patch() is
    'Internal. Mean embedding of a repeatable sample of the database''s patches; null without patches.';

create or replace function vsdb.mean_score(query halfvec, patch_mean halfvec) returns real
language sql immutable parallel safe
begin atomic
    select (-100 * (query <#> patch_mean))::real;
end;
comment on function vsdb.mean_score(halfvec, halfvec) is
    'Internal. Mean score (100 x cosine) of a query of length 1 over the patches whose mean is patch_mean.';
