"""The weights of a model from the Hugging Face hub: fetched once, then read from its cache without the network."""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from tqdm import tqdm

from vsdb.config import TINY
from vsdb.errors import ModelError
from vsdb.readable import first_line

OnFetch = Callable[[int, int], None]
"""Is told how many bytes of how many are here."""

FILE_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
HUB_SECONDS = 4
DOWNLOAD_SIZES = {"RN50x4": "about 350 MB"}


def fetch_weights(name: str, place: str, *, on_fetch: OnFetch | None = None) -> Path:
    """The file with a model's weights, from the hub's cache on this machine, else from the hub.

    A connection that is cut is taken up again where it broke off; the file appears in the cache when it is whole.

    Args:
        name: of the model, for messages.
        place: ``OWNER/REPOSITORY/FILE`` on the hub; without a file (``OWNER/REPOSITORY/``) open_clip's usual names.
        on_fetch: is told of the progress; without it the hub's client shows a bar of its own.

    Raises:
        ModelError: there is no such file, or no way to it; says what to do.
    """
    repository, _, file_name = place.rpartition("/")
    choices = _choices(file_name)
    for choice in choices:
        cached = try_to_load_from_cache(repository, choice)
        if isinstance(cached, str):
            return Path(cached)
    try:
        with no_warnings_logged(), nullcontext() if _hub_answers() else without_hub():  # every retry is one
            return _download(repository, choices, on_fetch)
    except Exception as error:  # of any kind: the hub's client has those of its network library, too
        size = DOWNLOAD_SIZES.get(name, "some hundred MB")
        raise ModelError(
            f"the weights of {name} ({size}) are not on this machine and could not be fetched "
            f"({_reason(error, repository, choices)}); run the command again when the network is there, or "
            f"fetch them elsewhere and give --weights FILE, or try --model {TINY}, which is bundled "
            "(drawn pictures only: for demonstration and tests)"
        ) from error


@contextmanager
def without_hub() -> Iterator[None]:
    """Take weights from this machine only, meanwhile."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _hub_answers() -> bool:
    """Whether anything answers at the hub's address: its client tries for more than a minute before it says no."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answers: list[bool] = []
    look = threading.Thread(target=lambda: answers.append(_answers(constants.ENDPOINT)), daemon=True)
    look.start()
    look.join(HUB_SECONDS)  # a name server may take longer than any time limit of a connection
    return any(answers)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=HUB_SECONDS):
            return True
    except urllib.error.HTTPError:  # which is an answer
        return True
    except (OSError, ValueError):
        return False


@contextmanager
def no_warnings_logged() -> Iterator[None]:
    """Keep what libraries log below an error from the terminal."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _choices(file_name: str) -> tuple[str, ...]:
    """Names to try: safetensors first, which cannot run code."""
    if not file_name:
        return FILE_NAMES
    safe = str(Path(file_name).with_suffix(".safetensors"))
    return (file_name,) if safe == file_name else (safe, file_name)


def _download(repository: str, choices: tuple[str, ...], on_fetch: OnFetch | None) -> Path:
    *others, last = choices
    bar: Any = _bar(on_fetch) if on_fetch else None
    for choice in others:
        try:
            return Path(hf_hub_download(repository, choice, tqdm_class=bar))
        except LocalEntryNotFoundError:
            raise  # not the file is missing, but the network
        except EntryNotFoundError:
            continue
    return Path(hf_hub_download(repository, last, tqdm_class=bar))


def _bar(on_fetch: OnFetch) -> Any:
    """The class that the hub's client makes a progress bar of, which shows nothing and tells ``on_fetch``."""

    class Bar(tqdm):  # type: ignore[misc]  # it has no types
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings | {"disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            on_fetch(int(self.n), int(self.total or 0))

        def update_transfer(self, n: float) -> None:
            """One bar is enough: without this the client makes a second one for what is not on the disk yet."""

    return Bar


def _reason(error: Exception, repository: str, choices: tuple[str, ...]) -> str:
    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        return f"the hub's {repository} holds no file {' or '.join(choices)}"
    return first_line(error)
