-- What people say of answers, and the lines of "possible" and "likely" fitted to it.

create or replace function vsdb.measure_moment(query halfvec, asked halfvec, in_video bigint, at_seconds float8)
returns table (score real, z real)
language sql stable parallel safe rows 1
begin atomic
    -- Times have no index; the runs of the whole frame say which few frames to look at.
    with best as (
        select (-100 * (p.embedding <#> query))::real as score,
               (-100 * (p.embedding <#> asked))::real as asked_score
        from vsdb.patch_runs r
        join vsdb.patches p on p.video_id = r.video_id and p.frame_index between r.first_frame and r.last_frame
        where r.video_id = in_video
          and r.patch_index = 0
          and at_seconds between r.start_seconds and r.last_seconds
          and p.pts_seconds = at_seconds
        order by asked_score desc, p.patch_index
        limit 1
    )
    select m.score, ((m.asked_score - b.peak_mean) / b.peak_deviation)::real
    from best m
    left join (select * from vsdb.background limit 1) b on true;
end;
comment on function vsdb.measure_moment(halfvec, halfvec, bigint, float8) is
    'Internal. What vsdb.search says of the frame of a video at a time (seconds): score (100 x cosine) and z. query and asked of length 1. No row where there is no such frame; z is null before vsdb.refresh_background().';

create or replace function vsdb.judge(
    prompt text, video_id bigint, best_seconds float8, is_right boolean, query halfvec default null,
    out score real, out z real
)
language plpgsql volatile
set search_path = ''
as $$
declare
    embedding constant vsdb.judgements.embedding%type := vsdb.unit_query(coalesce(query, vsdb.remember(prompt)));
begin
    select m.score, m.z into score, z
    from vsdb.measure_moment(embedding, vsdb.unit_query(vsdb.centre(embedding)), video_id, best_seconds) m;
    if not found then
        raise exception 'video % has no frame at % s', coalesce(video_id::text, 'null'),
                        coalesce(best_seconds::text, 'null')
            using errcode = 'no_data_found',
                  hint = 'Give video_id and best_seconds exactly as vsdb.search returns them.';
    elsif z is null then
        raise exception 'unrelated prompts are not measured yet, so the moment has no z to learn from'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Call vsdb.refresh_background() first.';
    end if;
    insert into vsdb.judgements as j
        (prompt_sha256, content_sha256, best_seconds, prompt, is_right, embedding, score, z)
    select sha256(convert_to(judge.prompt, 'UTF8')), v.content_sha256, judge.best_seconds, judge.prompt,
           judge.is_right, embedding, judge.score, judge.z
    from vsdb.videos v
    where v.video_id = judge.video_id
    on conflict on constraint judgements_pkey do update
    set is_right = excluded.is_right, embedding = excluded.embedding, score = excluded.score, z = excluded.z,
        judged_at = excluded.judged_at;
end;
$$;
comment on function vsdb.judge(text, bigint, float8, boolean, halfvec) is
    'Notes whether the moment of a video with its best frame at best_seconds (seconds) answers a prompt, in place of what was said of it before; returns the score (100 x cosine) and z that it has. query: the prompt''s embedding, where SQL cannot compute it.';

create or replace function vsdb.measure_judgements() returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
    measured bigint;
begin
    if (select t.architecture from vsdb.text_towers t) = 'openai' then
        update vsdb.judgements j set embedding = vsdb.remember(j.prompt) where j.embedding is null;
    end if;
    update vsdb.judgements j
    set score = n.score, z = n.z
    from (
        select t.prompt_sha256, t.content_sha256, t.best_seconds, m.score, m.z
        from vsdb.judgements t
        join vsdb.videos v on v.content_sha256 = t.content_sha256
        cross join lateral vsdb.measure_moment(
            t.embedding, vsdb.unit_query(vsdb.centre(t.embedding)), v.video_id, t.best_seconds) m
        where t.embedding is not null
    ) n
    where (j.prompt_sha256, j.content_sha256, j.best_seconds) = (n.prompt_sha256, n.content_sha256, n.best_seconds);
    get diagnostics measured = row_count;
    return measured;
end;
$$;
comment on function vsdb.measure_judgements() is
    'Internal. Measures the score and z of the judged moments that are still there, by today''s model and background; says how many.';

create or replace function vsdb.fit_line(zs float8[], rights boolean[], out middle float8, out slope float8)
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
    -- Targets that are not quite 0 and 1 keep the slope finite where a line parts the right from the wrong (Platt,
    -- Probabilistic Outputs for Support Vector Machines, 1999).
    num_right constant float8 := cardinality(array_positions(rights, true));
    num_wrong constant float8 := cardinality(array_positions(rights, false));
    target_right constant float8 := (num_right + 1) / (num_right + 2);
    target_wrong constant float8 := 1 / (num_wrong + 2);
    centre float8;
    spread float8;
    step record;
    height float8 := 0;
begin
    select avg(z), stddev_pop(z) into centre, spread from unnest(zs) z;
    slope := 0;
    if spread > 0 then
        -- Newton's steps with the most that the curvature can be (Boehning and Lindsay, 1988): they never overshoot.
        for _ in 1 .. 10000 loop
            select 4 * avg(t.target - t.p) as height, 4 * avg(t.x * (t.target - t.p)) as slope into step
            from (
                select f.x, case when f.is_right then target_right else target_wrong end as target,
                       (1 + tanh((height + slope * f.x) / 2)) / 2 as p
                from (select (z - centre) / spread as x, is_right from unnest(zs, rights) as j (z, is_right)) f
            ) t;
            height := height + step.height;
            slope := slope + step.slope;
            exit when greatest(abs(step.height), abs(step.slope)) < 1e-9;
        end loop;
    end if;
    middle := centre - height * spread / nullif(slope, 0);
    slope := coalesce(slope / nullif(spread, 0), 0);
end;
$$;
comment on function vsdb.fit_line(float8[], boolean[]) is
    'Internal. Logistic regression: the z (middle) at which a judgement is as often right as wrong, and by how much the log of the odds grows with each z (slope).';

create or replace function vsdb.calibrate(
    out num_judgements integer, out possible_before float8, out likely_before float8, out possible float8,
    out likely float8
)
language plpgsql volatile
set search_path = ''
as $$
declare
    min_judgements constant integer := 20;
    zs float8[];
    rights boolean[];
    num_right integer;
    fitted record;
begin
    select array_agg(j.z::float8 order by j.z), array_agg(j.is_right order by j.z), count(*),
           count(*) filter (where j.is_right)
    into zs, rights, num_judgements, num_right
    from vsdb.judgements j
    where j.z is not null;
    if num_judgements < min_judgements then
        raise exception 'too few judgements to fit a line to: %, expected % or more', num_judgements, min_judgements
            using errcode = 'object_not_in_prerequisite_state', hint = 'Judge more answers: "vsdb judge PROMPT".';
    elsif num_right in (0, num_judgements) then
        raise exception 'all % judgements are %, and a line parts the right from the wrong', num_judgements,
                        case num_right when 0 then 'wrong' else 'right' end
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Judge answers of the other kind too; "vsdb judge PROMPT --min-z -9" shows weaker ones.';
    end if;
    select * into fitted from vsdb.fit_line(zs, rights);
    if fitted.slope <= 0 then
        raise exception 'in these % judgements a higher z does not go with being right', num_judgements
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Look at vsdb.judgements, and judge more answers of different prompts.';
    end if;
    select l.possible, l.likely into possible_before, likely_before from vsdb.line l;
    -- possible: from where an answer is as often right as wrong; to leave such ones out loses as much as it gains.
    -- likely: from where nine of ten are right. Below what was judged nothing is known: no line goes there.
    possible := greatest(fitted.middle, zs[1]);
    likely := greatest(fitted.middle + ln(9) / fitted.slope, zs[1]);
    insert into vsdb.calibrations (possible, likely, num_judgements)
    values (calibrate.possible, calibrate.likely, calibrate.num_judgements);
end;
$$;
comment on function vsdb.calibrate() is
    'Fits the lines of possible (a half is right) and likely (nine tenths are) to the judgements, 20 or more of both kinds; returns both lines (z) before and after. vsdb.uncalibrate() undoes it.';

create or replace function vsdb.uncalibrate(
    out num_judgements integer, out possible_before float8, out likely_before float8, out possible float8,
    out likely float8
)
language plpgsql volatile
set search_path = ''
as $$
begin
    delete from vsdb.calibrations c
    where c.calibration_id = (select max(n.calibration_id) from vsdb.calibrations n)
    returning c.possible, c.likely into possible_before, likely_before;
    if not found then
        raise exception 'there is no calibration to undo: the lines are those that vsdb comes with'
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    select l.possible, l.likely, l.num_judgements into possible, likely, num_judgements from vsdb.line l;
end;
$$;
comment on function vsdb.uncalibrate() is
    'Takes the newest vsdb.calibrate() back; returns both lines (z) before and after, and how many judgements those that now count were fitted to (null: they are those that vsdb comes with).';
