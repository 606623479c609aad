"""``vsdb models``: which models there are, what each costs and finds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from vsdb.cli import output
from vsdb.cli.options import Json, device_name
from vsdb.cli.output import say
from vsdb.config import resolve
from vsdb.model.known import KNOWN_MODELS, KnownModel

HEADER = ["model", "numbers", "picture", "prompts in", "MB an hour", "GFLOP", "COCO", "Flickr", "Immich"]


def models(
    measure: Annotated[
        bool, typer.Option("--measure", help="Also measure how many pictures a second each embeds here.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(callback=device_name, help="Where to measure: auto, cpu, cuda or mps.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """List models worth a look: what each costs and what it finds.

    --measure takes half a minute a model on two free cores, and needs no weights: random ones are as fast.
    """
    speeds = _measured(resolve(device=device).device) if measure else {}
    if json:
        print(output.to_json([_named(each, speeds) for each in KNOWN_MODELS]))
        return
    header = [*HEADER, "pictures/s"] if measure else HEADER
    print(output.table(header, [_row(each, speeds) for each in KNOWN_MODELS], right=set(range(1, len(header))) - {3}))
    say("COCO, Flickr: text to image, R@1 in %; Immich: its recall in %; sources and more: docs/models.md")


def _measured(device: str) -> dict[str, float]:
    """Pictures a second of each model."""
    from vsdb.model.measure import pictures_a_second

    speeds = {}
    for each in KNOWN_MODELS:
        say(f"measuring {each.name}")
        speeds[each.name] = pictures_a_second(each.name, device=device)
    return speeds


def _named(model: KnownModel, speeds: dict[str, float]) -> dict[str, Any]:
    speed = {"pictures_a_second": round(speeds[model.name], 1)} if speeds else {}
    return {**asdict(model), "megabytes_an_hour": model.megabytes_an_hour, **speed}


def _row(model: KnownModel, speeds: dict[str, float]) -> tuple[str, ...]:
    published = (f"{each:.1f}" if each is not None else "" for each in (model.coco, model.flickr, model.immich))
    speed = (f"{speeds[model.name]:.1f}",) if speeds else ()
    return (
        model.name,
        str(model.embedding_dim),
        str(model.image_size),
        model.prompts,
        str(model.megabytes_an_hour),
        f"{model.gflop:.1f}",
        *published,
        *speed,
    )
