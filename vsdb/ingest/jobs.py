"""What passes between the stages of an ingest: a job a video, and the parts of its frames in batches."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vsdb.ingest.channels import Budget
from vsdb.media.files import FileState
from vsdb.stopping import StoppedError
from vsdb.types import EmbeddedFrame, OpenedVideo

if TYPE_CHECKING:
    from vsdb.media.changes import ChangeWatch
    from vsdb.model.encoder import ModelInput

WAITING_PATCHES = 50_000  # of one video whose turn to be stored has not come; 64 MB of RN50x4's embeddings


@dataclass(eq=False)
class Job:
    """One video on its way. A failure in any stage is kept here, so that it fails this video alone."""

    path: Path
    hashed_file: FileState | None = None
    """The file as it was just before it was hashed."""
    sha256: Future[bytes] = field(default_factory=Future)
    opened: Future[OpenedVideo] = field(default_factory=Future)
    inbox: SimpleQueue[EmbeddedFrame | None] = field(default_factory=SimpleQueue)
    """Embedded frames in order; None after the last. ``budget`` keeps it short."""
    budget: Budget = field(default_factory=lambda: Budget(WAITING_PATCHES))
    """Patches between decoder and database; who takes a frame out of the inbox gives its patches back."""
    duration_seconds: float = 0.0
    """Known when the last frame is in the inbox."""
    error: Exception | None = None
    was_looked_up: bool = False
    """Whether the database was asked, ahead of its turn, if the video is stored."""
    is_decoding: bool = False
    is_cancelled: bool = False
    changes: ChangeWatch | None = None
    """Tells which patches must be embedded; None where all are."""
    parts: list[NDArray[np.float16]] = field(default_factory=list)
    """Embeddings of the frame that is not whole yet."""
    newest: NDArray[np.float16] | None = None
    """Embeddings of the frame before, where not all patches are embedded anew."""

    def cancel(self) -> None:
        """Let the stages drop what is left of this video."""
        self.is_cancelled = True
        self.budget.close()

    def check(self) -> None:
        """Raise StoppedError once the video is not wanted any more."""
        if self.is_cancelled:
            raise StoppedError

    def fail(self, error: Exception) -> None:
        """Keep the first error and drop the rest of the video."""
        self.error = self.error or error
        self.cancel()

    @contextmanager
    def keeping_errors(self) -> Iterator[None]:
        """Keep what goes wrong inside, for whoever stores this video."""
        try:
            yield
        except StoppedError:
            self.cancel()
        except Exception as error:  # of any kind: it is raised again where the video is stored
            self.fail(error)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some or all patches of one frame inside a batch, or the end of a video."""

    job: Job
    frame_index: int = 0
    pts_seconds: float = 0.0
    thumbnail: bytes | None = None
    num_patches: int = 0
    fresh: NDArray[np.intp] | None = None
    """Which patches of the frame are embedded, the others being as in the frame before; None means all."""
    is_whole: bool = True
    """Whether the frame has all its patches with this part."""
    is_end: bool = False


@dataclass
class Batch:
    """Patches to embed at once, of one or more videos, in order."""

    parts: list[Part] = field(default_factory=list)
    inputs: list[ModelInput] = field(default_factory=list)
    """What the model reads, one entry a part that has patches."""
    num_patches: int = 0
    has_end: bool = False

    def add(self, part: Part, inputs: ModelInput | None = None) -> None:
        """Append a part with what the model reads of it."""
        self.parts.append(part)
        self.num_patches += part.num_patches
        self.has_end |= part.is_end
        if inputs is not None:
            self.inputs.append(inputs)
