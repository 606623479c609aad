-- A prompt as CLIP's tokenizer reads it: text repaired, HTML decoded. Every rule is a row of a table (migration 2), so
-- the answer depends neither on the locale of the database nor on the Unicode version of the server.

create or replace function vsdb.is_plain(prompt text) returns boolean
language sql immutable strict parallel safe
begin atomic
    select prompt ~ '^[\x20-\x25\x27-\x7e]*$';
end;
comment on function vsdb.is_plain(text) is
    'Internal. Whether a text is printable ASCII without ampersand: nothing to clean, no character to look up.';

create or replace function vsdb.decode_code_point(code_point integer) returns text
language sql immutable strict parallel safe
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
comment on function vsdb.decode_code_point(integer) is
    'Internal. The character of a numeric reference, with the exceptions of HTML 5: no NUL, Windows-1252 from 128 to 159.';

create or replace function vsdb.decode_numeric_reference(reference text) returns text
language sql immutable strict parallel safe
begin atomic
    select vsdb.decode_code_point(case
        when digits = '' then 0
        when length(digits) > 7 then 1114112
        when reference ~ '^#[xX]' then ('x' || lpad(digits, 8, '0'))::bit(32)::integer
        else digits::integer
    end)
    from (select ltrim(regexp_replace(reference, '^#[xX]?|;$', '', 'g'), '0') as digits) d;
end;
comment on function vsdb.decode_numeric_reference(text) is
    'Internal. The character of a reference such as #233; or #xE9, given without its ampersand.';

create or replace function vsdb.decode_reference(reference text) returns text
language sql stable strict parallel safe
begin atomic
    select case when reference ~ '^#' then vsdb.decode_numeric_reference(reference)
        else coalesce(
            (select e.replacement || substr(reference, length(e.entity_name) + 1)
             from generate_series(2, length(reference)) as n (num_characters)
             join vsdb.html_entities e on e.entity_name = left(reference, n.num_characters) and e.standard
             order by n.num_characters desc
             limit 1), '&' || reference)
        end;
end;
comment on function vsdb.decode_reference(text) is
    'Internal. What a character reference stands for, or the longest beginning of it that is a name, as HTML 5 reads it.';

create or replace function vsdb.decode_complete_reference(reference text) returns text
language sql stable strict parallel safe
begin atomic
    select case when reference ~ '^#([0-9]+|[xX][0-9a-fA-F]+);$' and reference !~ '^#(0*59|[xX]0*3[bB]);$'
        then vsdb.decode_numeric_reference(reference)
        else coalesce((select e.replacement from vsdb.html_entities e where e.entity_name = reference), '&' || reference)
        end;
end;
comment on function vsdb.decode_complete_reference(text) is
    'Internal. What a reference that ends in a semicolon stands for; names in capitals are known too.';

create or replace function vsdb.unescape(prompt text, complete boolean) returns text
language sql stable strict parallel safe
begin atomic
    select case when position('&' in prompt) = 0 then prompt
        when complete then (
            select string_agg(case when m.piece[1] ~ '^&.' then vsdb.decode_complete_reference(substr(m.piece[1], 2))
                                   else m.piece[1] end, '' order by m.place)
            from regexp_matches(prompt, '&#?[0-9A-Za-z]{1,24};|&|[^&]+', 'g') with ordinality as m (piece, place))
        else (
            select string_agg(case when m.piece[1] ~ '^&.' then vsdb.decode_reference(substr(m.piece[1], 2))
                                   else m.piece[1] end, '' order by m.place)
            from regexp_matches(prompt, '&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)|&|[^&]+', 'g')
                 with ordinality as m (piece, place))
        end;
end;
comment on function vsdb.unescape(text, boolean) is
    'Internal. Character references replaced: only complete ones, or all that HTML 5 accepts.';

create or replace function vsdb.fold_characters(prompt text) returns text
language sql stable strict parallel safe
begin atomic
    select normalize(replace(regexp_replace(folded, '\x1b\[[0-9;]*[a-zA-Z]', '', 'g'), chr(27), ''), NFC)
    from (select coalesce(string_agg(coalesce(f.replacement, c.piece), '' order by c.place), '') as folded
          from string_to_table(prompt, null) with ordinality as c (piece, place)
          left join vsdb.character_folds f on f.code_point = ascii(c.piece)) q;
end;
comment on function vsdb.fold_characters(text) is
    'Internal. Quotes uncurled, ligatures and full-width forms taken apart, control characters dropped, then NFC.';

create or replace function vsdb.fix_text(prompt text, unescaped boolean) returns text
language plpgsql stable strict parallel safe
set search_path = ''
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
end;
$$;
comment on function vsdb.fix_text(text, boolean) is
    'Internal. References and characters replaced until nothing changes any more, as ftfy does, without its guesses at mis-decoded text.';

-- A line with "<" looks like HTML: from there on ftfy leaves references alone, and only html.unescape decodes them.
create or replace function vsdb.clean(prompt text) returns text
language plpgsql stable strict parallel safe
set search_path = ''
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
end;
$$;
comment on function vsdb.clean(text) is
    'Internal. The prompt as CLIP reads it, before lower-casing: text fixed, HTML decoded, white space single.';
