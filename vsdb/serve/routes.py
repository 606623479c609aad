"""The API: parameters in, a statement of SQL, JSON out."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from io import FileIO
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from psycopg import errors
from pydantic import ValidationError

from vsdb import search
from vsdb.database import catalog
from vsdb.database.catalog import StoredFile, find_file
from vsdb.database.thumbnails import frame_time, stored_thumbnail
from vsdb.errors import VideoError
from vsdb.serve.answers import (
    ErrorAnswer,
    ImageAnswer,
    JudgementAnswer,
    ScoresAnswer,
    SearchAnswer,
    VideosAnswer,
    found_moments,
)
from vsdb.serve.files import FileKeeper, file_response, frame_of_file
from vsdb.serve.images import Encoders, Images
from vsdb.serve.judging import Judging
from vsdb.serve.parameters import (
    MAX_ID,
    FrameParameters,
    Judgement,
    ScoreParameters,
    SearchParameters,
    VideosParameters,
)
from vsdb.serve.pool import ReaderPool

MAX_IMAGE_BYTES = 20_000_000
MAX_JUDGEMENT_BYTES = 20_000
MAX_UPLOADS = 4
MAX_DECODED_FRAMES = 2
MAX_FRAME_BYTES = 256_000_000  # of pixels
REFUSALS: dict[int | str, dict[str, object]] = {
    422: {"model": ErrorAnswer, "description": "The question makes no sense; the message says why."},
    503: {"model": ErrorAnswer, "description": "The database or the model cannot be had; the message says why."},
}
NOT_FOUND: dict[int | str, dict[str, object]] = {
    404: {"model": ErrorAnswer, "description": "No such video, or its file is gone or holds something else now."}
}


class NotFoundError(Exception):
    """There is no such thing here; its text is shown as it is."""


class TooLargeError(Exception):
    """More bytes were sent than are taken; its text is shown as it is."""


@dataclass(frozen=True)
class Service:
    """What the routes work with."""

    pool: ReaderPool
    encoders: Encoders
    images: Images
    files: FileKeeper
    judging: Judging | None
    """None where nothing may be written."""
    uploads: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(MAX_UPLOADS))
    """Pictures that are received or wait to be embedded."""
    decoding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_DECODED_FRAMES))
    """Frames that are decoded."""


def the_service(request: Request) -> Service:
    """The service that the application was made with."""
    service: Service = request.app.state.service
    return service


async def image_bytes(request: Request) -> AsyncIterator[bytes]:
    """The body of a request, up to what a picture may weigh; so many at a time, the others wait unread."""
    too_large = f"the picture is larger than {MAX_IMAGE_BYTES // 1_000_000} MB; send a smaller one"
    async with the_service(request).uploads:
        yield await _body(request, MAX_IMAGE_BYTES, too_large)


async def said_of_a_moment(request: Request) -> Judgement:
    """The body of a request as a judgement; FastAPI would read one of any size."""
    data = await _body(request, MAX_JUDGEMENT_BYTES, f"a judgement has {MAX_JUDGEMENT_BYTES} bytes at most")
    try:
        return Judgement.model_validate_json(data)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_context=False)) from None


async def _body(request: Request, max_bytes: int, too_large: str) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > max_bytes:
            raise TooLargeError(too_large)
    return bytes(data)


Here = Annotated[Service, Depends(the_service)]
VideoKey = Annotated[int, Path(ge=1, le=MAX_ID)]
router = APIRouter(prefix="/api", responses=REFUSALS)


@router.get("/search")
def find_moments(asked: Annotated[SearchParameters, Query()], service: Here) -> SearchAnswer:
    """Find the moments that answer a prompt or a picture, best first; the rows of vsdb.search in SQL."""
    question = asked.question(service.images, then=asked.then, within_seconds=asked.within_seconds)
    narrowing = asked.narrowing()
    with service.pool.connection() as connection:
        moments = search.search(connection, question, narrowing, load=service.encoders)
        nearest = None if moments else search.nearest(connection, question, narrowing, load=service.encoders)
        model = catalog.get_model(connection)
        return SearchAnswer(
            prompt=asked.prompt,
            image=asked.image,
            model=model.model_name if model else None,
            moments=found_moments(connection, moments),
            nearest=next(iter(found_moments(connection, [nearest])), None) if nearest else None,
            may_judge=service.judging is not None,
        )


@router.post(
    "/images",
    responses={413: {"model": ErrorAnswer, "description": "The picture has too many bytes."}},
    openapi_extra={"requestBody": {"required": True, "content": {"image/*": {"schema": {"format": "binary"}}}}},
)
def add_image(data: Annotated[bytes, Depends(image_bytes)], service: Here) -> ImageAnswer:
    """Embed a picture, whose bytes are the body, and give the id to search with.

    The last 1,000 pictures are remembered until the server ends; nothing is stored.
    """
    return ImageAnswer(image=service.images.add(service.pool.connection, data))


@router.post(
    "/judgements",
    responses={**NOT_FOUND, 413: {"model": ErrorAnswer, "description": "The judgement has too many bytes."}},
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": Judgement.model_json_schema()}}}
    },
)
def judge_moment(judgement: Annotated[Judgement, Depends(said_of_a_moment)], service: Here) -> JudgementAnswer:
    """Note whether a moment answers a prompt, as vsdb.judge in SQL does; only where vsdb serve has --judge."""
    if service.judging is None:
        raise NotFoundError("this server notes nothing; start it with --judge")
    try:
        service.judging.note(judgement)
    except errors.NoDataFound as error:
        raise NotFoundError(str(error.diag.message_primary)) from None
    return JudgementAnswer(is_right=judgement.is_right)


@router.get("/scores", responses=NOT_FOUND)
def score_video(asked: Annotated[ScoreParameters, Query()], service: Here) -> ScoresAnswer:
    """Score every sampled frame of a video; the rows of vsdb.score_video in SQL."""
    question = asked.question(service.images)
    with service.pool.connection() as connection:
        videos = catalog.list_videos(connection, video_id=asked.video_id)
        if not videos:
            raise NotFoundError(f"no video {asked.video_id} here")
        rows = search.score_video(connection, question, asked.video_id, load=service.encoders)
    return ScoresAnswer(
        video_id=asked.video_id,
        video_path=videos[0].video_path,
        duration_seconds=videos[0].duration_seconds,
        pts_seconds=[seconds for _, seconds, _ in rows],
        scores=[score for _, _, score in rows],
    )


@router.get("/videos")
def list_videos(asked: Annotated[VideosParameters, Query()], service: Here) -> VideosAnswer:
    """List videos by path; the rows of vsdb.videos_view in SQL."""
    with service.pool.connection() as connection:
        num_videos, seconds = catalog.count_videos(connection, video_like=asked.video_like)
        videos = catalog.list_videos(
            connection, video_like=asked.video_like, max_videos=asked.max_videos, offset=asked.offset
        )
    return VideosAnswer(num_videos=num_videos, duration_seconds=seconds, videos=videos)


@router.get("/frame", responses={**NOT_FOUND, 200: {"content": {"image/jpeg": {}}}}, response_class=Response)
def show_frame(asked: Annotated[FrameParameters, Query()], service: Here) -> Response:
    """A frame as JPEG: the thumbnail, or, where there is none or full is asked for, the frame from the file."""
    with service.pool.connection() as connection:
        stored = find_file(connection, asked.video_id)
        if stored is None:
            raise NotFoundError(f"no video {asked.video_id} here")
        jpeg = None if asked.full else stored_thumbnail(connection, asked.video_id, asked.pts_seconds)
        at = asked.pts_seconds if jpeg else frame_time(connection, asked.video_id, asked.pts_seconds)
        videos = [] if jpeg else catalog.list_videos(connection, video_id=asked.video_id)
    for video in videos:
        if 3 * video.width * video.height > MAX_FRAME_BYTES:
            raise NotFoundError(f"its frames of {video.width}x{video.height} pixels are too large to be shown")
    if jpeg is None:
        jpeg = _frame(service, stored, at, full=asked.full)
    return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"})


@router.head("/video/{video_id}", include_in_schema=False)
@router.get("/video/{video_id}", responses=NOT_FOUND, response_class=Response)
def play_video(video_id: VideoKey, request: Request, service: Here) -> Response:
    """The file of a video, or the range of its bytes that is asked for."""
    with service.pool.connection() as connection:
        stored = find_file(connection, video_id)
    if stored is None:
        raise NotFoundError(f"no video {video_id} here")
    file = _opened(service, stored)
    return file_response(file, stored, request.headers, with_body=request.method == "GET")


def _frame(service: Service, stored: StoredFile, pts_seconds: float, *, full: bool) -> bytes:
    with service.decoding, _opened(service, stored) as file:
        try:
            return frame_of_file(file, pts_seconds, full=full)
        except VideoError as error:
            raise NotFoundError(f"{stored.video_path}: {error}") from None


def _opened(service: Service, stored: StoredFile) -> FileIO:
    try:
        return service.files.open(stored)
    except VideoError as error:
        raise NotFoundError(f"{stored.video_path}: {error}") from None
