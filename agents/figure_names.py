"""What the figures of a run are called in TensorBoard, what they mean, and which belong on one chart."""

from __future__ import annotations

from typing import Any

SCORE = "validation/return_log"
"""What chooses the best checkpoint and stops early."""
_EPISODES = "Mean over the episodes that ended in this iteration, sampled with exploration on training days. "
_VALIDATION = "The greedy policy on the validation days. "
_SHARE = "share of the initial capital"

EPISODE = {
    "count": "Episodes that ended in this iteration.",
    "return": "Sum of rewards (in the reward mode `log_equity`: per cent of log equity).",
    "return_log": "ln(final equity / initial capital), net of costs.",
    "equity": "Final equity, settlement currency.",
    "length": "Bars.",
    "bars": "Bars.",
    "trades": "Exits.",
    "trades_per_day": "Exits per 24 hours.",
    "win_rate": "Share of exits with a net profit.",
    "costs": "Fees, half-spreads, impact and funding, settlement currency.",
    "fees": "Settlement currency.",
    "spread_cost": "Given up to the half-spread, settlement currency.",
    "impact_cost": "Given up to impact and latency, settlement currency.",
    "funding": "Paid less received, settlement currency.",
    "max_drawdown": "Largest 1 - equity / peak.",
    "sharpe": "Sharpe ratio of log returns per bar, a year.",
    "sharpe_error": "Standard error of episode/sharpe (Lo 2002), a year.",
    "time_in_market": "Share of this iteration's bars at whose close a position was held.",
    "ambiguous": "Share of exits in bars that touched both barriers.",
    "refused": "Entries refused.",
    "liquidated": "Exits forced by the exchange.",
}
VALIDATION = {
    "return_log": "Mean over the markets of ln(final equity / initial capital), net of costs: what chooses the best "
    "checkpoint and stops early.",
    "trades": "Exits on all markets.",
    "trades_per_day": "Exits per 24 hours and market.",
    "win_rate": "Share of exits with a net profit.",
    "average_win_bps": "Net profit of an exit that won, in basis points of what was traded.",
    "average_loss_bps": "Net result of an exit that did not win, in basis points of what was traded.",
    "fees": f"{_SHARE.capitalize()}.",
    "spread_cost": f"Given up to the half-spread, {_SHARE}.",
    "impact_cost": f"Given up to impact and latency, {_SHARE}.",
    "funding": f"Paid less received, {_SHARE}.",
    "time_in_market": "Share of the bars with a position.",
    "max_drawdown": "Largest 1 - equity / peak.",
    "sharpe": "Sharpe ratio of daily returns, a year.",
    "sharpe_error": "Standard error of validation/sharpe (Lo 2002), a year.",
    "sharpe_low": "validation/sharpe less 1.96 standard errors.",
    "sharpe_high": "validation/sharpe plus 1.96 standard errors.",
}
OTHER = {
    "progress/rows": "Environment steps so far.",
    "scale/runners": "Runners that this iteration's experience came from.",
    "scale/lost_runners": "How often a runner died, since training began. A run with any cannot be repeated bit for "
    "bit.",
    "actions/long_share": "Share of this iteration's decisions that wanted to be long (exploration included).",
    "actions/short_share": "Share of this iteration's decisions that wanted to be short (exploration included).",
    "actions/flat_share": "Share of this iteration's decisions that wanted to be flat (exploration included).",
    "cloning/loss": "What cloning minimised, in its last epoch.",
    "cloning/agreement": "Share of the demonstrated decisions whose side the cloned policy chooses too.",
    "learn/learning_rate": "Adam's step size in this update.",
    "learn/skipped_updates": "Updates undone because a gradient was not finite, since training began; 0 when healthy.",
    "learn/clipped_share": "Share of probability ratios outside the clip range.",
    "learn/kl": "Estimated divergence of the policy from the one that sampled.",
    "speed/sample_seconds": "Stepping the environment and choosing actions. sample + learn + wait = the iteration.",
    "speed/learn_seconds": "The learner's update. sample + learn + wait = the iteration.",
    "speed/wait_seconds": "All the rest: sending weights to the runners, bookkeeping. sample + learn + wait = the "
    "iteration.",
    "speed/sample_rows_per_second": "Environment steps a second while sampling.",
    "speed/learn_rows_per_second": "Rows learned from a second while learning.",
    "speed/rows_per_second": "Environment steps a second over the whole iteration.",
}
DESCRIPTIONS = {
    **{f"episode/{name}": _EPISODES + text for name, text in EPISODE.items()},
    **{f"validation/{name}": _VALIDATION + text for name, text in VALIDATION.items()},
    **OTHER,
}


def layout() -> dict[str, Any]:
    """The tab CUSTOM SCALARS: what is read together stands on one chart."""

    def lines(*tags: str) -> list[Any]:
        return ["Multiline", [f"^{tag}$" for tag in tags]]

    costs = ("fees", "spread_cost", "impact_cost", "funding")
    return {
        "Profit": {
            "Net log return of the validation days": lines(SCORE),
            "Net log return of a training episode": lines("episode/return_log"),
            "Sharpe a year on validation days, with 95 % interval": [
                "Margin",
                ["validation/sharpe", "validation/sharpe_low", "validation/sharpe_high"],
            ],
            "Largest drawdown": lines("episode/max_drawdown", "validation/max_drawdown"),
            "Costs on validation days, share of the initial capital": lines(*(f"validation/{name}" for name in costs)),
        },
        "Trades": {
            "Trades a day": lines("episode/trades_per_day", "validation/trades_per_day"),
            "Win rate": lines("episode/win_rate", "validation/win_rate"),
            "Average win and loss on validation days, bps": lines(
                "validation/average_win_bps", "validation/average_loss_bps"
            ),
            "Time in market": lines("episode/time_in_market", "validation/time_in_market"),
            "Wanted side": lines(*(f"actions/{side}_share" for side in ("long", "short", "flat"))),
        },
        "Speed": {
            "Seconds of an iteration": lines(*(f"speed/{part}_seconds" for part in ("sample", "learn", "wait"))),
        },
    }
