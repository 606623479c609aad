-- From a patch that answers a prompt to the stretch of its video that does. Re-applied at every migrate.

create or replace function vsdb.wall_clock(in_video bigint, pts_seconds float8) returns timestamptz
language sql stable parallel safe
begin atomic
    select v.recorded_at + make_interval(secs => pts_seconds) from vsdb.videos v where v.video_id = in_video;
end;
comment on function vsdb.wall_clock(bigint, float8) is
    'When a frame was recorded: recorded_at of its video and pts_seconds (seconds) after; null if that is not known.';

create or replace function vsdb.frame_range(video_id bigint, first_frame integer, last_frame integer)
returns int8range
language sql immutable parallel safe
begin atomic
    select int8range(video_id << 32 | first_frame, video_id << 32 | last_frame, '[]');
end;
comment on function vsdb.frame_range(bigint, integer, integer) is
    'Internal. Frames of a video as a range of video_id << 32 | frame_index, so that one multirange holds frames of many videos.';

-- Frames that scans hand over lie in heaps around the things that they show. A peak is the best of its surroundings;
-- what it hides from view, because it is near but no part of its moment, is a peak once that moment is taken.
create or replace function vsdb.pick_peaks(
    in_videos bigint[], in_frames integer[], in_scores real[], in_firsts integer[], in_lasts integer[],
    taken int8multirange, min_score real, beaten real, max_peaks integer,
    out videos bigint[], out frames integer[], out firsts integer[], out lasts integer[]
)
language sql immutable parallel safe
begin atomic
    with open as (
        select c.*,
               max(c.score) over (partition by c.video_id order by c.frame_index
                                  range between 32 preceding and 32 following) as best_score
        from unnest(in_videos, in_frames, in_scores, in_firsts, in_lasts)
             as c (video_id, frame_index, score, first_frame, last_frame)
        where (min_score is null or c.score >= min_score)
          and (beaten is null or c.score > beaten)
          and not taken @> (c.video_id << 32 | c.frame_index)
    ),
    peaks as (
        select distinct on (o.score, o.video_id, o.frame_index)
               o.video_id, o.frame_index,
               least(o.first_frame - 4, o.frame_index - 8) as first_frame,
               greatest(o.last_frame + 4, o.frame_index + 8) as last_frame
        from open o
        where o.score = o.best_score
        order by o.score desc, o.video_id, o.frame_index
        limit max_peaks
    )
    select array_agg(p.video_id), array_agg(p.frame_index), array_agg(p.first_frame), array_agg(p.last_frame)
    from peaks p;
end;
comment on function vsdb.pick_peaks(
    bigint[], integer[], real[], integer[], integer[], int8multirange, real, real, integer
) is 'Internal. The best max_peaks frames that are not taken, reach min_score, exceed beaten, and are not exceeded by a frame within 32 of them (scores: 100 x cosine); and the frames around each where its moment is likely to end: a little more than the run of patches (first and last frame) that it comes from. Null if there is none.';

