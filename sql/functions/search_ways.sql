-- More ways to ask; each composes with vsdb.search_embedding.

create or replace function vsdb.without(query halfvec, unwanted halfvec, weight float8 default 0.5) returns halfvec
language sql stable parallel safe
begin atomic
    select vsdb.take_off(vsdb.unit_query(query), vsdb.unit_query(unwanted), weight);
end;
comment on function vsdb.without(halfvec, halfvec, float8) is
    'A query embedding turned away from what is not wanted: query less weight x unwanted, of length 1. Its scores are lower than those of a plain prompt; compare z, not score.';

create or replace function vsdb.search_then(
    query halfvec,
    next_query halfvec,
    within_seconds float8 default 10,
    max_moments integer default 6,
    video_like text default null,
    video_ids bigint[] default null,
    num_first integer default 30,
    min_z float8 default null,
    asked halfvec default null,
    next_asked halfvec default null
) returns table (
    rank integer, video_path text, start_seconds float8, end_seconds float8, best_seconds float8, score real,
    x integer, y integer, width integer, height integer, video_id bigint, z real, match text,
    next_seconds float8, next_score real, next_z real
)
language sql stable
begin atomic
    with question as materialized (
        select vsdb.check_search(max_moments, 0)
    ),
    -- pairs: the best moment of next_query after the best of each moment of query, and soon enough. Both have to stand
    -- out.
    pairs as (
        select a.*, b.end_seconds as next_end_seconds, b.best_seconds as next_seconds, b.score as next_score,
               b.z as next_z, b.match as next_match, coalesce(a.z + b.z, a.score + b.score) as together
        from question,
             vsdb.search_embedding(query, num_first, video_like => video_like, video_ids => video_ids,
                                   min_z => min_z, asked => asked) a
        cross join lateral vsdb.search_embedding(
            next_query, 1, video_ids => array[a.video_id], min_z => min_z, asked => next_asked,
            from_seconds => a.best_seconds + 1e-3, to_seconds => a.end_seconds + within_seconds) b
    ),
    -- Two moments of query that lead to the same answer are one; the better pair stays.
    best as (
        select p.*, row_number() over (
                   partition by p.video_id, p.next_seconds order by p.together desc, p.best_seconds) as place
        from pairs p
    )
    select (row_number() over (order by b.together desc, b.video_id, b.start_seconds))::integer,
           b.video_path, b.start_seconds, greatest(b.end_seconds, b.next_end_seconds), b.best_seconds,
           ((b.score + b.next_score) / 2)::real,
           b.x, b.y, b.width, b.height, b.video_id, ((b.z + b.next_z) / 2)::real,
           case when b.z <= b.next_z then b.match else b.next_match end,
           b.next_seconds, b.next_score, b.next_z
    from best b
    where b.place = 1
    order by 1
    limit max_moments;
end;
comment on function vsdb.search_then(
    halfvec, halfvec, float8, integer, text, bigint[], integer, float8, halfvec, halfvec
) is 'Moments that answer query and are followed by next_query, at most within_seconds after their end; both have to reach min_z, or the line of no match. asked, next_asked: as for vsdb.search_embedding. score (100 x cosine) and z are means of the two, match is that of the weaker; times in seconds; the box is that of query. The num_first best moments of query are followed up.';
