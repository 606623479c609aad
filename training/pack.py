"""Pack a training checkpoint into the file that ships with vsdb.

    python -m training.pack CHECKPOINT [--to vsdb/tiny/tiny.safetensors]

Prints the size and how far the packed embeddings are from the checkpoint's; refuses to leave a file
behind that is over 10 MB or that moves an embedding below cosine 0.999.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import open_clip
import torch
from open_clip.model import CLIP

from training.embed import build_model
from training.package import TINY_WEIGHTS
from vsdb.model.tiny_weights import load_tiny_state_dict, save_packed_state_dict

MAX_BYTES = 10_000_000
MIN_COSINE = 0.999
PROMPTS = [
    "a red car", "a blue car", "a photo of a dog", "an umbrella", "a laundromat sign",
    "a sign that says BAKERY", "two bicycles next to a tree", "a giraffe on the street",
]  # fmt: skip


@torch.no_grad()
def smallest_cosine(first: CLIP, second: CLIP) -> tuple[float, float]:
    """Compare two models; return the smallest cosine over random pictures and over `PROMPTS`."""
    size = first.visual.image_size
    images = torch.randn(64, 3, size, size, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.avg_pool2d(images, 5, stride=1, padding=2) * 4
    tokens = open_clip.tokenize(PROMPTS)
    over_images = torch.cosine_similarity(first.encode_image(images), second.encode_image(images))
    over_prompts = torch.cosine_similarity(first.encode_text(tokens), second.encode_text(tokens))
    return float(over_images.min()), float(over_prompts.min())


def pack(checkpoint: Path, to: Path) -> None:
    """Write the packed file beside its final name, verify it, and only then move it there."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    state = {name: t.float() if t.is_floating_point() else t for name, t in state.items()}
    state.pop("attn_mask", None)
    unchecked = to.with_suffix(".unchecked")
    save_packed_state_dict(state, unchecked)
    cosines = smallest_cosine(build_model(state), build_model(load_tiny_state_dict(unchecked)))
    size = unchecked.stat().st_size
    if size > MAX_BYTES or min(cosines) < MIN_COSINE:
        unchecked.unlink()
        raise SystemExit(f"not packed: {size:,} bytes of {MAX_BYTES:,}, smallest cosines {cosines}")
    unchecked.chmod(0o644)  # safetensors writes files that only their owner can read
    unchecked.replace(to)
    digest = hashlib.sha256(to.read_bytes()).hexdigest()
    print(f"{to}: {size:,} bytes, sha256 {digest}")
    print(f"smallest cosine to the checkpoint: images {cosines[0]:.6f}, prompts {cosines[1]:.6f}")


def main() -> None:
    """Parse the command line and pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--to", type=Path, default=TINY_WEIGHTS)
    arguments = parser.parse_args()
    pack(arguments.checkpoint, arguments.to)


if __name__ == "__main__":
    main()
