-- vsdb 0011: a search of a large database compares all patch runs in one statement, which parallel workers share. The
-- index and the turning that it needed go. Applied once and frozen.

drop index if exists vsdb.patch_runs_embedding_l2;

-- Runs that were turned (number i: the inner product with direction i, less centre i, over stretch i) are turned back:
-- some 3,000 a second. The table is written anew, so that it holds no dead rows.
do $$
begin
    if not exists (select from vsdb.turning) then
        return;
    end if;
    create temporary table turned_back on commit drop as
    with scale as (
        select array_agg(t.stretch order by t.axis)::vector as stretch, array_agg(t.centre order by t.axis)::vector as centre
        from vsdb.turning t
    ),
    -- numbers: what each number of an embedding is made of, one share of each direction.
    numbers as materialized (
        select n.place, array_agg(n.number order by t.axis)::vector as shares
        from vsdb.turning t
        cross join unnest(t.direction::vector::real[]) with ordinality as n (number, place)
        group by n.place
        order by n.place
    )
    select r.video_id, r.first_frame, r.last_frame, r.start_seconds, r.last_seconds, r.patch_index,
           (select l2_normalize(array_agg((-(n.shares <#> w.weights))::real order by n.place)::halfvec) from numbers n)
               as embedding
    from vsdb.patch_runs r
    cross join scale s
    cross join lateral (select r.embedding::vector * s.stretch + s.centre as weights offset 0) w;
    truncate vsdb.patch_runs;
    insert into vsdb.patch_runs select * from turned_back;
end
$$;
drop table vsdb.turning;

-- As many workers as max_parallel_workers_per_gather allows, not the few that the size of the table suggests.
alter table vsdb.patch_runs set (parallel_workers = 32);
comment on table vsdb.patch_runs is 'One row for the consecutive frames, 32 at most, in which a patch hardly changes; what a search of a large database compares first. Kept by a trigger on vsdb.patches.';
comment on column vsdb.patch_runs.embedding is 'Mean of the run''s embeddings, brought to length 1.';
