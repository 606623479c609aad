"""The answer to a question: a list of moments that shows itself as pictures in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from vsdb.database import Connection
from vsdb.database.thumbnails import stored_frame
from vsdb.types import Moment, StoredFrame

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Frames:
    """Reads the best frames of moments: from their videos, else the thumbnails in a database."""

    connection: Connection | None = None
    """To the database that found them; None for moments that were pickled."""

    def read(self, moment: Moment, *, box: bool) -> Image:
        """See :meth:`vsdb.Moment.frame`."""
        from vsdb.look.pictures import best_frame, draw_box

        picture = best_frame(moment)
        return draw_box(picture, moment.box) if box else picture.image

    def stored(self, moment: Moment) -> tuple[StoredFrame | None, str | None]:
        """What the database holds of the frame, or why there is nothing."""
        if self.connection is None:
            return None, "a moment that was pickled has no thumbnail"
        try:
            found = stored_frame(self.connection, moment.video_id, moment.best_seconds)
        except psycopg.Error as error:
            return None, f"the database cannot be asked for the thumbnail ({str(error).splitlines()[0]})"
        return found, None if found else "the database no longer holds it"


Moment.frame_source = Frames()


class Moments(list[Moment]):
    """Moments, best first; a list like any other."""

    @classmethod
    def found(cls, moments: Iterable[Moment], connection: Connection) -> Moments:
        """Moments that read their thumbnails from the database that found them."""
        frames = Frames(connection)
        answer = cls(moments)
        for moment in answer:
            object.__setattr__(moment, "frame_source", frames)  # no field: it is no part of the answer
        return answer

    def contact_sheet(self) -> Image:
        """Their best frames on one sheet, with the boxes, times and scores; a PIL image.

        Raises:
            UsageError: there are no moments.
        """
        from vsdb.look.contact_sheet import contact_sheet

        return contact_sheet(self)

    def _repr_jpeg_(self) -> bytes | None:
        """What a notebook shows; an empty list is shown as one."""
        if not self:
            return None
        from vsdb.look.contact_sheet import as_jpeg

        return as_jpeg(self.contact_sheet())
