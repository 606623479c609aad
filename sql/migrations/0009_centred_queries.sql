-- vsdb 0009: prompts are asked without what all prompts share, and the background is what that needs. Applied once and
-- frozen. The new table is filled by the migrate that makes it, or by the next ingest.

drop table vsdb.background;
create table vsdb.background (
    singleton             boolean primary key default true check (singleton),
    prompt_mean           halfvec not null,
    patch_mean            halfvec not null,
    neutral_score         real not null,
    peak_mean             real not null,
    peak_deviation        real not null check (peak_deviation > 0),
    plain_neutral_score   real not null,
    plain_peak_mean       real not null,
    plain_peak_deviation  real not null check (plain_peak_deviation > 0),
    num_prompts           integer not null check (num_prompts > 0),
    num_patches           bigint not null check (num_patches >= 0),
    refreshed_at          timestamptz not null default now()
);
alter table vsdb.background alter column prompt_mean set storage plain, alter column patch_mean set storage plain;
comment on table vsdb.background is 'One row: what all prompts share, and how neutral prompts score against this database''s own patches. Written by vsdb.refresh_background().';
comment on column vsdb.background.singleton is 'Always true: the primary key that keeps this table at one row.';
comment on column vsdb.background.prompt_mean is 'Mean embedding of the neutral prompts: what all prompts share.';
comment on column vsdb.background.patch_mean is 'Mean embedding of a sample of the patches.';
comment on column vsdb.background.neutral_score is 'Mean score (100 x cosine) of centred neutral prompts and patches.';
comment on column vsdb.background.peak_mean is 'Mean of the best scores (100 x cosine) of centred neutral prompts.';
comment on column vsdb.background.peak_deviation is 'Standard deviation of the best scores of centred neutral prompts.';
comment on column vsdb.background.plain_neutral_score is 'As neutral_score, of the neutral prompts as they are.';
comment on column vsdb.background.plain_peak_mean is 'As peak_mean, of the neutral prompts as they are.';
comment on column vsdb.background.plain_peak_deviation is 'As peak_deviation, of the neutral prompts as they are.';
comment on column vsdb.background.num_prompts is 'Number of neutral prompts.';
comment on column vsdb.background.num_patches is 'Number of patches in the database when it was measured.';
comment on column vsdb.background.refreshed_at is 'When it was measured.';
