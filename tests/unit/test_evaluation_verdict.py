"""The verdict follows its rule, says which tests fail, and never calls a synthetic edge real."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from envs.sharpe import SharpeEstimate
from evaluation.intervals import Interval
from evaluation.verdict import AccuracyClaim, Evidence, VerdictRule, judge

GOOD = Evidence(
    net_return=0.031,
    mean_daily=Interval(0.0008, 0.0002, 0.0014, 40),
    sharpe=SharpeEstimate(0.12, 0.05, 40, 0.1, 3.5, 365.0),
    deflated_sharpe=0.97,
    trials=6,
    random_p=0.004,
    buy_and_hold=-0.02,
    trades=400,
    synthetic=False,
)


def test_everything_passed_is_evidence():
    found = judge(GOOD)
    assert found.level == "evidence"
    assert found.sentence == (
        "Evidence of an edge: the policy made 3.10 % net of costs in 40 test days and 400 trades, "
        "and every test of the rule is passed."
    )
    assert all(check.passed for check in found.checks)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({"mean_daily": Interval(0.0008, -0.0001, 0.0017, 40)}, "net profit above zero"),
        ({"mean_daily": Interval(0.0008, math.nan, math.nan, 40)}, "net profit above zero"),
        ({"deflated_sharpe": 0.95}, "deflated Sharpe above 0.95"),
        ({"deflated_sharpe": math.nan}, "deflated Sharpe above 0.95"),
        ({"random_p": 0.05}, "better than random entries"),
        ({"random_p": math.nan}, "better than random entries"),
        ({"buy_and_hold": 0.031}, "better than buy-and-hold"),
        ({"net_return": 0.0, "buy_and_hold": -0.1}, "better than flat"),
    ],
)
def test_each_test_alone_prevents_a_yes(change, failing):
    found = judge(replace(GOOD, **change))
    assert found.level == "none"
    assert found.sentence.startswith("No evidence of an edge: the policy made")
    assert found.sentence.endswith(f"Failed: {failing}.")
    assert [check.passed for check in found.checks].count(False) == 1


@pytest.mark.parametrize("change", [{"trades": 29}, {"mean_daily": Interval(0.0008, 0.0002, 0.0014, 19)}])
def test_too_little_data_concludes_nothing(change):
    found = judge(replace(GOOD, **change))
    assert found.level == "too_little"
    assert found.sentence.startswith("Too little data to say")
    assert "at least 20 days and 30 trades" in found.sentence


def test_a_loss_is_called_a_loss():
    found = judge(replace(GOOD, net_return=-0.12, mean_daily=Interval(-0.003, -0.005, -0.001, 40), deflated_sharpe=0.0))
    assert "the policy lost 12.00 % net of costs" in found.sentence


def test_no_trades_is_no_evidence():
    found = judge(replace(GOOD, trades=0, net_return=0.0))
    assert found.level == "none"
    assert "never traded" in found.sentence


def test_synthetic_markets_say_so_and_are_not_suspicious():
    splendid = replace(
        GOOD, synthetic=True, sharpe=replace(GOOD.sharpe, per_period=1.0), accuracies=(claim(0.7, minutes=1),)
    )
    found = judge(splendid)
    assert found.sentence.endswith("The market is SYNTHETIC, so this says nothing about real ones.")
    assert found.warnings == ()


def claim(value: float, *, minutes: float, low: float = 0.53) -> AccuracyClaim:
    return AccuracyClaim("BTCUSDT tcn", minutes, Interval(value, low, value + 0.02, 900))


@pytest.mark.parametrize(
    ("change", "warned"),
    [
        ({"accuracies": (claim(0.56, minutes=1),)}, "BTCUSDT tcn is right 56.0 % of the time over 1 minutes"),
        ({"accuracies": (claim(0.56, minutes=30),)}, None),
        ({"accuracies": (claim(0.55, minutes=1),)}, None),
        ({"accuracies": (claim(0.56, minutes=1, low=0.49),)}, None),
        ({"sharpe": replace(GOOD.sharpe, per_period=0.2)}, "an annual Sharpe ratio of 3.8"),
        ({"sharpe": replace(GOOD.sharpe, per_period=0.15)}, None),
    ],
)
def test_what_is_too_good_is_treated_as_a_leak(change, warned):
    found = judge(replace(GOOD, **change))
    warnings = found.warnings
    assert found.sentence.endswith("treat them as a leak until disproved.") == (warned is not None)
    assert len(warnings) == (warned is not None)
    if warned:
        assert warnings[0].startswith(warned)
        assert "honest work has stayed below" in warnings[0]


def test_the_rule_in_words_names_its_thresholds():
    words = VerdictRule(min_days=33, min_trades=44, deflated_sharpe=0.9, random_p=0.01).sentence()
    for number in ("33 days", "44 trades", "above 0.9", "p < 0.01"):
        assert number in words
