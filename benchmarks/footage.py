"""Drawn videos of the length and size that a benchmark needs."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray


def write_pan(path: Path, *, seconds: int, size: tuple[int, int] = (1280, 720), rate: int = 30) -> Path:
    """Write H.264 of a camera that pans over a textured wall, with sensor noise; about 4 Mbit/s at 720p."""
    rng = np.random.default_rng(0)
    width, height = size
    coarse = [rng.normal(0, 30, (height // step, 2 * width // step, 3)) for step in (4, 16, 64)]
    wall = np.sum([cv2.resize(each, (2 * width, height)) for each in coarse], axis=0)
    noise = rng.normal(0, 4, (4, height, width, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(seconds * rate):
            left = int(width * (0.5 + 0.5 * np.sin(number / rate / 5)))
            image = 128 + wall[:, left : left + width] + noise[number % 4]
            frame = av.VideoFrame.from_ndarray(image.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_still(path: Path, image: NDArray[np.uint8], *, seconds: int, rate: int = 10, noise: float = 4.0) -> Path:
    """Write H.264 of a camera that looks at one picture, RGB of shape (H, W, 3), with sensor noise (levels of 255)."""
    rng = np.random.default_rng(0)
    noises = [rng.normal(0, noise, image.shape) for _ in range(4)]
    frames = ((image + np.roll(noises[number % 4], 37 * number, axis=1)) for number in range(seconds * rate))
    return write_frames(path, (frame.round().clip(0, 255).astype(np.uint8) for frame in frames), rate=rate)


def write_hours(path: Path, *, hours: float, size: tuple[int, int] = (64, 48)) -> Path:
    """Write a long video of small frames, one a second, each of another grey."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast", "g": "600"})
        stream.width, stream.height = size
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1)
        for number in range(round(3600 * hours)):
            image = np.full((size[1], size[0], 3), 20 + number * 37 % 210, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_frames(path: Path, frames: Iterable[NDArray[np.uint8]], *, rate: int = 1) -> Path:
    """Write frames, RGB of shape (H, W, 3), as H.264, ``rate`` a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "23"})
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(frames):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())
    return path
