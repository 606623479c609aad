"""How results are printed: for people, as JSON, as CSV."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vsdb.types import IngestResult, Moment, Video

if TYPE_CHECKING:
    from vsdb.demo import Answer


def clock(seconds: float) -> str:
    """Seconds as people read them: ``0:07.0``, ``12:30.5``, ``1:02:03.0``."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02}:{tenths / 10:04.1f}" if hours else f"{minutes}:{tenths / 10:04.1f}"
    return f"{hours}:{text}" if hours else text


def visible(text: str) -> str:
    """Text with its control characters written out: a file's name must not steer the terminal or break a line."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_lines(text: str) -> str:
    """The same for messages of several lines, which stay lines."""
    return "\n".join(visible(line) for line in text.split("\n"))


def moments_json(prompt: str, model_name: str | None, moments: Sequence[Moment]) -> str:
    """The answer to a prompt as one JSON object."""
    rows = []
    for moment in moments:
        row = asdict(moment)
        del row["video_id"]
        rows.append({**row, "box": list(moment.box)})
    return to_json({"prompt": prompt, "model": model_name, "moments": rows})


def nearest(moment: Moment) -> str:
    """Where the best of the poor answers lies, in words."""
    z = "" if moment.z is None else f", z {moment.z:.1f}"
    return f"{visible(moment.video_path)} at {clock(moment.best_seconds)} (score {moment.score:.1f}{z})"


def moments_csv(moments: Sequence[Moment]) -> str:
    """Moments as CSV with a header; the columns of ``vsdb.search``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow("rank video_path start_seconds end_seconds best_seconds score x y width height video_id z".split())
    for each in moments:
        times = (each.start_seconds, each.end_seconds, each.best_seconds)
        writer.writerow([each.rank, each.video_path, *times, each.score, *each.box, each.video_id, each.z])
    return out.getvalue().rstrip("\n")


def moments_table(moments: Sequence[Moment]) -> str:
    """Moments for people, one line each."""
    rows = [
        (
            str(each.rank),
            f"{each.score:.1f}",
            "" if each.z is None else f"{each.z:.1f}",
            f"{clock(each.start_seconds)} - {clock(each.end_seconds)}",
            clock(each.best_seconds),
            "{},{} {}x{}".format(*each.box),
            each.video_path,
        )
        for each in moments
    ]
    return table(["rank", "score", "z", "start - end", "best", "box (px)", "video"], rows, right={0, 1, 2, 3, 4})


def answers_table(answers: Sequence[Answer]) -> str:
    """The demo's answers beside the truth."""
    rows = []
    for each in answers:
        found = each.found
        stretch = f"{clock(found.start_seconds)} - {clock(found.end_seconds)}" if found else "nothing"
        truth = f"{clock(each.start_seconds)} - {clock(each.end_seconds)}"
        score = f"{found.score:.1f}" if found else ""
        rows.append((each.prompt, stretch, truth, score, "right" if each.is_right else "WRONG"))
    return table(["prompt", "found", "truth", "score", ""], rows, right={1, 2, 3})


def ingest_line(result: IngestResult) -> str:
    """One ingested video for people."""
    counts = f"{result.num_frames} frames, {result.num_patches} patches, {result.seconds:.1f} s"
    reason = f"  ({result.reason})" if result.reason else ""
    return visible(f"{result.status:<9}  {result.video_path}  {counts}{reason}")


def videos_table(videos: Sequence[Video]) -> str:
    """Videos for people, one line each."""
    rows = [
        (
            clock(each.duration_seconds),
            f"{each.width}x{each.height}",
            str(each.num_frames),
            str(each.num_patches),
            f"{each.every_seconds:g} s",
            each.ingested_at.astimezone().strftime("%Y-%m-%d %H:%M"),
            each.video_path,
        )
        for each in videos
    ]
    return table(["length", "size (px)", "frames", "patches", "every", "ingested", "video"], rows, right={0, 2, 3})


def to_json(value: Any) -> str:
    """A dataclass, a list of them, or plain data as one line of JSON; times in ISO 8601.

    Characters that stdout cannot carry make it ASCII with JSON's own escapes.
    """
    if isinstance(value, list):
        return "[" + ",\n ".join(to_json(each) for each in value) + "]"
    plain = value if isinstance(value, dict) else asdict(value)
    text = json.dumps(plain, ensure_ascii=False, default=_json_default)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(plain, default=_json_default)
    return text


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int]) -> str:
    """Columns padded to their widest cell; those in ``right`` aligned to the right, the last one never cut."""
    lines = [list(header), *[[visible(cell) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _json_default(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form here")
