"""What the stages of an ingest are joined with: bounded channels between threads, and a clean way to stop them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

from vsdb.stopping import StoppedError, go_on

Item = TypeVar("Item")

STOP_SECONDS = 10  # for a stage to notice; each looks between two frames, blocks of a file, or layers of a network


class BrokenStageError(Exception):
    """A stage met an error that belongs to no item; its own traceback is the cause."""


class Budget:
    """An amount that threads take from and give back to; who asks for more than is left waits."""

    def __init__(self, capacity: float) -> None:
        self._capacity = capacity
        self._taken = 0.0
        self._is_closed = False
        self._changed = threading.Condition()

    def take(self, amount: float, *, check: Callable[[], None] = go_on) -> None:
        """Take an amount, and wait until that much is left.

        Args:
            amount: how much. 0 never waits. More than the whole capacity waits until nothing else is taken.
            check: is called at first and at each :meth:`wake`; what it raises ends the waiting.

        Raises:
            StoppedError: the budget was closed, also while waiting.
        """

        def is_over() -> bool:
            check()
            return self._is_closed or self._fits(amount)

        with self._changed:
            self._changed.wait_for(is_over)
            if self._is_closed:
                raise StoppedError
            self._taken += amount

    def give_back(self, amount: float) -> None:
        """Give back what was taken."""
        with self._changed:
            self._taken -= amount
            self._changed.notify_all()

    def wake(self) -> None:
        """Let those who wait check whether they still want it."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Send away whoever waits or comes."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _fits(self, amount: float) -> bool:
        return amount == 0 or self._taken == 0 or self._taken + amount <= self._capacity


class Channel(Generic[Item]):
    """A queue between threads that holds items up to a weight; who puts more waits."""

    def __init__(self, capacity: float) -> None:
        """
        Args:
            capacity: weight that the waiting items have together at most, in the unit of :meth:`put`.
        """
        self._budget = Budget(capacity)
        self._items: SimpleQueue[tuple[Item, float] | None] = SimpleQueue()
        self._is_closed = False

    def put(self, item: Item, *, weight: float = 1, check: Callable[[], None] = go_on) -> None:
        """Append an item as soon as there is room; ``check`` is that of :meth:`Budget.take`.

        Raises:
            StoppedError: the channel was closed.
        """
        self._budget.take(weight, check=check)
        self._items.put((item, weight))

    def wake(self) -> None:
        """Let those who wait to write check whether they still want to."""
        self._budget.wake()

    def is_empty(self) -> bool:
        """Whether nothing waits at this moment."""
        return self._items.empty()

    def close(self) -> None:
        """Drop what waits, end the iteration of those who read and send away those who write."""
        self._is_closed = True
        self._budget.close()
        self._items.put(None)

    def __iter__(self) -> Iterator[Item]:
        """Take items, first in first out, until the channel is closed."""
        while (entry := self._items.get()) is not None and not self._is_closed:
            item, weight = entry
            self._budget.give_back(weight)
            yield item
            del entry, item  # nothing is held while the next one is waited for
        self._items.put(None)  # for the next reader


class Stage:
    """A thread that works until its channels are closed."""

    def __init__(self, name: str, work: Callable[[], None], *, on_break: Callable[[BrokenStageError], None]) -> None:
        """
        Args:
            name: of the thread.
            work: reads from one channel and writes into another.
            on_break: is called, in the thread, with an error that the work did not handle.
        """
        self._work = work
        self._on_break = on_break
        self._thread = threading.Thread(target=self._run, name=f"vsdb-{name}", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of the work, which the caller has brought about."""
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            self._work()
        except StoppedError:
            return
        except BaseException as error:
            broken = BrokenStageError(f"the thread {self._thread.name} met {type(error).__name__}: {error}")
            broken.__cause__ = error
            self._on_break(broken)
