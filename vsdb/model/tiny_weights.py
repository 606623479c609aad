"""The file format of the bundled model's weights.

`tiny.safetensors` holds an open_clip state dict in float16. Its token table is stored without the rows
that are zero and with one byte a number, which halves the file: `token_embedding.rows` (int8),
`token_embedding.scales` (float32, one a row) and `token_embedding.ids` (int32, the token of each row).
Nothing in the file can run code.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

TINY_FOLDER = Path(__file__).parents[1] / "tiny"
TINY_WEIGHTS = TINY_FOLDER / "tiny.safetensors"
TINY_CONFIG = TINY_FOLDER / "tiny.json"

_TABLE = "token_embedding.weight"
_ROWS = "token_embedding.rows"
_SCALES = "token_embedding.scales"
_IDS = "token_embedding.ids"
_NUM_TOKENS = "num_tokens"


def load_tiny_state_dict(path: Path = TINY_WEIGHTS) -> dict[str, torch.Tensor]:
    """Read packed weights and expand the token table.

    Args:
        path: a file written by `save_packed_state_dict`; by default the one in the package.

    Returns:
        The state dict that open_clip's `CLIP` with `tiny.json` loads strictly: float32 on the CPU
        (counters int64), `token_embedding.weight` of shape (vocab_size, text width) with zeros in the
        rows of tokens that the file leaves out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a packed state dict.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the weights of the model tiny are not at {path}; install vsdb again")
    packed, metadata = _read(path)
    if _NUM_TOKENS not in metadata or not {_ROWS, _SCALES, _IDS} <= packed.keys():
        raise ValueError(f"{path} is not a packed state dict: expected {_ROWS}, {_SCALES} and {_IDS}")
    return _expand(packed, int(metadata[_NUM_TOKENS]))


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return tensors, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error


def save_packed_state_dict(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write an open_clip state dict in the packed format.

    Args:
        state: floating tensors of any precision, `token_embedding.weight` among them.
        path: the file to write; replaced if it exists.
    """
    from safetensors.torch import save_file

    packed = {name: _stored(tensor) for name, tensor in state.items() if name != _TABLE}
    packed |= _pack_table(state[_TABLE].float())
    save_file(packed, str(path), metadata={_NUM_TOKENS: str(len(state[_TABLE]))})


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor.half() if tensor.is_floating_point() else tensor).contiguous()


def _pack_table(table: torch.Tensor) -> dict[str, torch.Tensor]:
    import torch

    ids = table.abs().amax(dim=1).nonzero().flatten()
    scales = table[ids].abs().amax(dim=1) / 127
    rows = (table[ids] / scales[:, None]).round().to(torch.int8)
    return {_ROWS: rows, _SCALES: scales, _IDS: ids.to(torch.int32)}


def _expand(packed: dict[str, torch.Tensor], num_tokens: int) -> dict[str, torch.Tensor]:
    import torch

    rows, scales, ids = (packed.pop(name) for name in (_ROWS, _SCALES, _IDS))
    table = torch.zeros(num_tokens, rows.shape[1])
    table[ids.long()] = rows.float() * scales[:, None]
    state = {name: t.float() if t.is_floating_point() else t for name, t in packed.items()}
    return state | {_TABLE: table}
