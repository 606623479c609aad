"""vsdb.tokenize against open_clip's own tokenizer."""

# Characters that look alike are the point of these prompts.
# ruff: noqa: E501, RUF001

from __future__ import annotations

import functools
import random
import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ftfy
import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

from vsdb.database import schema, text_tower
from vsdb.database.embedded import EmbeddedServer
from vsdb.model.tokenizer_rules import read_tokenizer_rules

Connection = psycopg.Connection[Any]

PROMPTS = [
    "", " ", "\n\t \r\n", "a red car", "A RED CAR", "  a   red\tcar\n", "don't, it's, I'll, we've, you're, he'd, I'm",
    "DON'T", "l'été à la plage, garçon naïf", "Straße und Fußgänger in Köln", "ΟΔΥΣΣΕΥΣ ΣΤΗΝ ΟΔΟ. ΣΑΣ Σ", "Σ", "ΑΣ'Α",
    "Красная машина на улице", "赤い車が走っている", "ﾊﾟｿｺﾝ ｶﾞ", "한국어 문장", "हिन्दी में", "צילום של כלב", "สุนัข", "İstanbul ISPARTA ı",
    "a dog 🐕 and 👩‍👩‍👧 in 🇩🇪", "room 101, 3½ m², Ⅷ ٣ ४", "1234567890", "“curly” ‘quotes’ ‚low‛ „low‟ ʼ", "ﬁnd ﬂour oﬃce ﬆ ﬅ Ǆ ŉ",
    "ＦＵＬＬ　ＷＩＤＴＨ！", "...---!!!???", "___", "a_b-c/d\\e", "\x01bell\x07 \x7f del\x0bvt\x0cff", "\ufeffbom \ufffc \u206a",
    "\x1b[31mred\x1b[0m \x1b[ \x1b", "c1 \x85 \x91quoted\x92 \x81", "soft\u00adhyphen zero\u200bwidth\u200djoiner", "e\u0301 a\u030a o\u0308",
    "&amp; &lt;b&gt; &eacute; &EACUTE; &bogus; &notit; &ampamp; &am", "&amp;amp;lt;", "&#233; &#xE9; &#x1F600; &#0; &#128; &#x110000;",
    "&#59; &#x3b; &#12ab; &#; &#x; &#99999999999999999999;", "<b>&ldquo;x&rdquo; &ﬁ;</b>\n&eacute;", "&ldquo;x\n<i>&ldquo;",
    "line\r\nbreak\u2028and\u2029paragraph", "a\u00a0b\u2003c\u3000d\u1680e", "<start_of_text>", "a <END_OF_TEXT> b", "<ſtart_of_text>",
    "'ſ 'S it'ſ", "=+*#@%^~`|", "supercalifragilisticexpialidocious", "a " * 200, "word" * 30,
]  # fmt: skip

FRAGMENTS = [
    "a", "red", " ", "Car", "'s", "'S", "'ſ", "'re", "I'LL", "&amp;", "&lt;b&gt;", "&amp;amp;lt;", "&eacute;", "&EACUTE;",
    "&notit;", "&#233;", "&#x1F600;", "&#0;", "&#150;", "&#x26;", "&#59;", "&bogus;", "&am", "<br>", "\n", "<end_of_text>",
    "ΣΑΣ", "ΟΔΟΣ", "Σ.", "\x1b[31m", "😀", "👩‍👩‍👧", "🇩🇪", "1234", "...", "!!??", "___", "日本語", "ﾊﾞｶ", "한국", "हिन्दी", "don’t",
    "“q”", "naïve", "ＬＯＵＤ", "e\u0301", "Straße", "ГОРОД", "\r\n", "=", "@", "&notin", "&nbsp;", "\u3000", "\x85", "ſ", "İ", "ﬅ",
]  # fmt: skip


@pytest.fixture(autouse=True)
def read_rules_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tower, "read_tokenizer_rules", rules_once)


open_clip_tokenizer = SimpleTokenizer()
rules_once = functools.cache(read_tokenizer_rules)


@functools.cache
def assigned_characters() -> str:
    everything = map(chr, range(1, 0x110000))
    return "".join(one for one in everything if unicodedata.category(one) not in ("Cn", "Cs", "Co"))


def expected_tokens(prompt: str) -> list[int]:
    padded: list[int] = open_clip_tokenizer([prompt])[0].tolist()
    return padded[: max(place for place, token in enumerate(padded) if token) + 1]


def is_guessed(prompt: str) -> bool:
    """Whether ftfy's repair of mis-decoded text, the one step left out, changes this prompt."""
    return ftfy.fix_text(prompt) != ftfy.fix_text(prompt, fix_encoding=False)


