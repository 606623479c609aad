-- How well each frame of one video answers: what a plot of score over time is drawn from.

create or replace function vsdb.score_video(query halfvec, video_id bigint)
returns table (frame_index integer, pts_seconds float8, score real)
language sql stable
begin atomic
    with question as materialized (
        select vsdb.unit_query(query) as embedding
    )
    select f.frame_index, f.pts_seconds, f.score
    from question q,
         vsdb.score_frames(q.embedding, score_video.video_id, 0, 2147483647, null) s,
         unnest(s.frames, s.seconds, s.scores) as f (frame_index, pts_seconds, score)
    order by f.frame_index;
end;
comment on function vsdb.score_video(halfvec, bigint) is
    'One row for each sampled frame of a video: its time (pts_seconds, seconds from the start of the video) and the score of its best patch (100 x cosine). No rows for a video that is not there.';
