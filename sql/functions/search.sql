-- The search engine: from a query embedding to moments.

create or replace function vsdb.check_query(num_values integer, length float8) returns boolean
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
    embedding_dim constant integer := (
        select a.atttypmod from pg_attribute a
        where a.attrelid = 'vsdb.patches'::regclass and a.attname = 'embedding'
    );
begin
    if num_values is null then
        raise exception 'the query embedding is null, expected a halfvec of % numbers', embedding_dim
            using errcode = 'null_value_not_allowed',
                  hint = 'Give an embedding, such as vsdb.embed(''a red car'').';
    elsif num_values <> embedding_dim then
        raise exception 'the query embedding has % numbers, expected %', num_values, embedding_dim
            using errcode = 'data_exception',
                  hint = 'Embed the prompt with the model that the table vsdb.models names.';
    elsif length = 0 then
        raise exception 'the query embedding is all zeros, so it has no direction to search in'
            using errcode = 'data_exception',
                  hint = 'Give an embedding, such as vsdb.embed(''a red car'').';
    end if;
    return true;
end;
$$;
comment on function vsdb.check_query(integer, float8) is
    'Internal. True, or an error if a query embedding of so many numbers and of this length cannot be asked.';

create or replace function vsdb.unit_query(query halfvec) returns halfvec
language sql stable parallel safe
begin atomic
    select case when vsdb.check_query(vector_dims(query), l2_norm(query)) then l2_normalize(query) end;
end;
comment on function vsdb.unit_query(halfvec) is
    'Internal. The query embedding brought to length 1; an error if it is null, of a wrong dimension, or zero.';

