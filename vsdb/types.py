"""The values that pass between the rooms of vsdb: what a model is, what ingest did, what a search found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

Status = Literal["ingested", "unchanged", "failed"]

MOMENT_COLUMNS = (
    *("rank", "video_path", "start_seconds", "end_seconds", "best_seconds", "score"),
    *("x", "y", "width", "height", "video_id", "z", "match"),
)
"""What ``vsdb.search`` returns, in its order."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What identifies a model and prepares its pictures; the one row of ``vsdb.models``."""

    model_name: str
    """open_clip model name, such as ``RN50x4``, or ``tiny``."""
    weights_sha256: bytes
    """SHA-256 of the weights as float16 in the order of their names: the same for every file format; 32 bytes."""
    weights_path: str | None
    """File the weights were read from; None when the name is enough to find them."""
    embedding_dim: int
    """Numbers in an embedding."""
    image_size: int
    """Side of the square picture that the model reads, in pixels."""
    image_mean: list[float]
    """Mean that preprocessing subtracts, RGB in [0, 1]."""
    image_std: list[float]
    """Standard deviation that preprocessing divides by, RGB in [0, 1]."""
    interpolation: str
    """``bicubic``, ``bilinear`` or ``nearest``."""
    resize_mode: str
    """``shortest`` (side, then centre crop), ``longest`` (side, then padding) or ``squash``."""


@dataclass(frozen=True, kw_only=True)
class VideoSampling:
    """How the frames and patches of one video are taken, every value settled."""

    every_seconds: float
    """Sampling step in seconds."""
    patch_size: int
    """Side of a patch in pixels."""
    stride: int
    """Largest step between neighbouring patches in pixels."""
    keyframes: bool = False
    """Whether only key frames are decoded."""
    skip_unchanged: bool = False
    """Whether patches that look as before have the embedding of the frame before."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How frames and patches are to be taken from videos; None means the default."""

    every_seconds: float | None = None
    """Sampling step in seconds; default 1.0."""
    patch_size: int | None = None
    """Side of a patch in pixels; default half the frame's shorter side."""
    stride: int | None = None
    """Largest step between neighbouring patches in pixels; default half of patch_size."""
    keyframes: bool | None = None
    """Whether only key frames are decoded, still at most one every step; default no."""
    skip_unchanged: bool | None = None
    """Whether a patch that looks as before takes the embedding of the frame before; default no."""
    recorded_at: datetime | None = None
    """When the recording began; default what the file says, if it says."""
    thumbnails: bool = True
    """Whether a small picture of each frame is stored; a video that was ingested before keeps what it has."""

    def allows(self, used: VideoSampling) -> bool:
        """Whether a video that was sampled so need not be sampled again: nothing given here differs."""
        return all(getattr(self, each.name) in (None, getattr(used, each.name)) for each in fields(VideoSampling))


@dataclass(frozen=True, kw_only=True)
class OpenedVideo:
    """What is known of a video once its first frame is decoded."""

    width: int
    """Of a frame as shown, in pixels."""
    height: int
    sampling: VideoSampling
    boxes: NDArray[np.int32]
    """Patches of a frame, shape (P, 4): x, y, width, height in pixels."""
    declared_seconds: float
    """Length that the file claims; 0.0 where it claims none."""
    recorded_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class EmbeddedFrame:
    """A sampled frame with the embeddings of its patches."""

    frame_index: int
    """Place among the sampled frames, from 0."""
    pts_seconds: float
    """Presentation time stamp, in seconds from the start of the video."""
    embeddings: NDArray[np.float16]
    """Shape (P, embedding_dim), rows of length 1, in the order of the boxes."""
    thumbnail: bytes | None = None
    """The frame as a small JPEG; None where none is wanted."""


