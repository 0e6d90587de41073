"""Settings of a training run. Nothing heavy is imported here: a command line asks for help in well under a second."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from data_pipeline.errors import InputError

AlgorithmName = Literal["ppo", "ddpg"]
Engine = Literal["batched", "rllib"]
PresetName = Literal["ppo", "ddpg", "td3"]
NoiseKind = Literal["gaussian", "ou"]
DemonstrationSource = Literal["none", "rule", "foresight"]
EncoderKind = Literal["mlp", "gru", "lstm", "window"]
AgentPrecision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class PPOSettings:
    """Proximal policy optimisation (Schulman et al. 2017) with generalised advantage estimation."""

    learning_rate: float = 1e-3
    """Adam's step size at the start of training."""
    learning_rate_final: float = 1e-4
    """Its value at the end; linear in between."""
    epochs: int = 4
    """Passes over each fragment of experience."""
    minibatch: int = 4096
    """Rows per gradient step, of all learners; a fragment is cut into round(rows / minibatch) equal parts."""
    clip: float = 0.2
    """The probability ratio is clipped to [1 - clip, 1 + clip]."""
    gae_lambda: float = 0.95
    """Weight of long against short advantage estimates, in [0, 1]."""
    entropy: float = 0.03
    """Weight of the entropy bonus at the start. Fees make early trading lose: without a bonus the policy goes flat
    before it has learned which trades pay."""
    entropy_final: float = 0.001
    """Its value at the end; linear in between."""
    value_weight: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Each optimizer's gradient norm is clipped to this."""
    flat_bias: float = 2.0
    """Initial logit of "flat" (discrete modes): an untrained greedy policy stays out."""
    hold_bias: float = 4.0
    """Initial logit of the side that is held (discrete modes). A random policy that flips its position every bar pays
    fees for it and learns to stay out before it has held a position long enough to see it pay."""
    hold_mean: float = 0.8
    """The same for continuous actions: initial mean size while a position is held."""
    log_std: float = -0.5
    """Initial log standard deviation of Gaussian actions, in units of half the action range."""


