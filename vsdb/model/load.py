"""Which models there are, where their weights come from, and how they are loaded."""

from __future__ import annotations

import hashlib
import logging
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsdb.config import TINY
from vsdb.errors import ModelError
from vsdb.model.tiny_weights import TINY_CONFIG, load_tiny_state_dict
from vsdb.types import ModelInfo

if TYPE_CHECKING:
    import torch

OPENAI_TAG = "openai"
OPENAI_BOOKKEEPING = (
    "input_resolution",
    "context_length",
    "vocab_size",
)  # not weights, but in OpenAI's own files
DOWNLOAD_SIZES = {"RN50x4": "about 350 MB"}

StateDict = dict[str, "torch.Tensor"]


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model ready to embed."""

    info: ModelInfo
    module: Any
    """open_clip module in evaluation mode, fp32, on the CPU."""
    tokenizer: Any
    """Callable: list of prompts → int64 tensor of shape (N, context_length)."""


def load_model(name: str, *, weights: Path | None = None) -> LoadedModel:
    """Load a model with its weights; nothing is unpickled that could run code.

    Args:
        name: ``tiny``, an open_clip architecture (``RN50x4``: OpenAI's weights where it has them), or
            ``ARCHITECTURE:PRETRAINED`` with one of open_clip's pretrained tags.
        weights: file to read instead of fetching: OpenAI's ``.pt`` archive, an open_clip checkpoint or safetensors.

    Raises:
        ModelError: unknown name, weights that cannot be had, or weights that do not fit.
    """
    open_clip = _import_open_clip()
    architecture, tag = _parse(name, open_clip)
    # The activation is no part of a weights file: it follows from the name, also for a local file.
    tag_settings = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    quick_gelu = bool(tag_settings.get("quick_gelu"))
    state_dict = _state_dict(name, weights, tag_settings, open_clip)
    module = _build(open_clip, architecture, state_dict, force_quick_gelu=quick_gelu)
    info = _describe(name, weights, module, tag_settings, open_clip)
    return LoadedModel(info=info, module=module, tokenizer=open_clip.get_tokenizer(architecture))


def weights_sha256(state_dict: StateDict) -> bytes:
    """Hash weights, not files: SHA-256 over names and float16 values in the order of the names; 32 bytes."""
    digest = hashlib.sha256()
    for key in sorted(state_dict):
        tensor = state_dict[key]
        digest.update(key.encode())
        if tensor.is_floating_point():
            tensor = tensor.half()
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return digest.digest()


def read_state_dict(path: Path) -> StateDict:
    """Read a weights file: safetensors, a TorchScript archive (OpenAI's own) or a plain checkpoint.

    Raises:
        ModelError: the file is missing or is none of these.
    """
    import torch

    if not path.is_file():
        raise ModelError(f"no weights file {path}; --weights takes a .pt, .bin or .safetensors file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state_dict: Any = load_file(path)
        elif _is_torchscript(path):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecated for writing; OpenAI's files exist in no other format
                jit_load: Any = torch.jit.load
                state_dict = dict(jit_load(path, map_location="cpu").state_dict())
        else:
            state_dict = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each of the three formats has its own errors for a bad file
        raise ModelError(f"cannot read weights from {path}: {_first_line(error)}") from error
    if isinstance(state_dict, dict):
        state_dict = state_dict.get("state_dict", state_dict)
    if not isinstance(state_dict, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state_dict.items()
    ):
        raise ModelError(f"cannot read weights from {path}: it holds no names and tensors")
    return {key.removeprefix("module."): value for key, value in state_dict.items() if key not in OPENAI_BOOKKEEPING}


def _import_open_clip() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        import open_clip
    if TINY not in open_clip.list_models():
        open_clip.add_model_config(TINY_CONFIG)
    return open_clip


def _parse(name: str, open_clip: Any) -> tuple[str, str | None]:
    architecture, _, tag = name.partition(":")
    if architecture not in open_clip.list_models():
        raise ModelError(
            f'unknown model "{name}"; RN50x4 and tiny are supported, and any name of open_clip.list_models()'
        )
    if architecture == TINY:
        return architecture, None
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not tag and OPENAI_TAG in tags:
        return architecture, OPENAI_TAG
    if tag in tags:
        return architecture, tag
    choices = ", ".join(f"{architecture}:{each}" for each in tags) or "none: use --weights FILE"
    if tag or tags:
        raise ModelError(f'model "{name}" needs a pretrained tag; supported are {choices}')
    return architecture, None


def _state_dict(name: str, weights: Path | None, tag_settings: dict[str, Any], open_clip: Any) -> StateDict:
    if weights is not None:
        return read_state_dict(weights)
    if name == TINY:
        return load_tiny_state_dict()
    return read_state_dict(_fetch(name, tag_settings, open_clip))


def _fetch(name: str, tag_settings: dict[str, Any], open_clip: Any) -> Path:
    try:
        with _no_warnings_logged():  # every retry is one
            return Path(open_clip.download_pretrained(tag_settings))
    except Exception as error:  # whatever the hub's client raises without network
        size = DOWNLOAD_SIZES.get(name, "some hundred MB")
        raise ModelError(
            f"the weights of {name} ({size}) are not on this machine and could not be fetched ({_first_line(error)}); "
            f"fetch them elsewhere and give --weights FILE, or try --model {TINY}, which is bundled "
            "(drawn pictures only: for demonstration and tests)"
        ) from error


@contextmanager
def _no_warnings_logged() -> Iterator[None]:
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _build(open_clip: Any, architecture: str, state_dict: StateDict, *, force_quick_gelu: bool) -> torch.nn.Module:
    with _no_warnings_logged():  # "no pretrained weights": they come in the next step
        module: torch.nn.Module = open_clip.create_model(
            architecture, load_weights=False, pretrained_text=False, force_quick_gelu=force_quick_gelu
        )
    try:
        # Positions and masks that a module makes by itself are absent from some files: strict for weights only.
        missing, unexpected = module.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in state_dict.items()},
            strict=False,
        )
    except RuntimeError as error:
        raise ModelError(f"the weights do not fit {architecture}: {_first_line(error, skip=1)}") from error
    wrong = sorted(set(missing) & {key for key, _ in module.named_parameters()}) + sorted(unexpected)
    if wrong:
        raise ModelError(f"the weights do not fit {architecture}: {len(wrong)} names differ, such as {wrong[0]}")
    return module.eval().requires_grad_(False)


def _describe(name: str, weights: Path | None, module: Any, tag_settings: dict[str, Any], open_clip: Any) -> ModelInfo:
    defaults = open_clip.transform.PreprocessCfg()
    side = module.visual.image_size
    return ModelInfo(
        model_name=name,
        weights_sha256=weights_sha256(module.state_dict()),
        weights_path=str(weights.absolute()) if weights else None,
        embedding_dim=_embedding_dim(module, side),
        image_size=side[0] if isinstance(side, (tuple, list)) else side,
        image_mean=_three(tag_settings.get("mean") or defaults.mean),
        image_std=_three(tag_settings.get("std") or defaults.std),
        interpolation=tag_settings.get("interpolation") or defaults.interpolation,
        resize_mode=tag_settings.get("resize_mode") or defaults.resize_mode,
    )


def _embedding_dim(module: Any, side: Any) -> int:
    import torch

    height, width = side if isinstance(side, (tuple, list)) else (side, side)
    with torch.inference_mode():
        return int(module.encode_image(torch.zeros(1, 3, height, width)).shape[-1])


def _three(values: Any) -> list[float]:
    red, green, blue = values
    return [float(red), float(green), float(blue)]


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _first_line(error: BaseException, *, skip: int = 0) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(skip, len(lines) - 1)] if lines else type(error).__name__
