-- What vsdb_reader may do: read and ask, nothing else. Applied last, so that it covers every object above.

do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'vsdb_reader') then
        raise notice 'role vsdb_reader does not exist: nothing was granted';
        return;
    end if;
    grant usage on schema vsdb to vsdb_reader;
    grant select on all tables in schema vsdb to vsdb_reader;
    grant execute on all functions in schema vsdb to vsdb_reader;
end
$$;
