"""The report's numbers for a terminal and for a file. Both read the same `Summary` as the page."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from envs.sharpe import SharpeEstimate
from evaluation.account import AccountSummary
from evaluation.formats import p_equals, percent, share, signed
from evaluation.intervals import Interval
from evaluation.report_data import ReportData, SectionSummary
from evaluation.signal_quality import FeatureQuality, PredictionQuality


def summary_table(data: ReportData) -> Table:
    """The policy beside its baselines, a block for each symbol and one for all together, within 80 columns.

    Under a net return stands its 95 % interval, under a Sharpe ratio its standard error.
    """
    summary = data.summary
    label = "SYNTHETIC · " if data.synthetic else ""
    table = Table(title=f"{label}{data.title} · {data.policy}", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("")
    for name in ("net return", "Sharpe/yr", "drawdown", "trades", "costs"):
        table.add_column(name, justify="right", no_wrap=True)
    sections = [summary.overall] if len(summary.sections) == 1 else [summary.overall, *summary.sections]
    for section in sections:
        _add_section(table, section)
    return table


def _add_section(table: Table, section: SectionSummary) -> None:
    table.add_section()
    table.add_row(*_row(section.policy, f"{section.title} {section.policy.name.lower()}"), style="bold")
    unclear = section.ambiguity
    if unclear.ambiguous:
        table.add_row(f"Other bound\n({share(unclear.share, 1)} of exits)", percent(unclear.other_return))
    for account in section.baselines:
        table.add_row(*_row(account, account.name))
    random = section.random
    reach = f"{percent(random.low)} to {percent(random.high)}"
    table.add_row(f"Random entries\n({p_equals(random.p_value)})", f"{percent(random.median)}\n{reach}")


def _row(account: AccountSummary, name: str) -> tuple[str, ...]:
    net, sharpe = account.net_return, account.sharpe
    unknown = math.isnan(net.low)
    return (
        name,
        percent(net.value) + ("" if unknown or account.trades == 0 else f"\n{percent(net.low)} to {percent(net.high)}"),
        signed(sharpe.annual, 2)
        + ("" if math.isnan(sharpe.standard_error) else f"\n± {sharpe.annual_standard_error:.2f}"),
        share(account.drawdown.depth, 2),
        f"{account.trades:,}",
        share(account.paid, 2),
    )


def summary_dict(data: ReportData) -> dict[str, Any]:
    """Every number of the report as plain JSON values (NaN and infinity become None), for summary.json."""
    summary = data.summary
    seeds = summary.seeds
    found: dict[str, Any] = {
        "title": data.title,
        "policy": data.policy,
        "synthetic": data.synthetic or None,
        "seen": data.seen or None,
        "verdict": summary.verdict,
        "rule": data.rule.sentence(),
        "deflated_sharpe": summary.deflated_sharpe,
        "expected_maximum_sharpe_annual": summary.expected_maximum_sharpe,
        "trials": summary.trials,
        "overall": _section_dict(summary.overall),
        "symbols": {
            symbol.symbol: _section_dict(section)
            | {
                "predictions": [_prediction_dict(quality) for quality in symbol.predictions],
                "simple_predictions": [_prediction_dict(quality) for quality in symbol.simple],
                "features": _features_dict(symbol.features),
                "data_quality": symbol.data_quality,
            }
            for symbol, section in zip(data.symbols, summary.sections, strict=True)
        },
        "seeds": None
        if seeds is None
        else {
            "net_return": seeds.net_return,
            "sharpe_annual": seeds.sharpe,
            "probability_of_overfitting": seeds.overfitting.probability if seeds.overfitting else None,
            "rows": [{"seed": row.seed, "chosen": row.chosen, **_account_dict(row.summary)} for row in seeds.rows],
        },
        "provenance": data.provenance,
    }
    return _plain(found)


def _section_dict(section: SectionSummary) -> dict[str, Any]:
    random = section.random
    return {
        "policy": _account_dict(section.policy),
        "baselines": {account.name: _account_dict(account) for account in section.baselines},
        "notes": section.notes,
        "ambiguous_exits": {**_plain(section.ambiguity), "share": section.ambiguity.share},
        "random_entries": {
            name: getattr(random, name) for name in ("lanes", "median", "low", "high", "percentile", "p_value")
        },
    }


def _account_dict(account: AccountSummary) -> dict[str, Any]:
    return {field.name: getattr(account, field.name) for field in fields(account) if field.name != "name"} | {
        "days": account.days,
        "paid": account.paid,
    }


def _prediction_dict(quality: PredictionQuality) -> dict[str, Any]:
    return {field.name: getattr(quality, field.name) for field in fields(quality) if field.name != "calibration"}


def _features_dict(features: FeatureQuality | None) -> dict[str, Any] | None:
    if features is None:
        return None
    rows = zip(features.names, features.ic, features.q_value, features.coverage, strict=True)
    return {
        "horizon": features.horizon,
        "ic": {name: {"ic": ic, "q_value": q, "coverage": coverage} for name, ic, q, coverage in rows},
    }


def _plain(value: Any) -> Any:
    """`value` as JSON types; intervals become [value, low, high, n], Sharpe estimates gain their annual numbers."""
    if isinstance(value, Interval):
        return {"value": _plain(value.value), "low": _plain(value.low), "high": _plain(value.high), "n": value.n}
    if isinstance(value, SharpeEstimate):
        own = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        annual = {"annual": value.annual, "annual_standard_error": value.annual_standard_error}
        return own | {name: _plain(number) for name, number in annual.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
