-- From a patch that answers a prompt to the stretch of its video that does.

create or replace function vsdb.score_frames(
    query halfvec, in_video bigint, first_frame integer, last_frame integer, filters vsdb.filters
) returns table (frames integer[], seconds float8[], scores real[])
language sql stable parallel safe
begin atomic
    with scored as (
        select p.frame_index,
               min(p.pts_seconds) as pts_seconds,
               (-100 * min(p.embedding <#> query))::real as score
        from vsdb.patches p
        where p.video_id = in_video
          and p.frame_index between first_frame and last_frame
        group by p.frame_index
    )
    select coalesce(array_agg(s.frame_index order by s.frame_index), '{}'),
           coalesce(array_agg(s.pts_seconds order by s.frame_index), '{}'),
           coalesce(array_agg(s.score order by s.frame_index), '{}')
    from scored s
    where vsdb.in_times(filters, in_video, s.pts_seconds, s.pts_seconds);  -- here: once a frame, not once a patch
end;
comment on function vsdb.score_frames(halfvec, bigint, integer, integer, vsdb.filters) is
    'Internal. The frames first_frame to last_frame of a video that the time filters leave, in order: their numbers, times in seconds, and the scores (100 x cosine) of their best patches.';

create or replace function vsdb.stretch_around(
    peak_frame integer, frames integer[], seconds float8[], scores real[], cut real, gap_seconds float8,
    join_neighbours boolean
) returns table (
    start_seconds float8, last_seconds float8, best_seconds float8, score real, best_frame integer,
    first_frame integer, last_frame integer, first_covered integer, last_covered integer,
    margin_before float8, margin_after float8
)
language sql immutable parallel safe
begin atomic
    -- hits: the frames that reach the cut, each with the hit before it.
    with hits as (
        select f.frame_index, f.pts_seconds, f.score,
               lag(f.frame_index) over (order by f.frame_index) as previous_frame,
               lag(f.pts_seconds) over (order by f.frame_index) as previous_seconds
        from unnest(frames, seconds, scores) as f (frame_index, pts_seconds, score)
        where f.score >= cut
    ),
    -- numbered: hits closer than gap_seconds carry the number of the same stretch.
    numbered as (
        select h.*,
               count(*) filter (where h.pts_seconds - h.previous_seconds >= gap_seconds
                                      and not (join_neighbours and h.frame_index = h.previous_frame + 1))
                   over (order by h.frame_index) as stretch
        from hits h
    ),
    chosen as (
        select min(n.pts_seconds) as start_seconds,
               max(n.pts_seconds) as last_seconds,
               (array_agg(n.pts_seconds order by n.score desc, n.frame_index))[1] as best_seconds,
               max(n.score) as score,
               (array_agg(n.frame_index order by n.score desc, n.frame_index))[1] as best_frame,
               min(n.frame_index) as first_frame,
               max(n.frame_index) as last_frame
        from numbered n
        where n.stretch = (select peak.stretch from numbered peak where peak.frame_index = peak_frame)
    )
    -- A frame closer than gap_seconds to the stretch is covered by it.
    select c.*, near.first_covered, near.last_covered,
           c.start_seconds - seconds[1],
           seconds[cardinality(seconds)] - c.last_seconds
    from chosen c
    cross join lateral (
        select min(f.frame_index) as first_covered, max(f.frame_index) as last_covered
        from unnest(frames, seconds) as f (frame_index, pts_seconds)
        where f.frame_index between c.first_frame - join_neighbours::integer
                                and c.last_frame + join_neighbours::integer
           or (f.pts_seconds > c.start_seconds - gap_seconds and f.pts_seconds < c.last_seconds + gap_seconds)
    ) near;
end;
comment on function vsdb.stretch_around(integer, integer[], float8[], real[], real, float8, boolean) is
    'Internal. The stretch of hits (frames of score >= cut, each closer than gap_seconds to the next or, if join_neighbours, the very next) that holds peak_frame, among consecutive frames of one video, and the seconds from its first (last) hit to the first (last) of those frames.';

create or replace function vsdb.frame_range(video_id bigint, first_frame integer, last_frame integer)
returns int8range
language sql immutable parallel safe
begin atomic
    select int8range(video_id << 32 | first_frame, video_id << 32 | last_frame, '[]');
end;
comment on function vsdb.frame_range(bigint, integer, integer) is
    'Internal. Frames of a video as a range of video_id << 32 | frame_index, so that one multirange holds frames of many videos.';

create or replace function vsdb.moment_around(
    query halfvec, in_video bigint, peak_frame integer, window_first integer, window_last integer,
    background real, min_score real, gap_seconds float8, filters vsdb.filters, taken int8multirange
) returns table (
    start_seconds float8, last_seconds float8, best_seconds float8, score real, best_frame integer,
    covered int8range, is_slope boolean
)
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
    reach integer := 12;
    join_neighbours boolean;
    starts_here boolean := false;
    ends_here boolean := false;
    frames integer[] := '{}';
    seconds float8[] := '{}';
    scores real[] := '{}';
    peak_score real;
    cut real;
    more record;
    stretch record;
begin
    -- A video sampled more rarely than gap_seconds has no frame between neighbours to tell them apart.
    select gap_seconds > 0 and (v.every_seconds >= gap_seconds or v.keyframes) into join_neighbours
    from vsdb.videos v
    where v.video_id = in_video;
    select s.frames, s.seconds, s.scores into frames, seconds, scores
    from vsdb.score_frames(query, in_video, window_first, window_last, filters) s;
    peak_score := scores[array_position(frames, peak_frame)];
    loop
        loop
            -- Full width at half maximum, the background being zero: the cut follows the stretch's own best score.
            cut := coalesce(min_score, least(peak_score, (peak_score + background) / 2));
            select * into stretch
            from vsdb.stretch_around(peak_frame, frames, seconds, scores, cut, gap_seconds, join_neighbours);
            -- A stretch that reaches a better moment is the slope of that moment, not another one.
            is_slope := taken && vsdb.frame_range(in_video, stretch.first_frame, stretch.last_frame);
            exit when is_slope or stretch.score <= peak_score;
            peak_frame := stretch.best_frame;  -- an approximate scan may hand over a neighbour of the peak
            peak_score := stretch.score;
        end loop;
        -- The start is known when gap_seconds without a hit lie before the stretch, or when the window lacks its first
        -- frames: their numbers have no holes, so the video, or what the filters leave of it, starts there.
        starts_here := frames[1] > window_first or stretch.margin_before >= gap_seconds;
        ends_here := frames[cardinality(frames)] < window_last or stretch.margin_after >= gap_seconds;
        exit when is_slope or (starts_here and ends_here);
        -- The window grows at the ends where the stretch may go on; rows once read are not read again.
        if not starts_here then
            select * into more
            from vsdb.score_frames(query, in_video, window_first - reach, window_first - 1, filters);
            window_first := window_first - reach;
            frames := more.frames || frames;
            seconds := more.seconds || seconds;
            scores := more.scores || scores;
        end if;
        if not ends_here then
            select * into more
            from vsdb.score_frames(query, in_video, window_last + 1, window_last + reach, filters);
            window_last := window_last + reach;
            frames := frames || more.frames;
            seconds := seconds || more.seconds;
            scores := scores || more.scores;
        end if;
        reach := reach * 2;
    end loop;
    return query select stretch.start_seconds, stretch.last_seconds, stretch.best_seconds, stretch.score,
                        stretch.best_frame,
                        vsdb.frame_range(in_video, stretch.first_covered, stretch.last_covered), is_slope;
end;
$$;
comment on function vsdb.moment_around(
    halfvec, bigint, integer, integer, integer, real, real, float8, vsdb.filters, int8multirange
) is 'Internal. The moment that holds a frame that is not taken, looked for in window_first to window_last and, where it goes on, beyond: the stretch of frames that reach min_score, or half way from background to the best score of the stretch. is_slope says that it runs into frames that are taken. Times in seconds, scores 100 x cosine.';
