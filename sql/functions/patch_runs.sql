-- Patch runs: neighbouring seconds of a video are near-duplicates, and one row stands for all of them.

-- Aggregates and operators of pgvector, under names that a trigger with an empty search_path finds.
create or replace aggregate vsdb.total(halfvec) (
    sfunc = halfvec_add, stype = halfvec, combinefunc = halfvec_add, parallel = safe
);
comment on aggregate vsdb.total(halfvec) is 'Internal. pgvector''s sum.';

create or replace function vsdb.similarity(a halfvec, b halfvec) returns float8
language sql immutable parallel safe
begin atomic
    select -(a <#> b);
end;
comment on function vsdb.similarity(halfvec, halfvec) is 'Internal. The cosine of two embeddings of length 1.';

create or replace function vsdb.unit(embedding halfvec) returns halfvec
language sql immutable parallel safe
begin atomic
    select l2_normalize(embedding);
end;
comment on function vsdb.unit(halfvec) is 'Internal. An embedding brought to length 1.';

create or replace function vsdb.add_patch_runs() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    insert into vsdb.patch_runs (video_id, first_frame, last_frame, start_seconds, last_seconds, patch_index, embedding)
    -- changes: a patch that differs from the one before it starts a run.
    with changes as (
        select f.video_id, f.patch_index, f.frame_index, f.pts_seconds, f.embedding,
               coalesce(vsdb.similarity(f.embedding, lag(f.embedding) over track) < 0.9
                        or f.frame_index - lag(f.frame_index) over track > 1, true) as is_change
        from fresh f
        window track as (partition by f.video_id, f.patch_index order by f.frame_index)
    ),
    runs as (
        select c.*, max(c.frame_index) filter (where c.is_change) over track as first_frame
        from changes c
        window track as (partition by c.video_id, c.patch_index order by c.frame_index)
    )
    -- No run is longer than 32 frames, so that something brief is not averaged away. The mean, brought to length 1, is
    -- the sum brought to length 1, which takes a third of the time.
    select r.video_id, min(r.frame_index), max(r.frame_index), min(r.pts_seconds), max(r.pts_seconds), r.patch_index,
           vsdb.unit(vsdb.total(r.embedding))
    from runs r
    group by r.video_id, r.patch_index, r.first_frame, (r.frame_index - r.first_frame) / 32
    on conflict do nothing;
    return null;
end;
$$;
comment on function vsdb.add_patch_runs() is 'Internal. Trigger: patch runs of the patches that a statement has stored.';
