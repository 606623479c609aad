-- Which scan reads the candidates of a search, and how PostgreSQL is kept from another plan.

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
    scan := case when exact or num_read <= 150000 then 'patches'
                 when num_patches > 150000 and vsdb.has_index() then 'index'
                 else 'runs' end;
    return next;
end;
$$;
comment on function vsdb.choose_scan(text, vsdb.filters, boolean) is
    'Internal. The filters with the videos that they leave (null: all), what to scan for candidates (patches: exact; runs: all patch runs; index: their index), and about how many patches the filters leave.';

create or replace function vsdb.set_scan(scan text) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
    -- index: a large limit, a filter or cheap rows turn the planner to a sequential scan and a sort; the index was
    -- chosen. runs: without the index; the primary key is still there for a bitmap scan.
    perform set_config(name, 'off', true)
    from unnest(case scan when 'index' then array['enable_seqscan', 'enable_bitmapscan', 'enable_sort']
                          when 'runs' then array['enable_indexscan'] end) name;
end;
$$;
comment on function vsdb.set_scan(text) is
    'Internal. Forbids the planner every plan but that of the scan, until the function that calls it ends: that one has to set the same settings itself, as vsdb.open_scan does.';

create or replace function vsdb.open_scan(query halfvec, filters vsdb.filters, scan text, max_candidates integer)
returns refcursor
language plpgsql stable
set search_path = ''
set enable_seqscan = on  -- because these stand here, what vsdb.set_scan sets is undone at the end
set enable_bitmapscan = on
set enable_sort = on
set enable_indexscan = on
set jit = off
set plan_cache_mode = force_custom_plan
as $$
declare
    candidates refcursor;
    question record;
begin
    perform vsdb.set_scan(scan);
    if scan = 'patches' then
        open candidates no scroll for
            select * from vsdb.nearest_frames(query, filters);
        return candidates;
    end if;
    select * into question from vsdb.turn_query(query);
    open candidates no scroll for
        select n.video_id, n.first_frame, n.last_frame, n.patch_index,
               vsdb.run_score(n.distance, question.score_at_query, question.points_lost) as score
        from vsdb.nearest_runs(question.turned, filters, max_candidates) n;
    return candidates;
end;
$$;
comment on function vsdb.open_scan(halfvec, vsdb.filters, text, integer) is
    'Internal. Cursor over the candidates of a search: vsdb.nearest_frames where scan is patches, else the first max_candidates of vsdb.nearest_runs with their scores.';

-- A SET clause of a function would be shorter, but only a superuser may write one for a setting of an extension that
-- the session has not loaded yet, as when a backup is restored.
create or replace function vsdb.widen_index_scan() returns text[]
language plpgsql volatile
set search_path = ''
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
set search_path = ''
as $$
begin
    perform set_config('ivfflat.probes', settings[1], true), set_config('ivfflat.iterative_scan', settings[2], true);
end;
$$;
comment on function vsdb.restore_index_scan(text[]) is 'Internal. Undoes vsdb.widen_index_scan.';

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
