-- vsdb 0003: what an honest "no match" needs to know. Applied once and frozen.

create table vsdb.neutral_prompts (
    prompt     text primary key check (prompt <> ''),
    embedding  halfvec(640)
);
comment on table vsdb.neutral_prompts is 'Prompts of many kinds that show how high a prompt scores in this database without being meant. Rows may be added or deleted.';
comment on column vsdb.neutral_prompts.prompt is 'The prompt.';
comment on column vsdb.neutral_prompts.embedding is 'Its text embedding by the database''s model, of length 1; null until vsdb.refresh_background() or the program that ingests has computed it.';

create table vsdb.background (
    singleton         boolean primary key default true check (singleton),
    neutral_score     real not null,
    peak_mean         real not null,
    peak_deviation    real not null check (peak_deviation > 0),
    height_mean       real not null,
    height_deviation  real not null check (height_deviation > 0),
    num_prompts       integer not null check (num_prompts > 0),
    num_patches       bigint not null check (num_patches >= 0),
    refreshed_at      timestamptz not null default now()
);
comment on table vsdb.background is 'One row: how neutral prompts score against this database''s own patches. Written by vsdb.refresh_background().';
comment on column vsdb.background.singleton is 'Always true: the primary key that keeps this table at one row.';
comment on column vsdb.background.neutral_score is 'Mean score (100 x cosine) of the neutral prompts over a sample of the patches.';
comment on column vsdb.background.peak_mean is 'Best score (100 x cosine) of a neutral prompt: mean over the neutral prompts.';
comment on column vsdb.background.peak_deviation is 'Standard deviation of the best scores of the neutral prompts.';
comment on column vsdb.background.height_mean is 'How far the best score of a neutral prompt lies above its mean score, in standard deviations of its own scores: mean over the neutral prompts.';
comment on column vsdb.background.height_deviation is 'Standard deviation of that distance between the neutral prompts.';
comment on column vsdb.background.num_prompts is 'Number of neutral prompts measured.';
comment on column vsdb.background.num_patches is 'Number of patches in the database when it was measured.';
comment on column vsdb.background.refreshed_at is 'When it was measured.';

insert into vsdb.neutral_prompts (prompt)
select thing
from unnest(array[
    'an accordion', 'an aquarium', 'an astronaut', 'an avocado', 'a bagpipe', 'a barcode', 'a basketball hoop',
    'a beehive', 'a billiard table', 'a bowling alley', 'a cactus', 'a camel', 'a candle', 'a castle', 'a cello',
    'a chandelier', 'a chess board', 'a coral reef', 'a cornfield', 'a cricket bat', 'a desert', 'a dinosaur',
    'a dishwasher', 'an eagle', 'an elephant', 'an espresso machine', 'a ferris wheel', 'a fireplace', 'a flamingo',
    'a forklift', 'a fountain pen', 'a frying pan', 'a galaxy', 'a glacier', 'a golf course', 'a greenhouse',
    'a hammock', 'a harp', 'a hedgehog', 'a hot air balloon', 'an igloo', 'a jellyfish', 'a kangaroo', 'a kettle',
    'a koala', 'a ladder', 'a lighthouse', 'a lobster', 'a microscope', 'a mosque', 'a mushroom', 'a necklace',
    'an octopus', 'an operating room', 'an orchestra', 'a paintbrush', 'a parachute', 'a parrot', 'a penguin',
    'a piano', 'a pineapple', 'a pyramid', 'a rainbow', 'a rocket', 'a roller coaster', 'a sailing boat',
    'a saxophone', 'a scorpion', 'a sewing machine', 'a skateboard', 'a snowman', 'a spider web', 'a stethoscope',
    'a submarine', 'a sushi roll', 'a swimming pool', 'a telescope', 'a tent', 'a throne', 'a toaster', 'a trampoline',
    'a treadmill', 'a trumpet', 'a typewriter', 'a unicycle', 'a vineyard', 'a volcano', 'a walrus', 'a wedding cake',
    'a wheelbarrow', 'a windmill', 'a wine glass', 'a wolf', 'a wrestling ring', 'a zebra'
]) as thing;