def generate_prompts(num_prompts: int, seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    alphabets: list[Iterable[str]] = [FRAGMENTS, assigned_characters(), list(map(chr, range(32, 127)))]
    for _ in range(num_prompts):
        alphabet = rng.choice(alphabets)
        yield "".join(rng.choices(list(alphabet) if not isinstance(alphabet, str) else alphabet, k=rng.randint(1, 20)))


def tokenize(connection: Connection, prompt: str) -> list[int]:
    row = connection.execute("select vsdb.tokenize(%s)", (prompt,), prepare=True).fetchone()
    assert row is not None
    tokens: list[int] = row[0]
    return tokens


@pytest.fixture
def tokenizing(connection: Connection) -> Connection:
    text_tower.install_tokenizer(connection)
    return connection


def test_equals_open_clip_on_varied_prompts(tokenizing: Connection) -> None:
    prompts = [*PROMPTS, *generate_prompts(5200, seed=3)]
    compared = [prompt for prompt in prompts if not is_guessed(prompt)]
    assert len(compared) > 5000
    different = [prompt for prompt in compared if tokenize(tokenizing, prompt) != expected_tokens(prompt)]
    assert different == []


def test_equals_open_clip_on_whatever_hypothesis_finds(tokenizing: Connection) -> None:
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs", "Cn")))
    prompts = st.one_of(text, st.lists(st.one_of(st.sampled_from(FRAGMENTS), text)).map("".join))

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(prompts)
    def check(prompt: str) -> None:
        assume(not is_guessed(prompt))
        assert tokenize(tokenizing, prompt) == expected_tokens(prompt)

    check()


@pytest.mark.parametrize(
    "prompt",
    ["a red car " * 1000, "abcdefghij" * 1000, "a" * 10000, "é" * 10000, "日本" * 5000, "!?" * 5000, "7" * 10000, "&amp;" * 2000],
)  # fmt: skip
def test_long_prompts_are_cut_with_the_end_token_kept(tokenizing: Connection, prompt: str) -> None:
    tokens = tokenize(tokenizing, prompt)
    assert tokens == expected_tokens(prompt)
    assert tokens[-1] == 49407


def test_every_letter_alone(tokenizing: Connection) -> None:
    """Lower case, character class and folding of every assigned character below U+3000, in groups of 20."""
    characters = [one for one in assigned_characters() if one < "\u3000"]
    for start in range(0, len(characters), 20):
        prompt = " ".join(characters[start : start + 20])
        if not is_guessed(prompt):
            assert tokenize(tokenizing, prompt) == expected_tokens(prompt), ascii(prompt)


def test_null_is_null(tokenizing: Connection) -> None:
    assert tokenizing.execute("select vsdb.tokenize(null)").fetchone() == (None,)


def test_reader_with_empty_search_path_in_a_read_only_transaction(tokenizing: Connection) -> None:
    tokenizing.execute("set role vsdb_reader; set search_path = ''; set default_transaction_read_only = on")
    for prompt in ("a red car", "“Σ” &eacute; ＡＢＣ"):
        assert tokenize(tokenizing, prompt) == expected_tokens(prompt)


def test_locale_c(tokenizing: Connection, dsn: str) -> None:
    """lower() and [[:alpha:]] know ASCII only in this locale: no rule may rest on them."""
    with tokenizing.cursor() as cursor:
        cursor.execute(
            "create database text_locale_c template template0 encoding 'UTF8' locale_provider libc locale 'C'"
        )
    try:
        with psycopg.connect(dsn, dbname="text_locale_c", autocommit=True) as connection:
            apply_schema(connection)
            text_tower.install_tokenizer(connection)
            for prompt in (*PROMPTS, *generate_prompts(300, seed=5)):
                if not is_guessed(prompt):
                    assert tokenize(connection, prompt) == expected_tokens(prompt), ascii(prompt)
    finally:
        tokenizing.execute("drop database text_locale_c with (force)")


@pytest.fixture
def turkish(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A database of a server that knows Turkish, which is compiled here: few machines have it."""
    with tempfile.TemporaryDirectory(prefix="vsdb-test-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # the server may run as another user
        compile_it = ["localedef", "--no-archive", "-i", "tr_TR", "-f", "UTF-8", str(home / "tr_TR.UTF-8")]
        if shutil.which("localedef") is None or subprocess.run(compile_it, capture_output=True).returncode:
            pytest.skip("the Turkish locale cannot be compiled here (localedef -i tr_TR)")
        monkeypatch.setenv("LOCPATH", folder)
        server = EmbeddedServer(home)
        with psycopg.connect(server.start(), autocommit=True) as owner:
            owner.execute(
                "create database turkish template template0 encoding 'UTF8' locale_provider libc locale 'tr_TR.UTF-8'"
            )
        with psycopg.connect(server.dsn("turkish") or "", autocommit=True) as connection:
            schema.migrate(connection)
            text_tower.install_tokenizer(connection)
            yield connection
        server.stop()


def test_a_turkish_locale(turkish: Connection) -> None:
    """There the lower case of I has no dot, and a red LIGHT would be another word."""
    assert turkish.execute("select lower('TITLE I')").fetchone() == ("tıtle ı",)
    assert tokenize(turkish, "TITLE I") == tokenize(turkish, "title i") == expected_tokens("title i")
    for prompt in ("A RED LIGHT IN ISTANBUL", *PROMPTS):
        if not is_guessed(prompt):
            assert tokenize(turkish, prompt) == expected_tokens(prompt), ascii(prompt)


def apply_schema(connection: Connection) -> None:
    for path in [each.path for each in schema.all_migrations()] + schema.function_files():
        connection.execute(path.read_bytes())
    lowered = connection.execute("select lower('É')").fetchone()
    assert lowered == ("É",), "the locale is not C"


def test_installing_again_changes_nothing(tokenizing: Connection) -> None:
    assert text_tower.install_tokenizer(tokenizing) is False
    tokenizing.execute("update vsdb.tokenizers set rules_sha256 = sha256('')")
    tokenizing.execute("delete from vsdb.token_merges where token < 2000")
    assert text_tower.install_tokenizer(tokenizing) is True
    assert tokenize(tokenizing, "a red car") == expected_tokens("a red car")


def test_says_what_to_do_when_the_tables_are_empty(connection: Connection) -> None:
    connection.execute("delete from vsdb.tokenizers")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="empty") as error:
        tokenize(connection, "a red car")
    assert "vsdb ingest" in (error.value.diag.message_hint or "")
