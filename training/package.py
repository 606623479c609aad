"""The files of the package that these tools write: always those of their own source tree.

An installed vsdb may lie in another one; its code is used, its files are not touched.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "vsdb"
TINY_CONFIG = PACKAGE / "tiny" / "tiny.json"
TINY_WEIGHTS = PACKAGE / "tiny" / "tiny.safetensors"
MODEL_CARD = PACKAGE / "tiny" / "MODEL_CARD.md"
DEMO_FOLDER = PACKAGE / "demo"
