"""What is answered: the shapes of the API's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vsdb.database import Connection
from vsdb.types import Moment, Video


@dataclass(frozen=True, kw_only=True)
class FoundMoment(Moment):
    """A moment, as ``vsdb query --json`` prints it, with what is needed to show it."""

    frame_size: tuple[int, int]
    """Width and height of the video's frames in pixels: what ``box`` is measured in."""


@dataclass(frozen=True, kw_only=True)
class SearchAnswer:
    """The answer to a question."""

    prompt: str | None
    image: str | None
    model: str | None
    moments: list[FoundMoment]
    nearest: FoundMoment | None
    """Where nothing matches and no bound was given: the best of the poor answers."""
    may_judge: bool
    """Whether POST /api/judgements notes which moments are right."""


@dataclass(frozen=True, kw_only=True)
class ScoresAnswer:
    """How well each sampled frame of a video answers."""

    video_id: int
    video_path: str
    duration_seconds: float
    pts_seconds: list[float]
    scores: list[float]
    """100 x cosine of the frame's best patch."""


@dataclass(frozen=True, kw_only=True)
class VideosAnswer:
    """A part of the list of videos, by path."""

    num_videos: int
    """How many there are in all."""
    duration_seconds: float
    """Their length in all."""
    videos: list[Video]


@dataclass(frozen=True, kw_only=True)
class ImageAnswer:
    """A picture that can be asked about from now on."""

    image: str
    """Its id."""


@dataclass(frozen=True, kw_only=True)
class JudgementAnswer:
    """What was noted of a moment."""

    is_right: bool


@dataclass(frozen=True, kw_only=True)
class ErrorAnswer:
    """Why there is no answer."""

    error: str


def found_moments(connection: Connection, moments: Sequence[Moment]) -> list[FoundMoment]:
    """Moments with the sizes of their videos' frames; a video that was removed just now is left out."""
    sizes = dict(
        connection.execute(
            "select video_id, array[width, height] from vsdb.videos where video_id = any (%s)",
            [[each.video_id for each in moments]],
        ).fetchall()
    )
    return [
        FoundMoment(**vars(each), frame_size=tuple(sizes[each.video_id])) for each in moments if each.video_id in sizes
    ]
