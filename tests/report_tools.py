"""A report's data made from the synthetic market, for tests of the page: small, seeded, complete."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data_pipeline.config import SyntheticConfig
from data_pipeline.instruments import default_instrument
from data_pipeline.quality import quality_report
from data_pipeline.schema import bar_arrays, segments
from data_pipeline.synthetic import synthetic_market
from envs.config import MarketConfig
from envs.market import Market
from envs.observation import observation_columns
from envs.rules import ThresholdRule
from evaluation.ambiguity import other_bound
from evaluation.baselines import recorded_backtest, run_baselines
from evaluation.report_data import ReportData, SeedData, SymbolData
from evaluation.signal_quality import EnsembleWeights, feature_quality, prediction_quality
from evaluation.trials import TrialCount
from features.labels import fixed_horizon

DAY = 1440
MODELS = ("tcn", "transformer", "lstm", "ensemble")
HORIZONS = (5, 15)


def demo_symbol(
    setting: str = "planted_edge",
    *,
    symbol: str = "SYN/USDT",
    test_days: int = 24,
    seed: int = 0,
    enter: float = 0.6,
    seeds: tuple[int, ...] = (0,),
    config: MarketConfig | None = None,
) -> tuple[SymbolData, list]:
    """One symbol's data, and the backtests of the policies of `seeds` (noisier and noisier readings of the state)."""
    config = config or MarketConfig()
    selection = 4 * DAY
    rows = selection + test_days * DAY
    market = synthetic_market(SyntheticConfig(setting=setting, bars=rows, seed=seed, symbol=symbol))
    bars = bar_arrays(market.bars)
    rng = np.random.default_rng(seed)
    state = market.filtered_state() if setting == "planted_edge" else rng.standard_normal(rows)
    columns = {f"reading_{k}": state + (0.3 + 0.2 * k) * rng.standard_normal(rows) for k in range(len(seeds))}
    noise = {f"noise_{k}": rng.standard_normal(rows) for k in range(16)}
    for horizon in HORIZONS:
        for k, model in enumerate(MODELS):
            blurred = state + (0.8 - 0.2 * k) * rng.standard_normal(rows)
            columns[f"p_up_{model}_h{horizon}"] = 1 / (1 + np.exp(-0.5 * blurred))
    columns |= noise
    names = tuple(columns)
    observations = np.stack(list(columns.values()), axis=1).astype(np.float32)
    instrument = replace(default_instrument("SYN/USDT", "linear"), symbol=symbol, taker_fee_bps=1.0, maker_fee_bps=0.0)
    whole = Market.build(bars, observations, names, instrument)
    before, test = whole.slice(0, selection), whole.slice(selection, rows)

    names_seen = observation_columns(test)
    rules = [ThresholdRule(f"reading_{k}", enter, columns=names_seen, config=config) for k in range(len(seeds))]
    backtests = [recorded_backtest(test, config, rule) for rule in rules]
    result, orders = backtests[0]
    predictions, simple, features = [], [], None
    spans = segments(bars.open_time_ms, 60_000)
    assert len(spans) == 1
    for horizon in HORIZONS:
        labels = fixed_horizon(bars, horizon, 60_000)
        y = np.where(labels.valid, labels.values, np.nan)[selection:]
        t1 = labels.t1[selection:] - selection
        for model in MODELS:
            p = observations[selection:, names.index(f"p_up_{model}_h{horizon}")]
            judged = prediction_quality(model, p, y, t1, horizon=horizon, round_trip_bps=3.0)
            predictions += [judged] if judged else []
        coin = np.random.default_rng(horizon).uniform(0.45, 0.55, len(y))
        simple += [prediction_quality("logistic", coin, y, t1, horizon=horizon, round_trip_bps=3.0)]
        features = features or feature_quality(observations[selection:], y, t1, names, horizon=horizon)
    weights = tuple(
        EnsembleWeights(
            h, test.open_time_ms[::60], MODELS[:3], rng.dirichlet((30.0, 20.0, 10.0), len(test.open_time_ms[::60]))
        )
        for h in HORIZONS
    )
    data = SymbolData(
        market=test,
        result=result,
        other=other_bound(test, config, rules[0], result),
        baselines=run_baselines(
            test,
            config,
            result,
            orders,
            selection=before,
            columns=("p_up_ensemble_h5",),
            random_accounts=200,
            seed=seed,
        ),
        predictions=tuple(predictions),
        simple=tuple(simple),
        weights=weights,
        features=features,
        data_quality=quality_report(market.bars).to_dict(),
    )
    return data, [outcome for outcome, _ in backtests]


def demo_report(setting: str = "planted_edge", symbols: tuple[str, ...] = ("SYN/USDT",), **options) -> ReportData:
    """A whole report over `symbols`."""
    seeds = (0, 1, 2)
    made = [demo_symbol(setting, symbol=symbol, seed=k, seeds=seeds, **options) for k, symbol in enumerate(symbols)]
    return ReportData(
        title=f"{' + '.join(symbols)} · ppo · seed 0",
        policy="PPO, discrete actions",
        symbols=tuple(data for data, _ in made),
        trials=TrialCount(3, 0.004),
        synthetic=setting,
        seeds=tuple(
            SeedData(seed, seed == 0, tuple(results[k] for _, results in made)) for k, seed in enumerate(seeds)
        ),
        provenance={
            "Run": {"seed": 0, "git revision": "0123456789ab", "trials on this subject": 3},
            "Configuration": {"agent": "ppo", "iterations": 40, "horizons": (5, 15)},
            "Versions": {"numpy": np.__version__},
        },
    )
