-- vsdb 0007: the filters of a search as one value, which its functions hand on. Applied once and frozen.

create type vsdb.filters as (
    video_ids      bigint[],
    from_seconds   double precision,
    to_seconds     double precision,
    recorded_from  timestamptz,
    recorded_to    timestamptz
);
comment on type vsdb.filters is 'Internal. What part of the database a search is about; a null is no filter.';
comment on column vsdb.filters.video_ids is 'Only these videos.';
comment on column vsdb.filters.from_seconds is 'Nothing before this time, in seconds from the start of the video.';
comment on column vsdb.filters.to_seconds is 'Nothing after this time, in seconds from the start of the video.';
comment on column vsdb.filters.recorded_from is 'Nothing recorded before; a video whose recording time is not known does not count.';
comment on column vsdb.filters.recorded_to is 'Nothing recorded after; a video whose recording time is not known does not count.';
