"""Wrong tokens: how many an address may still try."""

from __future__ import annotations

import time
from collections import OrderedDict

MAX_GUESSES = 20
SECONDS_A_GUESS = 1.0
MAX_ADDRESSES = 10_000  # that are remembered


class Guesses:
    """Lets an address try 20 wrong tokens, and then one a second.

    Whoever has none left is not told whether a token is right: an answer, however late, would be one more guess.
    """

    def __init__(self) -> None:
        self._spent_until: OrderedDict[str, float] = OrderedDict()
        """When the last of its wrong tokens will be forgotten."""

    def are_spent(self, address: str) -> bool:
        """Whether an address has to wait."""
        return self._owed(address) > (MAX_GUESSES - 1) * SECONDS_A_GUESS

    def add(self, address: str) -> None:
        """Note a wrong token."""
        self._spent_until[address] = time.monotonic() + self._owed(address) + SECONDS_A_GUESS
        self._spent_until.move_to_end(address)
        if len(self._spent_until) > MAX_ADDRESSES:
            self._spent_until.popitem(last=False)

    def _owed(self, address: str) -> float:
        return max(0.0, self._spent_until.get(address, 0.0) - time.monotonic())
