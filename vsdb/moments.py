"""The answer to a question: a list of moments that shows itself as pictures in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsdb.types import Moment

if TYPE_CHECKING:
    from PIL.Image import Image


class Moments(list[Moment]):
    """Moments, best first; a list like any other."""

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
