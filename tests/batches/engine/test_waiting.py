"""Commands that wait are the engine themselves while nobody else on the host is."""

from contextlib import nullcontext
from itertools import pairwise
from types import SimpleNamespace

from batches.engine import ticker


def test_a_command_that_is_the_engine_looks_around_each_minute_as_the_schedule_would(monkeypatch, settings, tmp_path, db):
    settings.CE_DATA_DIR = tmp_path
    clock = SimpleNamespace(now=0.0)
    looked: list[float] = []

    def over() -> bool:
        clock.now += 20
        return clock.now > 300

    monkeypatch.setattr(ticker, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(ticker, "ticker_lock", lambda **_: nullcontext())
    monkeypatch.setattr(ticker, "Ticker", lambda _: SimpleNamespace(run=lambda _, should_stop: should_stop()))
    ticker.tick_until(over, lambda: looked.append(clock.now))
    assert looked and all(later - earlier >= 60 for earlier, later in pairwise([0.0, *looked]))
    assert len(looked) >= 3
