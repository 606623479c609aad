"""Models that are known to be worth a look, and what is known of each without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PATCHES_AN_HOUR = 19 * 3600
"""Of 720p at one frame a second."""
_PAGE_BYTES, _PAGE_ROOM = 8192, 8168
_ROW_BYTES = 64
"""Of a row of vsdb.patches besides the numbers: header, key, time, box, the embedding's own header and a pointer."""
_RUNS = 1 / 16
"""Rows of vsdb.patch_runs for each row of vsdb.patches."""


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """What ``vsdb models`` prints of a model; docs/models.md names the sources."""

    name: str
    """What ``--model`` takes."""
    embedding_dim: int
    """Numbers in an embedding."""
    image_size: int
    """Side of the square picture that the model reads, in pixels."""
    prompts: Literal["SQL", "Python"]
    """Where prompts are embedded."""
    gflop: float
    """Work for one picture, in 10^9 multiplications and additions."""
    coco: float | None = None
    """Text to image retrieval on COCO, R@1 in percent; None where neither open_clip nor the authors publish it."""
    flickr: float | None = None
    """The same on Flickr30k."""
    immich: float | None = None
    """Immich's recall in percent: English, Crossmodal-3600, mean of R@1, R@5 and R@10."""

    @property
    def megabytes_an_hour(self) -> int:
        """Disk for the embeddings of an hour of 720p at one frame a second, in 10^6 bytes."""
        rows_a_page = _PAGE_ROOM // (_ROW_BYTES + 2 * self.embedding_dim)
        return round(PATCHES_AN_HOUR * (1 + _RUNS) * _PAGE_BYTES / rows_a_page / 1e6)


def _model(
    name: str,
    numbers: int,
    size: int,
    prompts: Literal["SQL", "Python"],
    gflop: float,
    *published: float | None,
) -> KnownModel:
    coco, flickr, immich = published
    return KnownModel(
        name=name,
        embedding_dim=numbers,
        image_size=size,
        prompts=prompts,
        gflop=gflop,
        coco=coco,
        flickr=flickr,
        immich=immich,
    )


KNOWN_MODELS = (
    _model("RN50x4", 640, 288, "SQL", 42.6, 33.4, 62.6, 57.9),
    _model("ViT-B-32:laion2b_s34b_b79k", 512, 224, "SQL", 8.8, 39.3, 66.8, 68.8),
    _model("ViT-B-32", 512, 224, "SQL", 8.8, 30.4, 58.8, 59.4),
    _model("ViT-B-16:laion2b_s34b_b88k", 512, 224, "SQL", 35.1, 42.3, 69.8, None),
    _model("ViT-L-14:laion2b_s32b_b82k", 768, 224, "SQL", 162.0, 46.5, 75.5, 69.9),
    _model("PE-Core-T-16-384", 512, 384, "SQL", 9.5, 33.0, None, None),
    _model("PE-Core-S-16-384", 512, 384, "SQL", 31.3, 42.6, None, None),
    _model("PE-Core-B-16", 1024, 224, "SQL", 35.6, 50.9, None, None),
    _model("MobileCLIP2-S0", 512, 256, "Python", 4.8, 43.7, 69.2, None),
    _model("MobileCLIP2-B", 512, 224, "SQL", 35.4, 49.9, 76.5, None),
)
