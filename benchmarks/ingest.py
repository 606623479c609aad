"""How fast videos become rows: every stage alone, all together, and the article's loop beside it in the same run.

python benchmarks/ingest.py --model tiny                  the bundled model
python benchmarks/ingest.py --model RN50x4 --seconds 4    random weights of RN50x4's size
python benchmarks/ingest.py --memory --hours 10           memory over a long video
python benchmarks/ingest.py --device cuda --json          on a GPU, as JSON

Repetitions take turns, so that other work on the machine slows all of them alike; figures are medians.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import article
import av
import cv2
import footage
import numpy as np
import psutil
import psycopg
import torch
from psycopg import sql
from torch.utils.flop_counter import FlopCounterMode

from vsdb.config import resolve
from vsdb.database import Connection, schema, store
from vsdb.database.connect import Database
from vsdb.database.embedded import EmbeddedServer
from vsdb.database.store import NewVideo
from vsdb.ingest.model import ModelChoice
from vsdb.ingest.reporter import SilentReporter
from vsdb.ingest.run import Ingest
from vsdb.media.patches import default_patch_size, default_stride, patch_boxes
from vsdb.media.video import VideoReader
from vsdb.model.encoder import Encoder, choose_device, fast_dtype
from vsdb.model.load import load_model
from vsdb.types import EmbeddedFrame, ModelInfo, OpenedVideo, Sampling, VideoSampling

DATABASE = "vsdb_benchmark_ingest"
Row = dict[str, Any]


@contextmanager
def open_database(dsn: str | None) -> Iterator[str]:
    """DSN of a fresh database on the server given, or on an embedded one in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="vsdb-") as folder:
        server = None if dsn else EmbeddedServer(Path(folder))
        base = dsn or (server.start() if server else "")
        name = sql.Identifier(DATABASE)
        with psycopg.connect(base, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))
            connection.execute(sql.SQL("create database {} template template0 encoding 'UTF8'").format(name))
            fresh = psycopg.conninfo.make_conninfo(base, dbname=DATABASE)
            try:
                with psycopg.connect(fresh, autocommit=True) as inside:
                    schema.migrate(inside)
                yield fresh
            finally:
                connection.execute(sql.SQL("drop database {} with (force)").format(name))
                if server:
                    connection.close()
                    server.stop()


def take_turns(actions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each action; they take turns, after one call that warms the caches."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(repeats + 1):
        for name, action in actions.items():
            began = time.perf_counter()
            action()
            if number:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in times.items()}


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """By how much this process grows meanwhile, in MiB, as the list's one number."""
    gc.collect()
    peak, done, process = [0.0], threading.Event(), psutil.Process()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], (process.memory_info().rss - before) / 2**20)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    yield peak
    done.set()
    watcher.join()


def sampled_by_opencv(path: Path, num_threads: int) -> list[float]:
    with VideoReader(path, num_threads=num_threads) as reader:
        return [frame.pts_seconds for frame in reader.sample(every_seconds=1)]


def sampled_by_opencv_read(path: Path) -> list[float]:
    """Every frame converted, as the article does."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    times: list[float] = []
    while capture.read()[0]:
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if seconds >= len(times) - 5e-4:
            times.append(round(seconds, 6))
    return times


def sampled_by_pyav(path: Path, skip_frame: Literal["DEFAULT", "NONREF", "NONKEY"]) -> list[float]:
    times: list[float] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.skip_frame = skip_frame
        for frame in container.decode(stream):
            seconds = frame.time - float((stream.start_time or 0) * (stream.time_base or 0))
            if seconds >= len(times) - 5e-4:
                frame.to_ndarray(format="rgb24")
                times.append(round(seconds, 6))
    return times


def measure_decode(path: Path, repeats: int) -> list[Row]:
    """Seconds of video a second, and whether the frames are those that vsdb samples."""
    cores = len(psutil.Process().cpu_affinity() or [0])
    ways: dict[str, Callable[[], list[float]]] = {
        "OpenCV read() of every frame": lambda: sampled_by_opencv_read(path),
        **{f"OpenCV grab(), {n} threads": partial(sampled_by_opencv, path, n) for n in (1, cores, cores + 1)},
        "PyAV": lambda: sampled_by_pyav(path, "DEFAULT"),
        "PyAV, skip_frame NONREF": lambda: sampled_by_pyav(path, "NONREF"),
        "PyAV, skip_frame NONKEY": lambda: sampled_by_pyav(path, "NONKEY"),
    }
    with VideoReader(path) as reader:
        seconds = reader.declared_seconds
    right = sampled_by_opencv(path, 1)
    medians = take_turns(ways, repeats)
    return [
        {"stage": f"decode: {name}", "rate": seconds / medians[name], "unit": "x realtime",
         "note": "" if ways[name]() == right else "other frames"}
        for name in ways
    ]  # fmt: skip


def measure_device(encoder: Encoder) -> tuple[float, float]:
    """TFLOP/s of a matrix product in the encoder's number format, and GFLOP that a patch takes."""
    side = 8192 if encoder.device.type == "cuda" else 1536
    left = torch.randn(side, side, device=encoder.device, dtype=encoder.dtype)

    def multiply() -> None:
        product = left @ left
        product[0, 0].item()

    seconds = take_turns({"product": multiply}, 9)["product"]
    with FlopCounterMode(display=False) as counter:
        encoder.fetch([encoder.encode([blank(encoder, 1)])])
    return 2 * side**3 / seconds / 1e12, counter.get_total_flops() / 1e9


