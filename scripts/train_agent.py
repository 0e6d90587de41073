"""Train one policy on saved markets, or on the SYNTHETIC one; the days after the validation days stay unseen.

    python -m scripts.train_agent --synthetic planted_edge --iterations 40 --out runs/agent
    python -m scripts.train_agent --market runs/btc --preset td3 --early-stop.patience 5 --out runs/btc-td3
    python -m scripts.train_agent --market runs/btc --cloning.source rule --out runs/btc-cloned
    python -m scripts.train_agent --market runs/btc --config runs/btc-tuned/best.json --out runs/btc-best
    python -m scripts.train_agent --market runs/btc --out runs/btc-agent --num-env-runners 8 --scale.address auto

Every setting of the agent is an option, those of the market's rules are under --rules. Ctrl-C lets the iteration end
and writes a checkpoint; the same command with --resume goes on. Watch it with `tensorboard --logdir runs`; judge the
policy on days it has not seen with `python -m scripts.evaluate_policy`.

Exit codes: 0 trained; 1 more than half of the updates had to be undone; 2 unusable input; 130 interrupted.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, get_args

import tyro

from agents.config import AgentConfig, PresetName, agent_preset
from data_pipeline.errors import InputError
from envs.config import MarketConfig
from evaluation.tuning_config import MarketChoice
from scripts.cli import run


@dataclass(frozen=True)
class Args:
    """What to train, on which days."""

    markets: Annotated[MarketChoice, tyro.conf.arg(name="")] = field(default_factory=MarketChoice)
    """Training and validation days."""
    preset: PresetName = "ppo"
    """Whose values the agent's settings have unless they are given."""
    config: Path | None = None
    """Settings of agent and rules in a file (best.json of a search, settings.json of a run) in place of a preset."""
    agent: Annotated[AgentConfig, tyro.conf.arg(name="")] = field(default_factory=AgentConfig)
    """The agent."""
    rules: MarketConfig = field(default_factory=MarketConfig)
    """The market's rules."""
    out: Path = Path("runs/agent")
    """Folder of the run."""
    resume: bool = False
    """Go on with the run in --out."""


def main(args: Args) -> int:
    """Train, and print where what is."""
    from rich.console import Console

    from evaluation.agent_training import train_policy

    args.markets.check()
    console = Console()
    summary = train_policy(args.markets, args.rules, args.agent, args.out, resume=args.resume, console=console)
    console.print(f"\n{summary['why']}", style="bold")
    best = summary["best"]
    if "validation/return_log" in best:
        console.print(f"best on the validation days: log return {best['validation/return_log']:+.4f} net of costs")
    console.print(
        f"checkpoint  {best['checkpoint']}\nsummary     {args.out / 'summary.json'}\n"
        f"TensorBoard tensorboard --logdir {args.out}",
        highlight=False,
        soft_wrap=True,
    )
    return 0 if summary["healthy"] else 1


def defaults(words: list[str]) -> Args:
    """What options have unless given: the values of --preset, or those in the file of --config, among `words`."""

    def value(option: str) -> str | None:
        for word, following in zip(words, [*words[1:], ""], strict=True):
            if word == option or word.startswith(f"{option}="):
                return word.partition("=")[2] or following
        return None

    file, preset = value("--config"), value("--preset")
    if file is not None:
        from agents.config_files import read_settings

        if preset is not None:
            raise InputError("--preset and --config both name settings", remedy="give one of them")
        agent, rules = read_settings(Path(file))
        return Args(agent=agent, rules=rules)
    names: tuple[PresetName, ...] = get_args(PresetName)
    agent = agent_preset(next((name for name in names if name == preset), "ppo"))  # what is no preset, tyro refuses
    mode = "discrete" if agent.algorithm == "ppo" else "continuous"
    return Args(agent=agent, rules=replace(MarketConfig(), action_mode=mode))  # type: ignore[arg-type]


def main_cli() -> int:
    """Entry point of `python -m scripts.train_agent`."""
    return run(Args, main, __doc__, defaults=defaults)


if __name__ == "__main__":
    sys.exit(main_cli())
