-- From a clean prompt to the tokens of CLIP: lower it, cut it into words, merge their bytes. Every rule is a row of a
-- table (migration 2), as in clean.sql.

create or replace function vsdb.lower_final_sigmas(prompt text) returns text
language sql stable strict parallel safe
begin atomic
    with characters as (
        select c.piece, c.place, r.cased, r.case_ignorable
        from string_to_table(prompt, null) with ordinality as c (piece, place)
        cross join lateral (select * from vsdb.character_ranges r
                            where r.first_code_point <= ascii(c.piece)
                            order by r.first_code_point desc limit 1) r
    ),
    neighbours as (
        select piece, place,
               lag(cased, 1, false) over by_place as after_cased,
               lead(cased, 1, false) over by_place as before_cased,
               case_ignorable
        from characters
        window by_place as (partition by case_ignorable order by place)
    )
    select string_agg(case when piece = U&'\03A3' and not case_ignorable and after_cased and not before_cased
                           then U&'\03C2' else piece end, '' order by place)
    from neighbours;
end;
comment on function vsdb.lower_final_sigmas(text) is
    'Internal. Capital sigmas at the end of a word in their own lower-case form.';

create or replace function vsdb.lower_characters(prompt text) returns text
language sql stable strict parallel safe
begin atomic
    select case when vsdb.is_plain(prompt) then lower(prompt collate "C")
        else (select string_agg(coalesce(l.replacement, c.piece), '' order by c.place)
              from string_to_table(case when position(U&'\03A3' in prompt) = 0 then prompt
                                        else vsdb.lower_final_sigmas(prompt) end, null) with ordinality as c (piece, place)
              left join vsdb.character_lowers l on l.code_point = ascii(c.piece))
        end;
end;
comment on function vsdb.lower_characters(text) is
    'Internal. Lower case by Unicode''s rules, whatever the locale of the database.';

-- Other letters become z, which no contraction and no special token contains; a long s counts as an s there.
create or replace function vsdb.word_shape(prompt text) returns text
language sql stable strict parallel safe
begin atomic
    select coalesce(string_agg(
        case when ascii(c.piece) between 32 and 126 then c.piece
             when c.piece = U&'\017F' then 's'
             else case (select r.character_class from vsdb.character_ranges r
                        where r.first_code_point <= ascii(c.piece)
                        order by r.first_code_point desc limit 1)
                  when 'letter' then 'z' when 'number' then '0' when 'other' then '!' else ' ' end
        end, '' order by c.place), '')
    from string_to_table(prompt, null) with ordinality as c (piece, place);
end;
comment on function vsdb.word_shape(text) is
    'Internal. The text in ASCII with every character replaced by one that cuts words alike.';

create or replace function vsdb.split_words(prompt text) returns table (place bigint, word text)
language sql stable strict parallel safe
begin atomic
    with pieces as (
        select m.place, m.piece[1] as piece,
               sum(length(m.piece[1])) over (order by m.place) - length(m.piece[1]) + 1 as start
        from regexp_matches(
                 case when vsdb.is_plain(prompt) then prompt else vsdb.word_shape(prompt) end,
                 '<start_of_text>|<end_of_text>|''s|''t|''re|''ve|''m|''ll|''d|[a-z]+|[0-9]|[^ a-z0-9]+| +', 'g')
             with ordinality as m (piece, place)
    )
    select place, substr(prompt, start::integer, length(piece)) from pieces where piece !~ '^ ' order by place;
end;
comment on function vsdb.split_words(text) is
    'Internal. The words of a clean lower-case text: letters, single digits, runs of other characters, contractions.';

create or replace function vsdb.byte_token(byte integer) returns integer
language sql immutable strict parallel safe
begin atomic
    select case when byte between 33 and 126 then byte - 33
                when byte between 161 and 172 then byte - 67
                when byte between 174 and 255 then byte - 68
                when byte between 127 and 160 then byte + 94
                when byte = 173 then 255
                else byte + 188 end;
end;
comment on function vsdb.byte_token(integer) is
    'Internal. The token of a byte: printable Latin-1 first, then the others.';

create or replace function vsdb.merged_token(left_token integer, right_token integer) returns integer
language sql stable strict parallel safe
begin atomic
    select m.token from vsdb.token_merges m
    where m.left_token = merged_token.left_token and m.right_token = merged_token.right_token;
end;
comment on function vsdb.merged_token(integer, integer) is
    'Internal. The token that two neighbours merge into; null when they do not.';

-- Words are cut at 4,096 bytes: more than the 75 tokens that a prompt may keep can hold.
create or replace function vsdb.merge_bytes(word text) returns integer[]
language plpgsql stable strict parallel safe
set search_path = ''
as $$
declare
    bytes bytea := substr(convert_to(word, 'UTF8'), 1, 4096);
    tokens integer[] := array(select vsdb.byte_token(get_byte(bytes, i)) + case when i = length(bytes) - 1 then 256 else 0 end
                              from generate_series(0, length(bytes) - 1) i order by i);
    merges integer[] := array(select vsdb.merged_token(tokens[i], tokens[i + 1])
                              from generate_series(1, cardinality(tokens)) i order by i);
    best record;
begin
    loop
        select m.place::integer as place, m.token into best
        from unnest(merges) with ordinality as m (token, place)
        where m.token is not null
        order by m.token, m.place
        limit 1;
        exit when not found;
        tokens := tokens[:best.place - 1] || best.token || tokens[best.place + 2:];
        merges := merges[:best.place] || merges[best.place + 2:];
        merges[best.place] := vsdb.merged_token(tokens[best.place], tokens[best.place + 1]);
        if best.place > 1 then
            merges[best.place - 1] := vsdb.merged_token(tokens[best.place - 1], tokens[best.place]);
        end if;
    end loop;
    return tokens;
end;
$$;
comment on function vsdb.merge_bytes(text) is
    'Internal. Byte-pair encoding of one word: the lowest merge first, the leftmost of equals (Sennrich et al. 2016).';

create or replace function vsdb.word_tokens(word text) returns integer[]
language sql stable strict parallel safe
begin atomic
    select case word when '<start_of_text>' then array[49406]
                     when '<end_of_text>' then array[49407]
                     else vsdb.merge_bytes(word) end;
end;
comment on function vsdb.word_tokens(text) is
    'Internal. The tokens of one word; the two special tokens are words of their own.';

create or replace function vsdb.tokenize(prompt text) returns integer[]
language plpgsql stable strict parallel safe cost 10000
set search_path = ''
as $$
declare
    num_kept integer := coalesce((select t.context_length from vsdb.text_towers t), 77) - 2;
    tokens integer[] := '{}';
    next_word text;
begin
    if not exists (select from vsdb.tokenizers) then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'the tables of the tokenizer are empty',
            hint = 'Ingest a video ("vsdb ingest PATH"): that fills them.';
    end if;
    for next_word in
        select w.word from vsdb.split_words(vsdb.lower_characters(vsdb.clean(prompt))) w order by w.place limit num_kept
    loop
        tokens := tokens || vsdb.word_tokens(next_word);
        exit when cardinality(tokens) >= num_kept;
    end loop;
    return 49406 || tokens[:num_kept] || 49407;
end;
$$;
comment on function vsdb.tokenize(text) is
    'Tokens of a prompt as open_clip''s tokenizer gives them: start, at most 75 tokens, end; no padding.';
