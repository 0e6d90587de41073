"""DDPG with the options of TD3 (twin critics, delayed policy, target smoothing) on RLlib's new API stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import TargetNetworkAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from agents.algorithm import BatchedAlgorithm, BatchedConfig
from agents.config import DDPGSettings, NetworkConfig
from agents.ddpg_module import DDPGModule
from agents.exploration import scale_after
from agents.flat_adam import FlatAdam
from agents.learner import GuardedLearner, to_device
from agents.replay import ReplayRing, ring_steps
from data_pipeline.errors import InputError

REPLAY = "replay"
POLICY, CRITICS = "policy", "critics"  # optimizers
DISCOUNTS, WEIGHTS = "discounts", "weights"  # columns of the replay besides RLlib's


class DDPGLearner(GuardedLearner):
    """Squared Bellman error for the critics, their value for the policy, soft updates of the targets.

    One batch holds the rows of several gradient steps, one after another.

    Attributes:
        td_errors: float32 (rows,), size of the last update's TD errors in the order of its rows, averaged over the
            critics; empty unless rows are drawn by priority.
    """

    td_errors: NDArray[np.float32]

    figure_names = ("critic_loss", "policy_value", "q_mean")
    observed = Columns.OBS

    def build(self) -> None:
        super().build()
        self._critic_steps = 0
        self._policy_moves = True
        self._errors: list[torch.Tensor] = []
        pairs = self._net.get_target_network_pairs()
        self._sources = [parameter for live, _ in pairs for parameter in live.parameters()]
        self._targets = [parameter for _, target in pairs for parameter in target.parameters()]

    @classmethod
    def rl_module_required_apis(cls) -> list[type]:
        return [TargetNetworkAPI]

    def _make_module(self) -> Any:
        module = super()._make_module()
        module[DEFAULT_MODULE_ID].make_target_networks()
        return module

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        net = self._net
        for name, part, rate in (
            (POLICY, net.pi, self.config.actor_lr),
            (CRITICS, torch.nn.ModuleList([net.critics, net.perception]), self.config.critic_lr),
        ):
            optimizer = FlatAdam(part, lr=rate)
            self.register_optimizer(
                module_id=module_id, optimizer_name=name, optimizer=optimizer, params=[optimizer.flat]
            )

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Set the learning rates of this update, and decide whether the policy moves in it, or is left to a critic that
        still has to learn."""
        super().before_gradient_based_update(timesteps=timesteps)
        config, sampled = self.config, timesteps[NUM_ENV_STEPS_SAMPLED_LIFETIME]
        self._policy_moves = sampled > config.policy_after_rows
        for name, rate in ((POLICY, config.actor_lr), (CRITICS, config.critic_lr)):
            for group in self.get_optimizer(DEFAULT_MODULE_ID, name).param_groups:
                group["lr"] = scale_after(sampled, config.schedule_rows, rate, config.lr_final)

    def minibatches(self, columns: dict[str, NDArray[Any]]) -> Iterator[dict[str, torch.Tensor]]:
        """Cut the rows into gradient steps and draw the noise of the target actions."""
        config, device = self.config, self._device
        shape = columns[Columns.ACTIONS].shape
        noise = self._rng.standard_normal(shape, dtype=np.float32) * np.float32(config.target_noise)
        noise = np.clip(noise, -config.target_noise_clip, config.target_noise_clip)
        rows = {**columns, "target_noise": noise}
        tensors = {name: to_device(values, device) for name, values in rows.items()}
        size = config.train_batch_size_per_learner
        for start in range(0, shape[0], size):
            yield {name: values[start : start + size] for name, values in tensors.items()}

    def update(self, **kwargs: Any) -> Any:
        """As `GuardedLearner.update`; reads the TD errors of all its steps at once, one further wait for the device."""
        self._errors = []
        metrics = super().update(**kwargs)
        self.td_errors = torch.cat(self._errors).cpu().numpy() if self._errors else np.zeros(0, np.float32)
        return metrics

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, torch.Tensor], fwd_out: dict[str, Any]
    ) -> torch.Tensor:
        target_q = self._net.forward_target(batch)
        errors = fwd_out["q"] - (batch[Columns.REWARDS] + batch[DISCOUNTS] * target_q)
        critic_loss = (batch[WEIGHTS] * errors.square()).mean(1).sum()
        if self.config.priority_exponent > 0.0:
            self._errors.append(errors.detach().abs().mean(0))
        policy_value = fwd_out["q_policy"].mean()
        self.note(critic_loss, policy_value, target_q.mean())
        self._critic_steps += 1
        return critic_loss - policy_value if self._policy_due and self._policy_moves else critic_loss

    @property
    def _policy_due(self) -> bool:
        return self._critic_steps % self.config.policy_delay == 0

    def step(self) -> None:
        """Step the critics, and the policy when it is due: moments would move it without a gradient too."""
        self.get_optimizer(DEFAULT_MODULE_ID, CRITICS).step()
        if self._policy_due and self._policy_moves:
            self.get_optimizer(DEFAULT_MODULE_ID, POLICY).step()

    def after_step(self) -> None:
        if self._policy_due:
            with torch.no_grad():
                torch._foreach_lerp_(self._targets, self._sources, self.config.tau)

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        return super().get_state(components, not_components=not_components, **kwargs) | {"steps": self._critic_steps}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._critic_steps = state.get("steps", self._critic_steps)


