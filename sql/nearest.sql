-- Patches in the order of their likeness to a query, and which of them a filter leaves. Re-applied at every migrate.

create or replace function vsdb.turn(embedding halfvec) returns halfvec
language sql stable parallel safe
begin atomic
    select coalesce(
        array_agg(((-(t.direction <#> embedding) - t.centre) / t.stretch)::real order by t.axis)::halfvec, embedding
    )
    from vsdb.turning t;
end;
comment on function vsdb.turn(halfvec) is 'Internal. An embedding as vsdb.patch_runs stores it: as it is until the index is first built, and then by vsdb.turning.';

-- Lists of like runs are found by distance (k-means), prompts score by inner product. To a query that is far away both
-- are the same order: |query - run|^2 = |query|^2 - 2 query * run + |run|^2, and the last term no longer counts. At a
-- length of 16,000 it moves a score by some hundredths, and so do the single-precision sums.
create or replace function vsdb.turn_query(
    query halfvec, out turned halfvec, out score_at_query float8, out points_lost float8
)
language sql stable parallel safe
begin atomic
    select f.turned, f.centre_score + l2_norm(f.turned) ^ 2 * f.points_lost, f.points_lost
    from (
        select l2_normalize(t.turned) * array_fill(16000::real, array[vector_dims(query)])::halfvec as turned,
               t.centre_score,
               100 * l2_norm(t.turned) / 16000 / 2 as points_lost
        from (
            select coalesce(array_agg((a.part * a.stretch)::real order by a.axis)::halfvec, query) as turned,
                   coalesce(100 * sum(a.part * a.centre), 0) as centre_score
            from (
                select t.axis, t.centre, t.stretch, -(t.direction <#> query) as part
                from vsdb.turning t
                offset 0  -- so that part is computed once
            ) a
            offset 0
        ) t
        offset 0
    ) f;
end;
comment on function vsdb.turn_query(halfvec) is
    'Internal. The query to compare turned embeddings with, of length 16,000; the score (100 x cosine) that a run of no distance to it would have, and how many points of it a run loses with the square of its distance.';

create or replace function vsdb.run_score(distance float8, score_at_query float8, points_lost float8) returns real
language sql immutable parallel safe
begin atomic
    select (score_at_query - points_lost * distance ^ 2)::real;
end;
comment on function vsdb.run_score(float8, float8, float8) is
    'Internal. The score (100 x cosine) of a run from the distance that vsdb.nearest_runs gives and what vsdb.turn_query says of the query.';

create or replace function vsdb.nearest_runs(
    query halfvec, video_ids bigint[], from_seconds float8, to_seconds float8,
    recorded_from timestamptz, recorded_to timestamptz, max_candidates integer
) returns table (video_id bigint, first_frame integer, last_frame integer, patch_index smallint, distance float8)
language sql stable parallel safe
begin atomic
    -- The level of the ordered scan holds nothing but a filter and a limit: a window function, a second sort key
    -- or a filter on the distance would take the index away.
    select r.video_id, r.first_frame, r.last_frame, r.patch_index, r.embedding <-> query as distance
    from vsdb.patch_runs r
    where (video_ids is null or r.video_id = any (video_ids))
      and (from_seconds is null or r.last_seconds >= from_seconds)
      and (to_seconds is null or r.start_seconds <= to_seconds)
      and (recorded_from is null or recorded_from <= vsdb.wall_clock(r.video_id, r.last_seconds))
      and (recorded_to is null or recorded_to >= vsdb.wall_clock(r.video_id, r.start_seconds))
    order by distance
    limit max_candidates;
end;
comment on function vsdb.nearest_runs(
    halfvec, bigint[], float8, float8, timestamptz, timestamptz, integer
) is 'Internal. Runs of patches nearest to the query, best first, with the distances of their turned means. query: turned by vsdb.turn_query. A null filter is no filter.';

create or replace function vsdb.frames_of_runs(
    query halfvec, videos bigint[], first_frames integer[], last_frames integer[], patches smallint[],
    from_seconds float8, to_seconds float8, recorded_from timestamptz, recorded_to timestamptz
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
    where (from_seconds is null or p.pts_seconds >= from_seconds)
      and (to_seconds is null or p.pts_seconds <= to_seconds)
      and (recorded_from is null or recorded_from <= vsdb.wall_clock(p.video_id, p.pts_seconds))
      and (recorded_to is null or recorded_to >= vsdb.wall_clock(p.video_id, p.pts_seconds))
    order by score desc, p.video_id, p.frame_index;
end;
comment on function vsdb.frames_of_runs(
    halfvec, bigint[], integer[], integer[], smallint[], float8, float8, timestamptz, timestamptz
) is 'Internal. The frames of the runs given (video, first and last frame, patch) that the filters leave, with the score (100 x cosine) of that patch, best first, ties by key, and the frames where its moment is likely to begin and end. A frame of several runs comes several times.';

create or replace function vsdb.nearest_frames(
    query halfvec, video_ids bigint[], from_seconds float8, to_seconds float8,
    recorded_from timestamptz, recorded_to timestamptz
) returns table (video_id bigint, frame_index integer, score real, window_first integer, window_last integer)
language sql stable parallel safe
begin atomic
    select p.video_id, p.frame_index, max((-100 * (p.embedding <#> query))::real) as score,
           p.frame_index - 12, p.frame_index + 12
    from vsdb.patches p
    where (video_ids is null or p.video_id = any (video_ids))
      and (from_seconds is null or p.pts_seconds >= from_seconds)
      and (to_seconds is null or p.pts_seconds <= to_seconds)
      and (recorded_from is null or recorded_from <= vsdb.wall_clock(p.video_id, p.pts_seconds))
      and (recorded_to is null or recorded_to >= vsdb.wall_clock(p.video_id, p.pts_seconds))
    group by p.video_id, p.frame_index
    order by score desc, p.video_id, p.frame_index;
end;
comment on function vsdb.nearest_frames(
    halfvec, bigint[], float8, float8, timestamptz, timestamptz
) is 'Internal. Every frame that the filters leave with the score of its best patch (100 x cosine), best first, ties by key, and the frames to look for its moment in first. Reads every patch once.';

-- A SET clause of a function would be shorter, but only a superuser may write one for a setting of an extension that
-- the session has not loaded yet, as when a backup is restored.
create or replace function vsdb.widen_index_scan() returns text[]
language plpgsql volatile
as $$
declare
    settings constant text[] := array[coalesce(current_setting('ivfflat.probes', true), '1'),
                                      coalesce(current_setting('ivfflat.iterative_scan', true), 'off')];
begin
    perform set_config('ivfflat.probes', '150', true),  -- of 4,000 lists at most
            -- Where filters leave few of the runs, more lists are read.
            set_config('ivfflat.iterative_scan', 'relaxed_order', true);
    return settings;
end;
$$;
comment on function vsdb.widen_index_scan() is
    'Internal. Sets how much of the index is read, until the end of the transaction, and returns what was set before.';

create or replace function vsdb.restore_index_scan(settings text[]) returns void
language plpgsql volatile
as $$
begin
    perform set_config('ivfflat.probes', settings[1], true), set_config('ivfflat.iterative_scan', settings[2], true);
end;
$$;
comment on function vsdb.restore_index_scan(text[]) is 'Internal. Undoes vsdb.widen_index_scan.';

create or replace function vsdb.open_index(
    query halfvec, video_ids bigint[], from_seconds float8, to_seconds float8,
    recorded_from timestamptz, recorded_to timestamptz, max_candidates integer
) returns refcursor
language plpgsql stable
-- A large limit, a filter or cheap rows turn the planner to a sequential scan and a sort; here the index was chosen.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set plan_cache_mode = force_custom_plan
as $$
declare
    candidates refcursor;
    turned vsdb.patch_runs.embedding%type;  -- a bare type name needs a search_path
    score_at_query float8;
    points_lost float8;
begin
    select q.turned, q.score_at_query, q.points_lost into turned, score_at_query, points_lost
    from vsdb.turn_query(query) q;
    open candidates no scroll for
        select n.video_id, n.first_frame, n.last_frame, n.patch_index,
               vsdb.run_score(n.distance, score_at_query, points_lost) as score
        from vsdb.nearest_runs(turned, video_ids, from_seconds, to_seconds,
                               recorded_from, recorded_to, max_candidates) n;
    return candidates;
end;
$$;
comment on function vsdb.open_index(
    halfvec, bigint[], float8, float8, timestamptz, timestamptz, integer
) is 'Internal. Cursor over vsdb.nearest_runs, planned so that the index is not bypassed.';

create or replace function vsdb.open_runs(
    query halfvec, video_ids bigint[], from_seconds float8, to_seconds float8,
    recorded_from timestamptz, recorded_to timestamptz, max_candidates integer
) returns refcursor
language plpgsql stable
set enable_indexscan = off  -- the index; the primary key is still there for a bitmap scan
set jit = off
set plan_cache_mode = force_custom_plan
as $$
declare
    candidates refcursor;
    turned vsdb.patch_runs.embedding%type;  -- a bare type name needs a search_path
    score_at_query float8;
    points_lost float8;
begin
    select q.turned, q.score_at_query, q.points_lost into turned, score_at_query, points_lost
    from vsdb.turn_query(query) q;
    open candidates no scroll for
        select n.video_id, n.first_frame, n.last_frame, n.patch_index,
               vsdb.run_score(n.distance, score_at_query, points_lost) as score
        from vsdb.nearest_runs(turned, video_ids, from_seconds, to_seconds,
                               recorded_from, recorded_to, max_candidates) n;
    return candidates;
end;
$$;
comment on function vsdb.open_runs(
    halfvec, bigint[], float8, float8, timestamptz, timestamptz, integer
) is 'Internal. Cursor over vsdb.nearest_runs that reads every run and so misses none.';

create or replace function vsdb.open_frames(
    query halfvec, video_ids bigint[], from_seconds float8, to_seconds float8,
    recorded_from timestamptz, recorded_to timestamptz
) returns refcursor
language plpgsql stable
set jit = off
set plan_cache_mode = force_custom_plan
as $$
declare
    candidates refcursor;
begin
    open candidates no scroll for
        select * from vsdb.nearest_frames(query, video_ids, from_seconds, to_seconds, recorded_from, recorded_to);
    return candidates;
end;
$$;
comment on function vsdb.open_frames(
    halfvec, bigint[], float8, float8, timestamptz, timestamptz
) is 'Internal. Cursor over vsdb.nearest_frames.';

create or replace function vsdb.fetch_runs(
    runs refcursor, max_runs integer, taken int8multirange,
    out videos bigint[], out first_frames integer[], out last_frames integer[], out patches smallint[],
    out num_runs integer, out last_score real
)
language plpgsql volatile
as $$
declare
    run record;
begin
    num_runs := 0;
    while num_runs < max_runs loop
        fetch runs into run;
        exit when not found;
        num_runs := num_runs + 1;
        last_score := run.score;
        continue when taken @> vsdb.frame_range(run.video_id, run.first_frame, run.last_frame);
        videos := videos || run.video_id;
        first_frames := first_frames || run.first_frame;
        last_frames := last_frames || run.last_frame;
        patches := patches || run.patch_index;
    end loop;
end;
$$;
comment on function vsdb.fetch_runs(refcursor, integer, int8multirange) is
    'Internal. The next runs of a cursor, column by column, but for those whose frames are all taken. num_runs is how many were read, those too, max_runs at most; last_score (100 x cosine) is that of the last.';

create or replace function vsdb.choose_scan(
    video_like text, video_ids bigint[], from_seconds float8, to_seconds float8,
    recorded_from timestamptz, recorded_to timestamptz, exact boolean
) returns table (chosen_ids bigint[], scan text, num_patches float8)
language sql stable parallel safe
begin atomic
    with selected as (
        -- The share of a video that the time range leaves; a still of no length counts in full.
        select v.video_id,
               v.num_patches as num_read,
               v.num_patches * least(1, greatest(0, coalesce(
                   (least(to_seconds, v.duration_seconds) - greatest(from_seconds, 0) + v.every_seconds)
                       / nullif(v.duration_seconds, 0), 1))) as num_patches
        from vsdb.videos v
        where (video_like is null or v.video_path like video_like)
          and (video_ids is null or v.video_id = any (video_ids))
          and (recorded_from is null or v.recorded_at + make_interval(secs => v.duration_seconds) >= recorded_from)
          and (recorded_to is null or v.recorded_at <= recorded_to)
    ),
    total as (
        select array_agg(s.video_id order by s.video_id) as video_ids, coalesce(sum(s.num_patches), 0) as num_patches,
               coalesce(sum(s.num_read), 0) as num_read
        from selected s
    )
    select case when num_nonnulls(video_like, choose_scan.video_ids, recorded_from, recorded_to) > 0
                then coalesce(t.video_ids, '{}') end,
           -- Up to 150,000 patches the exact answer takes about a tenth of a second. A time range spares no reading:
           -- what it leaves of many videos is found among the runs, which all count then.
           case when exact or t.num_read <= 150000 then 'patches'
                when t.num_patches > 150000 and vsdb.has_index() then 'index'
                else 'runs' end,
           t.num_patches
    from total t;
end;
comment on function vsdb.choose_scan(
    text, bigint[], float8, float8, timestamptz, timestamptz, boolean
) is 'Internal. The videos that the filters leave (null: all), what to scan for candidates (patches: exact; runs: all patch runs; index: their index), and about how many patches the filters leave.';
