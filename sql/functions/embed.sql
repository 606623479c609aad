-- From a prompt to its embedding, and the prompts that are remembered.

create or replace function vsdb.embed_tokens(tokens integer[]) returns halfvec
language sql stable strict parallel safe cost 1000000
set jit = off
begin atomic
    select l2_normalize((vsdb.run_tower(tokens, t))[1])::halfvec from vsdb.text_towers t;
end;
comment on function vsdb.embed_tokens(integer[]) is
    'Internal. The embedding of tokens as vsdb.tokenize returns them, of length 1; computed anew at every call.';

create or replace function vsdb.remembered_embedding(prompt text) returns halfvec
language sql stable strict parallel safe
begin atomic
    select e.embedding
    from vsdb.prompt_embeddings e
    where e.tower_sha256 = (select t.tower_sha256 from vsdb.text_towers t)
      and e.prompt_sha256 = sha256(convert_to(prompt, 'UTF8'));
end;
comment on function vsdb.remembered_embedding(text) is
    'Internal. The embedding of a prompt that was asked before; null when it is not remembered.';

-- Immutable, so that the planner computes it once and puts the embedding into the plan, where an index can use it; a
-- stable function would be called again for every row of a sequential scan. The promise holds as long as the tower
-- stays: storing another one alters this function, which makes every session plan anew.
create or replace function vsdb.embed(prompt text) returns halfvec
language plpgsql immutable strict parallel safe cost 1000000
set search_path = ''
as $$
declare
    tower_architecture text := (select t.architecture from vsdb.text_towers t);
begin
    if tower_architecture is null then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'this database holds no text tower yet',
            hint = 'Ingest a video ("vsdb ingest PATH"): that stores the text tower of its model.';
    elsif tower_architecture <> 'openai' then
        raise exception using errcode = 'feature_not_supported',
            message = 'the text tower of this model is none that SQL can compute: it is not of OpenAI''s architecture',
            hint = 'Ask with "vsdb query", which embeds the prompt in Python, '
                   'or pass an embedding to vsdb.search_embedding.';
    end if;
    return coalesce(vsdb.remembered_embedding(prompt), vsdb.embed_tokens(vsdb.tokenize(prompt)));
end;
$$;
comment on function vsdb.embed(text) is
    'Embedding of a prompt, of length 1: order by embedding <#> vsdb.embed(prompt) puts the best patch first.';

-- One writer at a time: whoever finds the lock taken goes on without remembering instead of waiting.
create or replace function vsdb.may_remember() returns boolean
language sql volatile
begin atomic
    select case when current_setting('transaction_read_only')::boolean then false
                when pg_is_in_recovery() then false
                when not has_table_privilege('vsdb.prompt_embeddings', 'insert') then false
                when not has_table_privilege('vsdb.prompt_embeddings', 'delete') then false
                else pg_try_advisory_xact_lock(8243106990490943490) end;
end;
comment on function vsdb.may_remember() is
    'Internal. Whether this session may write to vsdb.prompt_embeddings now without waiting for another.';

create or replace function vsdb.remember(prompt text) returns halfvec
language plpgsql volatile strict cost 10000
set search_path = ''
as $$
declare
    known vsdb.prompt_embeddings.embedding%type := vsdb.remembered_embedding(prompt);
    new_id bigint;
begin
    if known is not null then
        return known;
    end if;
    known := vsdb.embed(prompt);
    if vsdb.may_remember() then
        begin
            insert into vsdb.prompt_embeddings (tower_sha256, prompt_sha256, embedding)
            select t.tower_sha256, sha256(convert_to(prompt, 'UTF8')), known from vsdb.text_towers t
            on conflict do nothing
            returning remembered_id into new_id;
            delete from vsdb.prompt_embeddings where remembered_id <= new_id - 10000;
        exception when others then
            null;  -- A full disk or a serialization failure costs the memory, never the answer.
        end;
    end if;
    return known;
end;
$$;
comment on function vsdb.remember(text) is
    'vsdb.embed, and keeps the answer where the session may write: asked again, it takes a millisecond.';

create or replace function vsdb.text_tower_bytes() returns bigint
language sql stable parallel safe
begin atomic
    select sum(pg_total_relation_size(c.oid))::bigint
    from pg_class c
    where c.relnamespace = 'vsdb'::regnamespace
      and c.relname in ('text_towers', 'text_layers', 'text_weights', 'text_tokens', 'text_positions',
                        'prompt_embeddings', 'tokenizers', 'token_merges', 'character_folds', 'character_lowers', 'character_ranges',
                        'html_entities');
end;
comment on function vsdb.text_tower_bytes() is
    'Internal. What the tokenizer, the text tower and the remembered prompts take on disk, indexes included, in bytes.';