create or replace function vsdb.runs_around(
    query halfvec, background real, min_score real, gap_seconds float8,
    videos bigint[], peak_frames integer[], window_firsts integer[], window_lasts integer[],
    from_seconds float8, to_seconds float8, recorded_from timestamptz, recorded_to timestamptz
) returns table (
    video_id bigint, window_first integer, window_last integer, peak_score real,
    start_seconds float8, last_seconds float8, best_seconds float8, score real, best_frame integer,
    first_frame integer, last_frame integer, first_covered integer, last_covered integer,
    starts_here boolean, ends_here boolean
)
language sql stable parallel safe
begin atomic
    with peaks as (
        select w.*,
               -- A video sampled more rarely than gap_seconds has no frame between neighbours to tell them apart.
               case when gap_seconds > 0 and v.every_seconds >= gap_seconds then 1.5 * v.every_seconds
                    else gap_seconds end as gap
        from unnest(videos, peak_frames, window_firsts, window_lasts) with ordinality
             as w (video_id, peak_frame, window_first, window_last, place)
        join vsdb.videos v on v.video_id = w.video_id
    ),
    frames as materialized (
        select w.*, f.*,
               max(f.score) filter (where f.frame_index = w.peak_frame) over (partition by w.place) as peak_score
        from peaks w
        cross join lateral (
            select p.frame_index,
                   min(p.pts_seconds) as pts_seconds,
                   (-100 * min(p.embedding <#> query))::real as score
            from vsdb.patches p
            where p.video_id = w.video_id
              and p.frame_index between w.window_first and w.window_last
              and (from_seconds is null or p.pts_seconds >= from_seconds)
              and (to_seconds is null or p.pts_seconds <= to_seconds)
              and (recorded_from is null or recorded_from <= vsdb.wall_clock(p.video_id, p.pts_seconds))
              and (recorded_to is null or recorded_to >= vsdb.wall_clock(p.video_id, p.pts_seconds))
            group by p.frame_index
        ) f
    ),
    -- hits: the frames that reach the cut, each with the hit before it. Without min_score the cut is the half
    -- maximum of the peak, the background being zero.
    hits as (
        select f.*, f.pts_seconds - lag(f.pts_seconds) over (partition by f.place order by f.frame_index) as since_hit
        from frames f
        where f.score >= coalesce(min_score, least(f.peak_score, (f.peak_score + background) / 2))
    ),
    -- numbered: hits closer than the gap carry the same number.
    numbered as (
        select h.*,
               count(*) filter (where h.since_hit >= h.gap) over (partition by h.place order by h.frame_index) as run
        from hits h
    ),
    runs as (
        select n.place, n.video_id, n.window_first, n.window_last, n.gap, n.peak_score,
               min(n.pts_seconds) as start_seconds,
               max(n.pts_seconds) as last_seconds,
               (array_agg(n.pts_seconds order by n.score desc, n.frame_index))[1] as best_seconds,
               max(n.score) as score,
               (array_agg(n.frame_index order by n.score desc, n.frame_index))[1] as best_frame,
               min(n.frame_index) as first_frame,
               max(n.frame_index) as last_frame
        from numbered n
        group by n.place, n.run, n.video_id, n.window_first, n.window_last, n.gap, n.peak_score
        having bool_or(n.frame_index = n.peak_frame)
    )
    select r.video_id, r.window_first, r.window_last, r.peak_score,
           r.start_seconds, r.last_seconds, r.best_seconds, r.score, r.best_frame, r.first_frame, r.last_frame,
           near.first_covered, near.last_covered,
           -- Frames are numbered without holes: a window that is not full ends for good.
           near.first_seen > r.window_first or r.start_seconds - near.first_seconds >= r.gap,
           near.last_seen < r.window_last or near.last_seconds - r.last_seconds >= r.gap
    from runs r
    cross join lateral (
        select min(f.frame_index) as first_seen,
               max(f.frame_index) as last_seen,
               min(f.pts_seconds) as first_seconds,
               max(f.pts_seconds) as last_seconds,
               -- A frame closer than the gap to the run is covered by it.
               least(r.first_frame, min(f.frame_index) filter (where f.pts_seconds > r.start_seconds - r.gap))
                   as first_covered,
               greatest(r.last_frame, max(f.frame_index) filter (where f.pts_seconds < r.last_seconds + r.gap))
                   as last_covered
        from frames f
        where f.place = r.place
    ) near;
end;
comment on function vsdb.runs_around(
    halfvec, real, real, float8, bigint[], integer[], integer[], integer[], float8, float8, timestamptz, timestamptz
) is 'Internal. For each peak, the run of hits that holds it among the frames of its window that the filters leave: hits reach min_score, or half way from background to the peak''s score; neighbours in a run are closer than gap_seconds. covered: the frames that are part of the run or closer to it than gap_seconds. starts_here, ends_here: whether the window holds the whole run. Times in seconds, scores 100 x cosine.';

create or replace function vsdb.moments_around(
    query halfvec, background real, min_score real, gap_seconds float8,
    videos bigint[], peaks integer[], firsts integer[], lasts integer[],
    from_seconds float8, to_seconds float8, recorded_from timestamptz, recorded_to timestamptz, taken int8multirange
) returns table (
    video_id bigint, start_seconds float8, last_seconds float8, best_seconds float8, score real, best_frame integer,
    hits int8range, covered int8range
)
language plpgsql stable parallel safe
as $$
#variable_conflict use_variable
declare
    run record;
    width integer;
    open_videos bigint[];
    open_peaks integer[];
    open_firsts integer[];
    open_lasts integer[];
begin
    while cardinality(videos) > 0 loop
        open_videos := '{}';
        open_peaks := '{}';
        open_firsts := '{}';
        open_lasts := '{}';
        for run in
            select * from vsdb.runs_around(query, background, min_score, gap_seconds, videos, peaks, firsts, lasts,
                                           from_seconds, to_seconds, recorded_from, recorded_to)
        loop
            hits := vsdb.frame_range(run.video_id, run.first_frame, run.last_frame);
            if taken && hits or run.starts_here and run.ends_here and run.score <= run.peak_score then
                video_id := run.video_id;
                start_seconds := run.start_seconds;
                last_seconds := run.last_seconds;
                best_seconds := run.best_seconds;
                score := run.score;
                best_frame := run.best_frame;
                covered := vsdb.frame_range(run.video_id, run.first_covered, run.last_covered);
                return next;
            else
                -- The window grows where the run may go on; an approximate scan may have missed the run's best frame.
                width := run.window_last - run.window_first + 1;
                open_videos := open_videos || run.video_id;
                open_peaks := open_peaks || run.best_frame;
                open_firsts := open_firsts || run.window_first - case when run.starts_here then 0 else width end;
                open_lasts := open_lasts || run.window_last + case when run.ends_here then 0 else width end;
            end if;
        end loop;
        videos := open_videos;
        peaks := open_peaks;
        firsts := open_firsts;
        lasts := open_lasts;
    end loop;
end;
$$;
comment on function vsdb.moments_around(
    halfvec, real, real, float8, bigint[], integer[], integer[], integer[], float8, float8, timestamptz, timestamptz,
    int8multirange
) is 'Internal. The moments that hold the peaks: runs of frames that reach min_score, or half way from background to the best score of the run. firsts and lasts are frames to begin looking at. hits: the frames of the run; if they meet taken, it is but the slope of a moment found before, and may be cut off. Times in seconds, scores 100 x cosine.';
