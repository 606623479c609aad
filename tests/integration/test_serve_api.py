"""The API of ``vsdb serve`` on the demo's street: the same answers as the SQL, and errors that say what to do."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import pytest

import vsdb
from tests import clips
from tests.serving import Served, serving
from vsdb import search
from vsdb.config import resolve
from vsdb.demo import CLIP, true_intervals
from vsdb.media.video import VideoReader
from vsdb.search import Narrowing, Question
from vsdb.serve.app import make_app
from vsdb.serve.guard import Access

COLUMNS = "rank video_path start_seconds end_seconds best_seconds score box z match video_id".split()


@pytest.fixture(scope="module")
def served(street_dsn: str) -> Iterator[Served]:
    with serving(VSDB_DSN=street_dsn) as running:
        yield running


@pytest.fixture(scope="module")
def dog(street_index: vsdb.Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of the clip's dog."""
    found = street_index.search("a dog")[0]
    with VideoReader(CLIP) as reader:
        frame = next(f for f in reader.sample(every_seconds=1) if f.pts_seconds == found.best_seconds)
    x, y, width, height = found.box
    path = tmp_path_factory.mktemp("dog") / "dog.png"
    cv2.imwrite(str(path), frame.image[y : y + height, x : x + width, ::-1])
    return path


def rows_of_sql(index: vsdb.Index, call: str) -> list[dict[str, Any]]:
    cursor = index.connection.execute(f"select * from vsdb.{call} order by rank")
    assert cursor.description
    names = [column.name for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for row in rows:
        row["box"] = [row[name] for name in ("x", "y", "width", "height")]
    return [{name: row[name] for name in COLUMNS} for row in rows]


@pytest.mark.parametrize(
    ("parameters", "call"),
    [
        ({"prompt": "a red car"}, "search('a red car')"),
        ({"prompt": "a dog", "max_moments": 2, "gap_seconds": 0}, "search('a dog', 2, gap_seconds => 0)"),
        (
            {"prompt": "a soccer ball", "min_z": -9, "from_seconds": 30},
            "search('a soccer ball', min_z => -9, from_seconds => 30)",
        ),
        ({"prompt": "a soccer ball", "video_like": "%street%"}, "search('a soccer ball', video_like => '%street%')"),
        ({"prompt": "a soccer ball", "video_like": "%/other%"}, "search('a soccer ball', video_like => '%/other%')"),
        (
            {"prompt": "a soccer ball", "exact": "true", "video_ids": [1, 2]},
            "search('a soccer ball', exact => true, video_ids => '{1,2}')",
        ),
        (
            {"prompt": "a soccer ball", "recorded_from": "2026-05-01T12:00:20Z"},
            "search('a soccer ball', recorded_from => '2026-05-01 12:00:20Z')",
        ),
        (
            {"prompt": "a car", "without": "a red car", "min_score": 1},
            "search_embedding(vsdb.without(vsdb.embed('a car'), vsdb.embed('a red car')), min_score => 1)",
        ),
        (
            {"prompt": "a car", "without": "a red car"},
            "search_embedding(vsdb.without(vsdb.embed('a car'), vsdb.embed('a red car')),"
            " asked => vsdb.without(vsdb.centre(vsdb.embed('a car')), vsdb.centre(vsdb.embed('a red car'))))",
        ),
        (
            {"prompt": "a bicycle", "then": "a bus", "within_seconds": 5},
            "search_then(vsdb.embed('a bicycle'), vsdb.embed('a bus'), 5,"
            " asked => vsdb.centre(vsdb.embed('a bicycle')), next_asked => vsdb.centre(vsdb.embed('a bus')))",
        ),
    ],
)
def test_the_api_answers_as_sql_does(
    served: Served, street_index: vsdb.Index, parameters: dict[str, Any], call: str
) -> None:
    answer = served.get("/api/search", **parameters).json
    assert [{name: each[name] for name in COLUMNS} for each in answer["moments"]] == rows_of_sql(street_index, call)
    assert bool(answer["moments"]) == ("other" not in call)
    assert answer["model"] == "tiny"
    assert all(each["frame_size"] == [1280, 720] for each in answer["moments"])


def test_the_api_answers_as_the_command_does(served: Served, street_dsn: str, run_vsdb: Callable[..., Any]) -> None:
    printed = json.loads(run_vsdb("query", "a red car", "-n", "3", "--json", VSDB_DSN=street_dsn).stdout)
    answer = served.get("/api/search", prompt="a red car", max_moments=3).json
    for moment in answer["moments"]:
        del moment["frame_size"], moment["video_id"]
    assert {name: answer[name] for name in printed} == printed


def test_where_nothing_matches_the_nearest_is_named(served: Served, street_index: vsdb.Index) -> None:
    answer = served.get("/api/search", prompt="an airplane").json
    assert answer["moments"] == []
    near = search.nearest(street_index.connection, Question(prompt="an airplane"), Narrowing())
    assert near
    assert (answer["nearest"]["best_seconds"], answer["nearest"]["score"]) == (near.best_seconds, near.score)
    assert served.get("/api/search", prompt="an airplane", min_z=5).json["nearest"] is None


@pytest.mark.parametrize(
    ("path", "parameters", "words"),
    [
        ("/api/search", {}, "prompt or an image"),
        ("/api/search", {"prompt": ""}, "prompt: "),
        ("/api/search", {"prompt": "a", "image": "0" * 64}, "prompt or an image"),
        ("/api/search", {"image": "0" * 64}, "send it again"),
        ("/api/search", {"image": "../../etc/passwd"}, "image: "),
        ("/api/search", {"promt": "a"}, "promt: there is no such parameter"),
        ("/api/search", {"prompt": "a", "max_moments": 0}, "max_moments: "),
        ("/api/search", {"prompt": "a", "max_moments": "many"}, "'many'"),
        ("/api/search", {"prompt": "a", "min_score": "nan"}, "min_score: "),
        ("/api/search", {"prompt": "a", "from_seconds": -1}, "from_seconds: "),
        ("/api/search", {"prompt": "a", "recorded_from": "noon"}, "recorded_from: "),
        ("/api/search", {"prompt": "a", "video_ids": 2**63}, "video_ids"),
        ("/api/search", {"prompt": "a", "then": "b", "exact": "true"}, "exact does not combine"),
        ("/api/search", {"prompt": "a", "video_like": "\0"}, "NUL"),
        ("/api/search", {"prompt": "x" * 2001}, "prompt: "),
        ("/api/scores", {"prompt": "a"}, "video_id: is missing"),
        ("/api/scores", {"video_id": 1}, "prompt or an image"),
        ("/api/frame", {"video_id": 1, "pts_seconds": "inf"}, "pts_seconds: "),
        ("/api/videos", {"max_videos": 0}, "max_videos: "),
        ("/api/video/street.mp4", {}, "video_id: "),
        ("/api/video/0", {}, "video_id: "),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(
    served: Served, path: str, parameters: dict[str, Any], words: str
) -> None:
    answer = served.get(path, **parameters)
    assert answer.status == 422
    assert words in answer.json["error"]


def test_words_that_are_no_plain_text_are_taken(served: Served) -> None:
    for prompt in ("\0", "🚗", "a' or 1=1 --", "%s %(x)s", "\udcff".encode("utf-8", "surrogatepass"), b"\xff"):
        assert served.get("/api/search", prompt=prompt).status == 200


def test_scores_are_those_of_sql(served: Served, street_index: vsdb.Index) -> None:
    (video,) = street_index.videos()
    answer = served.get("/api/scores", prompt="a red car", video_id=video.video_id).json
    rows = street_index.connection.execute(
        "select pts_seconds, score from vsdb.score_video(vsdb.embed('a red car'), %s)", [video.video_id]
    ).fetchall()
    assert list(zip(answer["pts_seconds"], answer["scores"], strict=True)) == rows
    assert len(rows) == video.num_frames
    (moment,) = street_index.search("a red car", max_moments=1)
    assert dict(rows)[moment.best_seconds] >= moment.score
    assert served.get("/api/scores", prompt="a", video_id=video.video_id + 1).status == 404


def test_videos_are_listed(served: Served, street_index: vsdb.Index) -> None:
    (video,) = street_index.videos()
    answer = served.get("/api/videos").json
    assert (answer["num_videos"], answer["duration_seconds"]) == (1, video.duration_seconds)
    (listed,) = answer["videos"]
    assert (listed["video_path"], listed["num_patches"]) == (str(CLIP), video.num_patches)
    assert served.get("/api/videos", offset=1).json["videos"] == []
    assert served.get("/api/videos", video_like="%nothing%").json["num_videos"] == 0


def test_a_frame_is_the_stored_thumbnail_at_or_before(served: Served, street_index: vsdb.Index) -> None:
    rows = dict(street_index.connection.execute("select pts_seconds, jpeg from vsdb.frames").fetchall())
    for asked, stored in ((3.0, 3.0), (3.9, 3.0), (0, 0.0), (1e6, 59.0)):
        answer = served.get("/api/frame", video_id=1, pts_seconds=asked)
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.body == rows[stored]
    assert served.get("/api/frame", video_id=9, pts_seconds=0).status == 404


def test_twenty_searches_at_once_stay_right(served: Served, street_index: vsdb.Index) -> None:
    prompts = [*true_intervals(), "a giraffe", "a lion", "a guitar", "a pizza", "a violin"]
    assert len(prompts) == 20
    wanted = [rows_of_sql(street_index, f"search('{prompt}')") for prompt in prompts]

    def ask(prompt: str) -> list[dict[str, Any]]:
        moments = served.get("/api/search", prompt=prompt).json["moments"]
        return [{name: each[name] for name in COLUMNS} for each in moments]

    with ThreadPoolExecutor(20) as threads:
        for _ in range(3):
            assert list(threads.map(ask, prompts)) == wanted


def test_a_picture_is_a_question_and_torch_comes_only_then(
    street_dsn: str, street_index: vsdb.Index, dog: Path
) -> None:
    with serving(VSDB_DSN=street_dsn) as served:
        assert served.get("/api/search", prompt="a dog").status == 200
        assert not served.has_torch
        for rubbish in (b"", b"rubbish", b"\x89PNG\r\n\x1a\n" + bytes(100), dog.read_bytes()[:40]):
            answer = served.request("POST", "/api/images", rubbish)
            assert (answer.status, "not a picture" in answer.json["error"]) == (422, True)
        answer = served.request("POST", "/api/images", bytes(20_000_001))
        assert (answer.status, "20 MB" in answer.json["error"]) == (413, True)
        assert not served.has_torch
        image = served.request("POST", "/api/images", dog.read_bytes()).json["image"]
        assert served.has_torch
        moments = served.get("/api/search", image=image).json["moments"]
        wanted = street_index.search(image=dog)
        assert [(each["best_seconds"], each["score"], each["z"]) for each in moments] == [
            (each.best_seconds, each.score, each.z) for each in wanted
        ]
        scores = served.get("/api/scores", image=image, video_id=1).json["scores"]
        assert max(scores) == wanted[0].score


def test_words_that_sql_cannot_embed_are_embedded_by_the_server(dsn: str, tmp_path: Path) -> None:
    film = clips.write_video(tmp_path / "film.mp4", range(0, 3000, 500))
    with vsdb.connect(dsn=dsn, model="tiny", device="cpu") as index:
        index.ingest([film])
        (wanted,) = index.search("a dog", max_moments=1, min_z=-99)
        index.connection.execute("update vsdb.text_towers set architecture = 'other'")
    with serving(VSDB_DSN=dsn) as served:
        (moment,) = served.get("/api/search", prompt="a dog", max_moments=1, min_z=-99).json["moments"]
        assert moment["score"] == pytest.approx(wanted.score, abs=0.01)
        scores = served.get("/api/scores", prompt="a dog", without="a cat", video_id=1).json["scores"]
        assert len(scores) == 3
        assert served.has_torch


def test_a_picture_of_very_many_pixels_is_refused(served: Served) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def black_png(side: int) -> bytes:
        """One bit a pixel: a small file."""
        rows = zlib.compress((b"\0" + bytes(side // 8)) * side)
        header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")

    assert served.request("POST", "/api/images", black_png(16)).status == 200
    answer = served.request("POST", "/api/images", black_png(16_000))  # 256 million pixels
    assert (answer.status, "256 MB are allowed" in answer.json["error"]) == (422, True)


def test_the_openapi_document_names_every_route(served: Served) -> None:
    document = served.get("/api/openapi.json").json
    app = make_app(resolve(), Access(token=None, names=frozenset(), cookie="token"))
    assert document == json.loads(json.dumps(app.openapi()))  # a warning would be an error here
    routes = {"search", "images", "judgements", "scores", "videos", "frame", "video/{video_id}"}
    assert set(document["paths"]) == {f"/api/{each}" for each in routes}
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["description"]
    names = {each["name"] for each in document["paths"]["/api/search"]["get"]["parameters"]}
    assert set(vars(Narrowing())) <= names
