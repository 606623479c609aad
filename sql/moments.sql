-- From a patch that answers a prompt to the stretch of its video that does. Re-applied at every migrate.

create or replace function vsdb.run_around(
    query halfvec, in_video bigint, peak_frame integer, reach integer, cut real, gap_seconds float8,
    from_seconds float8, to_seconds float8, recorded_from timestamptz, recorded_to timestamptz
) returns table (
    start_seconds float8, last_seconds float8, best_seconds float8, score real, best_frame integer,
    first_frame integer, last_frame integer, first_covered integer, last_covered integer, is_whole boolean
)
language sql stable parallel safe
begin atomic
    -- frames: the best score of each frame that counts, in the window of reach frames either side of the peak.
    with frames as materialized (
        select p.frame_index,
               min(p.pts_seconds) as pts_seconds,
               max((-100 * (p.embedding <#> query))::real) as score
        from vsdb.patches p
        where p.video_id = in_video
          and p.frame_index between peak_frame - reach and peak_frame + reach
          and (from_seconds is null or p.pts_seconds >= from_seconds)
          and (to_seconds is null or p.pts_seconds <= to_seconds)
          and (recorded_from is null or recorded_from <= (
                  select v.recorded_at + make_interval(secs => p.pts_seconds) from vsdb.videos v where v.video_id = in_video))
          and (recorded_to is null or recorded_to >= (
                  select v.recorded_at + make_interval(secs => p.pts_seconds) from vsdb.videos v where v.video_id = in_video))
        group by p.frame_index
    ),
    -- hits: the frames that reach the cut, each with the hit before it.
    hits as (
        select f.*, lag(f.pts_seconds) over (order by f.frame_index) as previous_seconds
        from frames f
        where f.score >= cut
    ),
    -- runs: hits closer than gap_seconds carry the same number.
    runs as (
        select h.*,
               count(*) filter (where h.pts_seconds - h.previous_seconds >= gap_seconds)
                   over (order by h.frame_index) as run
        from hits h
    ),
    run as (
        select min(r.pts_seconds) as start_seconds,
               max(r.pts_seconds) as last_seconds,
               min(r.frame_index) as first_frame,
               max(r.frame_index) as last_frame,
               max(r.score) as score,
               (array_agg(r.frame_index order by r.score desc, r.frame_index))[1] as best_frame,
               (array_agg(r.pts_seconds order by r.score desc, r.frame_index))[1] as best_seconds
        from runs r
        where r.run = (select peak.run from runs peak where peak.frame_index = peak_frame)
    )
    -- A frame closer than gap_seconds to the run is covered by it. The run is whole when no frame beyond the
    -- window can belong to it: frames are numbered without holes, so a window that is not full ends for good.
    select run.start_seconds, run.last_seconds, run.best_seconds, run.score, run.best_frame, run.first_frame, run.last_frame,
           min(f.frame_index) filter (where f.pts_seconds >= run.start_seconds
                                         or run.start_seconds - f.pts_seconds < gap_seconds),
           max(f.frame_index) filter (where f.pts_seconds <= run.last_seconds
                                         or f.pts_seconds - run.last_seconds < gap_seconds),
           (min(f.frame_index) > peak_frame - reach or run.start_seconds - min(f.pts_seconds) >= gap_seconds)
           and (max(f.frame_index) < peak_frame + reach or max(f.pts_seconds) - run.last_seconds >= gap_seconds)
    from run, frames f
    group by run.start_seconds, run.last_seconds, run.best_seconds, run.score, run.best_frame,
             run.first_frame, run.last_frame;
end;
comment on function vsdb.run_around(
    halfvec, bigint, integer, integer, real, float8, float8, float8, timestamptz, timestamptz
) is 'Internal. The run of hits (frames of score >= cut, neighbours closer than gap_seconds) that holds peak_frame, among the reach frames either side of it; is_whole says that no frame beyond them can belong to it.';

create or replace function vsdb.moment_around(
    query halfvec, in_video bigint, peak_frame integer, peak_score real, background real, min_score real,
    gap_seconds float8, from_seconds float8, to_seconds float8, recorded_from timestamptz, recorded_to timestamptz
) returns table (
    start_seconds float8, last_seconds float8, best_seconds float8, score real, best_frame integer,
    first_frame integer, last_frame integer, first_covered integer, last_covered integer
)
language plpgsql stable parallel safe
as $$
declare
    reach integer := 12;
    cut real;
    run record;
begin
    -- A video sampled more rarely than gap_seconds has no frame between neighbours to tell them apart.
    select case when gap_seconds > 0 and v.every_seconds >= gap_seconds then 1.5 * v.every_seconds else gap_seconds end
    into gap_seconds
    from vsdb.videos v
    where v.video_id = in_video;
    loop
        -- Full width at half maximum, the background being zero: the cut follows each moment's own best score.
        cut := coalesce(min_score, least(peak_score, (peak_score + background) / 2));
        select * into run
        from vsdb.run_around(query, in_video, peak_frame, reach, cut, gap_seconds,
                             from_seconds, to_seconds, recorded_from, recorded_to);
        if run.score > peak_score then  -- an approximate scan may hand over a neighbour of the peak
            peak_frame := run.best_frame;
            peak_score := run.score;
        else
            exit when run.is_whole;
            reach := reach * 4;
        end if;
    end loop;
    return query select run.start_seconds, run.last_seconds, run.best_seconds, run.score, run.best_frame,
                        run.first_frame, run.last_frame, run.first_covered, run.last_covered;
end;
$$;
comment on function vsdb.moment_around(
    halfvec, bigint, integer, real, real, real, float8, float8, float8, timestamptz, timestamptz
) is 'Internal. The moment that holds peak_frame: the run of frames that reach min_score, or half way from background to the best score of the run. Times in seconds, scores 100 x cosine.';
