-- Patches in the order of their likeness to a query.

-- compare_runs and compare_frames are the statements, nearest_runs and nearest_frames run them. `return query` may use
-- parallel workers, a cursor may not; and a plan made for these filters spends nothing on those that are null.

create or replace function vsdb.compare_runs(query halfvec, filters vsdb.filters, max_runs integer)
returns table (video_id bigint, first_frame integer, last_frame integer, patch_index smallint, score real)
language sql stable parallel safe
begin atomic
    select r.video_id, r.first_frame, r.last_frame, r.patch_index, (-100 * (r.embedding <#> query))::real as score
    from vsdb.patch_runs r
    where (filters.video_ids is null or r.video_id = any (filters.video_ids))
      and vsdb.in_times(filters, r.video_id, r.start_seconds, r.last_seconds)
    order by score desc, r.video_id, r.first_frame, r.patch_index
    limit max_runs;
end;
comment on function vsdb.compare_runs(halfvec, vsdb.filters, integer) is
    'Internal. The max_runs patch runs nearest to the query with the scores (100 x cosine) of their means, best first, ties by key. Reads every run once.';

create or replace function vsdb.nearest_runs(query halfvec, filters vsdb.filters, max_runs integer)
returns table (video_id bigint, first_frame integer, last_frame integer, patch_index smallint, score real)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_custom_plan
set jit = off
as $$
begin
    return query select * from vsdb.compare_runs(query, filters, max_runs);
end;
$$;
comment on function vsdb.nearest_runs(halfvec, vsdb.filters, integer) is
    'Internal. vsdb.compare_runs, by parallel workers where that pays.';

create or replace function vsdb.frames_of_runs(
    query halfvec, videos bigint[], first_frames integer[], last_frames integer[], patches smallint[],
    filters vsdb.filters
) returns table (video_id bigint, frame_index integer, score real, window_first integer, window_last integer)
language sql stable parallel safe
begin atomic
    -- A moment mostly lasts about as long as the patch that shows it looks the same.
    select p.video_id, p.frame_index, (-100 * (p.embedding <#> query))::real as score,
           r.first_frame - 4, r.last_frame + 4
    from unnest(videos, first_frames, last_frames, patches) as r (video_id, first_frame, last_frame, patch_index)
    join vsdb.patches p
      on p.video_id = r.video_id
         and p.frame_index between r.first_frame and r.last_frame
         and p.patch_index = r.patch_index
    where vsdb.in_times(filters, p.video_id, p.pts_seconds, p.pts_seconds)
    order by score desc, p.video_id, p.frame_index;
end;
comment on function vsdb.frames_of_runs(halfvec, bigint[], integer[], integer[], smallint[], vsdb.filters) is
    'Internal. The frames of the runs given (video, first and last frame, patch) that the time filters leave, with the score (100 x cosine) of that patch, best first, ties by key, and the frames where its moment is likely to begin and end. A frame of several runs comes several times.';

create or replace function vsdb.compare_frames(query halfvec, filters vsdb.filters)
returns table (video_id bigint, frame_index integer, score real, window_first integer, window_last integer)
language sql stable parallel safe
begin atomic
    select p.video_id, p.frame_index, max((-100 * (p.embedding <#> query))::real) as score,
           p.frame_index - 12, p.frame_index + 12
    from vsdb.patches p
    where (filters.video_ids is null or p.video_id = any (filters.video_ids))
      and vsdb.in_times(filters, p.video_id, p.pts_seconds, p.pts_seconds)
    group by p.video_id, p.frame_index
    order by score desc, p.video_id, p.frame_index;
end;
comment on function vsdb.compare_frames(halfvec, vsdb.filters) is
    'Internal. Every frame that the filters leave with the score of its best patch (100 x cosine), best first, ties by key, and the frames to look for its moment in first. Reads every patch once.';

create or replace function vsdb.nearest_frames(query halfvec, filters vsdb.filters)
returns table (video_id bigint, frame_index integer, score real, window_first integer, window_last integer)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_custom_plan
set jit = off
as $$
begin
    return query select * from vsdb.compare_frames(query, filters);
end;
$$;
comment on function vsdb.nearest_frames(halfvec, vsdb.filters) is
    'Internal. vsdb.compare_frames, by parallel workers where that pays.';
