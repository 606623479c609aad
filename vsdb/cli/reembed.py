"""``vsdb reembed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vsdb.api import Index
from vsdb.cli.options import Dsn, device_name
from vsdb.cli.output import ingest_line, say, to_json
from vsdb.config import resolve
from vsdb.errors import UsageError


def reembed(
    dsn: Dsn = None,
    model: Annotated[
        str | None, typer.Option(help="The new model; see vsdb models (required).", show_default=False)
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read the weights from a .pt or .safetensors file.", show_default=False),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(callback=device_name, help="auto, cpu, cuda or mps (default: auto).", show_default=False),
    ] = None,
    drop_unused: Annotated[
        bool,
        typer.Option("--drop-unused", help="Drop the rows of the model before, or of a run that is not finished."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a video, a line each.")] = False,
) -> None:
    """Embed all stored videos again with another model.

    Until all are embedded, searches answer with the old model; then one short transaction switches. A run that is cut
    off goes on where it was. The old model's rows stay until --drop-unused.

        vsdb reembed --model ViT-B-32:laion2b_s34b_b79k
        vsdb reembed --drop-unused
    """
    if drop_unused == (model is not None):
        raise UsageError("give either --model NAME or --drop-unused")
    with Index(resolve(dsn=dsn, device=device)) as index:
        if model is None:
            for name in index.drop_unused():
                print(f"dropped  {name}")
        else:
            _reembed(index, model, weights, json)


def _reembed(index: Index, model: str, weights: Path | None, json: bool) -> None:
    from rich.console import Console

    from vsdb.cli.progress import ProgressBar

    with ProgressBar(Console(stderr=True)) as progress:
        for result in index.reembed_each(model, weights=weights, reporter=progress):
            if json or result.status != "failed":
                progress.print_data(to_json(result) if json else ingest_line(result))
    say(f'searches answer with {model} now; "vsdb reembed --drop-unused" drops the rows of the model before')
