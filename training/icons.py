"""Icon sets of npm's `@iconify-json` packages, rendered to pictures with resvg."""

from __future__ import annotations

import functools
import io
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from training.fetch import npm_folder

Picture = npt.NDArray[np.uint8]


@functools.cache
def read_icon_set(name: str) -> dict[str, Any]:
    """Return the icon set `name` ("twemoji") as its package holds it."""
    content: dict[str, Any] = json.loads((npm_folder(f"@iconify-json/{name}") / "icons.json").read_text())
    return content


def icon_svg(icon_set: str, icon: str, *, recolour: dict[str, str] | None = None) -> str:
    """Return one icon as an SVG document.

    Args:
        recolour: colours to exchange, as the icon's source writes them ("#dd2e44") → the new one.
    """
    content = read_icon_set(icon_set)
    entry = content["icons"][icon]
    body = entry["body"]
    for old, new in (recolour or {}).items():
        if old not in body:
            raise ValueError(f"the icon {icon} of {icon_set} has no colour {old}")
        body = body.replace(old, new)
    left, top = (entry.get(key, content.get(key, 0)) for key in ("left", "top"))
    width, height = (entry.get(key, content.get(key, 16)) for key in ("width", "height"))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}" width="{width}" height="{height}">{body}</svg>'
    )


def render_svg(svg: str, *, width: int, height: int, fonts: list[str] | None = None) -> Picture:
    """Render an SVG document.

    Args:
        fonts: font files for its text; the system's own are never used.

    Returns:
        uint8 RGBA, shape (height, width, 4), colours not premultiplied.
    """
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=width, height=height, skip_system_fonts=True, font_files=fonts or []
    )
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"))


def trim(picture: Picture) -> Picture:
    """Cut an RGBA picture to what is visible (alpha > 16).

    Raises:
        ValueError: fewer than 40 pixels are visible.
    """
    rows, columns = np.nonzero(picture[..., 3] > 16)
    if len(rows) < 40:
        raise ValueError("the picture is empty")
    return picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def premultiply(picture: Picture) -> Picture:
    """Multiply the colours of an RGBA picture by its alpha, so that it can be scaled and laid over."""
    colours = picture[..., :3].astype(np.uint16) * picture[..., 3:] // 255
    return np.concatenate([colours.astype(np.uint8), picture[..., 3:]], axis=2)
