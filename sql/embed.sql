-- From a prompt to its embedding: the text transformer of CLIP (Radford et al. 2021) over the tables of migration 2.
-- Every step is a product of matrix rows with token vectors, so pgvector's operators do the arithmetic.
-- `<#>` is minus the inner product: hence "bias - …" wherever a product is meant.

create or replace aggregate vsdb.concatenate(vector) (sfunc = vector_concat, stype = vector, parallel = safe);
comment on aggregate vsdb.concatenate(vector) is 'Vectors end to end, in the order they come.';

-- Not strict: only then does the planner write the body in place of the call, which comes once a pair of tokens and head.
create or replace function vsdb.fill(value double precision, num_values integer)
returns vector language sql immutable parallel safe
begin atomic
    select array_fill(value::real, array[num_values])::vector;
end;
comment on function vsdb.fill is 'A vector of num_values equal numbers: pgvector multiplies vectors only with vectors.';

create or replace function vsdb.add_to_each(tokens vector[], addend vector)
returns vector[] language sql immutable parallel safe
begin atomic
    select array_agg(t.x + addend order by t.place) from unnest(tokens) with ordinality t(x, place);
end;
comment on function vsdb.add_to_each is 'The same addend added to every token.';

create or replace function vsdb.cut_each(tokens vector[], start integer, num_values integer)
returns halfvec[] language sql immutable parallel safe
begin atomic
    select array_agg(subvector(t.x, start, num_values)::halfvec order by t.place)
    from unnest(tokens) with ordinality t(x, place);
end;
comment on function vsdb.cut_each is 'A stretch of every token, from number start (counted from 1).';