-- Image embeddings lie in a narrow cone and vary much more in some directions than in others, so that lists of like
-- embeddings would be lists of like scenes and a prompt could not tell which of them to read. Moved to their centre
-- and turned into their main directions, each of them stretched by the fourth root of its variance (the query by the
-- inverse, which leaves every inner product as it was), they fall into lists that a prompt can tell apart.
create table vsdb.turning (
    axis       smallint primary key check (axis >= 0),
    direction  halfvec not null,
    centre     real not null,
    stretch    real not null check (stretch > 0)
);
alter table vsdb.turning alter column direction set storage plain;
comment on table vsdb.turning is 'One row for each number of a turned embedding. Empty until the index is first built; then never changed, because the patch runs are stored turned.';
comment on column vsdb.turning.axis is 'Place of the number in a turned embedding, from 0.';
comment on column vsdb.turning.direction is 'A main direction of the patch runs, of length 1; the directions are orthogonal.';
comment on column vsdb.turning.centre is 'Inner product of the direction with the mean embedding.';
comment on column vsdb.turning.stretch is 'Fourth root of the variance along the direction: stored numbers are divided by it, those of a query multiplied.';

-- Neighbouring seconds of a video are near-duplicates: runs of them are a sixteenth of the patches.
create table vsdb.patch_runs (
    video_id       bigint not null references vsdb.videos on delete cascade,
    first_frame    integer not null check (first_frame >= 0),
    last_frame     integer not null,
    start_seconds  double precision not null,
    last_seconds   double precision not null,
    patch_index    smallint not null check (patch_index >= 0),
    embedding      halfvec(640) not null,
    primary key (video_id, first_frame, patch_index),
    check (last_frame >= first_frame and last_seconds >= start_seconds)
);
alter table vsdb.patch_runs alter column embedding set storage plain;
comment on table vsdb.patch_runs is 'One row for the consecutive frames, 32 at most, in which a patch hardly changes; what the index is built on. Kept by a trigger on vsdb.patches.';
comment on column vsdb.patch_runs.video_id is 'The video.';
comment on column vsdb.patch_runs.first_frame is 'First frame of the run.';
comment on column vsdb.patch_runs.last_frame is 'Last frame of the run.';
comment on column vsdb.patch_runs.start_seconds is 'Time of the first frame, in seconds from the start of the video.';
comment on column vsdb.patch_runs.last_seconds is 'Time of the last frame, in seconds from the start of the video.';
comment on column vsdb.patch_runs.patch_index is 'The patch, as in vsdb.patches.';
comment on column vsdb.patch_runs.embedding is 'Mean of the run''s embeddings, brought to length 1, then turned by vsdb.turn.';

create function vsdb.add_patch_runs() returns trigger
language plpgsql
set search_path from current
as $$
begin
    insert into vsdb.patch_runs (video_id, first_frame, last_frame, start_seconds, last_seconds, patch_index, embedding)
    -- changes: a patch that differs from the one before it starts a run.
    with changes as (
        select f.video_id, f.patch_index, f.frame_index, f.pts_seconds, f.embedding,
               coalesce(-(f.embedding <#> lag(f.embedding) over track) < 0.9
                        or f.frame_index - lag(f.frame_index) over track > 1, true) as is_change
        from fresh f
        window track as (partition by f.video_id, f.patch_index order by f.frame_index)
    ),
    runs as (
        select c.*, count(*) filter (where c.is_change) over track as run
        from changes c
        window track as (partition by c.video_id, c.patch_index order by c.frame_index)
    ),
    -- pieces: no run is longer than 32 frames, so that something brief is not averaged away.
    pieces as (
        select r.*,
               (row_number() over (partition by r.video_id, r.patch_index, r.run order by r.frame_index) - 1) / 32 as piece
        from runs r
    )
    select p.video_id, min(p.frame_index), max(p.frame_index), min(p.pts_seconds), max(p.pts_seconds), p.patch_index,
           vsdb.turn(l2_normalize(avg(p.embedding)))
    from pieces p
    group by p.video_id, p.patch_index, p.run, p.piece
    on conflict do nothing;
    return null;
end;
$$;
comment on function vsdb.add_patch_runs() is 'Internal. Trigger: patch runs of the patches that a statement has stored.';

create trigger add_patch_runs after insert on vsdb.patches
referencing new table as fresh
for each statement execute function vsdb.add_patch_runs();
