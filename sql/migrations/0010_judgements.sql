-- vsdb 0010: what people say of answers, and the lines that are fitted to it. Applied once and frozen.

-- A judgement is work of somebody's, so it outlives the rows of its video: to ingest a video again deletes and makes them,
-- and an archive that drops what is old would unlearn. The content, not the row, is what it is about.
create table vsdb.judgements (
    prompt_sha256   bytea not null check (octet_length(prompt_sha256) = 32),
    content_sha256  bytea not null check (octet_length(content_sha256) = 32),
    best_seconds    double precision not null,
    prompt          text not null,
    is_right        boolean not null,
    embedding       halfvec,
    score           real,
    z               real,
    judged_at       timestamptz not null default now(),
    primary key (prompt_sha256, content_sha256, best_seconds)
);
alter table vsdb.judgements alter column embedding set storage plain;
comment on table vsdb.judgements is 'One row for each moment of which somebody said whether it answers a prompt. Written by vsdb.judge(); rows stay when their video is removed.';
comment on column vsdb.judgements.prompt_sha256 is 'SHA-256 of the prompt, 32 bytes.';
comment on column vsdb.judgements.content_sha256 is 'SHA-256 of the video''s file, as in vsdb.videos.';
comment on column vsdb.judgements.best_seconds is 'Time of the moment''s best frame, in seconds from the start of the video.';
comment on column vsdb.judgements.prompt is 'The prompt.';
comment on column vsdb.judgements.is_right is 'Whether the moment answers the prompt.';
comment on column vsdb.judgements.embedding is 'The prompt''s embedding by this database''s model; null until it is computed after a change of the model.';
comment on column vsdb.judgements.score is 'Score of the moment (100 x cosine); null until it is measured with this database''s model.';
comment on column vsdb.judgements.z is 'z of the moment against the background as it was last measured; null as for score.';
comment on column vsdb.judgements.judged_at is 'When it was judged.';

create table vsdb.calibrations (
    calibration_id  integer primary key generated always as identity,
    possible        double precision not null,
    likely          double precision not null,
    num_judgements  integer not null check (num_judgements > 0),
    fitted_at       timestamptz not null default now(),
    check (likely >= possible)
);
comment on table vsdb.calibrations is 'One row for each time that the lines were fitted to judgements; the newest counts. Without one, moments are possible from a z of 1 and likely from 3.';
comment on column vsdb.calibrations.calibration_id is 'Key; the newest has the highest.';
comment on column vsdb.calibrations.possible is 'The z from which on a moment is possible: the line of no match.';
comment on column vsdb.calibrations.likely is 'The z from which on a moment is likely.';
comment on column vsdb.calibrations.num_judgements is 'Number of judgements it was fitted to.';
comment on column vsdb.calibrations.fitted_at is 'When it was fitted.';
