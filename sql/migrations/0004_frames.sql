-- vsdb 0004: a small picture of each sampled frame. Applied once and frozen.

create table vsdb.frames (
    video_id     bigint not null references vsdb.videos on delete cascade,
    frame_index  integer not null check (frame_index >= 0),
    pts_seconds  double precision not null check (pts_seconds >= 0),
    jpeg         bytea not null check (octet_length(jpeg) > 0),
    primary key (video_id, frame_index)
);
-- A JPEG does not get smaller by compressing it again.
alter table vsdb.frames alter column jpeg set storage external;
comment on table vsdb.frames is 'One row a sampled frame: a thumbnail, to show what was found where the video is not at hand. Videos ingested without thumbnails have none.';
comment on column vsdb.frames.video_id is 'The video the frame belongs to.';
comment on column vsdb.frames.frame_index is 'Place of the frame among the sampled frames of the video, from 0, as in vsdb.patches.';
comment on column vsdb.frames.pts_seconds is 'Presentation time stamp of the frame, in seconds from the start of the video; vsdb.search gives it as best_seconds.';
comment on column vsdb.frames.jpeg is 'The frame as a JPEG: upright, in its own proportions, at most 320 pixels wide and 640 high, never enlarged.';
