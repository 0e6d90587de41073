"""The capital curve: every size is the backtest of that size, both ends bite, and the page says what they say."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from data_pipeline.schema import BarArrays
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import observation_columns
from envs.rules import ThresholdRule
from evaluation import formats
from evaluation.capital import CapitalPoint, capital_curve
from evaluation.capital_report import CapitalReport, render_capital_report
from scripts import capital_curve as command
from tests.browser import BROWSER, in_browser, text_of

CAPITALS = (50.0, 100.0, 1_000.0, 10_000.0, 100_000.0)


@pytest.fixture(scope="module")
def market() -> Market:
    return signal_market()


def signal_market(wick: float = 0.0) -> Market:
    """A price that goes up 20 bps after each signal, worth 60 a lot, of which 1,000 are traded a bar."""
    rng = np.random.default_rng(4)
    signal = np.sign(rng.normal(size=3_000)) * (np.arange(3_000) % 5 == 0)
    close = 60_000.0 * np.exp(np.cumsum(20e-4 * np.roll(signal, 2) + 1e-4 * rng.normal(size=3_000)))
    opens = np.concatenate([close[:1], close[:-1]])
    times = 1_700_000_040_000 + 60_000 * np.arange(3_000)
    ends = np.maximum(opens, close) * (1 + wick), np.minimum(opens, close) * (1 - wick)
    bars = BarArrays(times, opens, *ends, close, np.full(3_000, 1.0), *[np.ones(3_000)] * 4)
    instrument = Instrument("BTCUSDT", 0.1, 0.001, 5.0, maker_fee_bps=2.0, taker_fee_bps=5.0)
    return Market.build(bars, signal[:, None], ("signal",), instrument)


@pytest.fixture(scope="module")
def points(market: Market) -> tuple[CapitalPoint, ...]:
    config = MarketConfig()
    rule = ThresholdRule("signal", 0.5, 0.0, columns=observation_columns(market), config=config)
    return capital_curve(market, config, rule, CAPITALS)


def test_every_size_is_the_backtest_of_that_size(market: Market, points: tuple[CapitalPoint, ...]) -> None:
    config = MarketConfig(initial_capital=1_000.0)
    rule = ThresholdRule("signal", 0.5, 0.0, columns=observation_columns(market), config=config)
    alone = Backtest(market, config).run(rule)
    point = points[2]
    assert point.trades == alone.trades.num_rows > 100
    assert point.net_return == alone.equity[-1, 0] / 1_000.0 - 1.0
    trades = [(t["net_pnl"], t["qty"] * t["entry_price"]) for t in alone.trades.to_pylist()]
    assert point.net_bps.value == pytest.approx(np.mean([1e4 * pnl / value for pnl, value in trades]))
    paid = point.fees_bps + point.spread_bps + point.impact_bps
    assert point.gross_bps - paid == pytest.approx(point.net_bps.value)
    assert point.net_bps.low < point.net_bps.value < point.net_bps.high


def test_both_bounds_are_told_where_bars_are_ambiguous() -> None:
    market = signal_market(wick=3e-4)
    config = MarketConfig(default_tp_bps=4.0, default_sl_bps=4.0)
    rule = ThresholdRule("signal", 0.5, 0.0, columns=observation_columns(market), config=config)
    point = capital_curve(market, config, rule, (1_000.0,))[0]
    best = replace(config, both_touched="target_first", initial_capital=1_000.0)
    kinder = Backtest(market, best).run(rule)
    assert 0.0 < point.ambiguous < 0.1
    assert point.other_return == kinder.equity[-1, 0] / 1_000.0 - 1.0 > point.net_return
    turned = capital_curve(market, best, rule, (1_000.0,))[0]
    assert (turned.net_return, turned.other_return) == (point.other_return, point.net_return)


def test_lots_bite_at_one_end_and_impact_and_volume_at_the_other(points: tuple[CapitalPoint, ...]) -> None:
    smallest, small, middle, large, largest = points
    assert (smallest.trades, smallest.net_return) == (0, 0.0)  # a lot is worth 60
    assert smallest.refused > 0
    assert small.deployed < middle.deployed
    assert middle.deployed > 0.8
    assert large.deployed > largest.deployed
    assert largest.partial > 0 == middle.partial
    assert middle.impact_bps < large.impact_bps
    assert middle.net_bps.value > large.net_bps.value


def test_the_page_says_what_the_numbers_say(points: tuple[CapitalPoint, ...], tmp_path: Path) -> None:
    report = CapitalReport("BTCUSDT", "A <rule> trades.", (0, 86_400_000), 3_000, points, {"seed": 0}, "no_edge")
    page = render_capital_report(report)
    visible = text_of(page)
    assert report.best is not None
    assert report.sentence.startswith(f"A trade is worth {formats.bps(report.best.net_bps.value)} net at")
    assert "nothing (no trade is possible) at $50" in report.sentence
    assert report.sentence in visible
    assert "SYNTHETIC" in visible
    assert "A &lt;rule&gt; trades." in page
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:)""", page)
    assert "nan" not in "".join(re.findall(r' d="[^"]*"', page)).lower()
    idle = CapitalReport("BTCUSDT", "", (0, 1), 2, points[:1], {})
    assert idle.sentence == "No account from $50 to $50 made a trade."
    assert "<svg" in render_capital_report(idle)
    if BROWSER:
        found = in_browser(page, 400, tmp_path)
        assert found["errors"] == []
        assert found["needed"] <= found["width"]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "capital.html"
    words = ["--synthetic", "planted_edge", "--days", "4", "--capitals", "100", "10000", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["capital_curve", *words])
    assert command.main_cli() == 0
    said = capsys.readouterr().out
    numbers = json.loads(out.with_suffix(".json").read_text())
    assert [point["capital"] for point in numbers["points"]] == [100.0, 10_000.0]
    assert min(point["trades"] for point in numbers["points"]) > 10
    assert "signals a day" in numbers["trader"]
    assert "A trade is worth" in said
    for bad, message in (
        (["--capitals", "100", "100"], "do not rise"),
        (["--share", "1"], "share 1.0 is not between"),
        (["--policy", "x"], "a policy needs its market"),
        (["--signals-per-day", "1000"], "no rule has 1000 signals a day"),
    ):
        monkeypatch.setattr(sys, "argv", ["capital_curve", *words, *bad])
        assert command.main_cli() == 2
        assert message in capsys.readouterr().err


def test_capitals_must_be_positive(market: Market) -> None:
    rule = ThresholdRule("signal", 0.5, columns=observation_columns(market), config=MarketConfig())
    with pytest.raises(InputError, match="are not positive numbers"):
        capital_curve(market, MarketConfig(), rule, (0.0, 1.0))
