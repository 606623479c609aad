"""What may be asked: the parameters of the API, with their bounds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vsdb import search
from vsdb.errors import UsageError
from vsdb.serve.images import Images

MAX_ID = 2**63 - 1
MAX_SECONDS = 1e9
MAX_VIDEOS = 10_000
MAX_MOMENTS = 1000

Words = Annotated[str, Field(min_length=1, max_length=2000)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
VideoId = Annotated[int, Field(ge=1, le=MAX_ID)]


class Parameters(BaseModel):
    """A query string; a name that is not known is an error, for it is most likely misspelt."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Asked(Parameters):
    """What is looked for."""

    prompt: Words | None = None
    """What to look for, in plain words."""
    image: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Id of a picture to look for instead, as POST /api/images gave it."""
    without: Words | None = None
    """What the moments should not show."""

    def question(self, images: Images, **more: object) -> search.Question:
        """What is asked of :mod:`vsdb.search`."""
        if (self.prompt is None) == (self.image is None):
            raise UsageError("give either a prompt or an image")
        embedding = images.embedding(self.image) if self.image else None
        return search.Question(prompt=self.prompt, embedding=embedding, without=self.without, **more)  # type: ignore[arg-type]


class SearchParameters(Asked):
    """The parameters of ``vsdb.search``, by the same names."""

    then: Words | None = None
    """What must follow in the same video."""
    within_seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] = search.DEFAULT_WITHIN_SECONDS
    """How soon after the end of a moment that must follow."""
    max_moments: Annotated[int, Field(ge=1, le=MAX_MOMENTS)] = search.Narrowing.max_moments
    """At most so many moments."""
    min_score: Number | None = None
    """Frames of a lower score do not count; 100 x cosine."""
    min_z: Number | None = None
    """Moments of a lower z do not count; without it, those below 1."""
    gap_seconds: Seconds = search.Narrowing.gap_seconds
    """Frames closer than this belong to one moment."""
    video_like: Words | None = None
    """SQL LIKE pattern on the video's path."""
    video_ids: list[VideoId] | None = None
    """Only these videos."""
    from_seconds: Seconds | None = None
    """Only from this time of a video on."""
    to_seconds: Seconds | None = None
    """Only up to this time of a video."""
    recorded_from: datetime | None = None
    """Only what was recorded from then on; local time where it names no zone."""
    recorded_to: datetime | None = None
    """Only what was recorded until then."""
    exact: bool = False
    """Compare every patch."""

    @field_validator("recorded_from", "recorded_to")
    @classmethod
    def with_zone(cls, time: datetime | None) -> datetime | None:
        """Local time where no zone was named; what no calendar holds once it is in that zone is an error."""
        try:
            return time.astimezone() if time else None
        except (OverflowError, ValueError, OSError):  # each of which Python raises for some of them
            raise ValueError("should be a time of the years 1 to 9999") from None

    def narrowing(self) -> search.Narrowing:
        """Which moments count."""
        asked = {"prompt", "image", "without", "then", "within_seconds"}
        return search.Narrowing(**self.model_dump(exclude=asked))


class ScoreParameters(Asked):
    """A question about one video."""

    video_id: VideoId
    """The video."""


class Judgement(Parameters):
    """What a visitor says of a moment."""

    prompt: Words
    """What was asked for."""
    video_id: VideoId
    """The video."""
    best_seconds: Seconds
    """The moment's best frame, exactly as the search gave it."""
    is_right: bool
    """Whether the moment answers the prompt."""


class FrameParameters(Parameters):
    """A picture of a video."""

    video_id: VideoId
    """The video."""
    pts_seconds: Seconds
    """The frame at this time, or else the one before."""
    full: bool = False
    """At full size from the file, instead of the thumbnail."""


class VideosParameters(Parameters):
    """A part of the list of videos."""

    video_like: Words | None = None
    """SQL LIKE pattern on the video's path."""
    max_videos: Annotated[int, Field(ge=1, le=MAX_VIDEOS)] = 100
    """At most so many."""
    offset: Annotated[int, Field(ge=0, le=MAX_ID)] = 0
    """So many are passed over."""
