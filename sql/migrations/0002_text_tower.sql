-- vsdb 0002: the tokenizer and the text tower as tables, so that a prompt becomes an embedding inside PostgreSQL.
-- The rows come from Python (vsdb/text_tower.py); the functions that read them stand in tokenize.sql and embed.sql.

-- Tokenizer -----------------------------------------------------------------------------------------------------

create table vsdb.tokenizers (
    singleton     boolean primary key default true check (singleton),
    rules_sha256  bytea not null check (octet_length(rules_sha256) = 32),
    created_at    timestamptz not null default now()
);
comment on table vsdb.tokenizers is 'One row once the tables of the tokenizer are filled.';
comment on column vsdb.tokenizers.singleton is 'Always true: the primary key that keeps this table at one row.';
comment on column vsdb.tokenizers.rules_sha256 is 'SHA-256 of all rows of the tokenizer, 32 bytes: equal rows need no second filling.';
comment on column vsdb.tokenizers.created_at is 'When the tables were filled.';

-- A merge is ranked by its token: 512 single bytes come first, then the merges in the order they were learned.
create table vsdb.token_merges (
    left_token   integer not null check (left_token >= 0),
    right_token  integer not null check (right_token >= 0),
    token        integer not null unique check (token >= 512),
    primary key (left_token, right_token)
);
comment on table vsdb.token_merges is 'Byte-pair encoding: two neighbouring tokens and the token they merge into; the lowest token merges first.';
comment on column vsdb.token_merges.left_token is 'Token on the left.';
comment on column vsdb.token_merges.right_token is 'Token on the right.';
comment on column vsdb.token_merges.token is 'Token the two become, which is also the rank of the merge.';

create table vsdb.character_folds (
    code_point   integer primary key check (code_point > 0),
    replacement  text not null
);
comment on table vsdb.character_folds is 'Characters that cleaning a prompt replaces: curly quotes, ligatures, full-width forms, control characters.';
comment on column vsdb.character_folds.code_point is 'Unicode code point of the character.';
comment on column vsdb.character_folds.replacement is 'What stands in its place; empty when the character is dropped.';

create table vsdb.character_lowers (
    code_point   integer primary key check (code_point > 0),
    replacement  text not null
);
comment on table vsdb.character_lowers is 'Characters with another lower-case form. A table, because lower() depends on the locale of the database.';
comment on column vsdb.character_lowers.code_point is 'Unicode code point of the character.';
comment on column vsdb.character_lowers.replacement is 'Its lower-case form, one or more characters.';

create table vsdb.character_ranges (
    first_code_point  integer primary key check (first_code_point >= 0),
    character_class   text not null check (character_class in ('letter', 'number', 'other', 'separator')),
    cased             boolean not null,
    case_ignorable    boolean not null
);
comment on table vsdb.character_ranges is 'Unicode properties by range: a row holds for its first code point and all that follow, up to the next row.';
comment on column vsdb.character_ranges.first_code_point is 'First Unicode code point of the range.';
comment on column vsdb.character_ranges.character_class is 'letter, number or other: what words are made of; separator: what stands between words.';
comment on column vsdb.character_ranges.cased is 'Whether the characters have a case: decides how a capital sigma is lowered.';
comment on column vsdb.character_ranges.case_ignorable is 'Whether the characters are skipped when looking for a cased neighbour of a capital sigma.';

create table vsdb.html_entities (
    entity_name  text collate "C" primary key check (entity_name <> ''),
    replacement  text not null,
    standard     boolean not null
);
comment on table vsdb.html_entities is 'Named character references, such as amp; for &.';
comment on column vsdb.html_entities.entity_name is 'Name without the ampersand, with its semicolon where it has one.';
comment on column vsdb.html_entities.replacement is 'The characters it stands for.';
comment on column vsdb.html_entities.standard is 'Whether HTML 5 knows the name; false for names in capitals that only cleaning accepts.';

-- Text tower ----------------------------------------------------------------------------------------------------

create table vsdb.text_towers (
    singleton       boolean primary key default true check (singleton),
    tower_sha256    bytea not null check (octet_length(tower_sha256) = 32),
    architecture    text not null check (architecture in ('openai', 'other')),
    width           integer check (width between 1 and 4000),
    heads           integer check (heads > 0 and width % heads = 0),
    layers          integer check (layers > 0),
    mlp_ratio       integer check (mlp_ratio > 0),
    context_length  integer check (context_length > 2),
    vocab_size      integer check (vocab_size > 0),
    embedding_dim   integer check (embedding_dim between 1 and 4000),
    activation      text check (activation in ('quick_gelu', 'gelu')),
    norm_epsilon    double precision check (norm_epsilon > 0),
    final_gain      vector,
    final_bias      vector,
    created_at      timestamptz not null default now(),
    check (architecture = 'other' or num_nulls(width, heads, layers, mlp_ratio, context_length, vocab_size,
                                               embedding_dim, activation, norm_epsilon, final_gain, final_bias) = 0)
);
comment on table vsdb.text_towers is 'The one text tower of this database: the half of the model that embeds prompts.';
comment on column vsdb.text_towers.singleton is 'Always true: the primary key that keeps this table at one row.';
comment on column vsdb.text_towers.tower_sha256 is 'SHA-256 of the tower''s weights and numbers, 32 bytes: remembered prompts belong to it.';
comment on column vsdb.text_towers.architecture is 'openai: vsdb.embed computes it. other: the model is usable, but only Python embeds its prompts.';
comment on column vsdb.text_towers.width is 'Numbers that describe a token between layers.';
comment on column vsdb.text_towers.heads is 'Attention heads of a layer.';
comment on column vsdb.text_towers.layers is 'Number of layers.';
comment on column vsdb.text_towers.mlp_ratio is 'Width of the hidden layer of the perceptron, in widths of the tower.';
comment on column vsdb.text_towers.context_length is 'Most tokens of a prompt, start and end included.';
comment on column vsdb.text_towers.vocab_size is 'Number of tokens that have an embedding.';
comment on column vsdb.text_towers.embedding_dim is 'Numbers in an embedding.';
comment on column vsdb.text_towers.activation is 'Activation of the perceptron.';
comment on column vsdb.text_towers.norm_epsilon is 'What layer normalisation adds to the variance.';
comment on column vsdb.text_towers.final_gain is 'Gain of the last layer normalisation.';
comment on column vsdb.text_towers.final_bias is 'Bias of the last layer normalisation.';
comment on column vsdb.text_towers.created_at is 'When the tower was stored.';

