"""The stages that a video passes at the same time as others: hash, decode, prepare, embed; each in its own thread.

Nothing here knows of the database: who stores takes the embedded frames out of each job's inbox, job after job.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import InvalidStateError
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vsdb.errors import VideoError
from vsdb.ingest.channels import BrokenStageError, Channel, Stage
from vsdb.ingest.jobs import Batch, Job, Part
from vsdb.media.changes import ChangeWatch
from vsdb.media.containers import recorded_at
from vsdb.media.files import check_readable, content_sha256, file_state
from vsdb.media.patches import default_patch_size, default_stride, patch_boxes
from vsdb.media.thumbnails import thumbnail
from vsdb.media.video import Frame, VideoReader
from vsdb.stopping import StoppedError
from vsdb.types import EmbeddedFrame, OpenedVideo, Sampling, VideoSampling

if TYPE_CHECKING:
    from vsdb.model.encoder import Encoder, ModelInput, OnDevice

DEFAULT_EVERY_SECONDS = 1.0
WAITING_FRAME_BYTES = 64 << 20  # of pixels: 24 frames of 720p, 2 of 4K
WAITING_BATCHES = 1
CORES_A_DECODER = 4  # more do not speed up the decoding of one video much
MAX_DECODERS = 4


class Stages:
    """The running threads and the channels between them.

    A batch may hold patches of several videos, so that it is full also where videos are short; memory is bounded by
    what the channels hold.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._jobs: list[Job] = []
        self._to_hash: Channel[Job] = Channel(float("inf"))
        self._to_decode: Channel[Job] = Channel(float("inf"))
        self._frames: Channel[tuple[Job, Frame | None, bytes | None]] = Channel(WAITING_FRAME_BYTES)
        self._batches: Channel[Batch] = Channel(WAITING_BATCHES)
        self._embedded: Channel[tuple[list[Part], list[OnDevice]]] = Channel(WAITING_BATCHES)
        self._encoder: Encoder | None = None
        self._broken: BrokenStageError | None = None
        self._has_decoders = False
        self._threads = [self._start("hash", self._hash)]

    def announce(self, path: Path) -> Job:
        """Begin to hash a video, after those announced before."""
        if self._broken:
            raise self._broken
        job = Job(path)
        self._jobs.append(job)
        self._to_hash.put(job)
        return job

    def forget(self, job: Job) -> None:
        """Drop what is left of a video, whether it is stored by now or not wanted."""
        job.cancel()
        self._jobs.remove(job)
        self._frames.wake()  # its decoder may wait for room that nobody makes before there is an encoder

    def decode(self, job: Job, *, is_next: bool = False) -> None:
        """Begin to decode a video, after those that were given before; a second call does nothing.

        Args:
            job: the video.
            is_next: this video is the next to be stored. If the decoders are busy with later videos, it gets one of
                its own: the later ones may be full and wait until this one is stored.
        """
        if job.is_decoding:
            return
        decoders, threads = divide_cores(num_cores())
        if is_next and any(other.is_decoding for other in self._jobs):
            self._threads.append(self._start("decode", partial(self._decode, job, threads)))
        else:
            if not self._has_decoders:
                work = partial(self._decode_all, threads)
                self._threads += [self._start("decode", work) for _ in range(decoders)]
                self._has_decoders = True
            self._to_decode.put(job)
        job.is_decoding = True

    def embed_with(self, encoder: Encoder) -> None:
        """Begin to embed what is decoded; again is no harm."""
        if self._encoder is not None:
            return
        self._encoder = encoder
        encoder.is_stopped = False
        self._threads += [
            self._start("prepare", partial(self._prepare, encoder)),
            self._start("embed", partial(self._embed, encoder)),
            self._start("deliver", partial(self._deliver, encoder)),
        ]

    def close(self) -> None:
        """Stop all threads and wait for them; what they held is dropped."""
        for job in self._jobs:
            job.cancel()
        if self._encoder is not None:
            self._encoder.is_stopped = True
        for channel in (self._to_hash, self._to_decode, self._frames, self._batches, self._embedded):
            channel.close()
        for thread in self._threads:
            thread.join()

    def _start(self, name: str, work: Callable[[], None]) -> Stage:
        return Stage(name, work, on_break=self._break)

    def _break(self, error: BrokenStageError) -> None:
        """Let whoever waits for a video see that a stage is gone."""
        self._broken = error
        for job in list(self._jobs):
            job.fail(error)
            for future in (job.sha256, job.opened):
                with suppress(InvalidStateError):
                    future.set_exception(error)
            job.inbox.put(None)

    def _hash(self) -> None:
        for job in self._to_hash:
            try:
                check_readable(job.path)
                job.hashed_file = file_state(job.path)
                job.sha256.set_result(content_sha256(job.path, check=job.check))
            except Exception as error:  # of any kind: it is raised again where the video is stored
                job.sha256.set_exception(error)

    def _decode_all(self, num_threads: int) -> None:
        for job in self._to_decode:
            self._decode(job, num_threads)

    def _decode(self, job: Job, num_threads: int) -> None:
        with job.keeping_errors():
            try:
                keyframes = bool(self._sampling.keyframes)
                with VideoReader(job.path, num_threads=num_threads, keyframes=keyframes) as reader:
                    self._decode_frames(job, reader)
            finally:
                _check_unchanged(job)  # also when it cannot be read: then this is why
        if not job.opened.done():
            job.opened.set_exception(job.error or StoppedError())
        self._frames.put((job, None, None), weight=0)

    def _decode_frames(self, job: Job, reader: VideoReader) -> None:
        every_seconds = self._sampling.every_seconds or DEFAULT_EVERY_SECONDS
        frames = reader.sample(every_seconds=every_seconds, check=job.check)
        first = next(frames)
        opened = _describe(job.path, first, reader.declared_seconds, every_seconds, self._sampling)
        if self._sampling.skip_unchanged:
            job.changes = ChangeWatch(opened.boxes)
        job.opened.set_result(opened)
        for frame in chain([first], frames):
            job.budget.take(len(opened.boxes))
            # The thumbnail is made here and not in prepare: that is one thread, and a fast device waits for it.
            jpeg = thumbnail(frame.image) if self._sampling.thumbnails else None
            self._frames.put((job, frame, jpeg), weight=frame.image.nbytes, check=job.check)
        job.duration_seconds = reader.duration_seconds
        job.notes = reader.notes

    def _prepare(self, encoder: Encoder) -> None:
        """Cut frames into what the model reads and gather this into batches.

        A batch goes on when it is full, or when it holds the end of a video and no frame waits: so the batches of
        a video that is alone do not depend on chance.
        """
        batch = Batch()
        for job, frame, jpeg in self._frames:
            if frame is None:
                batch.add(Part(job=job, is_end=True))
            elif not job.is_cancelled:
                with job.keeping_errors():
                    for part, inputs in _cut(job, frame, jpeg, encoder):
                        if batch.num_patches + part.num_patches > encoder.batch_size:
                            self._batches.put(batch)
                            batch = Batch()
                        batch.add(part, inputs)
            if batch.has_end and self._frames.is_empty():
                self._batches.put(batch)
                batch = Batch()

    def _embed(self, encoder: Encoder) -> None:
        for batch in self._batches:
            self._embedded.put(_encode(batch, encoder))

    def _deliver(self, encoder: Encoder) -> None:
        for parts, on_device in self._embedded:
            embeddings = encoder.fetch(on_device)
            done = 0
            for part in parts:
                _deliver(part, embeddings[done : done + part.num_patches])
                done += part.num_patches


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def divide_cores(cores: int) -> tuple[int, int]:
    """How many videos are decoded at once, and with how many threads each.

    One thread more than cores, because the one that reads waits for the others most of the time.
    """
    decoders = max(1, min(MAX_DECODERS, cores // CORES_A_DECODER))
    return decoders, cores // decoders + (cores > 1)


def _check_unchanged(job: Job) -> None:
    """Raise VideoError when the file is not any more as it was when it was hashed."""
    found, hashed = file_state(job.path), job.hashed_file
    if hashed and found.size_bytes > hashed.size_bytes and found.inode == hashed.inode:
        raise VideoError("the file is still being written; ingest it again when it is complete")
    if found != hashed and not job.is_cancelled:
        raise VideoError("the file changed while it was read; ingest it again when it is complete")


def _describe(
    path: Path, first: Frame, declared_seconds: float, every_seconds: float, sampling: Sampling
) -> OpenedVideo:
    height, width = first.image.shape[:2]
    patch_size = sampling.patch_size or default_patch_size(width, height)
    stride = sampling.stride or default_stride(patch_size)
    return OpenedVideo(
        width=width,
        height=height,
        sampling=VideoSampling(
            every_seconds=every_seconds,
            patch_size=patch_size,
            stride=stride,
            keyframes=bool(sampling.keyframes),
            skip_unchanged=bool(sampling.skip_unchanged),
        ),
        boxes=patch_boxes(width, height, patch_size=patch_size, stride=stride),
        declared_seconds=declared_seconds,
        recorded_at=sampling.recorded_at or recorded_at(path),
    )


def _cut(job: Job, frame: Frame, jpeg: bytes | None, encoder: Encoder) -> Iterator[tuple[Part, ModelInput]]:
    """Cut a frame in parts no larger than a batch: a fine grid over a large frame could fill the memory."""
    boxes = job.opened.result().boxes
    fresh = job.changes.fresh(frame.image) if job.changes else None
    boxes = boxes if fresh is None else boxes[fresh]
    size = encoder.batch_size  # it may become less on the way
    for start in range(0, max(1, len(boxes)), size):
        inputs = encoder.cut(frame.image, boxes[start : start + size])
        part = Part(
            job=job,
            frame_index=frame.frame_index,
            pts_seconds=frame.pts_seconds,
            thumbnail=jpeg,
            num_patches=len(inputs),
            fresh=fresh,
            is_whole=start + len(inputs) == len(boxes),
        )
        yield part, inputs


def _encode(batch: Batch, encoder: Encoder) -> tuple[list[Part], list[OnDevice]]:
    """Embed a batch; if that fails, each part by itself, so that a failure is one video's."""
    with suppress(MemoryError, RuntimeError):  # and go on outside: the error holds what was in memory
        return batch.parts, [encoder.encode(batch.inputs)]
    parts: list[Part] = []
    embeddings: list[OnDevice] = []
    inputs = iter(batch.inputs)
    for part in batch.parts:
        with part.job.keeping_errors():
            if not part.is_end:
                embeddings.append(encoder.encode([next(inputs)]))
            parts.append(part)
    return parts, embeddings


def _deliver(part: Part, embeddings: NDArray[np.float16]) -> None:
    job = part.job
    if part.is_end:
        job.inbox.put(None)
        return
    job.parts.append(embeddings)
    if part.is_whole and not job.is_cancelled:
        whole = np.concatenate(job.parts)
        job.parts.clear()
        if part.fresh is not None:
            whole = job.newest = _replace(job.newest, part.fresh, whole)
        job.inbox.put(
            EmbeddedFrame(
                frame_index=part.frame_index,
                pts_seconds=part.pts_seconds,
                embeddings=whole,
                thumbnail=part.thumbnail,
            )
        )


def _replace(
    before: NDArray[np.float16] | None, fresh: NDArray[np.intp], embeddings: NDArray[np.float16]
) -> NDArray[np.float16]:
    """The embeddings of the frame before, but for the patches that were embedded anew."""
    if before is None:  # the first frame: all patches are fresh
        return embeddings
    whole = before.copy()
    whole[fresh] = embeddings
    return whole
