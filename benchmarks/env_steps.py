"""Steps a second of the scalar and the vector environment, against other environments and the bound.

    python -m benchmarks.peers.setup     # once: the other environments, in an environment of their own
    python -m benchmarks.env_steps --bars 500000 --lanes 1024

One SYNTHETIC market with random features, the same bars and features for everybody, random actions drawn beforehand (a
new one at each step: the hardest case for the branch predictor), one thread, no wrappers. Everything is timed in turns,
in processor time (but for gym-trading-env's asynchronous vectors, whose work is in other processes: wall time), and the
medians over the rounds of the ratios within a round count. Ours trades with every cost on, in episodes of a day with
their resets; the peers' episodes are endless, which favours them: a reset of gym-trading-env costs milliseconds.

    single_vs_PEER   our scalar env over the peer's
    vector_vs_PEER   our vector env, writing into given arrays, over the fastest form of the peer: one env, synchronous
                     or asynchronous vectors
    vector_vs_gather_bound   our vector env over a compiled loop that only copies each lane's next row into the output:
                     no environment that shows a policy its observation can be faster. The same over a loop that asks
                     for rows ahead of time, as the env does, is `vector_vs_prefetched_gather`
    single_vs_gym_trading_env_daily   episodes of a day for both, resets included
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from numba import njit

from benchmarks.peers.client import DEFAULT_FOLDER, Peer
from data_pipeline.config import SyntheticConfig
from data_pipeline.errors import InputError
from data_pipeline.instruments import default_instrument
from data_pipeline.schema import bar_arrays
from data_pipeline.synthetic import synthetic_market
from envs.backtest import Backtest
from envs.config import MarketConfig
from envs.env import ScalpingEnv
from envs.market import Market
from envs.prefetch import prefetch_row
from envs.vector_env import ScalpingVectorEnv

DAY_BARS = 1_440


@dataclass(frozen=True)
class Args:
    """Benchmark of the environments."""

    bars: int = 500_000
    """Bars of the market."""
    features: int = 64
    """Observation columns besides the account's."""
    lanes: int = 1_024
    """Lanes of the vector env."""
    vector_steps: int = 400
    """Steps of the vector env in a round."""
    single_steps: int = 20_000
    """Steps of the scalar env in a round."""
    rounds: int = 9
    """Rounds, everything once in each."""
    peer_steps: int = 5_000
    """Env steps of a peer in a round, over all its lanes."""
    peer_vector_bars: int = 100_000
    """Bars of the peers' vectors, each of whose lanes copies all of them."""
    peers: Path = DEFAULT_FOLDER
    """Where `benchmarks.peers.setup` put the peers."""
    without_peers: bool = False
    """Leave the peers out."""


@njit(cache=False, nogil=True, _nrt=False)
def gather(features: np.ndarray, rows: np.ndarray, out: np.ndarray, ahead: int) -> None:
    """Copy each lane's row and move it on; asks for rows `ahead` lanes early where that is positive."""
    for i in range(rows.shape[0]):
        if 0 < ahead < rows.shape[0] - i:
            prefetch_row(features, rows[i + ahead])
        row, lane = np.uint64(rows[i]), np.uint64(i)
        for j in range(np.uint64(features.shape[1])):
            out[lane, j] = features[row, j]
        rows[i] += 1


def build_market(args: Args) -> Market:
    bars = bar_arrays(synthetic_market(SyntheticConfig(bars=args.bars)).bars)
    observations = np.random.default_rng(0).standard_normal((args.bars, args.features), dtype=np.float32)
    names = tuple(f"x{k}" for k in range(args.features))
    return Market.build(bars, observations, names, default_instrument("SYN"))


