-- vsdb 0009: when the file system last changed a video's file, as it was when the video was ingested. Applied once and frozen.

alter table vsdb.videos add column file_changed_ns bigint;
comment on column vsdb.videos.file_changed_ns is
    'When the file was last changed as it was ingested, by the clock of its file system (st_ctime): nanoseconds since 1970; null where it is not known.';
