"""When a frame is shown: its time stamp, or what has to be taken in place of one."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import av

LEAST_DELAY_SECONDS = 0.2  # below: priming of sound, reordering of frames; the tracks are taken to begin together
JITTER_SECONDS = 1.0  # by which time stamps may fall, at two frames a second or more
WRAP_SECONDS = 2**33 / 90_000  # of MPEG's clock; FFmpeg takes one that starts again for one that has wrapped
LEAST_STEP_SECONDS = 0.001


class Clock:
    """Counts the frames' times from the start of the file, as players do, in seconds that rise from frame to frame.

    The first time stamp counts as 0, or as how long after the container's start it lies, if that is 0.2 s or more.
    A clock that starts again goes on from where it was; a frame without a time stamp of its own follows the one
    before by a step.
    """

    def __init__(self, stream: Any) -> None:
        """
        Args:
            stream: the picture track.
        """
        self._container = stream.container
        self.wraps = has_flag(self._container, "ts_discont")
        rate = stream.average_rate if not stream.average_rate or stream.average_rate < 1000 else stream.guessed_rate
        self.step = float(1 / rate) if rate else 0.04
        self.offset: float | None = None
        """What is added to a time stamp, in seconds; None before the first."""
        self.num_guessed = self.num_restarts = 0
        self._latest = self._latest_stamp = -math.inf
        self._is_adrift = False

    def forget(self) -> None:
        """Forget the frame before, because the next one comes from another place."""
        self._latest = self._latest_stamp = -math.inf
        self._is_adrift = True

    def time(self, stamp: float | None) -> float | None:
        """Time of the next frame, in seconds from the start of the video; None where nothing tells it.

        Args:
            stamp: its time stamp in seconds; None where it has none.
        """
        if self.offset is None:
            self.offset = self._delay(stamp) - (stamp or 0.0)
        if stamp is None and self._is_adrift:
            return None
        guess = self._latest + self.step if self._latest > -math.inf else 0.0
        if stamp is None or stamp == self._latest_stamp:
            self.num_guessed += 1
            seconds = guess
        else:
            seconds = self._checked(stamp + self.offset, guess)
            self._latest_stamp, self._is_adrift = stamp, False
        self._latest = seconds if seconds > self._latest else self._latest + LEAST_STEP_SECONDS
        return round(self._latest, 6)

    def _checked(self, seconds: float, guess: float) -> float:
        fall = self._latest - seconds
        has_wrapped = self.wraps and WRAP_SECONDS / 2 < -fall < math.inf
        if has_wrapped or fall > max(JITTER_SECONDS, 2 * self.step):
            self.num_restarts += 1
            assert self.offset is not None
            self.offset += guess - seconds
            return guess
        return seconds

    def _delay(self, stamp: float | None) -> float:
        start = max(0, self._container.start_time or 0) / av.time_base
        delay = (stamp or 0.0) - start
        length = (self._container.duration or 0) / av.time_base
        if delay < LEAST_DELAY_SECONDS or (length and delay >= length):  # of another programme's clock
            return 0.0
        return delay


def seconds(stamp: int | None, time_base: Fraction | None) -> float | None:
    """A time stamp in seconds."""
    if stamp is None or time_base is None:
        return None
    return stamp * time_base.numerator / time_base.denominator


def has_flag(container: Any, name: str) -> bool:
    """Whether a container's format is of a kind that FFmpeg flags so."""
    flag: Any = av.format.Flags[name].value
    return bool(container.format.flags & flag)
