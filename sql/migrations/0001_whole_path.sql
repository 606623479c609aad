-- vsdb 0001: videos and their patch embeddings.
-- Applied once and frozen: a change to a table is a new file in this folder.

create extension if not exists vector;
create schema if not exists vsdb;
comment on schema vsdb is 'Semantic video search: videos, their patch embeddings, and the functions that answer prompts with moments.';

-- One database holds one model, so a query can never meet embeddings of another one.
create table vsdb.models (
    singleton       boolean primary key default true check (singleton),
    model_name      text not null check (model_name <> ''),
    weights_sha256  bytea not null check (octet_length(weights_sha256) = 32),
    weights_path    text,
    embedding_dim   integer not null check (embedding_dim between 1 and 4000),
    image_size      integer not null check (image_size > 0),
    image_mean      real[] not null check (cardinality(image_mean) = 3),
    image_std       real[] not null check (cardinality(image_std) = 3),
    interpolation   text not null check (interpolation in ('bicubic', 'bilinear', 'nearest')),
    resize_mode     text not null check (resize_mode in ('shortest', 'longest', 'squash')),
    created_at      timestamptz not null default now()
);
comment on table vsdb.models is 'The one model whose embeddings this database holds; a second model is a second database.';
comment on column vsdb.models.singleton is 'Always true: the primary key that keeps this table at one row.';
comment on column vsdb.models.model_name is 'open_clip model name, such as RN50x4, or tiny.';
comment on column vsdb.models.weights_sha256 is 'SHA-256 of the weights, 32 bytes.';
comment on column vsdb.models.weights_path is 'File the weights were read from; null when the model''s name is enough to find them.';
comment on column vsdb.models.embedding_dim is 'Numbers in an embedding.';
comment on column vsdb.models.image_size is 'Side of the square picture the model reads, in pixels.';
comment on column vsdb.models.image_mean is 'Mean that preprocessing subtracts, RGB in [0, 1].';
comment on column vsdb.models.image_std is 'Standard deviation that preprocessing divides by, RGB in [0, 1].';
comment on column vsdb.models.interpolation is 'Interpolation of the resize in preprocessing.';
comment on column vsdb.models.resize_mode is 'How preprocessing brings a picture to image_size: shortest side and centre crop, longest side and padding, or squash.';
comment on column vsdb.models.created_at is 'When the first video was ingested with this model.';

create table vsdb.videos (
    video_id          bigint generated always as identity primary key,
    video_path        text not null unique check (video_path <> ''),
    content_sha256    bytea not null unique check (octet_length(content_sha256) = 32),
    size_bytes        bigint not null check (size_bytes > 0),
    duration_seconds  double precision not null check (duration_seconds >= 0),
    width             integer not null check (width > 0),
    height            integer not null check (height > 0),
    every_seconds     double precision not null check (every_seconds > 0),
    patch_size        integer not null check (patch_size > 0),
    stride            integer not null check (stride > 0),
    num_frames        integer not null check (num_frames > 0),
    num_patches       integer not null check (num_patches >= num_frames),
    recorded_at       timestamptz,
    ingested_at       timestamptz not null default now()
);
comment on table vsdb.videos is 'One row a video. The content hash tells videos apart; the path is where the file was last seen.';
comment on column vsdb.videos.video_id is 'Key of the video; every key of its rows begins with it.';
comment on column vsdb.videos.video_path is 'Absolute path of the file when it was last ingested.';
comment on column vsdb.videos.content_sha256 is 'SHA-256 of the file''s bytes, 32 bytes.';
comment on column vsdb.videos.size_bytes is 'Size of the file, in bytes.';
comment on column vsdb.videos.duration_seconds is 'Length of the picture track, in seconds.';
comment on column vsdb.videos.width is 'Width of a frame as shown (rotation applied), in pixels.';
comment on column vsdb.videos.height is 'Height of a frame as shown (rotation applied), in pixels.';
comment on column vsdb.videos.every_seconds is 'Sampling step: one frame was taken every so many seconds.';
comment on column vsdb.videos.patch_size is 'Side of a patch, in pixels of the frame.';
comment on column vsdb.videos.stride is 'Largest step between neighbouring patches, in pixels of the frame.';
comment on column vsdb.videos.num_frames is 'Number of sampled frames.';
comment on column vsdb.videos.num_patches is 'Number of patch embeddings, the whole frames included.';
comment on column vsdb.videos.recorded_at is 'When the recording began, if known; recorded_at + pts_seconds is wall-clock time.';
comment on column vsdb.videos.ingested_at is 'When the embeddings were stored.';

-- 1,344 bytes a row, six to a page: halfvec(640) takes 1,288 and stays out of TOAST, where every distance
-- would cost a second look-up. The box is smallint so that a row has room for one more time stamp.
create table vsdb.patches (
    video_id     bigint not null references vsdb.videos on delete cascade,
    pts_seconds  double precision not null check (pts_seconds >= 0),
    frame_index  integer not null check (frame_index >= 0),
    patch_index  smallint not null check (patch_index >= 0),
    x            smallint not null check (x >= 0),
    y            smallint not null check (y >= 0),
    width        smallint not null check (width > 0),
    height       smallint not null check (height > 0),
    embedding    halfvec(640) not null,
    primary key (video_id, frame_index, patch_index)
);
alter table vsdb.patches alter column embedding set storage plain;
comment on table vsdb.patches is 'One row a patch: a box of a sampled frame and its embedding.';
comment on column vsdb.patches.video_id is 'The video the frame belongs to.';
comment on column vsdb.patches.pts_seconds is 'Presentation time stamp of the frame, in seconds from the start of the video.';
comment on column vsdb.patches.frame_index is 'Place of the frame among the sampled frames of the video, from 0.';
comment on column vsdb.patches.patch_index is '0 is the whole frame; from 1 the square patches, row by row from the top left.';
comment on column vsdb.patches.x is 'Left edge of the box, in pixels of the frame.';
comment on column vsdb.patches.y is 'Top edge of the box, in pixels of the frame.';
comment on column vsdb.patches.width is 'Width of the box, in pixels of the frame.';
comment on column vsdb.patches.height is 'Height of the box, in pixels of the frame.';
comment on column vsdb.patches.embedding is 'Image embedding of the box, of length 1, so that <#> (negative inner product) is minus the cosine similarity.';

-- Roles belong to the whole server: another database, or another migration at this very moment, may have made it.
do $$
begin
    create role vsdb_reader nologin;
exception
    when duplicate_object or unique_violation then null;
    when insufficient_privilege then
        raise notice 'role vsdb_reader was not created: this needs CREATEROLE'
            using hint = 'Ask an administrator for "create role vsdb_reader", then run "vsdb migrate" again.';
end
$$;
