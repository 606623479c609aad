"""Processes that draw training batches while the model trains on earlier ones."""

from __future__ import annotations

import ctypes
import multiprocessing
import queue
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from training.batches import Batch
from training.pictures import PREPARED, Prepared
from training.samples import Difficulty, Sampler
from training.tower import tokenize

Arrays = dict[str, npt.NDArray[Any]]
Tensors = dict[str, torch.Tensor]
WAIT_SECONDS = 5.0


def to_arrays(batch: Batch) -> Arrays:
    """Return a batch as arrays, its captions tokenized."""
    return {
        "pictures": batch.pictures,
        "also_true": batch.also_true,
        "concepts": batch.concepts,
        "colours": batch.colours,
        "named": batch.named,
        "letters": batch.letters,
        "tokens": tokenize(batch.captions).numpy(),
    }


def draw(config: dict[str, Any], seed: int, phase: Any, batches: Any) -> None:
    """Draw batches of the current phase for as long as the training lives."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sampler = Sampler(Prepared(PREPARED), seed)
    while True:
        now = config["phases"][phase.value]
        sampler.difficulty = Difficulty(
            **{name: value for name, value in now.items() if name not in ("until", "losses")}
        )
        arrays = to_arrays(sampler.batch(config["num_pictures"], config["num_captions"]))
        if not put_while_wanted(batches, arrays):
            return


def put_while_wanted(batches: Any, arrays: Arrays) -> bool:
    """Put a batch into the queue when there is room; return False when the training is gone.

    A training that was killed cannot end its workers, so they look for themselves.
    """
    training = multiprocessing.parent_process()
    while training is None or training.is_alive():
        try:
            batches.put(arrays, timeout=WAIT_SECONDS)
            return True
        except queue.Full:
            continue
    batches.cancel_join_thread()
    return False


class Drawers:
    """Worker processes and the queue between them and the training.

    Batches travel through pipes and not through shared memory, which is tiny on many machines.
    """

    def __init__(self, config: dict[str, Any], num_workers: int, first_seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._phase = context.Value(ctypes.c_int, 0)
        self._batches: Any = context.Queue(maxsize=2 * num_workers)
        self._workers: list[BaseProcess] = [
            context.Process(target=draw, args=(config, first_seed + i, self._phase, self._batches), daemon=True)
            for i in range(num_workers)
        ]
        self._waiting: Tensors | None = None

    def __enter__(self) -> Drawers:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.terminate()
            worker.join()

    @property
    def phase(self) -> int:
        """The index of the phase whose pictures are drawn."""
        return int(self._phase.value)

    @phase.setter
    def phase(self, index: int) -> None:
        self._phase.value = index

    def wait(self) -> None:
        """Wait for the first batch."""
        self._waiting = self.take()

    def take(self) -> Tensors:
        """Return the next batch.

        Raises:
            RuntimeError: a worker has died.
        """
        if self._waiting is not None:
            batch, self._waiting = self._waiting, None
            return batch
        while True:
            try:
                arrays: Arrays = self._batches.get(timeout=WAIT_SECONDS)
                return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
            except queue.Empty:
                if dead := [worker.exitcode for worker in self._workers if not worker.is_alive()]:
                    raise RuntimeError(f"a drawing process has died, exit codes {dead}") from None
