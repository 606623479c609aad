"""``vsdb demo``: ingest a drawn street, ask for what is in it, and show the answers beside the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vsdb.api import Index
from vsdb.config import TINY, Settings
from vsdb.errors import DatabaseError
from vsdb.ingest.reporter import Reporter
from vsdb.types import Moment

CLIP = Path(__file__).parent / "street.mp4"
TRUTH = Path(__file__).parent / "street.json"
PROMPTS = ("a red car", "a blue car", "a laundromat sign", "a dog")
NEXT = """\
now try
  vsdb serve                a page: ask, look, play
  vsdb query 'an owl'
  vsdb db psql -c "select video_path, best_seconds, score from vsdb.search('a bicycle', 3)"
  vsdb ingest YOUR.mp4      real footage wants a real model, and so a database of its own:
                            VSDB_HOME=~/vsdb-rn50x4 vsdb ingest --model RN50x4 YOUR.mp4"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was found for a prompt, and when the thing is really to be seen."""

    prompt: str
    found: Moment | None
    start_seconds: float
    end_seconds: float

    @property
    def is_right(self) -> bool:
        """Whether the best frame found shows the thing."""
        return self.found is not None and self.start_seconds <= self.found.best_seconds <= self.end_seconds


def true_intervals() -> dict[str, tuple[float, float]]:
    """When each thing of the clip is to be seen: prompt → start and end in seconds."""
    moments = json.loads(TRUTH.read_text(encoding="utf-8"))["moments"]
    return {each["prompt"]: (each["start_seconds"], each["end_seconds"]) for each in moments}


def run(settings: Settings, reporter: Reporter) -> Iterator[Answer]:
    """Ingest the clip with the bundled model, unless that was done before, and ask.

    Raises:
        DatabaseError: the database holds another model; it is left as it is.
    """
    with Index(settings) as index:
        if index.model_name not in (None, TINY):
            raise DatabaseError(
                f"this database holds embeddings of {index.model_name} and the demo needs {TINY}; "
                "nothing was touched: VSDB_HOME=FOLDER vsdb demo takes a database of its own"
            )
        for result in index.ingest([CLIP], reporter=reporter):
            if result.status == "failed":
                raise DatabaseError(f"the demo's clip could not be ingested: {result.reason}")
        intervals = true_intervals()
        for prompt in PROMPTS:
            found = index.search(prompt, max_moments=1, video_like="%" + CLIP.name)
            start, end = intervals[prompt]
            yield Answer(prompt=prompt, found=found[0] if found else None, start_seconds=start, end_seconds=end)
