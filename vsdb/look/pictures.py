"""What a moment looks like: its best frame from the video, else the thumbnail, and the box around the best patch."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from vsdb.errors import VideoError
from vsdb.media.seek import read_frame
from vsdb.types import Moment, StoredFrame

BOX_COLOUR = (255, 200, 0)
EDGE_COLOUR = (0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class BestFrame:
    """The best frame of a moment."""

    image: Image.Image
    """RGB, upright."""
    frame_size: tuple[int, int]
    """Width and height of the frame in its video, in pixels: the box counts in them."""
    problem: str | None = None
    """Why this is only the thumbnail; None when it is the video's own frame."""


def best_frame(moment: Moment) -> BestFrame:
    """Read a moment's best frame from its video; where that cannot be, its thumbnail.

    Raises:
        VideoError: the video cannot be read and no thumbnail of the frame can be had.
    """
    row, no_row = moment.frame_source.stored(moment)
    try:
        _check_size(moment, row)
        image = Image.fromarray(read_frame(Path(moment.video_path), moment.best_seconds))
        return BestFrame(image=image, frame_size=image.size)
    except VideoError as error:
        if row is None or row.jpeg is None:
            raise VideoError(f"{moment.video_path}: {error}, and {no_row or 'it has no thumbnail'}") from None
        thumbnail = Image.open(io.BytesIO(row.jpeg)).convert("RGB")
        return BestFrame(image=thumbnail, frame_size=(row.width, row.height), problem=f"{moment.video_path}: {error}")


def draw_box(picture: BestFrame, box: tuple[int, int, int, int]) -> Image.Image:
    """A copy of the picture with a frame's box drawn on it.

    Args:
        picture: the frame, at its own size or smaller.
        box: x, y, width, height in pixels of the frame.
    """
    image = picture.image.copy()
    across, down = (have / full for have, full in zip(image.size, picture.frame_size, strict=True))
    x, y, width, height = box
    line = max(3, image.height // 180)
    right, bottom = min(image.width, round((x + width) * across)) - 1, min(image.height, round((y + height) * down)) - 1
    left, top = min(round(x * across), right), min(round(y * down), bottom)
    draw = ImageDraw.Draw(image)
    # A dark line inside and outside of the bright one, so that it shows on any ground.
    draw.rectangle((left, top, right, bottom), outline=EDGE_COLOUR, width=line * 2)
    inner = line // 2
    if right - left > 2 * inner and bottom - top > 2 * inner:
        draw.rectangle((left + inner, top + inner, right - inner, bottom - inner), outline=BOX_COLOUR, width=line)
    return image


def _check_size(moment: Moment, row: StoredFrame | None) -> None:
    """Raise VideoError when another file lies where the video was."""
    try:
        size = Path(moment.video_path).stat().st_size
    except OSError:
        return  # said better where it is read
    if row is not None and size != row.size_bytes:
        raise VideoError("it has changed since it was ingested")