def blank(encoder: Encoder, count: int) -> torch.Tensor:
    side = encoder.info.image_size
    return torch.randint(0, 255, (count, 3, side, side), dtype=torch.uint8, device=encoder.device)


def measure_stages(encoder: Encoder, image: Any, boxes: Any, dsn: str, repeats: int, batch: int) -> list[Row]:
    """Cut, embed and store alone, in patches a second, and what part of the device's own limit that is."""
    inputs = blank(encoder, batch)
    num_frames = 2 * store.FRAMES_A_COPY
    with psycopg.connect(dsn, autocommit=True) as connection:
        medians = take_turns(
            {
                "cut": lambda: encoder.cut(image, boxes)[0, 0, 0, 0].item(),
                "embed": lambda: encoder.fetch([encoder.encode([inputs])]),
                "store": lambda: store_frames(connection, encoder.info, boxes, num_frames),
            },
            repeats,
        )
    counts = {"cut": len(boxes), "embed": batch, "store": num_frames * len(boxes)}
    tflops, gflop = measure_device(encoder)
    rows: list[Row] = [{"stage": name, "rate": counts[name] / medians[name], "unit": "patches/s"} for name in counts]
    limit = 1000 * tflops / gflop
    rows[1]["note"] = f"{rows[1]['rate'] / limit:.0%} of {limit:.1f}: {tflops:.2f} TFLOP/s, {gflop:.2f} GFLOP a patch"
    return rows


def store_frames(connection: Connection, info: ModelInfo, boxes: Any, num_frames: int) -> None:
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(len(boxes), info.embedding_dim)).astype(np.float16)
    unit /= np.linalg.norm(unit.astype(np.float32), axis=1, keepdims=True)
    sampling = VideoSampling(every_seconds=1, patch_size=360, stride=180)
    opened = OpenedVideo(
        width=1280, height=720, sampling=sampling, boxes=boxes, declared_seconds=num_frames, recorded_at=None
    )
    video = NewVideo(video_path="/drawn.mp4", content_sha256=rng.bytes(32), size_bytes=1, opened=opened)
    with store.write_video(connection, video, info) as writer:
        assert writer is not None
        for number in range(num_frames):
            writer.write(EmbeddedFrame(frame_index=number, pts_seconds=number, embeddings=unit))
        writer.finish(duration_seconds=num_frames)
    connection.execute("delete from vsdb.videos where video_path = '/drawn.mp4'")


def measure_whole(job: Ingest, clip: Path, boxes: Any, model: Any, preprocess: Any, repeats: int) -> list[Row]:
    """All stages together and stored, beside the article's loop without a database."""
    memory = {}

    def whole() -> None:
        with peak_memory() as peak:
            (result,) = job.run([clip])
        assert result.status == "ingested", result.reason
        memory["vsdb, end to end"] = peak[0]

    def loop() -> None:
        with peak_memory() as peak:
            article.embed_video(clip, boxes, model, preprocess)
        memory["the article's loop"] = peak[0]

    medians = take_turns({"vsdb, end to end": whole, "the article's loop": loop}, repeats)
    num_patches = len(sampled_by_opencv(clip, 0)) * len(boxes)
    with VideoReader(clip) as reader:
        seconds = reader.declared_seconds
    loop_seconds = medians["the article's loop"]
    return [
        {"stage": name, "rate": num_patches / each, "unit": "patches/s", "peak_mib": round(memory[name]),
         "note": f"{seconds / each:.2f} x realtime, {loop_seconds / each:.2f} x the article's loop"}
        for name, each in medians.items()
    ]  # fmt: skip


