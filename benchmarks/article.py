"""The article's loop, which vsdb began as: what the benchmarks compare with.

It is given every advantage that its own text gives it: all cores, no database, the patches of a frame embedded
together, and nothing kept but the embeddings.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image


def embed_video(path: Path, boxes: NDArray[np.int32], model: Any, preprocess: Callable[[Any], Any]) -> torch.Tensor:
    """Read a frame a second, preprocess each patch with Pillow, embed frame after frame in fp32.

    Args:
        path: of a video.
        boxes: patches of a frame, shape (P, 4): x, y, width, height in pixels.
        model: open_clip module, fp32, on its device.
        preprocess: open_clip's own transform of a picture.

    Returns:
        float32, on that device, shape (frames x P, embedding_dim), rows of length 1.
    """
    device = next(model.parameters()).device
    capture = cv2.VideoCapture(str(path))
    rate = capture.get(cv2.CAP_PROP_FPS)
    found = torch.empty(0, device=device)
    number = 0
    while True:
        is_there, frame = capture.read()
        if not is_there:
            return found
        if number % round(rate) == 0:
            picture = Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            crops = [picture.crop((x, y, x + w, y + h)) for x, y, w, h in boxes.tolist()]
            batch = torch.stack([preprocess(crop) for crop in crops])
            with torch.no_grad():
                embeddings = model.encode_image(batch.to(device))
            embeddings /= embeddings.norm(dim=-1, keepdim=True)
            found = torch.cat([found, embeddings])
        number += 1