create table vsdb.text_layers (
    layer               smallint primary key check (layer > 0),
    attention_gain      vector not null,
    attention_bias      vector not null,
    attention_in_bias   vector not null,
    attention_out_bias  vector not null,
    mlp_gain            vector not null,
    mlp_bias            vector not null,
    mlp_in_bias         vector not null,
    mlp_out_bias        vector not null
);
comment on table vsdb.text_layers is 'The vectors of every layer of the text tower; its matrices stand in vsdb.text_weights.';
comment on column vsdb.text_layers.layer is 'Number of the layer, from 1.';
comment on column vsdb.text_layers.attention_gain is 'Gain of the layer normalisation before attention.';
comment on column vsdb.text_layers.attention_bias is 'Bias of the layer normalisation before attention.';
comment on column vsdb.text_layers.attention_in_bias is 'Bias of queries, keys and values, in this order.';
comment on column vsdb.text_layers.attention_out_bias is 'Bias of the product after attention.';
comment on column vsdb.text_layers.mlp_gain is 'Gain of the layer normalisation before the perceptron.';
comment on column vsdb.text_layers.mlp_bias is 'Bias of the layer normalisation before the perceptron.';
comment on column vsdb.text_layers.mlp_in_bias is 'Bias of the perceptron''s first product.';
comment on column vsdb.text_layers.mlp_out_bias is 'Bias of the perceptron''s second product.';

-- Rows of one width for every matrix: RN50x4 has six to a page, and none is long enough for TOAST to split it.
create table vsdb.text_weights (
    layer      smallint not null check (layer >= 0),
    matrix     smallint not null check (matrix between 0 and 4),
    part       smallint not null check (part >= 0),
    row_index  integer not null check (row_index >= 0),
    weights    halfvec not null,
    primary key (layer, matrix, part, row_index)
);
alter table vsdb.text_weights alter column weights set storage plain;
comment on table vsdb.text_weights is 'The matrices of the text tower, one row a row of a matrix (or a row of one part of it).';
comment on column vsdb.text_weights.layer is 'Number of the layer, from 1; 0 for the projection.';
comment on column vsdb.text_weights.matrix is '0 projection, 1 attention in (queries, keys, values), 2 attention out, 3 perceptron in, 4 perceptron out.';
comment on column vsdb.text_weights.part is 'Which stretch of the columns, from 0; only the perceptron''s second matrix has more than one.';
comment on column vsdb.text_weights.row_index is 'Row of the matrix, from 0: the number of the output it computes.';
comment on column vsdb.text_weights.weights is 'The row''s weights, as many as the tower is wide.';

create table vsdb.text_tokens (
    token      integer primary key check (token >= 0),
    embedding  halfvec not null
);
alter table vsdb.text_tokens alter column embedding set storage plain;
comment on table vsdb.text_tokens is 'Where every token starts: its row of the token embedding.';
comment on column vsdb.text_tokens.token is 'Token, as vsdb.tokenize returns it.';
comment on column vsdb.text_tokens.embedding is 'Its numbers, as many as the tower is wide.';

create table vsdb.text_positions (
    position   smallint primary key check (position > 0),
    embedding  vector not null
);
alter table vsdb.text_positions alter column embedding set storage plain;
comment on table vsdb.text_positions is 'What is added to a token for its place in the prompt.';
comment on column vsdb.text_positions.position is 'Place in the prompt, from 1.';
comment on column vsdb.text_positions.embedding is 'Its numbers, as many as the tower is wide.';

-- No foreign key to the tower: checking it would make a question wait while another tower is being stored.
create table vsdb.prompt_embeddings (
    tower_sha256   bytea not null check (octet_length(tower_sha256) = 32),
    prompt_sha256  bytea not null check (octet_length(prompt_sha256) = 32),
    remembered_id  bigint generated always as identity unique,
    embedding      halfvec not null,
    primary key (tower_sha256, prompt_sha256)
);
alter table vsdb.prompt_embeddings alter column embedding set storage plain;
comment on table vsdb.prompt_embeddings is 'Prompts that were asked before, the newest 10,000: a cache that may be emptied at any time.';
comment on column vsdb.prompt_embeddings.tower_sha256 is 'The text tower that embedded the prompt; rows of another tower are never read.';
comment on column vsdb.prompt_embeddings.prompt_sha256 is 'SHA-256 of the prompt in UTF-8: what people asked is not kept in plain text.';
comment on column vsdb.prompt_embeddings.remembered_id is 'Rises with every prompt: the lowest are forgotten first.';
comment on column vsdb.prompt_embeddings.embedding is 'Embedding of the prompt, of length 1.';
