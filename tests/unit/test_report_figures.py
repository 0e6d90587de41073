"""The parts that the page's pictures and numbers are made of."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import axes
from envs.backtest import Backtest
from envs.config import MarketConfig
from evaluation import formats, svg, trade_figure
from evaluation.account import account_of
from tests.market_tools import random_market, random_orders


@pytest.fixture(scope="module")
def traded():
    market = random_market(5, 2500)
    result = Backtest(market, MarketConfig()).replay(random_orders(np.random.default_rng(5), 2500))
    return account_of(result, "Policy"), market


def bars_of(payload: dict) -> tuple[np.ndarray, np.ndarray]:
    """Times and closes as the page's script reads them."""
    offsets = np.concatenate([start + np.arange(count) for start, count in payload["runs"]])
    closes = (payload["base"] + np.cumsum(payload["steps"])) * payload["tick"]
    return payload["start"] + offsets * payload["step"], closes


def test_the_scripts_data_are_the_bars_and_the_trades(traded):
    account, market = traded
    detail, _ = trade_figure.trade_figure(account, market)
    times, closes = bars_of(detail.hover)
    assert len(detail.hover["runs"]) > 5  # the market has gaps
    np.testing.assert_array_equal(times, market.open_time_ms)
    np.testing.assert_allclose(closes, market.prices[:, 3])
    np.testing.assert_allclose(detail.hover["bps"], account.trade_bps, atol=0.05)
    entries = detail.hover["start"] + np.array(detail.hover["entry"]) * detail.hover["step"]
    np.testing.assert_array_equal(entries, account.trade_column("entry_time_ms"))
    named = [detail.hover["reasons"][k] for k in detail.hover["reason"]]
    assert named == [r.replace("_", " ") for r in account.trades.column("exit_reason").to_pylist()]
    low, high = detail.hover["window"]
    assert 0 <= low < high <= (times[-1] - times[0]) / detail.hover["step"]


def test_a_long_span_shows_its_last_part_in_detail(traded, monkeypatch):
    account, market = traded
    monkeypatch.setattr(trade_figure, "MAX_TRADES", 20)
    detail, overview = trade_figure.trade_figure(account, market)
    assert 0 < len(detail.hover["side"]) <= 21
    times, _ = bars_of(detail.hover)
    assert times[-1] == market.open_time_ms[-1]
    span = market.open_time_ms[-1] - market.open_time_ms[0]
    assert overview.hover["from"] == pytest.approx((times[0] - market.open_time_ms[0]) / span)
    assert overview.hover["left"] >= overview.hover["from"]


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e6), st.integers(2, 8))
def test_ticks_are_round_inside_and_about_as_many_as_asked(low, span, count):
    ticks = axes.nice_ticks(low, low + span, count)
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)
    assert len(ticks) <= count + 2
    if len(ticks) > 2:
        np.testing.assert_allclose(np.diff(ticks), ticks[1] - ticks[0], rtol=1e-6)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=300), st.integers(2, 60))
def test_thinning_keeps_the_ends_and_the_extremes(values, count):
    y = np.array(values)
    x, thinned = axes.thin(np.arange(y.size), y, count)
    assert thinned.min() == y.min()
    assert thinned.max() == y.max()
    assert (x[0], x[-1]) == (0, y.size - 1)
    np.testing.assert_array_equal(y[x], thinned)
    assert len(x) <= max(count + 2, 4)


def test_lines_break_where_data_are_missing():
    x, y = svg.broken(np.array([0.0, 1.0, 9.0, 10.0]), np.array([1.0, 2.0, 3.0, 4.0]), 5.0)
    assert svg.polyline(x, y) == "M0 1L1 2M9 3L10 4"


def test_time_ticks_are_days_or_hours():
    day = 86_400_000
    start = 1_577_836_800_000  # 2020-01-01
    days = axes.time_ticks(start, start + 3 * day, 4)
    assert [text for _, text in days] == ["1 Jan", "2 Jan", "3 Jan", "4 Jan"]
    assert [text for _, text in axes.time_ticks(start, start + 13 * day)] == ["3 Jan", "6 Jan", "9 Jan", "12 Jan"]
    hours = axes.time_ticks(start + day // 2, start + 3 * day // 4, 3)
    assert [text for _, text in hours] == ["12:00", "15:00", "18:00"]
    assert [at for at, _ in hours] == [start + hour * 3_600_000 for hour in (12, 15, 18)]


def test_a_plot_places_its_data():
    plot = svg.Plot((0.0, 10.0), (0.0, 1.0), 100, 'a "label"', x_ticks=[(5.0, "five")], y_ticks=[(0.25, "<quarter>")])
    plot.line(np.array([0.0, 5.0, 10.0]), np.array([0.0, 1.0, np.nan]), "policy")
    html = plot.render()
    assert 'd="M0 1000L500 0"' in html
    assert 'style="left:50.00%">five<' in html
    assert 'style="top:75.00%">&lt;quarter&gt;<' in html
    assert 'aria-label="a &quot;label&quot;"' in html


def test_an_interval_cell_clips_to_its_axis():
    cell = svg.interval_cell(0.5, 0.2, 0.9, (0.4, 0.6), 0.5)
    assert [int(n) for n in re.findall(r"reach\" d=\"M(\d+) 5H(\d+)", cell)[0]] == [0, 1000]
    assert svg.interval_cell(math.nan, 0.0, 1.0, (0.0, 1.0), 0.5) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.percent(0.0312), "+3.12 %"),
        (formats.percent(-0.5), "−50.00 %"),
        (formats.percent(0.0), "0.00 %"),
        (formats.percent(-0.0000001), "0.00 %"),
        (formats.percent(12.345), "+1,234 %"),
        (formats.percent(1233.6), "×1,235"),
        (formats.percent(1.13e78), "×1.1·10⁷⁸"),
        (formats.share(2_345_678.0), "×2.3·10⁶"),
        (formats.percent(math.nan), "–"),
        (formats.share(0.5312, 1), "53.1 %"),
        (formats.bps(-3.04), "−3.0 bps"),
        (formats.signed(math.inf, 2), "∞"),
        (formats.plain(1234.5, 1), "1,234.5"),
        (formats.p_equals(0.0312), "p = 0.031"),
        (formats.p_equals(0.0001), "p < 0.001"),
        (formats.probability(0.9999), "> 0.99"),
        (formats.probability(0.0), "< 0.01"),
        (formats.counted(1, "trade"), "1 trade"),
        (formats.counted(3229, "trade"), "3,229 trades"),
        (formats.date(1_577_836_800_000), "1 January 2020"),
    ],
)
def test_numbers_are_written_for_people(text, expected):
    assert text == expected