@dataclass(frozen=True)
class DDPGSettings:
    """Deterministic policy gradient (Lillicrap et al. 2015) with the options of TD3 (Fujimoto et al. 2018)."""

    actor_learning_rate: float = 1e-3
    """Adam's step size for the policy at the start of training."""
    critic_learning_rate: float = 1e-3
    """Adam's step size for the critics at the start."""
    learning_rate_final: float = 1e-4
    """Value of both at the end; linear in between. Rates that stay leave the policy wandering between good and bad."""
    batch: int = 256
    """Transitions per gradient step, of all learners."""
    updates: int = 256
    """Gradient steps after each fragment of experience."""
    replay_rows: int = 400_000
    """Transitions the replay ring holds (rounded down to whole rows of all lanes)."""
    replay_megabytes: int = 0
    """Memory the ring may take in MiB, if that is less; 0 sets no limit."""
    n_step: int = 1
    """Rewards summed before the critic's value continues a return."""
    priority_exponent: float = 0.0
    """Transitions are drawn in proportion to their last TD error to this power (Schaul et al. 2016: 0.6); 0 draws
    uniformly."""
    importance_exponent: float = 0.4
    """Strength of the weights that undo what drawing by priority biases, at the start; it grows linearly to 1."""
    tau: float = 0.02
    """Share of the live weights mixed into the target weights after each policy step."""
    twin_critics: bool = False
    """Learn from the smaller of two critics (TD3)."""
    policy_delay: int = 1
    """Critic steps per policy step (TD3: 2, DDPG: 1)."""
    target_noise: float = 0.0
    """Standard deviation of the smoothing noise on the target action (TD3: 0.2, DDPG: 0)."""
    target_noise_clip: float = 0.5
    """Bound of that noise."""
    noise: float = 0.5
    """Standard deviation of exploration noise at the start, in units of half the action range."""
    noise_final: float = 0.1
    """Its value at the end of the decay."""
    noise_kind: NoiseKind = "gaussian"
    """gaussian (new at every bar), or ou: Ornstein-Uhlenbeck, which keeps its sign for a while, so that exploration
    holds positions instead of flipping them."""
    noise_reversion: float = 0.15
    """How fast Ornstein-Uhlenbeck noise forgets, per bar; its memory is about 1 / this many bars."""
    noise_decay: float = 0.6
    """Share of training over which exploration falls linearly, in (0, 1]."""
    hold_mean: float = 2.0
    """Initial output, before tanh, while a position is held: an untrained policy keeps what it holds."""
    warmup_rows: int = 20_000
    """Transitions collected with uniform actions before learning starts."""
    max_grad_norm: float = 10.0
    """Each optimizer's gradient norm is clipped to this."""

    def __post_init__(self) -> None:
        for name in ("batch", "updates", "policy_delay", "n_step"):
            value = getattr(self, name)
            _require(value >= 1, f"ddpg.{name}={value}", "choose at least 1")
        for name in ("replay_megabytes", "priority_exponent", "target_noise", "target_noise_clip"):
            value = getattr(self, name)
            _require(value >= 0, f"ddpg.{name}={value}", "choose 0 or more")
        for name in ("tau", "noise_decay"):
            value = getattr(self, name)
            _require(0.0 < value <= 1.0, f"ddpg.{name}={value}", "choose it in (0, 1]")
        _require(self.noise_kind in ("gaussian", "ou"), f"ddpg.noise_kind={self.noise_kind!r}", "use gaussian or ou")
        value = self.noise_reversion
        _require(value > 0.0, f"ddpg.noise_reversion={value}", "choose a positive value")
        value = self.importance_exponent
        _require(0.0 <= value <= 1.0, f"ddpg.importance_exponent={value}", "choose it in [0, 1]")


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the networks, of policy and value alike. `PolicySpec` carries it to where a policy serves."""

    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers."""
    encoder: EncoderKind = "mlp"
    """What is made of the market's columns before the hidden layers: nothing (mlp), a memory of the bars so far (gru,
    lstm), or causal filters over the last bars (window)."""
    encoder_width: int = 32
    """Numbers that the encoder hands on for each bar; also the size of a gru's or lstm's memory."""
    window: int = 16
    """Bars that the window encoder sees, the current one included; a power of two."""
    shared_trunk: bool = False
    """Policy and value share their hidden layers (ppo)."""
    normalise: bool = False
    """Scale market columns by their running mean and deviation. Scaled markets do not need it."""
    mask_actions: bool = False
    """Never choose what the environment's `action_masks` rule out (discrete and multi-discrete actions)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))  # a list where it was read from JSON
        _require(bool(self.hidden) and min(self.hidden) > 0, f"network.hidden={self.hidden}", "give positive widths")
        kinds = ("mlp", "gru", "lstm", "window")
        _require(self.encoder in kinds, f"network.encoder={self.encoder!r}", f"use {', '.join(kinds)}")
        _require(self.encoder_width >= 1, f"network.encoder_width={self.encoder_width}", "choose at least 1")
        power = self.window >= 2 and self.window & (self.window - 1) == 0
        _require(power, f"network.window={self.window}", "use a power of two, 2 or more")


@dataclass(frozen=True)
class ScaleSettings:
    """On how many processes and machines a run learns, and in what precision."""

    learners: int = 0
    """Ray actors that learn, each from its share of every batch; 0 learns in the training process."""
    address: str = ""
    """Ray cluster to train on: auto (the one this machine is part of) or host:port; empty stays on this machine."""
    precision: AgentPrecision = "float32"
    """What learners compute matrix products in: float32, bfloat16 (weights, moments and losses stay float32), or auto,
    which is bfloat16 where the device is made for it."""

    def __post_init__(self) -> None:
        _require(self.learners >= 0, f"scale.learners={self.learners}", "choose 0 or more")
        known = ("auto", "float32", "bfloat16")
        _require(self.precision in known, f"scale.precision={self.precision!r}", f"use {', '.join(known)}")
        host, colon, port = self.address.rpartition(":")
        _require(
            self.address in ("", "auto") or (bool(host and colon) and port.isdecimal()),
            f"scale.address={self.address!r}",
            "use auto or host:port",
        )


@dataclass(frozen=True)
class EarlyStop:
    """When the validation days say that training has done its work."""

    patience: int = 0
    """Validations in a row without an improvement after which training ends; 0 = never."""
    min_improvement: float = 0.0
    """Net log return by which a validation must beat the best before it to count as an improvement."""

    def __post_init__(self) -> None:
        _require(self.patience >= 0, f"early_stop.patience={self.patience}", "choose 0 or more")
        least = self.min_improvement
        _require(0.0 <= least < math.inf, f"early_stop.min_improvement={least}", "choose 0 or more")


@dataclass(frozen=True)
class MonitorSettings:
    """How often TensorBoard gets what costs more than a number."""

    histogram_every: int = 5
    """Iterations between histograms of the actions; 0 = never."""
    picture_every: int = 1
    """Validations between pictures of the equity on the validation days; 0 = never."""

    def __post_init__(self) -> None:
        for name in ("histogram_every", "picture_every"):
            value = getattr(self, name)
            _require(value >= 0, f"monitor.{name}={value}", "choose 0 or more")


@dataclass(frozen=True)
class CloningSettings:
    """A start from demonstrations on the training days instead of from nothing (see `agents.cloning`)."""

    source: DemonstrationSource = "none"
    """none, rule (the best threshold rule found on the training days) or foresight (what would have been best there,
    known only afterwards)."""
    rows: int = 100_000
    """Decisions that are demonstrated, over all lanes."""
    epochs: int = 10
    """Passes over them."""
    batch: int = 1024
    """Decisions per gradient step."""
    learning_rate: float = 1e-3
    """Adam's step size at the start of cloning; it falls linearly to a tenth."""
    critic_rows: int = 20_000
    """Rows sampled after cloning during which only the critic learns, so that the policy's first steps are not led by
    one that knows nothing."""

    def __post_init__(self) -> None:
        known = ("none", "rule", "foresight")
        _require(self.source in known, f"cloning.source={self.source!r}", f"use {', '.join(known)}")
        for name in ("rows", "epochs", "batch"):
            value = getattr(self, name)
            _require(value >= 1, f"cloning.{name}={value}", "choose at least 1")
        _require(self.critic_rows >= 0, f"cloning.critic_rows={self.critic_rows}", "choose 0 or more")
        _require(0.0 < self.learning_rate < 1.0, f"cloning.learning_rate={self.learning_rate}", "choose it in (0, 1)")


