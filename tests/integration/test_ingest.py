"""Ingest end to end in one process: real decoding, the bundled model, a real database."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

import vsdb
from tests import clips
from vsdb.database import Connection
from vsdb.errors import DatabaseError
from vsdb.ingest.reporter import SilentReporter
from vsdb.media.patches import patch_boxes
from vsdb.types import IngestResult, Sampling


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three sampled frames of 64x48."""
    return clips.write_video(tmp_path / "clip.mp4", range(0, 2400, 200), size=(64, 48))


def only(results: list[IngestResult]) -> IngestResult:
    (result,) = results
    return result


def snapshot(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute("select *, ctid from vsdb.patches order by video_id, frame_index, patch_index").fetchall()


class Loading(SilentReporter):
    """Notes whether the model was loaded."""

    loaded = False

    def preparing(self, step: str) -> None:
        self.loaded |= step.startswith("loading")


def test_a_video_becomes_rows(index: vsdb.Index, clip: Path) -> None:
    result = only(index.ingest([clip]))
    assert (result.status, result.num_frames, result.num_patches, result.reason) == ("ingested", 3, 3 * 13, None)
    (video,) = index.videos()
    assert (video.video_path, video.width, video.height, video.patch_size, video.stride) == (str(clip), 64, 48, 24, 12)
    assert video.duration_seconds == pytest.approx(2.4)
    rows = index.connection.execute(
        """select frame_index, pts_seconds, count(*), min(l2_norm(embedding)), max(l2_norm(embedding))
           from vsdb.patches group by 1, 2 order by 1"""
    ).fetchall()
    assert [row[:3] for row in rows] == [(0, 0.0, 13), (1, 1.0, 13), (2, 2.0, 13)]
    assert all(abs(norm - 1) < 2e-3 for row in rows for norm in row[3:])


def test_a_second_run_embeds_nothing_and_loads_no_model(index: vsdb.Index, clip: Path) -> None:
    index.ingest([clip])
    before = snapshot(index.connection)
    reporter = Loading()
    result = only(index.ingest([clip], reporter=reporter))
    assert (result.status, result.num_patches, result.reason) == ("unchanged", 39, None)
    assert not reporter.loaded
    assert snapshot(index.connection) == before


def test_a_moved_file_keeps_its_embeddings(index: vsdb.Index, clip: Path) -> None:
    index.ingest([clip])
    before = snapshot(index.connection)
    moved = clip.rename(clip.with_name("moved.mp4"))
    result = only(index.ingest([moved]))
    assert (result.status, result.reason) == ("unchanged", f"moved from {clip}")
    assert [video.video_path for video in index.videos()] == [str(moved)]
    assert snapshot(index.connection) == before


def test_a_copy_beside_the_original_is_not_stored_twice(index: vsdb.Index, clip: Path) -> None:
    index.ingest([clip])
    copy = Path(shutil.copy(clip, clip.with_name("copy.mp4")))
    result = only(index.ingest([copy]))
    assert (result.status, result.reason) == ("unchanged", f"same content as {clip}")
    assert [video.video_path for video in index.videos()] == [str(clip)]


def test_a_link_that_leads_nowhere_still_holds_its_name(index: vsdb.Index, clip: Path) -> None:
    """As when a disk is not mounted: what lay there has not moved."""
    index.ingest([clip])
    elsewhere = clip.rename(clip.with_name("elsewhere.mp4"))
    clip.symlink_to(clip.with_name("not mounted") / "clip.mp4")
    result = only(index.ingest([elsewhere]))
    assert (result.status, result.reason) == ("unchanged", f"same content as {clip}")
    assert [video.video_path for video in index.videos()] == [str(clip)]


@pytest.mark.parametrize("changed", [{"stride": 6}, {"patch_size": 48, "stride": 12}])
def test_another_grid_is_embedded_again(index: vsdb.Index, clip: Path, changed: dict[str, Any]) -> None:
    index.ingest([clip])  # patches of 24 pixels and a stride of 12, as is usual at 64x48
    usual, other = Sampling(patch_size=24, stride=12), Sampling(**changed)
    assert only(index.ingest([clip], sampling=usual)).status == "unchanged"
    assert [only(index.ingest([clip], sampling=other)).status for _ in range(2)] == ["ingested", "unchanged"]
    (video,) = index.videos()
    assert (video.patch_size, video.stride) == (changed.get("patch_size", 24), changed["stride"])
    assert video.num_patches == 3 * len(patch_boxes(64, 48, patch_size=video.patch_size, stride=video.stride))


def test_force_and_other_sampling_embed_again(index: vsdb.Index, clip: Path) -> None:
    index.ingest([clip])
    assert only(index.ingest([clip], force=True)).status == "ingested"
    finer = only(index.ingest([clip], sampling=Sampling(every_seconds=0.5)))
    assert (finer.status, finer.num_frames) == ("ingested", 5)
    assert only(index.ingest([clip])).status == "unchanged"  # nothing was asked for that differs
    assert only(index.ingest([clip], sampling=Sampling(every_seconds=0.5))).status == "unchanged"
    assert len(index.videos()) == 1


def test_a_recording_time_given_later_is_noted(index: vsdb.Index, clip: Path) -> None:
    index.ingest([clip])
    noon = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
    later = only(index.ingest([clip], sampling=Sampling(recorded_at=noon)))
    assert (later.status, later.reason) == ("unchanged", "recorded at 2026-05-01T12:00:00+00:00")
    assert index.videos()[0].recorded_at == noon
    assert only(index.ingest([clip], sampling=Sampling(recorded_at=noon))).reason is None
    assert only(index.ingest([clip])).reason is None
    assert index.videos()[0].recorded_at == noon


def test_new_content_at_the_same_path_replaces_the_old(index: vsdb.Index, clip: Path) -> None:
    index.ingest([clip])
    clips.write_video(clip, range(0, 1400, 200), size=(64, 48))
    result = only(index.ingest([clip]))
    assert (result.status, result.num_frames) == ("ingested", 2)
    assert [video.num_frames for video in index.videos()] == [2]


def test_bad_videos_are_named_and_the_others_go_on(index: vsdb.Index, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello")
    clips.write_sound(tmp_path / "sound.mp4")
    clips.write_video(tmp_path / "small.mkv", [0, 1000], size=(16, 16), codec="ffv1", pixel_format="yuv444p")
    paths = [tmp_path / name for name in ("missing.mp4", "empty.mp4", "text.mp4", "sound.mp4", "small.mkv")]
    results = index.ingest([*paths, clip], sampling=Sampling(patch_size=20))
    assert [result.status for result in results] == ["failed"] * 5 + ["ingested"]
    reasons = [result.reason or "" for result in results[:5]]
    for reason, expected in zip(
        reasons, ["no such file", "empty", "not a video", "not a video", "smaller than a patch of 20"], strict=True
    ):
        assert expected in reason
    assert [video.video_path for video in index.videos()] == [str(clip)]


def test_a_truncated_video_stores_nothing(index: vsdb.Index, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 48, 64, 3), dtype=np.uint8)
    path = clips.write_video(
        tmp_path / "a.mp4", range(0, 8000, 40), size=(64, 48), images=list(noise), options={"movflags": "faststart"}
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    result = only(index.ingest([path]))
    assert result.status == "failed"
    assert "truncated or damaged" in (result.reason or "")
    assert index.videos() == []
    assert snapshot(index.connection) == []


def test_a_lost_connection_fails_one_video_and_the_next_goes_on(index: vsdb.Index, clip: Path, dsn: str) -> None:
    class Cut(SilentReporter):
        times = 0

        def advanced(self, pts_seconds: float, num_patches: int) -> None:
            del pts_seconds, num_patches
            self.times += 1
            if self.times == 1:
                with psycopg.connect(dsn, autocommit=True) as other:
                    other.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity "
                        "where datname = current_database() and pid <> pg_backend_pid()"
                    )

    other = clips.write_video(clip.with_name("other.mp4"), range(0, 1400, 200), size=(64, 48))
    results = index.ingest([clip, other], reporter=Cut())
    assert [result.status for result in results] == ["failed", "ingested"]
    assert (results[0].reason or "").startswith("database: ")
    assert [video.video_path for video in index.videos()] == [str(other)]


def test_another_model_is_refused_before_anything_is_read(index: vsdb.Index, clip: Path, dsn: str) -> None:
    index.ingest([clip])
    with (
        vsdb.connect(dsn=dsn, model="RN50x4") as other,
        pytest.raises(DatabaseError, match="holds embeddings of tiny.*one database holds one model"),
    ):
        other.ingest([clip], force=True)
    with vsdb.connect(dsn=dsn) as without_a_name:
        assert only(without_a_name.ingest([clip], force=True)).status == "ingested"


def test_portrait_odd_and_ten_bit_files_keep_their_shape(index: vsdb.Index, tmp_path: Path) -> None:
    flat = clips.write_video(tmp_path / "flat.mp4", range(0, 400, 40), size=(64, 48))
    paths = [
        clips.rotate(flat, tmp_path / "portrait.mp4"),
        clips.write_video(tmp_path / "odd.mkv", [0, 40], size=(65, 47), codec="ffv1", pixel_format="yuv444p"),
        clips.write_video(tmp_path / "deep.mp4", [0, 40], size=(64, 48), pixel_format="yuv420p10le"),
    ]
    assert [result.status for result in index.ingest(paths)] == ["ingested"] * 3
    shapes = {Path(video.video_path).name: (video.width, video.height) for video in index.videos()}
    assert shapes == {"portrait.mp4": (48, 64), "odd.mkv": (65, 47), "deep.mp4": (64, 48)}


def test_the_shared_clips_have_the_right_counts_and_times(
    index: vsdb.Index, shared_clips: Path, connection: Connection
) -> None:
    results = index.ingest([shared_clips], sampling=Sampling(every_seconds=2.0))
    assert [result.status for result in results] == ["ingested"] * 6
    expected = {  # frames at 0, 2, 4 … s and 18 patches of the grid (or 12, for 4:3) with the whole frame
        "intel_bottle-detection.mp4": (20, 19),
        "intel_car-detection.mp4": (16, 19),
        "intel_one-by-one-person-detection.mp4": (70, 19),
        "mdn_flower.mp4": (3, 19),
        "mdn_friday.mp4": (4, 13),
        "mdn_stream-of-water.webm": (2, 13),
    }
    rows = connection.execute(
        """select v.video_path, v.num_frames, v.num_patches, count(*), max(abs(p.pts_seconds - 2 * p.frame_index))
           from vsdb.videos v join vsdb.patches p using (video_id) group by v.video_id"""
    ).fetchall()
    assert len(rows) == 6
    for path, num_frames, num_patches, stored, late in rows:
        frames, patches = expected[Path(path).name]
        assert (num_frames, num_patches, stored) == (frames, frames * patches, frames * patches)
        assert late < 0.1  # the first frame at or after the step, at the clips' rates of 10 to 30 a second
