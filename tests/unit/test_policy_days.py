"""Days that a policy has seen are named, whatever their symbol, and take away every claim."""

from __future__ import annotations

import numpy as np
import pytest

from data_pipeline.instruments import default_instrument
from data_pipeline.schema import BarArrays
from envs.market import Market
from envs.sharpe import sharpe_estimate
from evaluation.intervals import Interval
from evaluation.policy_days import UNKNOWN, first_unseen_ms, seen_before
from evaluation.verdict import Evidence, judge

DAY = 86_400_000
BEGIN = 20_000 * DAY  # 4 October 2024


def market(days: int, first: int = 0) -> Market:
    times = BEGIN + first * DAY + 3_600_000 * np.arange(24 * days)
    ones = np.ones(len(times))
    bars = BarArrays(times, *[100.0 * ones] * 4, *[ones] * 5)
    return Market.build(bars, ones[:, None], ("x",), default_instrument("BTCUSDT"), 3_600_000)


def test_the_days_that_were_seen_are_counted_by_use() -> None:
    seen = {
        "trained": [["BTCUSDT", BEGIN - 9 * DAY, BEGIN + 3 * DAY - 1]],
        "selected": [["BTCUSDT", BEGIN + 3 * DAY, BEGIN + 4 * DAY - 1]],
    }
    assert seen_before(seen, market(10)) == (
        "3 of these 10 days (4 October 2024 to 6 October 2024) it was trained on and "
        "1 of these 10 days (7 October 2024 to 7 October 2024) it was selected by"
    )
    assert first_unseen_ms(seen) == BEGIN + 4 * DAY
    assert seen_before(seen, market(3, first=4)) == ""
    assert "1 of these 4 days" in seen_before(seen, market(4, first=3))


def test_other_symbols_of_the_same_days_count_and_are_named() -> None:
    seen = {"trained": [["ETHUSDT", BEGIN, BEGIN + DAY], ["BTCUSDT", BEGIN, BEGIN + DAY]]}
    assert seen_before(seen, market(5)).endswith("it was trained on (ETHUSDT)")


@pytest.mark.parametrize("seen", [{}, {"trained": [], "selected": []}])
def test_a_policy_that_does_not_tell_is_not_trusted(seen: dict) -> None:
    assert seen_before(seen, market(2)) == UNKNOWN
    assert first_unseen_ms(seen) is None


def test_seen_days_prove_nothing_however_good() -> None:
    daily = 0.01 + 0.002 * np.random.default_rng(0).standard_normal(60)
    good = {
        "net_return": 0.8,
        "mean_daily": Interval(0.01, 0.009, 0.011, 60),
        "sharpe": sharpe_estimate(daily),
        "deflated_sharpe": 0.999,
        "trials": 1,
        "random_p": 0.001,
        "buy_and_hold": 0.0,
        "trades": 500,
        "synthetic": True,
    }
    assert judge(Evidence(**good)).level == "evidence"
    verdict = judge(Evidence(**good, seen="3 of these 10 days it was trained on"))
    assert verdict.level == "none"
    assert verdict.sentence.startswith("No evidence of anything: 3 of these 10 days it was trained on.")
