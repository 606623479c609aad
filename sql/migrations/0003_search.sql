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