@dataclass(frozen=True)
class AgentConfig:
    """One training run; `agent_preset` returns values that suit each algorithm."""

    algorithm: AlgorithmName = "ppo"
    """ppo takes any action mode, ddpg continuous actions only."""
    engine: Engine = "batched"
    """batched: our runner and learner; rllib: RLlib's own, for reference: ppo on the CPU with one learner and plain
    networks, no cloning; resumed runs begin new episodes."""
    iterations: int = 150
    """Rounds of sampling one fragment and learning from it."""
    lanes: int = 256
    """Accounts that each runner steps side by side."""
    fragment: int = 64
    """Bars each lane moves in one iteration."""
    gamma: float = 0.98
    """Discount per bar; 0.98 looks about 50 bars ahead, the life of a scalping trade."""
    seed: int = 0
    """Of weights, exploration, minibatches and lanes: same seed and config give the same weights on the CPU."""
    device: str = "auto"
    """Where the learner computes: auto, cpu, cuda[:i] or xpu[:i]."""
    runner_device: str = "same"
    """Where the runners compute actions: same (as the learner), cpu, ..."""
    torch_threads: int = 1
    """Threads of one torch operation; 0 leaves torch's own choice."""
    num_env_runners: int = 0
    """Ray actors that sample; 0 samples in the training process."""
    checkpoint_every: int = 20
    """Iterations between checkpoints; the last iteration always writes one."""
    checkpoints_kept: int = 2
    """Newest checkpoints kept besides the best."""
    validate_every: int = 20
    """Iterations between backtests on the validation market; 0 = never."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Shape of the networks."""
    ppo: PPOSettings = field(default_factory=PPOSettings)
    """Used by ppo."""
    ddpg: DDPGSettings = field(default_factory=DDPGSettings)
    """Used by ddpg."""
    scale: ScaleSettings = field(default_factory=ScaleSettings)
    """Learners, cluster and precision."""
    early_stop: EarlyStop = field(default_factory=EarlyStop)
    """Off unless patience is set."""
    cloning: CloningSettings = field(default_factory=CloningSettings)
    """Off unless a source is named."""
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    """Histograms and pictures in TensorBoard."""

    def __post_init__(self) -> None:
        _require(self.algorithm in ("ppo", "ddpg"), f"algorithm={self.algorithm!r}", "use ppo or ddpg")
        self._require_what_rllib_can()
        _require(0.0 <= self.gamma < 1.0, f"gamma={self.gamma}", "choose it in [0, 1)")
        for holder, prefix, names in (
            (self, "", ("iterations", "lanes", "fragment", "checkpoint_every", "checkpoints_kept")),
            (self.ppo, "ppo.", ("epochs", "minibatch")),
        ):
            for name in names:
                value = getattr(holder, name)
                _require(value >= 1, f"{prefix}{name}={value}", "choose at least 1")
        for name in ("num_env_runners", "torch_threads", "validate_every"):
            value = getattr(self, name)
            _require(value >= 0, f"{name}={value}", "choose 0 or more")
        _require(
            self.algorithm != "ddpg" or self.network.encoder in ("mlp", "window"),
            f"network.encoder={self.network.encoder!r} with ddpg",
            "use mlp or window, or ppo",
        )
        _require(
            self.algorithm != "ddpg" or not self.network.mask_actions,
            "network.mask_actions with ddpg, whose actions are continuous",
            "unset it, or use ppo",
        )
        lanes, learners = self.lanes * max(1, self.num_env_runners), max(1, self.scale.learners)
        for name, value in (
            ("lanes of all runners", lanes),
            ("ppo.minibatch", self.ppo.minibatch),
            ("ddpg.batch", self.ddpg.batch),
        ):
            _require(value % learners == 0, f"{name}: {value} for {learners} learners", "choose a multiple of them")
        _require(
            self.early_stop.patience == 0 or self.validate_every > 0,
            "early_stop.patience without validations",
            "set validate_every",
        )
        _require(
            self.algorithm != "ddpg" or self.ddpg.replay_rows // lanes > self.fragment,
            f"ddpg.replay_rows={self.ddpg.replay_rows} holds less than one fragment of {lanes} lanes",
            "raise ddpg.replay_rows, or lower lanes or fragment",
        )

    def _require_what_rllib_can(self) -> None:
        _require(self.engine in ("batched", "rllib"), f"engine={self.engine!r}", "use batched or rllib")
        remedy = "use the batched engine"
        for holds, what in (
            (self.algorithm == "ppo", f"algorithm={self.algorithm!r}"),
            (self.network.encoder == "mlp", f"network.encoder={self.network.encoder!r}"),
            (not self.network.normalise, "network.normalise"),
            (not self.network.mask_actions, "network.mask_actions"),
            (self.cloning.source == "none", f"cloning.source={self.cloning.source!r}"),
            (self.scale.learners == 0, f"scale.learners={self.scale.learners}"),
            (self.scale.precision in ("float32", "auto"), f"scale.precision={self.scale.precision!r}"),
        ):
            _require(self.engine == "batched" or holds, f"{what} with engine='rllib'", remedy)

    @property
    def rows_per_iteration(self) -> int:
        """Environment steps of one iteration, over all lanes and runners."""
        return self.lanes * self.fragment * max(1, self.num_env_runners)


def agent_preset(name: PresetName, **changes: Any) -> AgentConfig:
    """Values that learn the planted edge of the synthetic market in about a minute of CPU.

    Args:
        name: "ppo", "ddpg", or "td3": DDPG with twin critics, a delayed policy and target smoothing.
        changes: fields of `AgentConfig` that differ from the preset.
    """
    base = AgentConfig(algorithm="ppo" if name == "ppo" else "ddpg")
    if name != "ppo":
        base = replace(base, fragment=16, iterations=120)
    if name == "td3":
        base = replace(base, ddpg=replace(base.ddpg, twin_critics=True, policy_delay=2, target_noise=0.2))
    return replace(base, **changes)


def _require(holds: bool, what: str, remedy: str) -> None:
    if not holds:
        raise InputError(what, where="AgentConfig", remedy=remedy)
