"""What the catalogue says of stored videos, and what is left of one model when another takes its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from tests.integration.search_data import add_video, axis, scores
from vsdb.database import Connection, catalog
from vsdb.types import ModelInfo

MODEL = ModelInfo(
    model_name="tiny",
    weights_sha256=bytes(32),
    weights_path="/weights/tiny.safetensors",
    embedding_dim=640,
    image_size=128,
    image_mean=[0.1, 0.2, 0.3],
    image_std=[0.4, 0.5, 0.6],
    interpolation="bilinear",
    resize_mode="longest",
)


@pytest.fixture
def three(connection: Connection) -> list[int]:
    """The video_ids of /a.mp4, /b%.mp4 and /cam/c.mp4, of 3, 4 and 5 s."""
    return [
        add_video(connection, path, scores([0.0] * length), num_patches=2)
        for path, length in (("/a.mp4", 3), ("/b%.mp4", 4), ("/cam/c.mp4", 5))
    ]


def test_a_file_is_what_was_ingested(connection: Connection, three: list[int]) -> None:
    connection.execute(
        "update vsdb.videos set size_bytes = 77, file_changed_ns = 1777629600500000001 where video_id = 2"
    )
    row = connection.execute("select content_sha256 from vsdb.videos where video_id = 2").fetchone()
    assert row is not None
    assert catalog.find_file(connection, three[1]) == catalog.StoredFile(
        video_path="/b%.mp4", size_bytes=77, content_sha256=row[0], file_changed_ns=1_777_629_600_500_000_001
    )
    assert catalog.find_file(connection, 99) is None


def test_a_video_is_found_by_exactly_its_path_or_its_content(connection: Connection, three: list[int]) -> None:
    found = catalog.find_path(connection, "/cam/c.mp4")
    assert found is not None
    assert (found.video_id, found.video_path, found.num_frames, found.num_patches) == (three[2], "/cam/c.mp4", 5, 10)
    assert (found.every_seconds, found.patch_size, found.stride) == (1, 180, 90)
    assert catalog.find_content(connection, found.content_sha256) == found
    assert (catalog.find_path(connection, "/cam/%"), catalog.find_content(connection, bytes(32))) == (None, None)
    assert [catalog.has_path(connection, path) for path in ("/a.mp4", "/b%.mp4", "/b%", "/cam")] == [
        True,
        True,
        False,
        False,
    ]


def test_videos_are_listed_by_path_in_pieces(connection: Connection, three: list[int]) -> None:
    def paths(**asked: object) -> list[str]:
        return [video.video_path for video in catalog.list_videos(connection, **asked)]  # type: ignore[arg-type]

    everything = ["/a.mp4", "/b%.mp4", "/cam/c.mp4"]
    assert paths() == everything
    assert paths(max_videos=2) == everything[:2]
    assert paths(max_videos=2, offset=1) == everything[1:]
    assert paths(video_like="/%.mp4", offset=1) == everything[1:]
    assert paths(video_like="/cam/%") == everything[2:]
    assert paths(video_id=three[1]) == everything[1:2]
    assert paths(video_id=three[1], video_like="/a%") == []


def test_videos_are_counted_with_their_length(connection: Connection, three: list[int]) -> None:
    assert len(three) == 3
    assert catalog.count_videos(connection) == (3, 12.0)
    assert catalog.count_videos(connection, video_like="/b%") == (1, 4.0)
    assert catalog.count_videos(connection, video_like="/none%") == (0, 0.0)


def test_a_date_is_that_of_one_video(connection: Connection, three: list[int]) -> None:
    began = datetime(2026, 5, 1, 10, tzinfo=timezone.utc)
    catalog.set_recorded_at(connection, three[0], began)
    assert [video.recorded_at for video in catalog.list_videos(connection)] == [began, None, None]


def test_a_model_is_told_as_it_was_registered(connection: Connection) -> None:
    catalog.register_model(connection, MODEL)
    assert catalog.get_model(connection) is None  # it is nobody's before the first video
    add_video(connection, "/a.mp4", scores([0.0]))
    stored = catalog.get_model(connection)
    assert stored is not None
    assert stored == replace(MODEL, image_mean=stored.image_mean, image_std=stored.image_std)
    assert (*stored.image_mean, *stored.image_std) == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5, 0.6))


def test_the_same_weights_may_lie_elsewhere_by_now(connection: Connection) -> None:
    catalog.register_model(connection, MODEL)
    catalog.register_model(connection, replace(MODEL, weights_path="/elsewhere"))
    add_video(connection, "/a.mp4", scores([0.0]))
    stored = catalog.get_model(connection)
    assert stored is not None
    assert stored.weights_path == "/elsewhere"


def test_nothing_of_a_model_outlives_it(connection: Connection) -> None:
    """What was measured, embedded or built with the one says nothing of the other, also of the same dimension."""
    catalog.register_model(connection, MODEL)
    add_video(connection, "/a.mp4", scores([0, 70, 0, 30, 0, 0]))
    connection.execute("update vsdb.neutral_prompts set embedding = %s", [axis(0)])
    connection.execute(
        "insert into vsdb.background select true, mean, mean, 1, 2, 3, 4, 5, 6, 7, 8 from vsdb.mean_patch() mean"
    )
    left = """select (select count(*) from vsdb.background), (select count(embedding) from vsdb.neutral_prompts)"""
    assert connection.execute(left).fetchone() == (1, 95)
    connection.execute("delete from vsdb.videos")
    catalog.register_model(connection, replace(MODEL, weights_sha256=b"x" * 32))
    assert connection.execute(left).fetchone() == (0, 0)
