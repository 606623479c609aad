"""Many moments on one sheet."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vsdb.errors import UsageError, VideoError
from vsdb.look.pictures import BestFrame, best_frame, draw_box
from vsdb.readable import clock
from vsdb.types import Moment

MAX_CELLS = 60
CELL_SIZE = (320, 320)
GAP = 16
CAPTION_HEIGHT = 48
JPEG_QUALITY = 85
GROUND = (24, 24, 27)
EMPTY = (52, 52, 58)
STRONG, FAINT = (244, 244, 245), (161, 161, 170)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One moment on the sheet."""

    moment: Moment
    image: Image.Image
    """At most ``CELL_SIZE``, with the box drawn."""


def contact_sheet(moments: Sequence[Moment]) -> Image.Image:
    """Draw the best frames of moments with boxes, times and scores, the first ``MAX_CELLS`` of them.

    Returns:
        RGB; up to three to a row, more for longer lists.

    Raises:
        UsageError: there are no moments.
    """
    return draw_sheet([cell(moment, _picture(moment)) for moment in moments[:MAX_CELLS]])


def cell(moment: Moment, picture: BestFrame | None) -> Cell:
    """Make the cell of a moment; a grey field where there is no picture."""
    if picture is None:
        return Cell(moment=moment, image=Image.new("RGB", (CELL_SIZE[0], CELL_SIZE[0] * 9 // 16), EMPTY))
    scale = min(1.0, CELL_SIZE[0] / picture.image.width, CELL_SIZE[1] / picture.image.height)
    size = max(1, round(picture.image.width * scale)), max(1, round(picture.image.height * scale))
    small = BestFrame(image=picture.image.resize(size, Image.Resampling.LANCZOS), frame_size=picture.frame_size)
    return Cell(moment=moment, image=draw_box(small, moment.box))


def draw_sheet(cells: Sequence[Cell]) -> Image.Image:
    """Lay out cells in rows; see :func:`contact_sheet`."""
    if not cells:
        raise UsageError("a contact sheet needs at least one moment")
    columns = min(len(cells), max(3, math.ceil(math.sqrt(len(cells)))))
    height = max(each.image.height for each in cells)
    step_x, step_y = CELL_SIZE[0] + GAP, height + CAPTION_HEIGHT + GAP
    rows = math.ceil(len(cells) / columns)
    sheet = Image.new("RGB", (GAP + columns * step_x, GAP + rows * step_y), GROUND)
    draw = ImageDraw.Draw(sheet)
    for place, each in enumerate(cells):
        left, top = GAP + place % columns * step_x, GAP + place // columns * step_y
        width = (CELL_SIZE[0] - each.image.width) // 2
        sheet.paste(each.image, (left + width, top + (height - each.image.height) // 2))
        _draw_caption(draw, (left, top + height), each.moment)
    return sheet


def as_jpeg(image: Image.Image, *, quality: int = JPEG_QUALITY, comment: str = "") -> bytes:
    """Encode a picture as JPEG."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, subsampling=0, optimize=True, comment=comment)
    return out.getvalue()


def _picture(moment: Moment) -> BestFrame | None:
    try:
        return best_frame(moment)
    except VideoError:
        return None


def _draw_caption(draw: ImageDraw.ImageDraw, corner: tuple[int, int], moment: Moment) -> None:
    left, top = corner
    large, small = ImageFont.load_default(17), ImageFont.load_default(13)
    draw.text((left, top + 6), f"{moment.rank}.  {clock(moment.best_seconds)}", fill=STRONG, font=large)
    score = f"{moment.score:.1f}" if moment.z is None else f"{moment.score:.1f}  z {moment.z:.1f}"
    draw.text((left + CELL_SIZE[0], top + 6), score, fill=STRONG, font=large, anchor="ra")
    stretch = f"{clock(moment.start_seconds)} - {clock(moment.end_seconds)}"
    draw.text((left + CELL_SIZE[0], top + 29), stretch, fill=FAINT, font=small, anchor="ra")
    name = _shortened(Path(moment.video_path).name, small, CELL_SIZE[0] - small.getlength(stretch) - GAP)
    draw.text((left, top + 29), name, fill=FAINT, font=small)


def _shortened(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    """The name as far as it fits; its end tells more than its middle."""
    printable = "".join(character if character.isprintable() else "?" for character in name)
    if font.getlength(printable) <= room:
        return printable
    tail = printable[-12:]
    head = printable[:-12]
    while head and font.getlength(f"{head}...{tail}") > room:
        head = head[:-1]
    return f"{head}...{tail}"
