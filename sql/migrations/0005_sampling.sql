-- vsdb 0005: two ways of sampling that are not the usual one. Applied once and frozen.

alter table vsdb.videos
    add column keyframes boolean not null default false,
    add column skip_unchanged boolean not null default false;
comment on column vsdb.videos.keyframes is 'Whether only key frames were decoded: then frames are as far apart as these, at least every_seconds.';
comment on column vsdb.videos.skip_unchanged is 'Whether a patch that looked as before has the embedding of the frame before instead of one of its own.';
