-- Which scan reads the candidates of a search, and the runs that it gives.

-- In plpgsql, so that it is not bound to vsdb.videos: vsdb.search_embedding reads that table too (README.md).
create or replace function vsdb.choose_scan(video_like text, filters vsdb.filters, exact boolean)
returns table (chosen vsdb.filters, scan text, num_patches float8)
language plpgsql stable parallel safe rows 1
set search_path = ''
as $$
declare
    num_read float8;  -- patches of the videos that the filters leave: a time range spares no reading
begin
    chosen := filters;
    select case when num_nonnulls(video_like, filters.video_ids, filters.recorded_from, filters.recorded_to) > 0
                then coalesce(array_agg(v.video_id order by v.video_id), '{}') end,
           coalesce(sum(v.num_patches), 0),
           -- The share of a video that the time range leaves; a still of no length counts in full.
           coalesce(sum(v.num_patches * least(1, greatest(0, coalesce(
               (least(filters.to_seconds, v.duration_seconds) - greatest(filters.from_seconds, 0) + v.every_seconds)
                   / nullif(v.duration_seconds, 0), 1)))), 0)
    into chosen.video_ids, num_read, num_patches
    from vsdb.videos v
    where (video_like is null or v.video_path like video_like)
      and (filters.video_ids is null or v.video_id = any (filters.video_ids))
      and (filters.recorded_from is null
           or v.recorded_at + make_interval(secs => v.duration_seconds) >= filters.recorded_from)
      and (filters.recorded_to is null or v.recorded_at <= filters.recorded_to);
    -- Up to 150,000 patches the exact answer takes about a tenth of a second. What a time range leaves of more is
    -- found among the runs.
    scan := case when exact or num_read <= 150000 then 'patches' else 'runs' end;
    return next;
end;
$$;
comment on function vsdb.choose_scan(text, vsdb.filters, boolean) is
    'Internal. The filters with the videos that they leave (null: all), what to scan for candidates (patches: every patch, exactly; runs: every patch run), and about how many patches the filters leave.';

create or replace function vsdb.fetch_runs(
    runs refcursor, max_runs integer, taken int8multirange,
    out videos bigint[], out first_frames integer[], out last_frames integer[], out patches smallint[],
    out num_runs integer, out last_score real
)
language plpgsql volatile
set search_path = ''
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
