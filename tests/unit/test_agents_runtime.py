"""Starting Ray on a machine that has no time for it."""

from typing import Any

import pytest
import ray

from agents.runtime import START_ATTEMPTS, start_ray

SLOW = "The current node timed out during startup. This could happen because some of the raylet failed to startup."


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Exception | None]:
    """What each start of Ray is to raise, the next one last; None: it works."""
    coming: list[Exception | None] = []

    def init(**options: Any) -> None:
        outcome = coming.pop()
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    return coming


def test_a_start_that_took_too_long_is_tried_again(starts: list[Exception | None]) -> None:
    starts += [None, Exception(SLOW), Exception(SLOW)]
    start_ray()
    assert starts == []


def test_it_gives_up_in_the_end(starts: list[Exception | None]) -> None:
    starts += [None] + [Exception(SLOW)] * START_ATTEMPTS
    with pytest.raises(Exception, match="timed out during startup"):
        start_ray()
    assert starts == [None]


def test_another_failure_is_not_tried_again(starts: list[Exception | None]) -> None:
    starts += [None, ValueError("no such option")]
    with pytest.raises(ValueError, match="no such option"):
        start_ray()
    assert starts == [None]
