-- How a search was done.

create or replace function vsdb.plan_scan(query halfvec, filters vsdb.filters, scan text) returns jsonb
language plpgsql volatile
set search_path = ''
set jit = off  -- as in vsdb.nearest_runs and vsdb.nearest_frames, whose plan this is
as $$
declare
    plan jsonb;
begin
    execute 'explain (analyze, format json) select * from vsdb.'
            || case when scan = 'patches' then 'compare_frames($1, $2)' else 'compare_runs($1, $2, 100)' end
    into plan
    using vsdb.unit_query(query), filters;
    return plan;
end;
$$;
comment on function vsdb.plan_scan(halfvec, vsdb.filters, text) is
    'Internal. Plan and row counts of the scan for candidates (the first 100 of them where these are runs), as EXPLAIN (ANALYZE, FORMAT JSON) gives them.';

create or replace function vsdb.explain_embedding(
    query halfvec,
    max_moments integer default 6,
    video_like text default null,
    from_seconds float8 default null,
    to_seconds float8 default null,
    video_ids bigint[] default null,
    asked halfvec default null
) returns table (step text, result text, milliseconds float8)
language plpgsql volatile
set search_path = ''
as $$
#variable_conflict use_variable
declare
    began timestamptz := clock_timestamp();
    selection record;
    found jsonb;
    wanted jsonb;
    plan jsonb;
begin
    select c.scan, c.num_patches, c.chosen, cardinality((c.chosen).video_ids) as num_videos into selection
    from vsdb.choose_scan(video_like, row(video_ids, from_seconds, to_seconds, null, null)::vsdb.filters, false) c;
    return query select 'scan', format('%s, about %s patches in %s videos', selection.scan,
                                       round(selection.num_patches), coalesce(selection.num_videos::text, 'all')),
                        vsdb.since(began);

    return query
    select 'background', format('neutral prompts: mean score %s, best %s, deviation %s', round(neutral::numeric, 2),
                                round(peak::numeric, 2), round(deviation::numeric, 2)), null::float8
    from (select case when asked is null then b.plain_neutral_score else b.neutral_score end as neutral,
                 case when asked is null then b.plain_peak_mean else b.peak_mean end as peak,
                 case when asked is null then b.plain_peak_deviation else b.peak_deviation end as deviation
          from vsdb.background b) b;

    began := clock_timestamp();
    select jsonb_agg(jsonb_build_array(m.video_id, m.start_seconds, m.end_seconds)) into found
    from vsdb.search_embedding(query, max_moments, video_like => video_like, from_seconds => from_seconds,
                               to_seconds => to_seconds, video_ids => video_ids, min_z => '-infinity',
                               asked => asked) m;
    return query select 'moments', coalesce(jsonb_array_length(found), 0)::text, vsdb.since(began);
    return query select 'candidates', current_setting('vsdb.num_candidates', true), null::float8;

    began := clock_timestamp();
    select jsonb_agg(jsonb_build_array(m.video_id, m.start_seconds, m.end_seconds)) into wanted
    from vsdb.search_embedding(query, max_moments, video_like => video_like, from_seconds => from_seconds,
                               to_seconds => to_seconds, video_ids => video_ids, exact => true,
                               min_z => '-infinity', asked => asked) m;
    return query select 'exact moments', coalesce(jsonb_array_length(wanted), 0)::text, vsdb.since(began);
    return query select 'recall', format('%s of %s', count(*) filter (where found @> jsonb_build_array(w)), count(*)),
                        null::float8
    from jsonb_array_elements(wanted) w;

    plan := vsdb.plan_scan(coalesce(asked, query), selection.chosen, selection.scan);
    return query select 'rows filtered out',
                        coalesce(sum((node ->> 'Rows Removed by Filter')::float8 * (node ->> 'Actual Loops')::float8),
                                 0)::text,
                        null::float8
    from jsonb_path_query(plan, 'strict $.**?(exists(@."Rows Removed by Filter"))') as node;
    return query select 'parallel workers', coalesce(sum((node ->> 'Workers Launched')::integer), 0)::text, null::float8
    from jsonb_path_query(plan, 'strict $.**?(exists(@."Workers Launched"))') as node;
    return query select 'plan', concat_ws(' on ', node ->> 'Node Type', node ->> 'Relation Name')
                                || coalesce(' using ' || (node ->> 'Index Name'), ''), null::float8
    from jsonb_path_query(plan, 'strict $.**?(exists(@."Node Type"))') as node;
end;
$$;
comment on function vsdb.explain_embedding(halfvec, integer, text, float8, float8, bigint[], halfvec) is
    'How a search was done: the scan chosen, the background, candidates fetched, time in each step (milliseconds), how many moments of the exact answer it found, rows of the scan that the filters threw away, the parallel workers that took part in it, and its plan.';

create or replace function vsdb.since(began timestamptz) returns float8
language sql volatile parallel safe
begin atomic
    select round(extract(epoch from clock_timestamp() - began) * 1000, 3)::float8;
end;
comment on function vsdb.since(timestamptz) is 'Internal. Milliseconds from began to now.';

create or replace function vsdb.explain(
    prompt text,
    max_moments integer default 6,
    video_like text default null,
    from_seconds float8 default null,
    to_seconds float8 default null,
    video_ids bigint[] default null
) returns table (step text, result text, milliseconds float8)
language plpgsql volatile
set search_path = ''
as $$
declare
    began constant timestamptz := clock_timestamp();
    embedding constant vsdb.prompt_embeddings.embedding%type := vsdb.embed(prompt);
begin
    return query select 'embed', prompt, vsdb.since(began);
    return query select * from vsdb.explain_embedding(embedding, max_moments, video_like,
                                                      from_seconds, to_seconds, video_ids,
                                                      vsdb.centre(embedding));
end;
$$;
comment on function vsdb.explain(text, integer, text, float8, float8, bigint[]) is
    'How a search for a prompt was done: what vsdb.explain_embedding tells, and the time that embedding the prompt took.';
