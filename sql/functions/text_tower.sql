-- The text transformer of CLIP (Radford et al. 2021) over the tables of migration 2.
-- Every step is a product of matrix rows with token vectors, so pgvector's operators do the arithmetic.
-- `<#>` is minus the inner product: hence "bias - …" wherever a product is meant.

create or replace aggregate vsdb.concatenate(vector) (sfunc = vector_concat, stype = vector, parallel = safe);
comment on aggregate vsdb.concatenate(vector) is 'Internal. Vectors end to end, in the order they come.';

-- Not strict: only then does the planner write the body in place of the call, which comes once a pair of tokens and head.
create or replace function vsdb.fill(value float8, num_values integer) returns vector
language sql immutable parallel safe
begin atomic
    select array_fill(value::real, array[num_values])::vector;
end;
comment on function vsdb.fill(float8, integer) is
    'Internal. A vector of num_values equal numbers: pgvector multiplies vectors only with vectors.';

create or replace function vsdb.add_to_each(tokens vector[], addend vector) returns vector[]
language sql immutable parallel safe
begin atomic
    select array_agg(t.x + addend order by t.place) from unnest(tokens) with ordinality as t (x, place);
end;
comment on function vsdb.add_to_each(vector[], vector) is
    'Internal. The same addend added to every token.';

create or replace function vsdb.subtract_each(minuends vector[], subtrahends vector[]) returns vector[]
language sql immutable parallel safe
begin atomic
    select array_agg(t.minuend - t.subtrahend order by t.place)
    from unnest(minuends, subtrahends) with ordinality as t (minuend, subtrahend, place);
end;
comment on function vsdb.subtract_each(vector[], vector[]) is
    'Internal. From every token of the first list the token of the second at the same place.';

create or replace function vsdb.cut_each(tokens vector[], start integer, num_values integer) returns halfvec[]
language sql immutable parallel safe
begin atomic
    select array_agg(subvector(t.x, start, num_values)::halfvec order by t.place)
    from unnest(tokens) with ordinality as t (x, place);
end;
comment on function vsdb.cut_each(vector[], integer, integer) is
    'Internal. A part of every token, from number start (counted from 1).';

