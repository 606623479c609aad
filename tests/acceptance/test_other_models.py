"""A model of another family than CLIP's own, from a file alone: ingested, and asked in SQL."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from tests import clips
from vsdb.database import Connection
from vsdb.errors import ModelError
from vsdb.model.encoder import Encoder
from vsdb.model.known import KNOWN_MODELS, KnownModel
from vsdb.model.load import build_random, load_model
from vsdb.model.text_tower import extract_text_tower

Run = Callable[..., subprocess.CompletedProcess[str]]
NAME = "PE-Core-T-16-384"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")]


def test_a_file_of_weights_is_enough(run_vsdb: Run, connection: Connection, tmp_path: Path) -> None:
    weights = tmp_path / "pe.safetensors"
    state = build_random(NAME).module.state_dict()
    save_file({name: each.half().contiguous() for name, each in state.items()}, weights)
    video = clips.write_video(tmp_path / "video.mp4", [0, 1000])
    run = run_vsdb("ingest", str(video), "--model", NAME, "--weights", str(weights), "--json")
    assert json.loads(run.stdout)["status"] == "ingested", run.stderr
    model = connection.execute("select model_name, image_mean, resize_mode from vsdb.models").fetchone()
    assert model == (NAME, [0.5, 0.5, 0.5], "squash")
    encoder = Encoder(load_model(NAME, weights=weights), device="cpu")
    for prompt in ("a red car", "word " * 40):  # it reads 32 tokens
        row = connection.execute("select vsdb.embed(%s)::real[]", [prompt]).fetchone()
        assert row is not None
        assert float(encoder.embed_prompt(prompt) @ np.array(row[0])) > 0.9999


@pytest.mark.parametrize("known", KNOWN_MODELS, ids=lambda known: known.name)
def test_what_is_said_of_a_model_is_so(known: KnownModel) -> None:
    model = build_random(known.name)
    assert (model.info.embedding_dim, model.info.image_size) == (known.embedding_dim, known.image_size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.module.visual.to("meta")(torch.zeros(1, 3, known.image_size, known.image_size, device="meta"))
    assert counter.get_total_flops() / 1e9 == pytest.approx(known.gflop, abs=0.051)
    if known.prompts == "SQL":
        assert extract_text_tower(model.module).embedding_dim == known.embedding_dim
    else:
        with pytest.raises(ModelError):
            extract_text_tower(model.module)


def test_the_disk_it_takes_is_so(connection: Connection) -> None:
    """Rows of vsdb.patches, with a sixteenth as many of vsdb.patch_runs."""
    known = KNOWN_MODELS[0]
    connection.execute(
        """create temporary table rows (like vsdb.patches including storage);
           insert into rows
           select 1, i, i, 0, 0, 0, 720, 720, array_fill(0.5, array[640])::vector::halfvec
           from generate_series(1, 6000) i"""
    )
    row = connection.execute("select pg_relation_size('rows') / 6000.0").fetchone()
    assert row is not None
    assert float(row[0]) * 19 * 3600 * 17 / 16 / 1e6 == pytest.approx(known.megabytes_an_hour, rel=0.01)
