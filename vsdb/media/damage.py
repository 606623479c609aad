"""What of a video's pictures could not be decoded."""

from __future__ import annotations

import heapq
import math

LEAST_MISSING_SECONDS = 0.2  # below, without an error of the decoder: cuts leave a few frames that need others


class Damage:
    """Compares the packets that a decoder was sent with the frames that it gave back."""

    def __init__(self, step_seconds: float) -> None:
        """
        Args:
            step_seconds: usual step from frame to frame.
        """
        self._step = step_seconds
        self._sent: list[float] = []
        self._latest_stamp = -math.inf
        self.end_seconds = 0.0
        """Where the last frame ends."""
        self.num_errors = 0
        """Packets at which the decoder, or the reading, failed."""
        self._num_lost = 0
        self._missing_seconds = 0.0
        self._first_missing: float | None = None

    def sent(self, stamp: float) -> None:
        """A packet was sent whose frame has this time stamp, in seconds."""
        heapq.heappush(self._sent, stamp)

    def shown(self, time: float, stamp: float | None, duration_seconds: float) -> None:
        """A frame came, in the order of showing: its time from the start of the video, time stamp and duration."""
        if stamp is not None:
            num_lost = self._forget_before(stamp)
            if time - self.end_seconds > self._step / 2 and num_lost:
                self._miss(num_lost, time - self.end_seconds)
            self._latest_stamp = stamp
        self.end_seconds = max(self.end_seconds, time + (duration_seconds or self._step))

    def finish(self) -> None:
        """The decoder gave all frames: what it still owes is lost."""
        lost = [stamp for stamp in self._sent if stamp > self._latest_stamp]
        if lost:
            self._miss(len(lost), max(lost) - max(min(lost), self._latest_stamp) + self._step)
        self._sent.clear()

    @property
    def note(self) -> str | None:
        """What is to be said of it; None where nothing is."""
        num_packets = max(self.num_errors, self._num_lost)
        if self.num_errors == 0 and self._missing_seconds < LEAST_MISSING_SECONDS:
            return None
        said = f"{num_packets} damaged packet{'s' if num_packets > 1 else ''}"
        if self._first_missing is None:
            return said
        return f"{said}; {self._missing_seconds:.1f} s missing at {self._first_missing:.1f} s"

    def _forget_before(self, stamp: float) -> int:
        num_lost = 0
        while self._sent and self._sent[0] <= stamp:
            num_lost += heapq.heappop(self._sent) < stamp
        return num_lost

    def _miss(self, num_packets: int, missing_seconds: float) -> None:
        self._num_lost += num_packets
        self._missing_seconds += missing_seconds
        self._first_missing = self.end_seconds if self._first_missing is None else self._first_missing