create or replace function vsdb.layer_norm(tokens vector[], gain vector, bias vector, epsilon float8) returns halfvec[]
language sql immutable parallel safe
begin atomic
    with centered as materialized (
        select t.place, t.x - vsdb.fill(-(t.x <#> o.ones) / w.width, w.width) as x, w.width
        from unnest(tokens) with ordinality as t (x, place)
        cross join (select vector_dims(gain) as width) w
        cross join (select vsdb.fill(1, vector_dims(gain)) as ones offset 0) o
    )
    select array_agg((x * vsdb.fill(1 / sqrt(vector_norm(x) ^ 2 / width + epsilon), width) * gain + bias)::halfvec
                     order by place)
    from centered;
end;
comment on function vsdb.layer_norm(vector[], vector, vector, float8) is
    'Internal. Layer normalisation of every token: mean 0, variance 1, then gain and bias.';

-- Eight tokens at a time, so that the weights are read once for all of them: per token, a pass for eight takes 0.4 of
-- the time of a pass for one; most prompts have no more, and sixteen would take 0.9 of the time for eight.
create or replace function vsdb.multiply_eight(
    layer_number integer, matrix_number integer, part_number integer,
    x1 halfvec, x2 halfvec, x3 halfvec, x4 halfvec, x5 halfvec, x6 halfvec, x7 halfvec, x8 halfvec
) returns vector[]
language sql stable parallel safe
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
comment on function vsdb.multiply_eight(
    integer, integer, integer, halfvec, halfvec, halfvec, halfvec, halfvec, halfvec, halfvec, halfvec
) is 'Internal. Minus the product of one part of a matrix with up to eight tokens; x1 must be given.';

create or replace function vsdb.multiply(
    tokens halfvec[], layer_number integer, matrix_number integer, part_number integer, addends vector[],
    out products vector[]
)
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
    products := '{}';
    for i in 1 .. cardinality(tokens) by 8 loop
        products := array_cat(products, vsdb.multiply_eight(
            layer_number, matrix_number, part_number,
            tokens[i], tokens[i + 1], tokens[i + 2], tokens[i + 3],
            tokens[i + 4], tokens[i + 5], tokens[i + 6], tokens[i + 7]));
    end loop;
    products := vsdb.subtract_each(addends, products);
end;
$$;
comment on function vsdb.multiply(halfvec[], integer, integer, integer, vector[]) is
    'Internal. The product of one part of a matrix with every token, plus the token''s addend (its bias, what it was before).';

-- Weights below e^-30 count as e^-30 of the largest: less than half precision can tell from nothing, and exp() and
-- the products stay clear of underflow, which PostgreSQL reports as an error.
create or replace function vsdb.attend(queries_keys_values vector[], num_heads integer) returns halfvec[]
language sql immutable parallel safe
begin atomic
    with sizes as materialized (
        select vector_dims(queries_keys_values[1]) / 3 as width, vector_dims(queries_keys_values[1]) / 3 / num_heads as dim
    ),
    heads as materialized (
        select t.place, h.head, s.dim,
               subvector(t.x, h.head * s.dim + 1, s.dim) as query,
               subvector(t.x, s.width + h.head * s.dim + 1, s.dim) as key,
               subvector(t.x, 2 * s.width + h.head * s.dim + 1, s.dim) as value
        from unnest(queries_keys_values) with ordinality as t (x, place)
        cross join generate_series(0, num_heads - 1) as h (head)
        cross join sizes s
    ),
    scores as (
        select q.place, q.head, q.dim, k.value, -(q.query <#> k.key) / sqrt(q.dim) as score
        from heads q
        join heads k on k.head = q.head and k.place <= q.place
    ),
    shares as (
        select place, head, dim, value, exp(greatest(score - max(score) over (partition by place, head), -30)) as share
        from scores
    ),
    mixtures as (
        select place, head, sum(value * vsdb.fill(share, dim)) * vsdb.fill(1 / sum(share), dim) as mixture
        from shares
        group by place, head, dim
    ),
    tokens as (
        select place, vsdb.concatenate(mixture order by head)::halfvec as token
        from mixtures
        group by place
    )
    select array_agg(token order by place) from tokens;
end;
comment on function vsdb.attend(vector[], integer) is
    'Internal. Causal attention: every token becomes, head by head, a mixture of itself and the tokens before it.';

-- tanh() instead of exp(): exp() raises an error where it overflows or underflows.
create or replace function vsdb.quick_gelu(x vector) returns vector
language sql immutable strict parallel safe
begin atomic
    select array_agg(0.5::float8 * v * (1 + tanh(0.851::float8 * v)))::vector from unnest(x::real[]) v;
end;
comment on function vsdb.quick_gelu(vector) is
    'Internal. x times the logistic function of 1.702 x, number by number (Hendrycks and Gimpel 2016).';

-- erf() came with PostgreSQL 16; this polynomial is off by less than 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26).
create or replace function vsdb.gelu(x vector) returns vector
language sql immutable strict parallel safe
begin atomic
    select array_agg(
        case when v < 0 then v - v * upper_half else v * upper_half end)::vector
    from (select v, 1 - 0.5 * exp(greatest(-0.5::float8 * v * v, -80)) * t
                        * (0.254829592::float8 + t * (-0.284496736::float8 + t * (1.421413741::float8
                           + t * (-1.453152027::float8 + t * 1.061405429::float8)))) as upper_half
          from (select v, 1 / (1 + 0.3275911::float8 * abs(v) / sqrt(2::float8)) as t
                from unnest(x::real[]) v offset 0) q offset 0) p;
end;
comment on function vsdb.gelu(vector) is
    'Internal. x times the cumulative normal distribution of x, number by number (Hendrycks and Gimpel 2016).';

create or replace function vsdb.activate(tokens vector[], activation text) returns vector[]
language sql immutable parallel safe
begin atomic
    select array_agg(case activation when 'gelu' then vsdb.gelu(t.x) else vsdb.quick_gelu(t.x) end order by t.place)
    from unnest(tokens) with ordinality as t (x, place);
end;
comment on function vsdb.activate(vector[], text) is
    'Internal. The activation of the tower, gelu or quick_gelu, of every token.';

create or replace function vsdb.start_tokens(tokens integer[]) returns vector[]
language sql stable strict parallel safe
begin atomic
    select array_agg(e.embedding::vector + p.embedding order by p.position)
    from unnest(tokens) with ordinality as t (token, place)
    join vsdb.text_tokens e on e.token = t.token
    join vsdb.text_positions p on p.position = t.place;
end;
comment on function vsdb.start_tokens(integer[]) is
    'Internal. What the first layer reads: the embedding of every token plus that of its position.';

create or replace function vsdb.multiply_parts(
    tokens vector[], layer_number integer, matrix_number integer, width integer, num_parts integer,
    inout sums vector[]
)
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
    for part in 0 .. num_parts - 1 loop
        sums := vsdb.multiply(vsdb.cut_each(tokens, part * width + 1, width), layer_number, matrix_number, part, sums);
    end loop;
end;
$$;
comment on function vsdb.multiply_parts(vector[], integer, integer, integer, integer, vector[]) is
    'Internal. The product of a whole matrix with every token, part by part, added to sums.';

create or replace function vsdb.run_layer(inout tokens vector[], layer vsdb.text_layers, tower vsdb.text_towers)
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
    -- Only the end token is read after the last attention.
    first_read constant integer := case when layer.layer = tower.layers then cardinality(tokens) else 1 end;
begin
    tokens := vsdb.multiply(
        (vsdb.attend(
            vsdb.multiply(vsdb.layer_norm(tokens, layer.attention_gain, layer.attention_bias, tower.norm_epsilon),
                          layer.layer, 1, 0, array_fill(layer.attention_in_bias, array[cardinality(tokens)])),
            tower.heads))[first_read:],
        layer.layer, 2, 0, vsdb.add_to_each(tokens[first_read:], layer.attention_out_bias));
    tokens := vsdb.multiply_parts(
        vsdb.activate(
            vsdb.multiply(vsdb.layer_norm(tokens, layer.mlp_gain, layer.mlp_bias, tower.norm_epsilon),
                          layer.layer, 3, 0, array_fill(layer.mlp_in_bias, array[cardinality(tokens)])),
            tower.activation),
        layer.layer, 4, tower.width, tower.mlp_ratio, vsdb.add_to_each(tokens, layer.mlp_out_bias));
end;
$$;
comment on function vsdb.run_layer(vector[], vsdb.text_layers, vsdb.text_towers) is
    'Internal. One layer of the transformer: attention, then the perceptron, each added to what came in; the last layer keeps the end token only.';

create or replace function vsdb.run_tower(tokens integer[], tower vsdb.text_towers, out states vector[])
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
    layer vsdb.text_layers;
begin
    -- What follows the first end token cannot reach it through causal attention, so it is left out.
    states := vsdb.start_tokens(tokens[:array_position(tokens, (select max(t) from unnest(tokens) t))]);
    for layer in select * from vsdb.text_layers l order by l.layer loop
        states := vsdb.run_layer(states, layer, tower);
    end loop;
    states := vsdb.multiply(vsdb.layer_norm(states, tower.final_gain, tower.final_bias, tower.norm_epsilon),
                            0, 0, 0, array[vsdb.fill(0, tower.embedding_dim)]);
end;
$$;
comment on function vsdb.run_tower(integer[], vsdb.text_towers) is
    'Internal. Tokens through all layers and the projection: one vector, for the end token, of any length.';
