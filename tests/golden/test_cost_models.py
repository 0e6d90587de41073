"""Half-spreads from bars and calibration from recordings: against the papers' formula, known truths and real quotes."""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.instruments import Instrument
from data_pipeline.schema import BarArrays
from envs.book.calibration import calibrate_costs
from envs.book.market import BookMarket, decision_times
from envs.book.recording import read_recording
from envs.spread import SpreadModel, half_spread_of_bars
from scripts import calibrate_costs as command
from tests.book_tools import real_data

PERPETUAL = Instrument("BTCUSDT", 0.1, 0.001, 5.0, 2.0, 5.0)
RECORDED = {
    "spot": ("BTCUSDT", 1.0, Instrument("BTCUSDT", 0.01, 0.00001, 5.0, 10.0, 10.0, "spot")),
    "um": ("BTCUSDT", 1.0, PERPETUAL),
    "cm": ("BTCUSD_PERP", 100.0, Instrument("BTCUSD", 0.1, 100.0, 0.0, 2.0, 5.0, "inverse")),
}


def bounced(half_spread: float, bars: int = 6_000, gap_at: int | None = None, seed: int = 0) -> BarArrays:
    """Bars of 60 trades each at mid × (1 ± half_spread), the mid a random walk of 1 bp a trade."""
    rng = np.random.default_rng(seed)
    mid = 100.0 * np.exp(np.cumsum(1e-4 * rng.normal(size=(bars, 60)).ravel()))
    price = (mid * (1 + half_spread * rng.choice([-1, 1], size=bars * 60))).reshape(bars, 60)
    times = 60_000 * np.arange(bars)
    if gap_at is not None:
        times[gap_at:] += 3_600_000
    ends = price[:, 0].copy(), price.max(axis=1), price.min(axis=1), price[:, -1].copy()
    return BarArrays(times, *ends, *[np.ones(bars)] * 5)


@pytest.mark.parametrize("truth_bps", [5.0, 20.0])
def test_a_known_spread_is_found(truth_bps: float) -> None:
    found = 1e4 * half_spread_of_bars(bounced(truth_bps * 1e-4), PERPETUAL)
    assert np.isnan(found[0])
    assert np.median(found[3_000:]) == pytest.approx(truth_bps, rel=0.15)


def test_the_estimate_is_the_papers() -> None:
    """Abdi & Ranaldo (2017) with an exponentially weighted mean, written out; the floor where that is negative."""
    bars = bounced(2e-4, bars=400, gap_at=200)
    model = SpreadModel(tick_size=0.01, scale=0.7, floor_ticks=0.6)
    known = model.update(bars.open_time_ms, bars.high, bars.low, bars.close)
    closes, middles = np.log(bars.close), (np.log(bars.high) + np.log(bars.low)) / 2
    decay = 1 - 0.5 ** (1 / 1_440)
    weights: list[float] = []
    products: list[float] = []
    for t in range(len(closes)):
        if t not in (0, 200):
            weights = [w * (1 - decay) for w in weights] + [decay]
            products.append(4 * (closes[t - 1] - middles[t - 1]) * (closes[t - 1] - middles[t]))
        spread = np.sqrt(max(np.average(products, weights=weights), 0.0)) if weights else 0.0
        assert known[t] == pytest.approx(max(0.7 * spread / 2, 0.6 * 0.01 / bars.close[t]), rel=1e-9)
    calm = SpreadModel(tick_size=0.01, floor_ticks=0.5)
    trend = bounced(0.0, bars=300)
    assert calm.update(trend.open_time_ms, trend.high, trend.low, trend.close)[0] == 0.005 / trend.close[0]


@given(cut=st.integers(1, 299), seed=st.integers(0, 50))
def test_it_knows_the_past_only_and_comes_in_pieces(cut: int, seed: int) -> None:
    bars, other = bounced(5e-4, 300, seed=seed), bounced(5e-4, 300, seed=seed + 1)
    whole = half_spread_of_bars(bars, PERPETUAL)
    mixed = BarArrays(*(np.append(a[:cut], b[cut:]) for a, b in zip(columns(bars), columns(other), strict=True)))
    np.testing.assert_array_equal(half_spread_of_bars(mixed, PERPETUAL)[: cut + 1], whole[: cut + 1])
    model, pieces = SpreadModel(PERPETUAL.tick_size), []
    for part in (slice(0, cut), slice(cut, 300)):
        rows = (bars.open_time_ms[part], bars.high[part], bars.low[part], bars.close[part])
        pieces.append(model.update(*rows, first=part.start > 0))
    np.testing.assert_array_equal(np.concatenate(pieces)[:-1], whole[1:])


