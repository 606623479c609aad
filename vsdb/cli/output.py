"""How results are printed: for people, as JSON, as CSV."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from vsdb.database.judgements import Reliability
from vsdb.database.status import DatabaseStatus
from vsdb.readable import clock, visible, visible_json, visible_lines
from vsdb.types import MOMENT_COLUMNS, IngestResult, Moment, Video


def say(message: str) -> None:
    """Print a message to stderr."""
    print(visible_lines(message), file=sys.stderr)


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
    writer.writerow(MOMENT_COLUMNS)
    writer.writerows([exact(cell) if isinstance(cell, str) else cell for cell in each.as_row()] for each in moments)
    return out.getvalue().rstrip("\n")


def exact(text: str) -> str:
    """Text that programs read: as it is in a pipe or file, and made visible where a terminal would obey it."""
    return visible(text) if sys.stdout.isatty() else text


def moments_table(moments: Sequence[Moment]) -> str:
    """Moments for people, one line each."""
    rows = [
        (
            str(each.rank),
            f"{each.score:.1f}",
            "" if each.z is None else f"{each.z:.1f}",
            each.match or "",
            f"{clock(each.start_seconds)} - {clock(each.end_seconds)}",
            clock(each.best_seconds),
            "{},{} {}x{}".format(*each.box),
            each.video_path,
        )
        for each in moments
    ]
    header = ["rank", "score", "z", "match", "start - end", "best", "box (px)", "video"]
    return table(header, rows, right={0, 1, 2, 4, 5})


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


def status_table(status: DatabaseStatus) -> str:
    """What the database holds, for people, one line each."""
    rows = [
        ("database", status.database),
        ("server", f"PostgreSQL {status.server_version}, pgvector {status.pgvector_version}"),
        ("schema", f"migration {status.migration}"),
        (
            "model",
            f"{status.model} ({status.embedding_dim} numbers)" if status.model else "none yet: ingest a video",
        ),
        ("videos", f"{status.num_videos} ({clock(status.video_seconds)} in all)"),
        ("frames", f"{status.num_frames}"),
        (
            "patches",
            f"{status.num_patches} ({_mega(status.patches_bytes)}, indexes {_mega(status.indexes_bytes)})",
        ),
        ("thumbnails", f"{status.num_thumbnails} ({_mega(status.thumbnails_bytes)})"),
        ("text tower", _mega(status.text_tower_bytes)),
        (
            "lines",
            f"likely from z {status.judged.likely_from_z:.2f}, possible from {status.judged.possible_from_z:.2f}",
        ),
        ("judged", _reliability(status.judged)),
    ]
    return table(["", ""], rows, right=set()).lstrip()


def _reliability(judged: Reliability) -> str:
    """How often each word was right; a word that nothing judged carries is left out."""
    counts = [
        ("likely", judged.num_likely_right, judged.num_likely),
        ("possible", judged.num_possible_right, judged.num_possible),
        ("no match", judged.num_below_right, judged.num_below),
    ]
    parts = [f"{word}: {num_right} of {num} right" for word, num_right, num in counts if num]
    return "; ".join(parts) or "nothing yet: vsdb judge PROMPT"


def to_json(value: Any) -> str:
    """A dataclass, a list of them, or plain data as one line of JSON; times in ISO 8601.

    Characters that stdout cannot carry make it ASCII with JSON's own escapes.
    """
    if isinstance(value, list):
        return "[" + ",\n ".join(to_json(each) for each in value) + "]"
    plain = value if isinstance(value, dict) else asdict(value)
    text = visible_json(json.dumps(plain, ensure_ascii=False, default=_json_default))
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


def _mega(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
