"""The first real run: weights come from a model hub, here one on loopback that serves random ones."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import save_file

from tests import clips, reference
from tests.conftest import clean_environment
from tests.hub import COMMIT, Hub, hang_up
from vsdb.errors import ModelError
from vsdb.model.load import OPENAI_BOOKKEEPING, load_model

REPOSITORY = "timm/resnet50x4_clip.openai"
FILE_NAME = "open_clip_model.safetensors"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random weights of RN50x4 as its repository holds them: 356 MB."""
    state = reference.random_openai_state_dict()
    path = tmp_path_factory.mktemp("hub") / FILE_NAME
    save_file({name: each.half().contiguous() for name, each in state.items() if name not in OPENAI_BOOKKEEPING}, path)
    yield path
    path.unlink()


@pytest.fixture
def hub(weights: Path) -> Iterator[Hub]:
    with Hub(REPOSITORY, weights).serving() as hub:
        yield hub


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frames of one patch each."""
    return clips.write_video(tmp_path_factory.mktemp("clip") / "video.mp4", [0, 1000])


def environment(hub: Hub, cache: Path, dsn: str) -> dict[str, str]:
    """What a user has who has set nothing, but for the hub's address, the cache's place and the database."""
    kept = {name: value for name, value in clean_environment().items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    return {**kept, "HF_ENDPOINT": hub.address, "HF_HOME": str(cache), "VSDB_DSN": dsn}


def vsdb_on_a_terminal(arguments: list[str], variables: dict[str, str]) -> tuple[int, str]:
    """Run the command with its messages on a terminal; its exit status and what was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vsdb", *arguments]
    process = subprocess.Popen(
        command, env={**variables, "TERM": "xterm", "COLUMNS": "100"}, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 1 << 16):
            shown += block
    except OSError:  # how the end of the other side shows
        pass
    os.close(ours)
    return process.wait(), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[━⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", "", shown.decode(errors="replace"))


def test_a_video_is_ingested_with_nothing_else_said(hub: Hub, tmp_path: Path, dsn: str, video: Path) -> None:
    """Fetched with a bar and over a cut connection, then cached: the next run finds no hub and asks for none."""
    variables = environment(hub, tmp_path, dsn)
    hub.cut_after = 100 << 20
    status, shown = vsdb_on_a_terminal(["ingest", str(video)], variables)
    assert status == 0, shown
    shares = [int(done) for done in re.findall(r"fetching RN50x4: (\d+) of 357 MB", shown)]
    assert len(set(shares)) > 3
    assert shares == sorted(shares)
    gets = [span for method, path, span in hub.requests if method == "GET" and path.endswith(FILE_NAME)]
    assert gets[0] == ""
    assert 0 < int(gets[1].removeprefix("bytes=").rstrip("-")) <= 100 << 20
    assert len(gets) == 2
    hub.requests.clear()
    command = [sys.executable, "-m", "vsdb", "ingest", str(video), "--force", "--json"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert json.loads(done.stdout)["status"] == "ingested", done.stderr
    assert hub.requests == []


def test_a_slow_hub_is_waited_for(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.seconds_a_block = 0.02
    use(hub, tmp_path, monkeypatch)
    seen: list[tuple[int, int]] = []
    load_model("RN50x4", on_fetch=lambda done, total: seen.append((done, total)))
    size = hub.file.stat().st_size
    assert seen[-1] == (size, size)
    assert not list(tmp_path.rglob("*.incomplete"))


def test_a_missing_file_is_named(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(hub, tmp_path, monkeypatch)
    with pytest.raises(ModelError, match=r"holds no file open_clip_model.safetensors or open_clip_pytorch_model.bin"):
        hub.file = hub.file.with_name("other.bin")
        load_model("RN50x4")
    hub.repository = "someone/else"
    with pytest.raises(ModelError, match=r"RN50x4 \(about 350 MB\).*404.*--weights FILE"):
        load_model("RN50x4")


def test_a_hub_that_keeps_hanging_up_is_given_up(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves nothing that a later run could take for the weights."""
    use(hub, tmp_path, monkeypatch)
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the client's attempts
    monkeypatch.setattr(type(hub), "_send", lambda _, request, __: hang_up(request))
    with pytest.raises(ModelError, match=r"could not be fetched .* run the command again"):
        load_model("RN50x4")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 1000]


def test_the_cache_is_the_hub_s_own(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another program of the hub's client left behind is read where it lies."""
    use(hub, tmp_path, monkeypatch)
    snapshot = tmp_path / "models--timm--resnet50x4_clip.openai" / "snapshots" / COMMIT
    (snapshot.parents[1] / "refs").mkdir(parents=True)
    (snapshot.parents[1] / "refs" / "main").write_text(COMMIT)
    snapshot.mkdir(parents=True)
    (snapshot / FILE_NAME).symlink_to(hub.file)
    assert load_model("RN50x4").info.embedding_dim == 640
    assert hub.requests == []


def use(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the hub's client in this process to a hub and an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        hub.address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
