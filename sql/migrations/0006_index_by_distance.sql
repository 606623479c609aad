-- vsdb 0006: the index orders patch runs by distance now (see vsdb.turn_query), and one by inner product is of no use.
-- Applied once and frozen. The next ingest builds the new one, and so does vsdb.build_index().

drop index if exists vsdb.patch_runs_embedding_ivf;