class DDPGConfig(BatchedConfig):
    """Settings of DDPG; plain RLlib settings apply where they have a meaning here.

    `train_batch_size_per_learner` is the rows of one gradient step, `updates` the gradient steps per iteration. Both
    learning rates fall linearly to `lr_final`, and importance weights grow to full strength, over `schedule_rows`
    sampled rows.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or DDPG)
        defaults = DDPGSettings()
        self.actor_lr = defaults.actor_learning_rate
        self.critic_lr = defaults.critic_learning_rate
        self.lr_final = defaults.learning_rate_final
        self.train_batch_size_per_learner = defaults.batch
        self.updates = defaults.updates
        self.replay_rows = defaults.replay_rows
        self.replay_megabytes = defaults.replay_megabytes
        self.n_step = defaults.n_step
        self.priority_exponent = defaults.priority_exponent
        self.importance_exponent = defaults.importance_exponent
        self.schedule_rows = 1_000_000
        self.tau = defaults.tau
        self.policy_delay = defaults.policy_delay
        self.target_noise = defaults.target_noise
        self.target_noise_clip = defaults.target_noise_clip
        self.warmup_rows = defaults.warmup_rows
        self.max_grad_norm = defaults.max_grad_norm

    def off_policy(self, **settings: float | int) -> DDPGConfig:
        """Set any of the fields named in the constructor."""
        for name, value in settings.items():
            if not hasattr(self, name):
                raise InputError(f"unknown setting {name!r}", where="DDPGConfig.off_policy")
            setattr(self, name, value)
        return self

    def get_default_learner_class(self) -> type:
        return DDPGLearner

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        return RLModuleSpec(module_class=DDPGModule)


class DDPG(BatchedAlgorithm):
    """One fragment from every runner into the replay ring, then `updates` gradient steps in one guarded update."""

    @classmethod
    def get_default_config(cls) -> DDPGConfig:
        return DDPGConfig()

    def setup(self, config: DDPGConfig) -> None:
        super().setup(config)
        observations, actions = self.spaces[DEFAULT_MODULE_ID]
        if not isinstance(actions, gym.spaces.Box):
            raise InputError(f"DDPG cannot act in {actions}", where="agents", remedy="use continuous actions, or PPO")
        lanes = self.config.num_envs_per_env_runner * max(1, self.config.num_env_runners)
        widths = observations.shape[0], actions.shape[0]
        prioritised = self.config.priority_exponent > 0.0
        steps = ring_steps(
            self.config.replay_rows, lanes, *widths, prioritised=prioritised, megabytes=self.config.replay_megabytes
        )
        if steps <= self.config.rollout_fragment_length:
            raise InputError(
                f"replay_megabytes={self.config.replay_megabytes} holds {steps} steps of {lanes} lanes, fewer than "
                f"a fragment of {self.config.rollout_fragment_length}",
                where="agents",
                remedy="raise it, or lower lanes or fragment",
            )
        network = NetworkConfig(**self.config.model_config["network"])
        self.replay = ReplayRing(
            steps,
            lanes,
            *widths,
            self.config.seed or 0,
            gamma=self.config.gamma,
            n_step=self.config.n_step,
            priority_exponent=self.config.priority_exponent,
            window=network.window if network.encoder == "window" else 1,
            market=observations.shape[0] - self.config.model_config["account_columns"],
        )

    def training_step(self) -> None:
        self.replay.add(self.collect(fixed_lanes=True))
        if self.replay.rows >= self.config.warmup_rows:
            self.learn_from_replay()

    def learn_from_replay(self) -> None:
        """Draw the rows of `updates` gradient steps, learn from them, and give their TD errors back to the replay.

        All of them are drawn before the first step, so priorities are as old as the last iteration: in return the
        host waits for the device twice an iteration, not once a step.
        """
        config = self.config
        sampled = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
        exponent = scale_after(sampled, config.schedule_rows, config.importance_exponent, 1.0)
        learners = max(1, config.num_learners)  # each takes its share of the rows, one learner after another
        batch = self.replay.sample(config.updates * learners, config.train_batch_size_per_learner, exponent)
        self.learn(batch, len(batch[WEIGHTS]))
        if config.priority_exponent > 0.0:
            errors = [each.get() for each in self.learner_group.foreach_learner(_td_errors)]
            self.replay.update_priorities(np.concatenate(errors))

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(REPLAY, components, not_components):
            state[REPLAY] = self.replay.get_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if REPLAY in state:
            self.replay.set_state(state[REPLAY])


def _td_errors(learner: DDPGLearner) -> NDArray[np.float32]:
    return learner.td_errors
