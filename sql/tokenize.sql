-- From a prompt to the tokens of CLIP: clean, lower, cut into words, merge bytes. Every rule is a row (migration 2),
-- so the answer depends neither on the locale of the database nor on the Unicode version of the server.

-- Clean ---------------------------------------------------------------------------------------------------------

create or replace function vsdb.is_plain(prompt text)
returns boolean language sql immutable strict parallel safe
begin atomic
    select prompt ~ '^[\x20-\x25\x27-\x7e]*$';
end;
comment on function vsdb.is_plain is 'Whether a text is printable ASCII without ampersand: nothing to clean, no character to look up.';

create or replace function vsdb.decode_code_point(code_point integer)
returns text language sql immutable strict parallel safe
begin atomic
    select case
        when code_point = 0 or code_point between 55296 and 57343 or code_point > 1114111 then U&'\FFFD'
        when code_point in (129, 141, 143, 144, 157) then chr(code_point)
        when code_point between 128 and 159
            then convert_from(set_byte('\x00'::bytea, 0, code_point), 'WIN1252')
        when code_point between 1 and 8 or code_point = 11 or code_point between 14 and 31 or code_point = 127
            or code_point between 64976 and 65007 or code_point & 65534 = 65534 then ''
        else chr(code_point)
    end;
end;
comment on function vsdb.decode_code_point is 'The character of a numeric reference, with the exceptions of HTML 5: no NUL, Windows-1252 from 128 to 159.';

create or replace function vsdb.decode_numeric_reference(reference text)
returns text language sql immutable strict parallel safe
begin atomic
    select vsdb.decode_code_point(case
        when digits = '' then 0
        when length(digits) > 7 then 1114112
        when reference ~ '^#[xX]' then ('x' || lpad(digits, 8, '0'))::bit(32)::integer
        else digits::integer
    end)
    from (select ltrim(regexp_replace(reference, '^#[xX]?|;$', '', 'g'), '0') as digits) d;
end;
comment on function vsdb.decode_numeric_reference is 'The character of a reference such as #233; or #xE9, given without its ampersand.';

create or replace function vsdb.decode_reference(reference text)
returns text language sql stable strict parallel safe
begin atomic
    select case when reference ~ '^#' then vsdb.decode_numeric_reference(reference)
        else coalesce(
            (select e.replacement || substr(reference, length(e.entity_name) + 1)
             from generate_series(2, length(reference)) n(num_characters)
             join vsdb.html_entities e on e.entity_name = left(reference, n.num_characters) and e.standard
             order by n.num_characters desc
             limit 1), '&' || reference)
        end;
end;
comment on function vsdb.decode_reference is 'What a character reference stands for, or the longest beginning of it that is a name, as HTML 5 reads it.';

create or replace function vsdb.decode_complete_reference(reference text)
returns text language sql stable strict parallel safe
begin atomic
    select case when reference ~ '^#([0-9]+|[xX][0-9a-fA-F]+);$' and reference !~ '^#(0*59|[xX]0*3[bB]);$'
        then vsdb.decode_numeric_reference(reference)
        else coalesce((select e.replacement from vsdb.html_entities e where e.entity_name = reference), '&' || reference)
        end;
end;
comment on function vsdb.decode_complete_reference is 'What a reference that ends in a semicolon stands for; names in capitals are known too.';

create or replace function vsdb.unescape(prompt text, complete boolean)
returns text language sql stable strict parallel safe
begin atomic
    select case when position('&' in prompt) = 0 then prompt
        when complete then (
            select string_agg(case when m.piece[1] ~ '^&.' then vsdb.decode_complete_reference(substr(m.piece[1], 2))
                                   else m.piece[1] end, '' order by m.place)
            from regexp_matches(prompt, '&#?[0-9A-Za-z]{1,24};|&|[^&]+', 'g') with ordinality m(piece, place))
        else (
            select string_agg(case when m.piece[1] ~ '^&.' then vsdb.decode_reference(substr(m.piece[1], 2))
                                   else m.piece[1] end, '' order by m.place)
            from regexp_matches(prompt, '&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)|&|[^&]+', 'g')
                 with ordinality m(piece, place))
        end;
end;
comment on function vsdb.unescape is 'Character references replaced: only complete ones, or all that HTML 5 accepts.';

create or replace function vsdb.fold_characters(prompt text)
returns text language sql stable strict parallel safe
begin atomic
    select normalize(replace(regexp_replace(folded, '\x1b\[[0-9;]*[a-zA-Z]', '', 'g'), chr(27), ''), NFC)
    from (select coalesce(string_agg(coalesce(f.replacement, c.piece), '' order by c.place), '') as folded
          from string_to_table(prompt, null) with ordinality c(piece, place)
          left join vsdb.character_folds f on f.code_point = ascii(c.piece)) q;
end;
comment on function vsdb.fold_characters is 'Quotes uncurled, ligatures and full-width forms taken apart, control characters dropped, then NFC.';

create or replace function vsdb.fix_text(prompt text, unescaped boolean)
returns text language plpgsql stable strict parallel safe
as $$
declare
    fixed text := prompt;
    previous text;
begin
    loop
        previous := fixed;
        if unescaped then
            fixed := vsdb.unescape(fixed, true);
        end if;
        fixed := vsdb.fold_characters(fixed);
        exit when fixed = previous;
    end loop;
    return fixed;
end
$$;
comment on function vsdb.fix_text is 'References and characters replaced until nothing changes any more, as ftfy does, without its guesses at mis-decoded text.';

-- A line with "<" looks like HTML: from there on ftfy leaves references alone, and only html.unescape decodes them.
create or replace function vsdb.clean(prompt text)
returns text language plpgsql stable strict parallel safe
as $$
declare
    cleaned text := prompt;
    head text;
