"""What is printed for people: every figure in its column, at its side, in its unit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from vsdb.cli import output
from vsdb.database.judgements import Reliability
from vsdb.database.status import DatabaseStatus
from vsdb.types import IngestResult, Moment, Video

MOMENT = Moment(
    rank=1,
    video_path="/cam\n1.mp4",
    start_seconds=61.25,
    end_seconds=3723.5,
    best_seconds=599.96,
    score=31.26,
    box=(10, 20, 180, 90),
    video_id=7,
    z=2.345,
    match="possible",
)
VIDEO = Video(
    video_id=7,
    video_path="/cam1.mp4",
    duration_seconds=3600,
    width=1280,
    height=720,
    every_seconds=0.5,
    patch_size=360,
    stride=180,
    num_frames=7200,
    num_patches=129600,
    size_bytes=1,
    recorded_at=None,
    ingested_at=datetime(2026, 5, 1, 12, 30).astimezone(),
    model_name="tiny",
    has_thumbnails=True,
)
JUDGED = Reliability(
    possible_from_z=1.25,
    likely_from_z=3,
    num_likely=20,
    num_likely_right=18,
    num_possible=17,
    num_possible_right=9,
    num_below=0,
    num_below_right=0,
)
STATUS = DatabaseStatus(
    database="here",
    server_version="18.1",
    pgvector_version="0.8.5",
    migration=3,
    model="tiny",
    embedding_dim=640,
    num_videos=2,
    num_frames=4,
    num_patches=60,
    video_seconds=75,
    patches_bytes=1_260_000,
    indexes_bytes=340_000,
    num_thumbnails=5,
    thumbnails_bytes=2_000_000,
    text_tower_bytes=70_000_000,
    judged=JUDGED,
)


def test_moments_have_every_figure_in_its_column() -> None:
    assert output.moments_table([MOMENT, replace(MOMENT, rank=10, score=5.0, z=None, match=None)]).splitlines() == [
        "rank  score    z  match            start - end     best  box (px)      video",
        r"   1   31.3  2.3  possible  1:01.2 - 1:02:03.5  10:00.0  10,20 180x90  /cam\n1.mp4",
        r"  10    5.0                 1:01.2 - 1:02:03.5  10:00.0  10,20 180x90  /cam\n1.mp4",
    ]


def test_the_nearest_is_named_in_words() -> None:
    assert output.nearest(MOMENT) == r"/cam\n1.mp4 at 10:00.0 (score 31.3, z 2.3)"
    assert output.nearest(replace(MOMENT, z=None)) == r"/cam\n1.mp4 at 10:00.0 (score 31.3)"


def test_videos_have_every_figure_in_its_column() -> None:
    assert output.videos_table(
        [VIDEO, replace(VIDEO, duration_seconds=5, num_frames=5, num_patches=90)]
    ).splitlines() == [
        "   length  size (px)  frames  patches  every  ingested          video",
        "1:00:00.0  1280x720     7200   129600  0.5 s  2026-05-01 12:30  /cam1.mp4",
        "   0:05.0  1280x720        5       90  0.5 s  2026-05-01 12:30  /cam1.mp4",
    ]


def test_an_ingested_video_is_one_line() -> None:
    result = IngestResult(video_path="/a\tb.mp4", status="ingested", num_frames=5, num_patches=90, seconds=1.26)
    assert output.ingest_line(result) == r"ingested   /a\tb.mp4  5 frames, 90 patches, 1.3 s"
    failed = replace(result, status="failed", reason="no such file")
    assert output.ingest_line(failed) == r"failed     /a\tb.mp4  5 frames, 90 patches, 1.3 s  (no such file)"


def test_status_names_every_figure() -> None:
    assert output.status_table(STATUS).splitlines() == [
        "database    here",
        "server      PostgreSQL 18.1, pgvector 0.8.5",
        "schema      migration 3",
        "model       tiny (640 numbers)",
        "videos      2 (1:15.0 in all)",
        "frames      4",
        "patches     60 (1.3 MB, indexes 0.3 MB)",
        "thumbnails  5 (2.0 MB)",
        "text tower  70.0 MB",
        "lines       likely from z 3.00, possible from 1.25",
        "judged      likely: 18 of 20 right; possible: 9 of 17 right",
    ]
    below = replace(JUDGED, num_likely=0, num_possible=0, num_below=4, num_below_right=1)
    assert "judged      no match: 1 of 4 right" in output.status_table(replace(STATUS, judged=below))
    nothing = replace(below, num_below=0)
    assert "judged      nothing yet: vsdb judge PROMPT" in output.status_table(replace(STATUS, judged=nothing))
    assert "model       none yet: ingest a video" in output.status_table(replace(STATUS, model=None))


def test_messages_of_several_lines_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("one\ntwo\x1b[31m")
    assert capsys.readouterr() == ("", "one\ntwo\\x1b[31m\n")