create or replace function vsdb.check_search(max_moments integer, gap_seconds float8) returns void
language plpgsql immutable parallel safe
set search_path = ''
as $$
begin
    if max_moments is null or not max_moments between 1 and 100000 then
        raise exception 'max_moments is %, expected 1 to 100000', coalesce(max_moments::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Leave it out for 6 moments.';
    elsif gap_seconds is null or not gap_seconds between 0 and 1e9 then
        raise exception 'gap_seconds is %, expected 0 to 1e9', coalesce(gap_seconds::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Leave it out for 2 seconds.';
    end if;
end;
$$;
comment on function vsdb.check_search(integer, float8) is 'Internal. Raises an error for arguments of a search that make no sense.';

-- Moments are found best first. The best patch outside the moments found so far is a peak; its moment is read from
-- the rows around it, so the number of candidates never decides how long a moment is. The exact scan reads every
-- patch once. The scan of the runs gives them roughly in the order of their best patches: they are taken in batches,
-- whose patches are compared exactly, until the means of a batch are so low that no patch will be good enough.
-- Work is bounded: max_candidates, and 10 peaks for every moment asked for (100 more for good measure).
create or replace function vsdb.find_moments(
    query halfvec, background real, max_moments integer, min_score real, gap_seconds float8, filters vsdb.filters,
    scan text
) returns table (
    video_id bigint, start_seconds float8, last_seconds float8, best_seconds float8, score real, best_frame integer
)
language plpgsql stable rows 10  -- a costly plan would be compiled, which takes 100 times as long as the search
set search_path = ''
set plan_cache_mode = force_generic_plan  -- the same small statements run many times
set jit = off
as $$
#variable_conflict use_variable
declare
    max_candidates constant integer := 1000 + 50 * max_moments;
    batch_size constant integer := 50 + 2 * max_moments;
    -- A run's score is that of its mean; its best patch scores higher. By how much, as a share of the height over the
    -- background, the search reckons with before it stops. More is safer and reads more.
    slack constant real := 0.3;
    floor real;
    num_candidates integer := 0;
    peaks_left integer := 10 * max_moments + 100;
    scores real[] := '{}';  -- of the max_moments best moments so far, best first
    taken int8multirange := '{}';  -- video_id << 32 | frame_index of every frame that is spoken for
    runs refcursor;
    videos bigint[];
    first_frames integer[];
    last_frames integer[];
    patches smallint[];
    num_runs integer;
    last_score real;
    candidates refcursor;
    candidate record;
    moment record;
begin
    -- What the runs leave open, the exact scan settles.
    foreach scan in array case when scan = 'patches' then array['patches'] else array['runs', 'patches'] end loop
        if scan = 'runs' then
            open runs no scroll for
                select * from vsdb.nearest_runs(query, filters, max_candidates);
        end if;
        loop
            if scan = 'patches' then
                open candidates no scroll for
                    select * from vsdb.nearest_frames(query, filters);
            else
                select * into videos, first_frames, last_frames, patches, num_runs, last_score
                from vsdb.fetch_runs(runs, batch_size, taken);
                num_candidates := num_candidates + num_runs;
                open candidates no scroll for
                    select * from vsdb.frames_of_runs(query, videos, first_frames, last_frames, patches, filters);
            end if;
            loop
                fetch candidates into candidate;
                floor := coalesce(scores[max_moments], min_score);
                exit when not found or peaks_left = 0
                       or candidate.score < floor or candidate.score = scores[max_moments];
                continue when taken @> (candidate.video_id << 32 | candidate.frame_index);
                select * into moment
                from vsdb.moment_around(query, candidate.video_id, candidate.frame_index,
                                        candidate.window_first, candidate.window_last, background, min_score,
                                        gap_seconds, filters, taken);
                taken := taken + int8multirange(moment.covered);
                peaks_left := peaks_left - 1;
                continue when moment.is_slope;
                scores := array(select s from unnest(scores || moment.score) s order by s desc limit max_moments);
                video_id := candidate.video_id;
                start_seconds := moment.start_seconds;
                last_seconds := moment.last_seconds;
                best_seconds := moment.best_seconds;
                score := moment.score;
                best_frame := moment.best_frame;
                return next;
            end loop;
            close candidates;
            floor := coalesce(scores[max_moments], min_score);
            exit when scan = 'patches' or peaks_left = 0 or num_runs < batch_size
                   or last_score < floor - slack * (floor - background);
        end loop;
        if scan = 'runs' then
            close runs;
        end if;
        exit when scan = 'patches' or peaks_left = 0 or cardinality(scores) = max_moments
               or last_score < floor - slack * (floor - background)
               or num_candidates < max_candidates;  -- these were all that the filters leave
    end loop;
    perform set_config('vsdb.num_candidates', num_candidates::text, true);  -- for vsdb.explain
end;
$$;
comment on function vsdb.find_moments(halfvec, real, integer, real, float8, vsdb.filters, text) is
    'Internal. The max_moments best moments, and perhaps some more, in no order. background and scores are 100 x cosine; times in seconds.';

create or replace function vsdb.match(z real, possible float8, likely float8) returns text
language sql immutable parallel safe
begin atomic
    select case when z >= likely then 'likely' when z >= possible then 'possible' end;
end;
comment on function vsdb.match(real, float8, float8) is
    'Internal. z in a word, by the lines of vsdb.line: likely, possible, or null below the line of no match. docs/performance.md says how often each is right.';

create or replace function vsdb.search_embedding(
    query halfvec,
    max_moments integer default 6,
    min_score float8 default null,
    gap_seconds float8 default 2,
    video_like text default null,
    from_seconds float8 default null,
    to_seconds float8 default null,
    exact boolean default false,
    video_ids bigint[] default null,
    recorded_from timestamptz default null,
    recorded_to timestamptz default null,
    min_z float8 default null,
    asked halfvec default null
) returns table (
    rank integer, video_path text, start_seconds float8, end_seconds float8, best_seconds float8, score real,
    x integer, y integer, width integer, height integer, video_id bigint, z real, match text
)
language sql stable
begin atomic
    -- asked: what patches are ordered by. A bound on the score is one on the order too, so it asks with the query.
    with question as materialized (
        select vsdb.unit_query(query) as embedding,
               vsdb.unit_query(case when asked is null or min_score is not null then query else asked end) as asked,
               asked is not null and min_score is null as is_centred,
               vsdb.check_search(max_moments, gap_seconds)
    ),
    -- ground: the score that a moment's height is counted from. It is the prompt's own mean score, but not more than
    -- that of neutral prompts: what most of the archive shows would otherwise not stand out from itself.
    ground as materialized (
        select least(vsdb.mean_score(q.asked, coalesce(b.patch_mean, vsdb.mean_patch())),
                     case when q.is_centred then b.neutral_score else b.plain_neutral_score end) as score,
               case when q.is_centred then b.peak_mean else b.plain_peak_mean end as peak_mean,
               case when q.is_centred then b.peak_deviation else b.plain_peak_deviation end as peak_deviation
        from question q
        left join (select * from vsdb.background limit 1) b on true  -- the planner does not know that it is one row
    ),
    line as materialized (
        select * from vsdb.line
    ),
    found as (
        -- z: how far the best score lies above the best scores of neutral prompts, in standard deviations.
        select m.*, ((m.score - g.peak_mean) / g.peak_deviation)::real as z
        from question q,
             ground g,
             vsdb.choose_scan(
                 video_like, row(video_ids, from_seconds, to_seconds, recorded_from, recorded_to)::vsdb.filters, exact
             ) c,
             vsdb.find_moments(q.asked, g.score, max_moments,
                               (case when abs(min_score) > 1e6 then sign(min_score) * 1e6 else min_score end)::real,
                               gap_seconds, c.chosen, c.scan) m
    )
    -- A moment lasts until the next sample would have come (key frames: after their mean distance), or the video ends.
    select (row_number() over (order by f.score desc, f.video_id, f.start_seconds))::integer,
           v.video_path,
           f.start_seconds,
           greatest(f.last_seconds, least(v.duration_seconds,
               f.last_seconds + greatest(v.every_seconds,
                                         case when v.keyframes then v.duration_seconds / v.num_frames end))),
           f.best_seconds,
           best.score,
           best.x::integer, best.y::integer, best.width::integer, best.height::integer,
           f.video_id,
           f.z,
           vsdb.match(f.z, l.possible, l.likely)
    from found f
    join vsdb.videos v on v.video_id = f.video_id
    cross join question q
    cross join line l
    cross join lateral (
        select p.x, p.y, p.width, p.height, (-100 * (p.embedding <#> q.embedding))::real as score
        from vsdb.patches p
        where p.video_id = f.video_id and p.frame_index = f.best_frame
        order by (-100 * (p.embedding <#> q.asked))::real desc, p.patch_index
        limit 1
    ) best
    -- Unless a bound was given, a moment has to stand out: where none does, nothing matches.
    where case when min_z is not null then coalesce(f.z, '-infinity') >= min_z
               else min_score is not null or coalesce(f.z >= l.possible, true) end
    order by 1
    limit max_moments;
end;
comment on function vsdb.search_embedding(
    halfvec, integer, float8, float8, text, float8, float8, boolean, bigint[], timestamptz, timestamptz, float8, halfvec
) is 'Moments that answer a query embedding, best first. asked: what they are ordered by (vsdb.centre of a prompt''s embedding); null: the query itself. score is 100 x cosine with the query; z tells how far they lie above the best scores of unrelated prompts, in standard deviations, and match says so in a word (likely, possible); times are seconds from the start of the video; the box is in pixels of the frame.';

create or replace function vsdb.search(
    prompt text,
    max_moments integer default 6,
    min_score float8 default null,
    gap_seconds float8 default 2,
    video_like text default null,
    from_seconds float8 default null,
    to_seconds float8 default null,
    exact boolean default false,
    video_ids bigint[] default null,
    recorded_from timestamptz default null,
    recorded_to timestamptz default null,
    min_z float8 default null
) returns table (
    rank integer, video_path text, start_seconds float8, end_seconds float8, best_seconds float8, score real,
    x integer, y integer, width integer, height integer, video_id bigint, z real, match text
)
language sql stable rows 10
begin atomic
    with prompted as materialized (
        select vsdb.remember(prompt) as embedding
    )
    select m.*
    from prompted p
    cross join lateral vsdb.search_embedding(
        p.embedding, max_moments, min_score, gap_seconds, video_like, from_seconds, to_seconds, exact, video_ids,
        recorded_from, recorded_to, min_z, vsdb.centre(p.embedding)) m
    order by m.rank;
end;
comment on function vsdb.search(
    text, integer, float8, float8, text, float8, float8, boolean, bigint[], timestamptz, timestamptz, float8
) is 'Moments that answer a prompt, best first: ordered by the prompt without what all prompts share (vsdb.centre), or with min_score by the score. score is 100 x cosine of prompt and patch; z tells how far a moment lies above the best scores of unrelated prompts, in standard deviations, and match says so in a word (likely, possible); times are seconds from the start of the video; the box is in pixels of the frame.';