def rate(units: int, work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return units / (time.process_time() - start)


def contenders(args: Args, market: Market) -> dict[str, Callable[[], float]]:
    """One function for each thing of ours that is timed, giving its rate."""
    rng = np.random.default_rng(1)
    actions = [rng.integers(0, 3, args.lanes) for _ in range(64)]
    single_actions = rng.integers(0, 3, args.single_steps).tolist()
    config = MarketConfig(stop_out_fraction=0.01)
    vector, single = ScalpingVectorEnv(args.lanes, market, config), ScalpingEnv(market, config)
    vector.reset(seed=0, options={"stagger": True})
    observations, rewards, terminated, truncated, _ = vector.step(actions[0])
    orders = np.tile([0.0, 30.0, 20.0, 60.0, np.inf], (args.bars, 1, 1))
    orders[:, 0, 0] = np.repeat(rng.choice([-1.0, 0.0, 1.0], args.bars // 20 + 1), 20)[: args.bars]
    backtest = Backtest(market, config)
    rows = vector.num_envs * args.vector_steps

    def vector_fresh() -> None:
        for step in range(args.vector_steps):
            vector.step(actions[step & 63])

    def vector_in_place() -> None:
        for step in range(args.vector_steps):
            vector.step_into(actions[step & 63], observations, rewards, terminated, truncated)

    def gathered(ahead: int) -> float:
        places = rng.integers(0, args.bars - args.vector_steps, args.lanes)

        def work() -> None:
            for _ in range(args.vector_steps):
                gather(market.observations, places, observations, ahead)

        return rate(rows, work)

    def alone() -> None:
        single.reset(seed=0)
        for action in single_actions:
            _, _, over, cut, _ = single.step(action)
            if over or cut:
                single.reset()

    return {
        "single": lambda: rate(args.single_steps, alone),
        "vector_fresh": lambda: rate(rows, vector_fresh),
        "vector": lambda: rate(rows, vector_in_place),
        "gather": lambda: gathered(0),
        "prefetched_gather": lambda: gathered(32),
        "replay": lambda: rate(args.bars, lambda: backtest.replay(orders)),
    }


def peers(args: Args, peer: Peer, folder: str) -> dict[str, Callable[[], float]]:
    """One function for each form of each peer."""
    forms = [("gym_trading_env", "single", 1, "max"), ("gym_trading_env", "single", 1, DAY_BARS)]
    forms += [("gym_trading_env", form, lanes, "max") for form in ("sync", "async") for lanes in (2, 4, 8)]
    forms += [("gym_anytrading", "single", 1, "max")]
    forms += [("gym_anytrading", "sync", lanes, "max") for lanes in (8, 64)]
    found = {}
    for name, form, lanes, episode_bars in forms:
        bars = args.bars if lanes == 1 else min(args.bars, args.peer_vector_bars)
        daily = "_daily" if episode_bars == DAY_BARS else ""
        found[f"{name}_{form}{lanes if lanes > 1 else ''}{daily}"] = partial(
            peer.ask,
            "gym_environments",
            "steps_per_s",
            peer=name,
            folder=folder,
            bars=bars,
            steps=args.peer_steps // lanes,
            form=form,
            lanes=lanes,
            episode_bars=episode_bars,
        )
    return found


def main(args: Args) -> int:
    market = build_market(args)
    with ExitStack() as stack:
        others: dict[str, Callable[[], float]] = {}
        if not args.without_peers:
            peer = stack.enter_context(Peer(args.peers))
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            np.save(f"{folder}/prices.npy", market.prices[:, :5])
            np.save(f"{folder}/features.npy", market.observations)
            others = peers(args, peer, folder)
        everything = contenders(args, market) | others
        for work in everything.values():
            work()
        rates: dict[str, list[float]] = {name: [] for name in everything}
        for _ in range(args.rounds):
            for name, work in everything.items():
                rates[name].append(work())
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"{name:28s} {medians[name] / 1e6:8.3f} M/s  [{min(values) / 1e6:.3f} .. {max(values) / 1e6:.3f}]")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")

    def versus(one: str, other: str) -> float:
        """Median over the rounds of the ratio within a round: what drifts in between does not count."""
        return round(statistics.median(a / b for a, b in zip(rates[one], rates[other], strict=True)), 3)

    result: dict[str, float | str] = {}
    for name in ("gym_trading_env", "gym_anytrading") if others else ():
        best = max((form for form in others if form.startswith(name)), key=medians.__getitem__)
        result[f"single_vs_{name}"] = versus("single", f"{name}_single")
        result[f"vector_vs_{name}"] = versus("vector", best)
        result[f"best_{name}"] = best
    if others:
        result["single_vs_gym_trading_env_daily"] = versus("single", "gym_trading_env_single_daily")
    result |= {
        "vector_vs_gather_bound": versus("vector", "gather"),
        "vector_vs_prefetched_gather": versus("vector", "prefetched_gather"),
        "single_steps_per_s": round(medians["single"]),
        "vector_steps_per_s": round(medians["vector"]),
        "vector_fresh_steps_per_s": round(medians["vector_fresh"]),
        "gather_rows_per_s": round(medians["gather"]),
        "replay_bars_per_s": round(medians["replay"]),
        "lanes": args.lanes,
        "features": args.features,
        "bars": args.bars,
    }
    print("RESULT " + json.dumps(result))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(tyro.cli(Args, description=__doc__)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