class MemoryReporter(SilentReporter):
    """Notes the resident size at each frame."""

    def __init__(self) -> None:
        self.mib: list[float] = []

    def advanced(self, pts_seconds: float, num_patches: int) -> None:
        del pts_seconds, num_patches
        self.mib.append(psutil.Process().memory_info().rss / 2**20)


def measure_memory(dsn: str, hours: float, folder: Path, device: str) -> list[Row]:
    """Resident size over a long video with the bundled model and the coarsest grid."""
    path = footage.write_hours(folder / "long.mp4", hours=hours)
    reporter = MemoryReporter()
    with closing(Database(resolve(dsn=dsn))) as database:
        choice = ModelChoice(name="tiny", weights=None, device=device)
        job = Ingest(database, model=choice, sampling=Sampling(patch_size=48), reporter=reporter)
        began = time.perf_counter()
        (result,) = job.run([path])
    tenth = max(1, len(reporter.mib) // 10)
    first, last = max(reporter.mib[:tenth]), max(reporter.mib[-tenth:])
    rate = result.num_frames / (time.perf_counter() - began)
    note = f"{hours:g} h: most in the first tenth {first:.0f} MiB, in the last {last:.0f} MiB ({last / first - 1:+.1%})"
    return [{"stage": "memory", "rate": rate, "unit": "x realtime", "peak_mib": round(max(reporter.mib)), "note": note}]


def measure_speed(arguments: argparse.Namespace, dsn: str, folder: Path) -> list[Row]:
    import open_clip

    clip = footage.write_pan(folder / "clip.mp4", seconds=arguments.seconds)
    with VideoReader(clip) as reader:
        image = next(reader.sample(every_seconds=1)).image
    size = default_patch_size(1280, 720)
    boxes = patch_boxes(1280, 720, patch_size=size, stride=default_stride(size))
    rows = measure_decode(clip, arguments.repeats)
    weights = None
    if arguments.model != "tiny":
        torch.manual_seed(0)
        weights = folder / "weights.pt"
        torch.save(open_clip.create_model(arguments.model, pretrained=None).half().state_dict(), weights)
    loaded = load_model(arguments.model, weights=weights)
    plain = load_model(arguments.model, weights=weights).module.to(choose_device(arguments.device))
    side = loaded.info.image_size
    preprocess = open_clip.transform.image_transform(side, is_train=False, mean=loaded.info.image_mean,
                                                     std=loaded.info.image_std)  # fmt: skip
    with closing(Database(resolve(dsn=dsn))) as database:
        choice = ModelChoice(name=arguments.model, weights=weights, device=arguments.device)
        job = Ingest(database, model=choice, force=True, reporter=SilentReporter())
        rows += measure_whole(job, clip, boxes, plain, preprocess, arguments.repeats)
    del plain
    encoder = Encoder(loaded, device=arguments.device)
    rows += measure_stages(encoder, image, boxes, dsn, arguments.repeats, arguments.batch or encoder.batch_size)
    return rows


def print_table(rows: list[Row]) -> None:
    for row in rows:
        peak = f"{row['peak_mib']:6} MiB" if "peak_mib" in row else " " * 10
        print(f"{row['stage']:34} {row['rate']:10.1f} {row['unit']:10} {peak}  {row.get('note', '')}".rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="tiny", help="tiny, or an open_clip name (random weights)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--seconds", type=int, default=20, help="of the clip that is drawn, 720p30")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=0, help="patches embedded at once in the embed stage alone")
    parser.add_argument("--memory", action="store_true", help="measure memory over a long video instead")
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--dsn", help="PostgreSQL server; default: an embedded one")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("not run: no CUDA device")
        return
    device = choose_device(arguments.device)
    with tempfile.TemporaryDirectory() as folder, open_database(arguments.dsn) as dsn:
        if arguments.memory:
            rows = measure_memory(dsn, arguments.hours, Path(folder), arguments.device)
        else:
            rows = measure_speed(arguments, dsn, Path(folder))
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    report = {
        "model": arguments.model, "device": f"{device.type}, {name}", "dtype": str(fast_dtype(device)),
        "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "rows": rows,
    }  # fmt: skip
    if arguments.json:
        print(json.dumps(report))
        return
    print(f"{report['model']} on {report['device']}, {report['dtype']}, peak {report['max_rss_mib']} MiB")
    print_table(rows)
    if not torch.cuda.is_available():
        print("GPU: not run: no CUDA device")


if __name__ == "__main__":
    main()