create or replace function vsdb.layer_norm(tokens vector[], gain vector, bias vector, epsilon double precision)
returns halfvec[] language sql immutable parallel safe
begin atomic
    with centered as materialized (
        select t.place, t.x - vsdb.fill(-(t.x <#> o.ones) / w.width, w.width) as x, w.width
        from unnest(tokens) with ordinality t(x, place)
        cross join (select vector_dims(gain) as width) w
        cross join (select vsdb.fill(1, vector_dims(gain)) as ones offset 0) o
    )
    select array_agg((x * vsdb.fill(1 / sqrt(vector_norm(x) ^ 2 / width + epsilon), width) * gain + bias)::halfvec
                     order by place)
    from centered;
end;
comment on function vsdb.layer_norm is 'Layer normalisation of every token: mean 0, variance 1, then gain and bias.';

-- Eight tokens at a time, so that the weights are read once for all of them: per token, a pass for eight takes 0.4 of
-- the time of a pass for one; most prompts have no more, and sixteen would take 0.9 of the time for eight.
create or replace function vsdb.multiply_eight(
    layer_number integer, matrix_number integer, part_number integer,
    x1 halfvec, x2 halfvec, x3 halfvec, x4 halfvec, x5 halfvec, x6 halfvec, x7 halfvec, x8 halfvec)
returns vector[] language sql stable parallel safe
begin atomic
    select array_remove(array[
               array_agg(weights <#> x1)::vector,
               array_agg(weights <#> x2) filter (where x2 is not null)::vector,
               array_agg(weights <#> x3) filter (where x3 is not null)::vector,
               array_agg(weights <#> x4) filter (where x4 is not null)::vector,
               array_agg(weights <#> x5) filter (where x5 is not null)::vector,
               array_agg(weights <#> x6) filter (where x6 is not null)::vector,
               array_agg(weights <#> x7) filter (where x7 is not null)::vector,
               array_agg(weights <#> x8) filter (where x8 is not null)::vector], null)
    from (select w.weights
          from vsdb.text_weights w
          where w.layer = layer_number and w.matrix = matrix_number and w.part = part_number
          order by w.row_index) q;
end;
comment on function vsdb.multiply_eight is 'Minus the product of one part of a matrix with up to eight tokens; x1 must be given.';

create or replace function vsdb.multiply(
    tokens halfvec[], layer_number integer, matrix_number integer, part_number integer, addends vector[])
returns vector[] language plpgsql stable parallel safe
as $$
declare
    products vector[] := '{}';
begin
    for i in 1 .. cardinality(tokens) by 8 loop
        products := pg_catalog.array_cat(products, vsdb.multiply_eight(
            layer_number, matrix_number, part_number,
            tokens[i], tokens[i + 1], tokens[i + 2], tokens[i + 3],
            tokens[i + 4], tokens[i + 5], tokens[i + 6], tokens[i + 7]));
    end loop;
    return array(select s.addend - s.product
                 from unnest(addends, products) with ordinality s(addend, product, place) order by s.place);
end
$$;
comment on function vsdb.multiply is 'The product of one part of a matrix with every token, plus the token''s addend (its bias, what it was before).';

-- Weights below e^-30 count as e^-30 of the largest: less than half precision can tell from nothing, and exp() and
-- the products stay clear of underflow, which PostgreSQL reports as an error.
create or replace function vsdb.attend(queries_keys_values vector[], num_heads integer)
returns halfvec[] language sql immutable parallel safe
begin atomic
    with sizes as materialized (
        select vector_dims(queries_keys_values[1]) / 3 as width, vector_dims(queries_keys_values[1]) / 3 / num_heads as dim
    ), heads as materialized (
        select t.place, h.head, s.dim,
               subvector(t.x, h.head * s.dim + 1, s.dim) as query,
               subvector(t.x, s.width + h.head * s.dim + 1, s.dim) as key,
               subvector(t.x, 2 * s.width + h.head * s.dim + 1, s.dim) as value
        from unnest(queries_keys_values) with ordinality t(x, place)
        cross join generate_series(0, num_heads - 1) h(head)
        cross join sizes s
    ), scores as (
        select q.place, q.head, q.dim, k.value, -(q.query <#> k.key) / sqrt(q.dim) as score
        from heads q
        join heads k on k.head = q.head and k.place <= q.place
    ), shares as (
        select place, head, dim, value, exp(greatest(score - max(score) over (partition by place, head), -30)) as share
        from scores
    ), mixtures as (
        select place, head, sum(value * vsdb.fill(share, dim)) * vsdb.fill(1 / sum(share), dim) as mixture
        from shares
        group by place, head, dim
    ), tokens as (
        select place, vsdb.concatenate(mixture order by head)::halfvec as token
        from mixtures
        group by place
    )
    select array_agg(token order by place) from tokens;
end;
comment on function vsdb.attend is 'Causal attention: every token becomes, head by head, a mixture of itself and the tokens before it.';

-- Activate ------------------------------------------------------------------------------------------------------

-- tanh() instead of exp(): exp() raises an error where it overflows or underflows.
create or replace function vsdb.quick_gelu(x vector)
returns vector language sql immutable strict parallel safe
begin atomic
    select array_agg(0.5::float8 * v * (1 + tanh(0.851::float8 * v)))::vector from unnest(x::real[]) v;
end;
comment on function vsdb.quick_gelu is 'x times the logistic function of 1.702 x, number by number (Hendrycks and Gimpel 2016).';

-- erf() came with PostgreSQL 16; this polynomial is off by less than 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26).
create or replace function vsdb.gelu(x vector)
returns vector language sql immutable strict parallel safe
begin atomic
    select array_agg(
        case when v < 0 then v - v * upper_half else v * upper_half end)::vector
    from (select v, 1 - 0.5 * exp(greatest(-0.5::float8 * v * v, -80)) * t
                        * (0.254829592::float8 + t * (-0.284496736::float8 + t * (1.421413741::float8
                           + t * (-1.453152027::float8 + t * 1.061405429::float8)))) as upper_half
          from (select v, 1 / (1 + 0.3275911::float8 * abs(v) / sqrt(2::float8)) as t
                from unnest(x::real[]) v offset 0) q offset 0) p;
end;
comment on function vsdb.gelu is 'x times the cumulative normal distribution of x, number by number (Hendrycks and Gimpel 2016).';

create or replace function vsdb.activate(tokens vector[], activation text)
returns vector[] language sql immutable parallel safe
begin atomic
    select array_agg(case activation when 'gelu' then vsdb.gelu(t.x) else vsdb.quick_gelu(t.x) end order by t.place)
    from unnest(tokens) with ordinality t(x, place);
end;
comment on function vsdb.activate is 'The activation of the tower, gelu or quick_gelu, of every token.';

-- Embed ---------------------------------------------------------------------------------------------------------

create or replace function vsdb.start_tokens(tokens integer[])
returns vector[] language sql stable strict parallel safe
begin atomic
    select array_agg(e.embedding::vector + p.embedding order by p.position)
    from unnest(tokens) with ordinality t(token, place)
    join vsdb.text_tokens e on e.token = t.token
    join vsdb.text_positions p on p.position = t.place;
end;
comment on function vsdb.start_tokens is 'What the first layer reads: the embedding of every token plus that of its position.';

create or replace function vsdb.run_layer(tokens vector[], layer vsdb.text_layers, tower vsdb.text_towers)
returns vector[] language plpgsql stable parallel safe
as $$
declare
    num_tokens integer := cardinality(tokens);
    x vector[] := tokens;
    hidden vector[];
    attended halfvec[];
begin
    hidden := vsdb.multiply(vsdb.layer_norm(x, layer.attention_gain, layer.attention_bias, tower.norm_epsilon),
                            layer.layer, 1, 0, array_fill(layer.attention_in_bias, array[num_tokens]));
    attended := vsdb.attend(hidden, tower.heads);
    if layer.layer = tower.layers then  -- Only the end token is read after the last attention.
        attended := attended[num_tokens:];
        x := x[num_tokens:];
    end if;
    x := vsdb.multiply(attended, layer.layer, 2, 0, vsdb.add_to_each(x, layer.attention_out_bias));
    hidden := vsdb.multiply(vsdb.layer_norm(x, layer.mlp_gain, layer.mlp_bias, tower.norm_epsilon),
                            layer.layer, 3, 0, array_fill(layer.mlp_in_bias, array[cardinality(x)]));
    hidden := vsdb.activate(hidden, tower.activation);
    x := vsdb.add_to_each(x, layer.mlp_out_bias);
    for part in 0 .. tower.mlp_ratio - 1 loop
        x := vsdb.multiply(vsdb.cut_each(hidden, part * tower.width + 1, tower.width), layer.layer, 4, part, x);
    end loop;
    return x;
end
$$;
comment on function vsdb.run_layer is 'One layer of the transformer: attention, then the perceptron, each added to what came in; the last layer keeps the end token only.';

-- What follows the first end token cannot reach it through causal attention, so it is left out.
create or replace function vsdb.embed_tokens(tokens integer[])
returns halfvec language plpgsql stable strict parallel safe cost 1000000
set search_path from current
set jit = off
as $$
declare
    tower vsdb.text_towers;
    layer vsdb.text_layers;
    x vector[];
begin
    select * into strict tower from vsdb.text_towers;
    x := vsdb.start_tokens(tokens[:array_position(tokens, (select max(t) from unnest(tokens) t))]);
    for layer in select * from vsdb.text_layers l order by l.layer loop
        x := vsdb.run_layer(x, layer, tower);
    end loop;
    x := vsdb.multiply(vsdb.layer_norm(x, tower.final_gain, tower.final_bias, tower.norm_epsilon),
                       0, 0, 0, array[vsdb.fill(0, tower.embedding_dim)]);
    return l2_normalize(x[1])::halfvec;
end
$$;
comment on function vsdb.embed_tokens is 'The embedding of tokens as vsdb.tokenize returns them, of length 1; computed anew at every call.';

create or replace function vsdb.remembered_embedding(prompt text)
returns halfvec language sql stable strict parallel safe
begin atomic
    select e.embedding
    from vsdb.prompt_embeddings e
    where e.tower_sha256 = (select t.tower_sha256 from vsdb.text_towers t)
      and e.prompt_sha256 = sha256(convert_to(prompt, 'UTF8'));
end;
comment on function vsdb.remembered_embedding is 'The embedding of a prompt that was asked before; null when it is not remembered.';

-- Immutable, so that the planner computes it once and puts the embedding into the plan, where an index can use it; a
-- stable function would be called again for every row of a sequential scan. The promise holds as long as the tower
-- stays: storing another one alters this function, which makes every session plan anew.
create or replace function vsdb.embed(prompt text)
returns halfvec language plpgsql immutable strict parallel safe cost 1000000
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
            hint = 'Ask with "vsdb query", which embeds the prompt in Python, or pass an embedding to vsdb.search_embedding.';
    end if;
    return coalesce(vsdb.remembered_embedding(prompt), vsdb.embed_tokens(vsdb.tokenize(prompt)));
end
$$;
comment on function vsdb.embed(text) is 'Embedding of a prompt, of length 1: order by embedding <#> vsdb.embed(prompt) puts the best patch first.';

-- Remember ------------------------------------------------------------------------------------------------------

-- One writer at a time: whoever finds the lock taken goes on without remembering instead of waiting.
create or replace function vsdb.may_remember()
returns boolean language sql volatile
begin atomic
    select case when current_setting('transaction_read_only')::boolean then false
                when pg_is_in_recovery() then false
                when not has_table_privilege('vsdb.prompt_embeddings', 'insert') then false
                when not has_table_privilege('vsdb.prompt_embeddings', 'delete') then false
                else pg_try_advisory_xact_lock(8243106990490943490) end;
end;
comment on function vsdb.may_remember is 'Whether this session may write to vsdb.prompt_embeddings now without waiting for another.';

create or replace function vsdb.remember(prompt text)
returns halfvec language plpgsql volatile strict cost 1000000
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
end
$$;
comment on function vsdb.remember is 'vsdb.embed, and keeps the answer where the session may write: asked again, it takes a millisecond.';

create or replace function vsdb.text_tower_bytes()
returns bigint language sql stable parallel safe
begin atomic
    select sum(pg_total_relation_size(c.oid))::bigint
    from pg_class c
    where c.relnamespace = 'vsdb'::regnamespace
      and c.relname in ('text_towers', 'text_layers', 'text_weights', 'text_tokens', 'text_positions', 'prompt_embeddings',
                        'tokenizers', 'token_merges', 'character_folds', 'character_lowers', 'character_ranges',
                        'html_entities');
end;
comment on function vsdb.text_tower_bytes is 'What the tokenizer, the text tower and the remembered prompts take on disk, indexes included, in bytes.';
