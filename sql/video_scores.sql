-- How well each frame of one video answers: what a plot of score over time is drawn from. Re-applied at every migrate.

create or replace function vsdb.score_video(query halfvec, video_id bigint)
returns table (frame_index integer, pts_seconds float8, score real)
language sql stable
begin atomic
    with question as materialized (
        select vsdb.unit_query(query) as embedding
    )
    select p.frame_index, min(p.pts_seconds), (-100 * min(p.embedding <#> q.embedding))::real
    from vsdb.patches p, question q
    where p.video_id = score_video.video_id
    group by p.frame_index
    order by p.frame_index;
end;
comment on function vsdb.score_video(halfvec, bigint) is
    'One row for each sampled frame of a video: its time (pts_seconds, seconds from the start of the video) and the score of its best patch (100 x cosine). No rows for a video that is not there.';
