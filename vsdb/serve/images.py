"""Images as questions: embedded once, remembered under an id. Nothing else here needs torch."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from vsdb import search
from vsdb.database import Connection, catalog
from vsdb.errors import UsageError

if TYPE_CHECKING:
    from numpy import floating
    from numpy.typing import NDArray

    from vsdb.model.encoder import Encoder

MAX_REMEMBERED = 1000


class Encoders:
    """Keeps the database's model loaded from the first time it is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None

    def __call__(self, connection: Connection) -> Encoder:
        """The encoder of the database's model; see :func:`vsdb.search.load_encoder`."""
        with self._lock:
            stored = catalog.require_model(connection)
            if self._encoder is None or self._encoder.info.weights_sha256 != stored.weights_sha256:
                self._encoder = None  # let go of the other model first
                self._encoder = search.load_encoder(connection)
            return self._encoder


class Images:
    """The embeddings of the pictures that were asked about, the last thousand of them."""

    def __init__(self, encoders: Encoders) -> None:
        self._encoders = encoders
        self._working = threading.Lock()  # one picture at a time has the memory and the processors
        self._lock = threading.Lock()
        self._embeddings: OrderedDict[str, NDArray[floating]] = OrderedDict()

    def add(self, lend: Callable[[], AbstractContextManager[Connection]], data: bytes) -> str:
        """Embed a picture file and remember it.

        Args:
            lend: lends a connection, which is held only while the model is looked up, not while pictures wait.
            data: the file.

        Returns:
            Its id: the SHA-256 of the bytes in hexadecimal.

        Raises:
            VideoError: not a picture that can be decoded.
            ModelError: the model's weights cannot be had here.
        """
        from vsdb.media.images import decode_image

        with self._working:
            image = decode_image(data)
            with lend() as connection:
                encoder = self._encoders(connection)
            embedding = encoder.embed_image(image)
        key = hashlib.sha256(data).hexdigest()
        with self._lock:
            self._embeddings[key] = embedding
            self._embeddings.move_to_end(key)
            if len(self._embeddings) > MAX_REMEMBERED:
                self._embeddings.popitem(last=False)
        return key

    def embedding(self, key: str) -> NDArray[floating]:
        """The embedding of a picture; float32, shape (embedding_dim,).

        Raises:
            UsageError: it is not remembered (any more).
        """
        with self._lock:
            found = self._embeddings.get(key)
        if found is None:
            raise UsageError("this picture is not known here (any more); send it again")
        return found