begin
    if not vsdb.is_plain(prompt) then
        head := case when position('<' in prompt) = 0 then prompt
                     else coalesce(substring(split_part(prompt, '<', 1) from '^.*\n'), '') end;
        cleaned := vsdb.fix_text(head, true) || vsdb.fix_text(substr(prompt, length(head) + 1), false);
        cleaned := vsdb.unescape(vsdb.unescape(cleaned, false), false);
    end if;
    return btrim(regexp_replace(
        cleaned, '[\x09-\x0d\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+', ' ', 'g'));
end
$$;
comment on function vsdb.clean is 'The prompt as CLIP reads it, before lower-casing: text fixed, HTML decoded, white space single.';

-- Lower ---------------------------------------------------------------------------------------------------------

create or replace function vsdb.lower_final_sigmas(prompt text)
returns text language sql stable strict parallel safe
begin atomic
    with characters as (
        select c.piece, c.place, r.cased, r.case_ignorable
        from string_to_table(prompt, null) with ordinality c(piece, place)
        cross join lateral (select * from vsdb.character_ranges r
                            where r.first_code_point <= ascii(c.piece)
                            order by r.first_code_point desc limit 1) r
    ), neighbours as (
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
comment on function vsdb.lower_final_sigmas is 'Capital sigmas at the end of a word in their own lower-case form.';

create or replace function vsdb.lower_characters(prompt text)
returns text language sql stable strict parallel safe
begin atomic
    select case when vsdb.is_plain(prompt) then lower(prompt collate "C")
        else (select string_agg(coalesce(l.replacement, c.piece), '' order by c.place)
              from string_to_table(case when position(U&'\03A3' in prompt) = 0 then prompt
                                        else vsdb.lower_final_sigmas(prompt) end, null) with ordinality c(piece, place)
              left join vsdb.character_lowers l on l.code_point = ascii(c.piece))
        end;
end;
comment on function vsdb.lower_characters is 'Lower case by Unicode''s rules, whatever the locale of the database.';

-- Cut into words ------------------------------------------------------------------------------------------------

-- Other letters become z, which no contraction and no special token contains; a long s counts as an s there.
create or replace function vsdb.word_shape(prompt text)
returns text language sql stable strict parallel safe
begin atomic
    select coalesce(string_agg(
        case when ascii(c.piece) between 32 and 126 then c.piece
             when c.piece = U&'\017F' then 's'
             else case (select r.character_class from vsdb.character_ranges r
                        where r.first_code_point <= ascii(c.piece)
                        order by r.first_code_point desc limit 1)
                  when 'letter' then 'z' when 'number' then '0' when 'other' then '!' else ' ' end
        end, '' order by c.place), '')
    from string_to_table(prompt, null) with ordinality c(piece, place);
end;
comment on function vsdb.word_shape is 'The text in ASCII with every character replaced by one that cuts words alike.';

create or replace function vsdb.split_words(prompt text)
returns table (place bigint, word text) language sql stable strict parallel safe
begin atomic
    with pieces as (
        select m.place, m.piece[1] as piece,
               sum(length(m.piece[1])) over (order by m.place) - length(m.piece[1]) + 1 as start
        from regexp_matches(
                 case when vsdb.is_plain(prompt) then prompt else vsdb.word_shape(prompt) end,
                 '<start_of_text>|<end_of_text>|''s|''t|''re|''ve|''m|''ll|''d|[a-z]+|[0-9]|[^ a-z0-9]+| +', 'g')
             with ordinality m(piece, place)
    )
    select place, substr(prompt, start::integer, length(piece)) from pieces where piece !~ '^ ' order by place;
end;
comment on function vsdb.split_words is 'The words of a clean lower-case text: letters, single digits, runs of other characters, contractions.';

-- Merge bytes ---------------------------------------------------------------------------------------------------

create or replace function vsdb.byte_token(byte integer)
returns integer language sql immutable strict parallel safe
begin atomic
    select case when byte between 33 and 126 then byte - 33
                when byte between 161 and 172 then byte - 67
                when byte between 174 and 255 then byte - 68
                when byte between 127 and 160 then byte + 94
                when byte = 173 then 255
                else byte + 188 end;
end;
comment on function vsdb.byte_token is 'The token of a byte: printable Latin-1 first, then the others.';

create or replace function vsdb.merged_token(left_token integer, right_token integer)
returns integer language sql stable strict parallel safe
begin atomic
    select m.token from vsdb.token_merges m
    where m.left_token = merged_token.left_token and m.right_token = merged_token.right_token;
end;
comment on function vsdb.merged_token is 'The token that two neighbours merge into; null when they do not.';

-- Words are cut at 4,096 bytes: more than the 75 tokens that a prompt may keep can hold.
create or replace function vsdb.merge_bytes(word text)
returns integer[] language plpgsql stable strict parallel safe
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
        from unnest(merges) with ordinality m(token, place)
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
end
$$;
comment on function vsdb.merge_bytes is 'Byte-pair encoding of one word: the lowest merge first, the leftmost of equals (Sennrich et al. 2016).';

create or replace function vsdb.word_tokens(word text)
returns integer[] language sql stable strict parallel safe
begin atomic
    select case word when '<start_of_text>' then array[49406]
                     when '<end_of_text>' then array[49407]
                     else vsdb.merge_bytes(word) end;
end;
comment on function vsdb.word_tokens is 'The tokens of one word; the two special tokens are words of their own.';

create or replace function vsdb.tokenize(prompt text)
returns integer[] language plpgsql stable strict parallel safe cost 10000
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
end
$$;
comment on function vsdb.tokenize is 'Tokens of a prompt as open_clip''s tokenizer gives them: start, at most 75 tokens, end; no padding.';
