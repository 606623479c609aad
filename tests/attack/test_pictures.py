"""Pictures of few bytes that say they are huge, in every format, one or many at once."""

from __future__ import annotations

import contextlib
import io
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psycopg
import pytest
from PIL import Image

from tests.attack.conftest import Count
from tests.serving import Served
from vsdb.database import Connection
from vsdb.errors import VideoError
from vsdb.media.images import MAX_BYTES, decode_image, read_image
from vsdb.serve.images import Encoders, Images

MEGABYTE = 1 << 20
AT_ONCE = 10


def gif(side: int) -> bytes:
    """A whole GIF of 35 bytes."""
    screen = struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00;"


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def largest() -> Iterator[tuple[str, bytes]]:
    """For each format about the largest picture that is taken; few of them weigh more than a megabyte."""
    yield "gif", gif(5600)
    yield "png", saved(Image.new("1", (7900, 7900)), "PNG")
    yield "png, 16 bits", saved(Image.fromarray(np.zeros((7900, 7900), np.uint16)), "PNG")
    yield "jpeg", saved(Image.new("L", (13_900, 13_900)), "JPEG")
    yield "jpeg, progressive", saved(Image.new("RGB", (6500, 6500)), "JPEG", progressive=True, subsampling=0)
    yield "webp", saved(Image.new("RGB", (7900, 7900)), "WEBP")
    yield "tiff", saved(Image.new("1", (3900, 3900)), "TIFF", compression="group4")
    yield "avif", saved(Image.new("RGB", (3700, 3700)), "AVIF", speed=10)
    yield "bmp", saved(Image.new("1", (7900, 7900)), "BMP")


def too_large() -> Iterator[tuple[str, bytes]]:
    yield "gif", gif(14_000)
    yield "gif, all that fits", gif(65_535)
    yield "png", saved(Image.new("1", (14_000, 14_000)), "PNG")
    yield "jpeg, progressive", saved(Image.new("L", (14_000, 14_000)), "JPEG", progressive=True)
    yield "webp", saved(Image.new("L", (12_000, 12_000)), "WEBP")
    yield "tiff", saved(Image.new("1", (14_000, 14_000)), "TIFF", compression="group4")
    yield "avif", saved(Image.new("L", (5000, 5000)), "AVIF", speed=10)
    yield "bmp", saved(Image.new("1", (9000, 9000)), "BMP")


def memory(served: Served, name: str) -> int:
    """Bytes: ``VmRSS`` now, ``VmHWM`` at the peak."""
    lines = Path(f"/proc/{served.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def test_bombs_at_once_take_the_memory_of_one_picture(served: Served, count: Count) -> None:
    assert served.request("POST", "/api/images", gif(16)).status == 200  # loads the model
    before = memory(served, "VmRSS")
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for name, data in too_large():
            answers = list(threads.map(lambda data: served.request("POST", "/api/images", data), [data] * AT_ONCE))
            assert {answer.status for answer in answers} == {422}, name
            assert all("pixels would take" in answer.json["error"] for answer in answers)
        for name, data in largest():
            answers = list(threads.map(lambda data: served.request("POST", "/api/images", data), [data] * 3))
            assert {answer.status for answer in answers} == {200}, (name, answers[0].body)
            assert served.get("/api/videos").status == 200
    peak = memory(served, "VmHWM") - before
    count("bytes of memory at the peak of huge pictures sent at once", peak)
    assert peak < 3 * MAX_BYTES  # ten at once took 10.4 GB


def test_the_same_bound_holds_for_a_file(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gif"
    path.write_bytes(gif(14_000))
    with pytest.raises(VideoError, match=rf"{path}: a GIF of 14000x14000 pixels would take 1,568 MB"):
        read_image(path)


@pytest.mark.parametrize("frames", [1, 3000])
def test_the_first_of_many_frames_is_the_picture(frames: int) -> None:
    first, *others = (Image.new("P", (60, 40), number % 200) for number in range(frames))
    data = saved(first, "GIF", save_all=True, append_images=others, duration=1, optimize=False)
    assert decode_image(data).shape == (40, 60, 3)


def test_a_picture_that_is_decoded_smaller_looks_the_same() -> None:
    """A plain JPEG at an eighth of its size, beside the whole of it made as small."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 255, (40, 60, 3), np.uint8)
    large = cv2.resize(small, (12_288, 8192), interpolation=cv2.INTER_CUBIC)
    encoded = cv2.imencode(".jpg", large)[1].tobytes()
    decoded = decode_image(encoded)
    assert decoded.shape == (1024, 1536, 3)
    wanted = cv2.resize(large[:, :, ::-1], (1536, 1024), interpolation=cv2.INTER_AREA)
    assert float(np.abs(decoded.astype(int) - wanted).mean()) < 1.5
    ordinary = cv2.imencode(".png", large[:1500, :2000])[1].tobytes()
    assert (decode_image(ordinary) == large[:1500, :2000, ::-1]).all()


def test_a_picture_that_waits_holds_no_connection(connection: Connection) -> None:
    images = Images(Encoders())
    lent: list[str] = []

    @contextlib.contextmanager
    def lend() -> Iterator[psycopg.Connection]:
        lent.append("lent")
        yield connection

    def add() -> None:
        with contextlib.suppress(Exception):  # the database holds no model
            images.add(lend, gif(16))

    with images._working:  # another one is being embedded
        waiting = threading.Thread(target=add)
        waiting.start()
        waiting.join(0.5)
        assert (waiting.is_alive(), lent) == (True, [])
    waiting.join(60)
    assert lent == ["lent"]
