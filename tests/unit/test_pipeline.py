"""Channels and budgets: bounded, in order, and closed without leaving anyone waiting."""

from __future__ import annotations

import threading
import time

import pytest

from vsdb.ingest.channels import BrokenStageError, Budget, Channel, Stage
from vsdb.stopping import StoppedError

WAIT_SECONDS = 0.05


def is_stuck(thread: threading.Thread) -> bool:
    thread.join(WAIT_SECONDS)
    return thread.is_alive()


def test_a_channel_gives_items_in_order_and_holds_no_more_than_its_capacity() -> None:
    channel: Channel[int] = Channel(10)
    for item in (1, 2):
        channel.put(item, weight=5)
    third = threading.Thread(target=channel.put, args=(3,), daemon=True)
    third.start()
    assert is_stuck(third)
    reader = iter(channel)
    assert next(reader) == 1
    third.join(5)
    assert not third.is_alive()
    assert [next(reader), next(reader)] == [2, 3]
    assert channel.is_empty()


def test_an_item_heavier_than_the_capacity_goes_alone() -> None:
    channel: Channel[str] = Channel(10)
    channel.put("small")
    heavy = threading.Thread(target=channel.put, args=("heavy",), kwargs={"weight": 100}, daemon=True)
    heavy.start()
    assert is_stuck(heavy)
    reader = iter(channel)
    assert [next(reader), next(reader)] == ["small", "heavy"]


def test_closing_wakes_all_who_wait_and_drops_what_was_put() -> None:
    full: Channel[int] = Channel(1)
    full.put(1)
    empty: Channel[int] = Channel(1)
    stopped: list[str] = []

    def write() -> None:
        with pytest.raises(StoppedError):
            full.put(2)
        stopped.append("writer")

    def read() -> None:
        assert list(empty) == []
        stopped.append("reader")

    threads = [threading.Thread(target=work, daemon=True) for work in (write, read, read)]
    for thread in threads:
        thread.start()
    time.sleep(WAIT_SECONDS)
    full.close()
    empty.close()
    for thread in threads:
        thread.join(5)
    assert sorted(stopped) == ["reader", "reader", "writer"]
    assert list(full) == []
    with pytest.raises(StoppedError):
        full.put(3)


def test_a_channel_does_not_keep_an_item_alive_while_it_waits_for_the_next() -> None:
    import weakref

    class Thing:
        pass

    channel: Channel[Thing] = Channel(1)
    thing = Thing()
    gone = weakref.ref(thing)
    channel.put(thing)
    del thing

    def read() -> None:
        for item in channel:
            del item

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert is_stuck(reader)
    assert gone() is None
    channel.close()


def test_a_budget_that_is_closed_lets_nobody_wait() -> None:
    budget = Budget(1)
    budget.take(1)

    def take() -> None:
        with pytest.raises(StoppedError):
            budget.take(1)

    waiting = threading.Thread(target=take, daemon=True)
    waiting.start()
    assert is_stuck(waiting)
    budget.close()
    waiting.join(5)
    assert not waiting.is_alive()


def test_an_error_that_a_stage_does_not_handle_is_told_with_its_cause() -> None:
    told: list[BrokenStageError] = []

    def work() -> None:
        raise KeyError("x")

    Stage("test", work, on_break=told.append).join()
    assert "the thread vsdb-test met KeyError" in str(told[0])
    assert isinstance(told[0].__cause__, KeyError)
