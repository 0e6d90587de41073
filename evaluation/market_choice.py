"""The markets that a command line chose, cut into training and validation days."""

from __future__ import annotations

import json
from pathlib import Path

from data_pipeline.errors import InputError
from envs.market import Market
from evaluation.bars_market import market_of_bars, split_markets
from evaluation.policy_run import run_around
from evaluation.tuning_config import MarketChoice
from features.store.config import BarsConfig
from features.store.sources import one_source


def chosen_markets(choice: MarketChoice) -> tuple[list[Market], list[Market], str]:
    """Training days, validation days, and the subject of trials on them.

    Raises InputError for a choice that cannot be made, and for markets that do not share their columns.
    """
    choice.check()
    kind = choice.synthetic or ""
    if choice.synthetic is not None:
        source = one_source(BarsConfig(), choice.synthetic, choice.days, choice.market_seed)
        bars = source.read()
        rows = slice(0, int(choice.train_fraction * len(bars)))
        markets = [market_of_bars(bars, source.series.symbol, 60_000, rows)]
    else:
        folders: list[Path] = []
        for path in choice.market:
            inside = sorted(at.parent for at in (path / "markets").glob("*/market.json"))
            folders += inside or [path]
        markets = [Market.load(folder) for folder in folders]
        around = run_around(folders[0])
        if around is not None and (around / "data.json").exists():
            kind = (json.loads((around / "data.json").read_text()).get("synthetic") or {}).get("setting", "")
    if len({market.columns for market in markets}) > 1:
        raise InputError("the markets have different columns", where="--market", remedy="give markets of one run")
    train, validation = split_markets(markets, choice.train_fraction, choice.validation_fraction)
    names = [market.symbol for market in markets]
    return train, validation, " ".join([*(["SYNTHETIC", kind] if kind else []), *names])
