"""Rows: what is written is what is read, and a video is there whole or not at all."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import psycopg
import pytest

from vsdb.database import Connection, catalog, store
from vsdb.database.store import NewVideo
from vsdb.errors import DatabaseError
from vsdb.types import EmbeddedFrame, ModelInfo, OpenedVideo, VideoSampling

BOXES = np.array([[0, 0, 640, 360], [0, 0, 180, 180], [92, 180, 180, 180]], dtype=np.int32)
MODEL = ModelInfo(
    model_name="tiny",
    weights_sha256=bytes(32),
    weights_path=None,
    embedding_dim=640,
    image_size=128,
    image_mean=[0.5, 0.5, 0.5],
    image_std=[0.25, 0.25, 0.25],
    interpolation="bicubic",
    resize_mode="shortest",
)


@pytest.fixture(autouse=True)
def registered(connection: Connection) -> None:
    """Every test's database is this model's."""
    catalog.register_model(connection, MODEL)


def new_video(path: str = "/a.mp4", content: int = 1) -> NewVideo:
    return NewVideo(
        video_path=path,
        content_sha256=bytes([content]) * 32,
        size_bytes=1000,
        opened=OpenedVideo(
            width=640,
            height=360,
            sampling=VideoSampling(every_seconds=1.0, patch_size=180, stride=90),
            boxes=BOXES,
            declared_seconds=2.5,
            recorded_at=None,
        ),
    )


def frame(index: int) -> EmbeddedFrame:
    embeddings = np.random.default_rng(index).normal(size=(3, 640))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return EmbeddedFrame(frame_index=index, pts_seconds=index * 1.001, embeddings=embeddings.astype(np.float16))


def write(connection: Connection, video: NewVideo, num_frames: int = 2) -> None:
    with store.write_video(connection, video, MODEL) as writer:
        assert writer is not None
        for index in range(num_frames):
            writer.write(frame(index))
        writer.finish(duration_seconds=2.5)


def counts(connection: Connection) -> tuple[int, int]:
    row = connection.execute(
        "select (select count(*) from vsdb.videos), (select count(*) from vsdb.patches)"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def test_what_is_copied_is_what_is_read(connection: Connection) -> None:
    write(connection, new_video())
    rows = connection.execute(
        """select pts_seconds, patch_index, x, y, width, height, embedding::text
           from vsdb.patch_embeddings order by pts_seconds, patch_index"""
    ).fetchall()
    assert [row[:6] for row in rows[:3]] == [
        (0.0, 0, 0, 0, 640, 360),
        (0.0, 1, 0, 0, 180, 180),
        (0.0, 2, 92, 180, 180, 180),
    ]
    assert rows[5][0] == 1.001
    for index, row in enumerate(rows):
        stored = np.array(row[6].strip("[]").split(","), dtype=np.float16)
        assert np.array_equal(stored, frame(index // 3).embeddings[index % 3])
    (video,) = catalog.list_videos(connection)
    assert (video.num_frames, video.num_patches, video.duration_seconds) == (2, 6, 2.5)


def test_rows_are_six_to_a_page_and_out_of_toast(connection: Connection) -> None:
    write(connection, new_video(), num_frames=40)
    row = connection.execute(
        """select count(*) / count(distinct (ctid::text::point)[0])::float8,
                  (select reltoastrelid from pg_class where oid = 'vsdb.patches'::regclass)
           from vsdb.patches"""
    ).fetchone()
    assert row is not None
    assert row[0] == pytest.approx(6, abs=0.01)


def again(connection: Connection) -> NewVideo:
    """The stored video, to be made anew."""
    known = catalog.find_content(connection, new_video().content_sha256)
    assert known is not None
    return NewVideo(**{**vars(new_video()), "replaces": known.video_id})


def test_an_error_inside_leaves_what_was_there(connection: Connection) -> None:
    write(connection, new_video())
    with pytest.raises(ZeroDivisionError), store.write_video(connection, again(connection), MODEL) as writer:
        assert writer is not None
        writer.write(frame(0))
        raise ZeroDivisionError
    assert counts(connection) == (1, 6)


def test_new_content_at_a_known_path_replaces_the_old(connection: Connection) -> None:
    write(connection, new_video(content=1))
    write(connection, new_video(content=2), num_frames=1)
    assert counts(connection) == (1, 3)
    assert catalog.find_content(connection, bytes([1]) * 32) is None


def test_the_second_of_two_at_once_finds_the_first_one_s_rows(dsn: str, connection: Connection) -> None:
    outcome: list[object] = []

    def second() -> None:
        with psycopg.connect(dsn, autocommit=True) as other, store.write_video(other, new_video(), MODEL) as writer:
            outcome.append(writer)

    with store.write_video(connection, new_video(), MODEL) as writer:
        assert writer is not None
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        assert outcome == []  # it waits
        writer.write(frame(0))
        writer.finish(duration_seconds=1)
    thread.join(30)
    assert outcome == [None]
    assert counts(connection) == (1, 3)


def test_a_moved_video_keeps_its_rows_and_takes_the_place_of_another(connection: Connection) -> None:
    write(connection, new_video("/old.mp4", content=1))
    write(connection, new_video("/new.mp4", content=2), num_frames=1)
    known = catalog.find_content(connection, bytes([1]) * 32)
    assert known is not None
    catalog.move_video(connection, known.video_id, "/new.mp4")
    assert counts(connection) == (1, 6)
    assert catalog.find_content(connection, bytes([1]) * 32) == catalog.StoredVideo(
        **{**vars(known), "video_path": "/new.mp4"}
    )


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("/cam/a_1.mp4", ["/cam/ab1.mp4", "/cam/deep/c.mp4", "/camera.mp4"]),
        ("/cam", ["/camera.mp4"]),
        ("/cam/", ["/camera.mp4"]),
        ("/cam/a%", ["/cam/deep/c.mp4", "/camera.mp4"]),
        ("/none.mp4", ["/cam/a_1.mp4", "/cam/ab1.mp4", "/cam/deep/c.mp4", "/camera.mp4"]),
    ],
)
def test_remove_takes_a_path_a_folder_or_a_pattern(connection: Connection, pattern: str, left: list[str]) -> None:
    for content, path in enumerate(["/cam/a_1.mp4", "/cam/ab1.mp4", "/cam/deep/c.mp4", "/camera.mp4"]):
        write(connection, new_video(path, content + 1), num_frames=1)
    catalog.remove_videos(connection, pattern)
    assert [video.video_path for video in catalog.list_videos(connection)] == left
    assert counts(connection)[1] == 3 * len(left)


def other_model(name: str = "tiny") -> ModelInfo:
    return ModelInfo(**{**vars(MODEL), "weights_sha256": b"x" * 32, "model_name": name})


def test_other_weights_are_refused_with_what_to_do(connection: Connection) -> None:
    write(connection, new_video())
    catalog.register_model(connection, MODEL)
    with pytest.raises(DatabaseError, match=r"other weights of tiny.*--dsn DSN, or VSDB_HOME=FOLDER"):
        catalog.register_model(connection, other_model())
    with pytest.raises(DatabaseError, match="holds embeddings of tiny.*RN50x4 was asked for"):
        catalog.register_model(connection, other_model("RN50x4"))
    assert catalog.get_model(connection) == MODEL


def test_a_database_without_videos_takes_another_model(connection: Connection) -> None:
    assert catalog.get_model(connection) is None
    catalog.register_model(connection, other_model("RN50x4"))
    with (
        pytest.raises(DatabaseError, match="holds embeddings of RN50x4"),
        store.write_video(connection, new_video(), MODEL),
    ):
        pass
    with store.write_video(connection, new_video(), other_model("RN50x4")) as writer:
        assert writer is not None
        writer.write(frame(0))
        writer.finish(duration_seconds=1)
    assert catalog.get_model(connection) == other_model("RN50x4")


def test_another_model_waits_for_who_stores_and_is_refused_then(dsn: str, connection: Connection) -> None:
    """Until the video is committed the database seems to hold none, and would change its model under its rows."""
    refusals: list[str] = []

    def take_over() -> None:
        with psycopg.connect(dsn, autocommit=True) as other, pytest.raises(DatabaseError) as refused:
            catalog.register_model(other, other_model("RN50x4"))
        refusals.append(str(refused.value))

    thread = threading.Thread(target=take_over)
    with store.write_video(connection, new_video(), MODEL) as writer:
        assert writer is not None
        thread.start()
        wait_for_a_lock(dsn, thread)
        writer.write(frame(0))
        writer.finish(duration_seconds=1)
    thread.join(30)
    assert ["holds embeddings of tiny" in refusal for refusal in refusals] == [True]
    assert catalog.get_model(connection) == MODEL


def wait_for_a_lock(dsn: str, thread: threading.Thread) -> None:
    """Return when a session waits for a lock of another one, or the thread has ended without."""
    with psycopg.connect(dsn, autocommit=True) as watcher:
        waits = "select exists (select from pg_locks where not granted)"
        while thread.is_alive() and watcher.execute(waits).fetchone() != (True,):
            pass


def test_two_videos_are_stored_at_the_same_time(dsn: str, connection: Connection) -> None:
    with psycopg.connect(dsn, autocommit=True) as other, store.write_video(connection, new_video(), MODEL) as writer:
        assert writer is not None
        other.execute("set lock_timeout = '5s'")
        write(other, new_video("/b.mp4", content=2))
        writer.write(frame(0))
        writer.finish(duration_seconds=1)
    assert counts(connection) == (2, 9)


def test_a_video_of_another_model_is_refused_and_replaces_nothing(connection: Connection) -> None:
    write(connection, new_video())
    for model, holds in ((other_model(), "other weights of tiny"), (other_model("RN50x4"), "embeddings of tiny")):
        with (
            pytest.raises(DatabaseError, match=f"this database holds {holds}"),
            store.write_video(connection, again(connection), model),
        ):
            pass
    assert counts(connection) == (1, 6)
    connection.execute("delete from vsdb.models")
    with pytest.raises(DatabaseError, match="embeddings of no model"):
        write(connection, new_video(content=2))


def test_where_a_run_of_alike_patches_ends_does_not_depend_on_the_device(connection: Connection) -> None:
    """Runs of 32 frames at most are gathered from each COPY, which therefore holds 64, whatever the batches were."""
    with store.write_video(connection, new_video(), MODEL) as writer:
        assert writer is not None
        for index in range(100):
            writer.write(replace(frame(0), frame_index=index, pts_seconds=float(index)))
        writer.finish(duration_seconds=100)
    runs = connection.execute("select distinct first_frame, last_frame from vsdb.patch_runs order by 1, 2").fetchall()
    assert runs == [(0, 31), (32, 63), (64, 95), (96, 99)]
    assert counts(connection) == (1, 300)
