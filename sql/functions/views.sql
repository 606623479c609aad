-- The stable face of the tables.

create or replace view vsdb.patch_embeddings as
select v.video_path,
       p.pts_seconds,
       p.patch_index::integer as patch_index,
       p.x::integer as x,
       p.y::integer as y,
       p.width::integer as width,
       p.height::integer as height,
       p.embedding
from vsdb.patches p
join vsdb.videos v using (video_id);
comment on view vsdb.patch_embeddings is 'Every patch embedding with the path of its video. Stable: columns are added at the end, never renamed.';
comment on column vsdb.patch_embeddings.video_path is 'Absolute path of the video.';
comment on column vsdb.patch_embeddings.pts_seconds is 'Time of the frame, in seconds from the start of the video.';
comment on column vsdb.patch_embeddings.patch_index is '0 is the whole frame; from 1 the square patches, row by row from the top left.';
comment on column vsdb.patch_embeddings.x is 'Left edge of the box, in pixels of the frame.';
comment on column vsdb.patch_embeddings.y is 'Top edge of the box, in pixels of the frame.';
comment on column vsdb.patch_embeddings.width is 'Width of the box, in pixels of the frame.';
comment on column vsdb.patch_embeddings.height is 'Height of the box, in pixels of the frame.';
comment on column vsdb.patch_embeddings.embedding is 'Image embedding of the box, of length 1; order by embedding <#> query finds the most similar first.';

create or replace view vsdb.videos_view as
select v.video_id,
       v.video_path,
       v.duration_seconds,
       v.width,
       v.height,
       v.every_seconds,
       v.patch_size,
       v.stride,
       v.num_frames,
       v.num_patches,
       v.size_bytes,
       v.recorded_at,
       v.ingested_at,
       m.model_name,
       exists (select from vsdb.frames f where f.video_id = v.video_id) as has_thumbnails,
       v.keyframes,
       v.skip_unchanged
from vsdb.videos v
cross join (select model_name from vsdb.models limit 1) m;  -- the planner does not know that it is one row
comment on view vsdb.videos_view is 'One row a video. Stable: columns are added at the end, never renamed.';
comment on column vsdb.videos_view.video_id is 'Key of the video.';
comment on column vsdb.videos_view.video_path is 'Absolute path of the video.';
comment on column vsdb.videos_view.duration_seconds is 'Length, in seconds.';
comment on column vsdb.videos_view.width is 'Width of a frame as shown, in pixels.';
comment on column vsdb.videos_view.height is 'Height of a frame as shown, in pixels.';
comment on column vsdb.videos_view.every_seconds is 'Sampling step, in seconds.';
comment on column vsdb.videos_view.patch_size is 'Side of a patch, in pixels.';
comment on column vsdb.videos_view.stride is 'Largest step between neighbouring patches, in pixels.';
comment on column vsdb.videos_view.num_frames is 'Number of sampled frames.';
comment on column vsdb.videos_view.num_patches is 'Number of patch embeddings.';
comment on column vsdb.videos_view.size_bytes is 'Size of the file, in bytes.';
comment on column vsdb.videos_view.recorded_at is 'When the recording began, if known.';
comment on column vsdb.videos_view.ingested_at is 'When the embeddings were stored.';
comment on column vsdb.videos_view.model_name is 'Model that made the embeddings.';
comment on column vsdb.videos_view.has_thumbnails is 'Whether vsdb.frames holds small pictures of its frames.';
comment on column vsdb.videos_view.keyframes is 'Whether only key frames were decoded.';
comment on column vsdb.videos_view.skip_unchanged is 'Whether patches that looked as before have the embedding of the frame before.';

-- Read once by each search.
create or replace view vsdb.line as
select coalesce(c.possible, 1) as possible, coalesce(c.likely, 3) as likely, c.num_judgements
from (values (true)) always (is_there)
left join (
    select c.possible, c.likely, c.num_judgements from vsdb.calibrations c order by c.calibration_id desc limit 1
) c on true;
comment on view vsdb.line is 'One row: the z from which on moments are possible and likely. Columns are added at the end, never renamed.';
comment on column vsdb.line.possible is 'The line of no match: moments of a lower z are left out of an answer, unless it has a bound of its own.';
comment on column vsdb.line.likely is 'The z from which on a moment is likely.';
comment on column vsdb.line.num_judgements is 'Number of judgements that both were fitted to; null where they are those that vsdb comes with.';
