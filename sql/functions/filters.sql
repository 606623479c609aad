-- The filters of a search: vsdb.filters is one value for all of them, so that a new one is added in one place.

create or replace function vsdb.wall_clock(in_video bigint, pts_seconds float8) returns timestamptz
language sql stable parallel safe
begin atomic
    select v.recorded_at + make_interval(secs => pts_seconds) from vsdb.videos v where v.video_id = in_video;
end;
comment on function vsdb.wall_clock(bigint, float8) is
    'When a frame was recorded: recorded_at of its video and pts_seconds (seconds) after; null if that is not known.';

-- The planner writes its body in place of a call, and a null filter then costs nothing.
create or replace function vsdb.in_times(
    filters vsdb.filters, in_video bigint, start_seconds float8, last_seconds float8
) returns boolean
language sql stable parallel safe
begin atomic
    select (filters.from_seconds is null or last_seconds >= filters.from_seconds)
       and (filters.to_seconds is null or start_seconds <= filters.to_seconds)
       and (filters.recorded_from is null or filters.recorded_from <= vsdb.wall_clock(in_video, last_seconds))
       and (filters.recorded_to is null or filters.recorded_to >= vsdb.wall_clock(in_video, start_seconds));
end;
comment on function vsdb.in_times(vsdb.filters, bigint, float8, float8) is
    'Internal. Whether the time filters leave a part of the stretch of a video from start_seconds to last_seconds (its first and its last frame).';
