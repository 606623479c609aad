-- What the index needs to be found by prompts: embeddings turned and stretched.

create or replace function vsdb.turn(embedding halfvec) returns halfvec
language sql stable parallel safe
begin atomic
    select coalesce(
        array_agg(((-(t.direction <#> embedding) - t.centre) / t.stretch)::real order by t.axis)::halfvec, embedding
    )
    from vsdb.turning t;
end;
comment on function vsdb.turn(halfvec) is 'Internal. An embedding as vsdb.patch_runs stores it: as it is until the index is first built, and then by vsdb.turning.';

-- The lists of the index are made by distance (k-means), but a prompt wants the highest inner products. With
-- |query - run|^2 = |query|^2 - 2 query * run + |run|^2, the order by distance is the order by inner product if the
-- query is so long that |run|^2 makes no difference. With a length of 16,000 it changes a score by some hundredths,
-- about as much as the rounding of single-precision sums.
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
    'Internal. What to ask the turned patch runs with. turned: the query, turned and brought to a length of 16,000. vsdb.run_score gets a run''s score from the other two: score_at_query (100 x cosine) at distance 0, and points_lost, how much of it the square of a distance of 1 takes away.';

create or replace function vsdb.run_score(distance float8, score_at_query float8, points_lost float8) returns real
language sql immutable parallel safe
begin atomic
    select (score_at_query - points_lost * distance ^ 2)::real;
end;
comment on function vsdb.run_score(float8, float8, float8) is
    'Internal. The score (100 x cosine) of a run from the distance that vsdb.nearest_runs gives and what vsdb.turn_query says of the query.';

create or replace function vsdb.store_turning(directions text[], centres real[], stretches real[]) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
    direction vsdb.turning.direction%type;  -- text becomes one without naming pgvector's type
begin
    if exists (select from vsdb.turning) then
        raise exception 'the patch runs are turned already'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'vsdb.turning is stored once, before the index is first built.';
    end if;
    -- Runs stored meanwhile would not be turned. Who removes a video locks it first and its runs then: so does this.
    lock table vsdb.videos, vsdb.patch_runs in share row exclusive mode;
    for place in 1 .. cardinality(directions) loop
        direction := directions[place];
        insert into vsdb.turning (axis, direction, centre, stretch)
        values (place - 1, direction, centres[place], stretches[place]);
    end loop;
    -- Not an update: the planner would leave an index on its rows alone until all older transactions have ended.
    with unturned as (
        delete from vsdb.patch_runs returning *
    )
    insert into vsdb.patch_runs (video_id, first_frame, last_frame, start_seconds, last_seconds, patch_index, embedding)
    select u.video_id, u.first_frame, u.last_frame, u.start_seconds, u.last_seconds, u.patch_index,
           vsdb.turn(u.embedding)
    from unturned u;
end;
$$;
comment on function vsdb.store_turning(text[], real[], real[]) is
    'Internal. Stores vsdb.turning, one entry for each axis, and turns the patch runs, about 2,000 a second.';
