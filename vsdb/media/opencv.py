"""OpenCV, set up before its first import: the package takes ``cv2`` from here and nowhere else."""

from __future__ import annotations

import os

# Decoder messages would land between progress bar and results; what matters of them is in VideoError.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# A picture of few bytes can say that it has a thousand million pixels; OpenCV looks before it takes the memory.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "200000000")

import cv2

__all__ = ["cv2"]
