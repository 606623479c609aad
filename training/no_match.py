"""How well z tells what is in a scene from what is not: through vsdb itself, database and all.

    python -m training.no_match [--footage FOLDER]

Draws the ten scenes of `training.evaluate` (and the same things over the clips of a folder) and asks for everything
that is in them and for things that are not: once in a database for each scene, and once in one database of all ten,
where a thing competes with those of nine other scenes. Found: the first moment overlaps the thing's time in its scene.
Refused: no row is left.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av

import vsdb
from training.pictures import PREPARED, Array, Prepared
from training.scenes import Scene, Thing, make_scenes
from training.street import HEIGHT, WIDTH
from vsdb.database.embedded import EmbeddedServer

NUM_SCENES = 10
BOUNDS = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


@dataclass(frozen=True)
class Answer:
    """The best moment's z, and whether it is right."""

    kind: str
    z: float
    is_right: bool


def write_scene(frames: list[Array], path: Path) -> None:
    """Write frames as H.264, one a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@contextmanager
def database_of(scenes: list[Scene]) -> Iterator[vsdb.Index]:
    """Ingest scenes into an embedded database that is gone afterwards; a video's name is its scene's number."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.mp4" for number in range(len(scenes))]
        for scene, path in zip(scenes, paths, strict=True):
            write_scene(scene.frames, path)
        server = EmbeddedServer(Path(folder) / "home")
        try:
            with vsdb.connect(dsn=server.start(), model="tiny") as index:
                failed = [result for result in index.ingest(paths) if result.status != "ingested"]
                assert not failed, failed
                yield index
        finally:
            server.stop()


def best_moment(index: vsdb.Index, prompt: str) -> vsdb.Moment:
    """Return the best moment of the whole database, whatever its z."""
    return index.search(prompt, max_moments=1, min_z=float("-inf"))[0]


def ask_for_present(index: vsdb.Index, scenes: list[Scene]) -> list[Answer]:
    """Ask once for every thing that some scene shows; right is any scene at a time when it is there."""
    places: dict[tuple[str, str], list[tuple[int, Thing]]] = defaultdict(list)
    for number, scene in enumerate(scenes):
        for thing in scene.things:
            places[thing.kind, thing.prompt].append((number, thing))
    answers = []
    for (kind, prompt), shown in places.items():
        moment = best_moment(index, prompt)
        is_right = any(
            Path(moment.video_path).stem == str(number)
            and moment.start_seconds <= thing.end_seconds
            and moment.end_seconds >= thing.start_seconds
            for number, thing in shown
        )
        answers.append(Answer(kind, moment.z or 0.0, is_right))
    return answers


def table(present: list[Answer], absent: list[float]) -> str:
    """Return a Markdown table: what is found and what is refused at each bound of z."""
    kinds = sorted({answer.kind for answer in present})
    head = ["z", "found", *(f"of which {kind}" for kind in kinds), "refused"]
    rows = [head, ["---"] * len(head)]
    for bound in BOUNDS:
        found = [share([a.is_right and a.z >= bound for a in present])]
        found += [share([a.is_right and a.z >= bound for a in present if a.kind == kind]) for kind in kinds]
        rows.append([f"{bound:g}", *found, share([z < bound for z in absent])])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def share(values: list[bool]) -> str:
    """Return how many are true, in percent."""
    return f"{100 * sum(values) / len(values):.1f} %"


def ask(scenes: list[Scene]) -> tuple[list[Answer], list[float]]:
    """Ask one database of these scenes for what they show and for what none of them shows: answers and z."""
    prompts = sorted(
        {prompt for scene in scenes for prompt in scene.absent_prompts}
        - {thing.prompt for scene in scenes for thing in scene.things}
    )
    with database_of(scenes) as index:
        return ask_for_present(index, scenes), [best_moment(index, prompt).z or 0.0 for prompt in prompts]


def main() -> None:
    """Parse the command line, measure, and print two tables for each set of scenes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--footage", type=Path, help="a folder of clips")
    arguments = parser.parse_args()
    prepared = Prepared(PREPARED)
    clips = sorted(arguments.footage.glob("*.mp4")) if arguments.footage else []
    for name, footage in [("drawn streets", []), ("over real footage", clips)][: 2 if clips else 1]:
        scenes = list(make_scenes(prepared, NUM_SCENES, footage))
        for how, databases in (("each in a database of its own", [[s] for s in scenes]), ("all in one", [scenes])):
            asked = [ask(database) for database in databases]
            present = [answer for answers, _ in asked for answer in answers]
            absent = [z for _, some in asked for z in some]
            print(f"{name}, {how}: {len(present)} present, {len(absent)} absent\n", flush=True)
            print(table(present, absent), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
