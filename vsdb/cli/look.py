"""``vsdb query --save, --clip, --open``: what was found, as files and in a player."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vsdb.errors import OutputError, VideoError
from vsdb.look.contact_sheet import MAX_CELLS, Cell, as_jpeg, cell, draw_sheet
from vsdb.look.cut import clip_suffix, cut_clip, encode_clip
from vsdb.look.own_files import MARK, comment, moment_name, own_file, slug
from vsdb.look.pictures import BestFrame, best_frame, draw_box
from vsdb.look.player import play
from vsdb.readable import visible_lines
from vsdb.types import Moment

FRAME_QUALITY = 92


def save_frames(moments: Sequence[Moment], prompt: str, folder: Path) -> bool:
    """Write each moment's best frame with its box, and one contact sheet; say on stderr what was written.

    Returns:
        Whether there was a picture for every moment.

    Raises:
        OutputError: a file cannot be written, or would replace one that vsdb did not make.
    """
    cells: list[Cell] = []
    num_saved = 0
    for moment in moments:
        picture = _picture(moment)
        if picture is not None:
            name = moment_name(prompt, moment, len(moments), moment.best_seconds) + ".jpg"
            with own_file(folder / name) as file:
                image = draw_box(picture, moment.box)
                file.write(as_jpeg(image, quality=FRAME_QUALITY, comment=comment(moment)))
            num_saved += 1
        if len(cells) < MAX_CELLS:
            cells.append(cell(moment, picture))
    sheet = folder / f"{slug(prompt)}_contact_sheet.jpg"
    with own_file(sheet) as file:
        file.write(as_jpeg(draw_sheet(cells), comment=MARK))
    of_them = f" (the first {MAX_CELLS} on the sheet)" if len(moments) > MAX_CELLS else ""
    _say(f"saved {_count(num_saved, 'frame')} and a contact sheet: {sheet}{of_them}")
    return num_saved == len(moments)


def cut_clips(moments: Sequence[Moment], prompt: str, folder: Path, *, reencode: bool) -> bool:
    """Cut each moment out as a file; say on stderr what was written. As :func:`save_frames`."""
    cut = encode_clip if reencode else cut_clip
    num_cut = 0
    for moment in moments:
        source = Path(moment.video_path)
        name = moment_name(prompt, moment, len(moments), moment.start_seconds) + clip_suffix(source, reencode=reencode)
        times = {"start_seconds": moment.start_seconds, "end_seconds": moment.end_seconds}
        try:
            with own_file(folder / name) as file:
                left_out = cut(source, file, comment=comment(moment), **times)
        except VideoError as error:
            _say(f"no clip of moment {moment.rank}: {source}: {error}{_where_now(source)}")
            continue
        num_cut += 1
        for what in left_out:
            _say(f"{name} goes without {what}")
    how = "" if reencode else "; each begins at the key frame before its moment (--reencode cuts exactly)"
    if num_cut:
        _say(f"cut {_count(num_cut, 'clip')} in {folder}{how}")
    return num_cut == len(moments)


def play_first(moments: Sequence[Moment]) -> bool:
    """Play the best moment from its start; say on stderr in which player. As :func:`save_frames`."""
    path = Path(moments[0].video_path)
    try:
        _say(play(path, moments[0].start_seconds))
    except VideoError as error:
        _say(f"{path} cannot be played: {error}{_where_now(path)}")
        return False
    except OutputError as error:
        _say(str(error))
        return False
    return True


def _picture(moment: Moment) -> BestFrame | None:
    try:
        picture = best_frame(moment)
    except VideoError as error:
        _say(f"no picture of moment {moment.rank}: {error}")
        return None
    if picture.problem:
        _say(f"moment {moment.rank} is shown by its thumbnail: {picture.problem}{_where_now(Path(moment.video_path))}")
    return picture


def _where_now(path: Path) -> str:
    return "" if path.exists() else '; if it has moved, "vsdb ingest NEW-PATH" notes where to'


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _say(line: str) -> None:
    print(visible_lines(line), file=sys.stderr)