@dataclass(frozen=True, kw_only=True)
class IngestResult:
    """What happened to one video, as ``vsdb ingest --json`` prints it."""

    video_path: str
    """Absolute path."""
    status: Status
    """``ingested``, ``unchanged`` (nothing was embedded) or ``failed`` (nothing was stored)."""
    num_frames: int
    """Sampled frames that the database now holds of this video."""
    num_patches: int
    """Patch embeddings that the database now holds of this video."""
    seconds: float
    """Wall-clock time spent on this video, in seconds."""
    reason: str | None = None
    """Why it failed, what changed without embedding (a new path), or what of an ingested file could not be read and
    what had to be guessed, such as ``9 damaged packets; 0.4 s missing at 4.4 s``; None where there is nothing."""


@dataclass(frozen=True, kw_only=True)
class Video(VideoSampling):
    """One ingested video; a row of ``vsdb.videos_view``."""

    video_id: int
    video_path: str
    duration_seconds: float
    width: int
    """Pixels, as shown (rotation applied)."""
    height: int
    num_frames: int
    num_patches: int
    size_bytes: int
    recorded_at: datetime | None
    ingested_at: datetime
    model_name: str
    has_thumbnails: bool
    """Whether small pictures of its frames are stored."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A change of the lines from which on moments are possible and likely; what ``vsdb.calibrate`` returns."""

    num_judgements: int | None
    """Judgements that the lines are fitted to now; None where they are those that vsdb comes with."""
    possible_before: float
    """The line of no match until now, in z."""
    likely_before: float
    possible: float
    """The line of no match from now on."""
    likely: float


@dataclass(frozen=True, kw_only=True)
class StoredFrame:
    """What the database holds of a sampled frame, and of the file it came from."""

    width: int
    """Of the frame in its video, in pixels."""
    height: int
    size_bytes: int
    """Of the file when it was ingested."""
    jpeg: bytes | None
    """The thumbnail; None where there is none."""


class FrameSource(Protocol):
    """Where a moment's best frame is read; :mod:`vsdb.moments` has the one there is."""

    def read(self, moment: Moment, *, box: bool) -> Image:
        """See :meth:`Moment.frame`."""

    def stored(self, moment: Moment) -> tuple[StoredFrame | None, str | None]:
        """What the database holds of the frame, or why there is nothing."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A stretch of one video that answers a prompt; a row of ``vsdb.search``."""

    rank: int
    """1 is the best."""
    video_path: str
    start_seconds: float
    """Time of the first matching frame."""
    end_seconds: float
    """Time of the last matching frame plus the sampling step."""
    best_seconds: float
    """Time of the frame that matches best."""
    score: float
    """100 x cosine similarity of the best patch; higher is better."""
    box: tuple[int, int, int, int]
    """Best patch as x, y, width, height in pixels of the frame."""
    video_id: int
    z: float | None = None
    """How far the score lies above the best scores of unrelated prompts, in standard deviations; None where that
    was not measured yet."""
    match: str | None = None
    """z in a word: ``likely``, ``possible``, or None below the line of no match."""

    frame_source: ClassVar[FrameSource]
    """Where its best frame is read; an answer sets it on its moments, and a pickled moment has no thumbnails."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Moment:
        """A moment from a row with ``MOMENT_COLUMNS``."""
        named = dict(zip(MOMENT_COLUMNS, row, strict=True))
        box = (named.pop("x"), named.pop("y"), named.pop("width"), named.pop("height"))
        return cls(box=box, **named)

    def as_row(self) -> list[Any]:
        """The values of ``MOMENT_COLUMNS``."""
        x, y, width, height = self.box
        named = {**vars(self), "x": x, "y": y, "width": width, "height": height}
        return [named[column] for column in MOMENT_COLUMNS]

    def frame(self, *, box: bool = False) -> Image:
        """The best frame as a PIL image, RGB and upright, read from the video.

        Where the video is gone or has changed it is the thumbnail that ingest stored, at most 320 pixels wide.

        Args:
            box: draw the best patch's box on it.

        Raises:
            VideoError: there is neither; says why.
        """
        return self.frame_source.read(self, box=box)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "frame_source"}