def columns(bars: BarArrays) -> list[np.ndarray]:
    return [getattr(bars, name) for name in BarArrays.__slots__]


def test_models_that_cannot_be() -> None:
    for wrong in ({"tick_size": 0.0}, {"tick_size": 0.1, "scale": -1.0}, {"tick_size": 0.1, "floor_ticks": np.nan}):
        with pytest.raises(InputError, match="tick and interval must be positive"):
            SpreadModel(**wrong)


def recorded(name: str) -> BookMarket:
    symbol, contract_size, instrument = RECORDED[name]
    stem = real_data() / "micro" / f"binance_{name}_{symbol}_2024-08-08T2354"
    recording = read_recording(f"{stem}.trades.parquet", f"{stem}.l10.parquet", contract_size=contract_size)
    steps = decision_times(recording, 1_000)
    return BookMarket.from_recording(recording, steps, np.zeros((len(steps), 1)), ("nothing",), instrument)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_against_recorded_quotes(name: str) -> None:
    """bookTicker knows the spread to the ms, and was recorded by another stream than the books."""
    market, (symbol, _, instrument) = recorded(name), RECORDED[name]
    quotes = pq.read_table(real_data() / "micro" / f"binance_{name}_{symbol}_2024-08-08T2354.bbo.parquet")
    times, bid, ask = (quotes[column].to_numpy() for column in ("local_ts_ns", "bid_px", "ask_px"))
    lasted = np.diff(times, append=times[-1])
    truth = 1e4 * float(np.average((ask - bid) / (ask + bid), weights=lasted))
    found = calibrate_costs(market)
    assert 0.5 * truth < found.half_spread_bps < 1.2 * truth
    assert 0.5 <= found.half_spread_ticks < 1.0  # a spread of one tick nearly always
    # One-second bars of such a market are all move and no spread: the bare estimate is too wide or 0, the fit says so.
    assert found.spread_scale < 0.1
    fitted = SpreadModel(instrument.tick_size, 1_000, found.spread_scale, found.half_spread_ticks)
    mids = market.prices
    model = 1e4 * fitted.update(market.open_time_ms, mids[:, 1], mids[:, 2], mids[:, 3])
    assert 0.5 * truth < np.mean(model) < 1.5 * truth
    # The law of the root with Y about 1 (Donier & Bonart 2015), and what the visible book alone would charge.
    assert 0.3 < found.impact_of_flow < 1.5
    assert 0.1 < found.flow_share_explained < 0.7
    assert 0.01 < found.impact_of_sweeps < 0.2


def test_impact_has_the_units_of_the_law() -> None:
    """Sizes in other units change nothing; a book a quarter as deep charges twice, by the law of the root."""
    market = recorded("um")
    first = calibrate_costs(market)
    more = market.prices.copy()
    more[:, 4] *= 4.0
    events = market.events.copy()
    events[:, 2] *= 4.0
    books = market.books.copy()
    books[:, 1::2] *= 4.0
    scaled = BookMarket(**{**vars(market), "prices": more, "events": events, "books": books})
    second = calibrate_costs(scaled)
    assert second.impact_of_flow == pytest.approx(first.impact_of_flow)
    assert second.impact_of_sweeps == pytest.approx(first.impact_of_sweeps)
    thin = BookMarket(**{**vars(market), "books": np.where(np.arange(40) % 2, market.books / 4.0, market.books)})
    assert calibrate_costs(thin).impact_of_sweeps == pytest.approx(2.0 * first.impact_of_sweeps)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stem = real_data() / "micro" / "binance_um_BTCUSDT_2024-08-08T2354"
    words = ["--trades", f"{stem}.trades.parquet", "--books", f"{stem}.l10.parquet", "--symbol", "BTCUSDT"]
    monkeypatch.setattr(sys, "argv", ["calibrate_costs", *words, "--out", str(tmp_path / "costs.json")])
    assert command.main_cli() == 0
    assert "impact of flow    Y = 1.14 (R² 0.52)" in capsys.readouterr().out
    assert (tmp_path / "costs.json").exists()
    monkeypatch.setattr(sys, "argv", ["calibrate_costs", *words, "--window-steps", "100"])
    assert command.main_cli() == 2
    assert "344 steps are too few" in capsys.readouterr().err
