"""PPO trained from whole fragments of arrays: no connector pipelines, no episode objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.ppo.ppo import PPO, PPOConfig
from ray.rllib.algorithms.ppo.ppo_learner import PPOLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from agents.advantages import generalised_advantages
from agents.algorithm import BatchedAlgorithm, BatchedConfig
from agents.flat_adam import FlatAdam
from agents.learner import GuardedLearner, to_device
from agents.modules import MASKS, MEMORY, PLACES, STARTS, PPOModule
from agents.sequences import whole_lanes

SMALLEST_DEVIATION = 1e-4  # of advantages: keeps a fragment in which nothing happened from dividing by zero


class BatchedPPOLearner(GuardedLearner, PPOLearner):
    """Clipped surrogate loss, squared value loss, entropy bonus."""

    figure_names = (POLICY_LOSS_KEY, VF_LOSS_KEY, ENTROPY_KEY, "kl", "clipped_share")

    def build(self) -> None:
        super().build()
        self._entropy_weight = float(self.config.entropy_coeff)
        self._policy_weight = 1.0

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        optimizer = FlatAdam(self.module[module_id], lr=self.config.lr)
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=[optimizer.flat])

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Set learning rate, entropy weight, and whether the policy moves, for this update.

        RLlib's own schedules put a CPU tensor where the device's belongs, and are forgotten in checkpoints.
        """
        super().before_gradient_based_update(timesteps=timesteps)
        config = self.config
        sampled = timesteps[NUM_ENV_STEPS_SAMPLED_LIFETIME]
        self._policy_weight = float(sampled > config.policy_after_rows)
        done = min(1.0, sampled / config.schedule_rows)
        rate = config.lr + done * (config.lr_final - config.lr)
        self._entropy_weight = config.entropy_coeff + done * (config.entropy_final - config.entropy_coeff)
        for optimizer in self._named_optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate

    def minibatches(self, columns: dict[str, NDArray[Any]]) -> Iterator[dict[str, torch.Tensor]]:
        """Advantages over the fragment, then `num_epochs` shuffled passes in equal parts."""
        config, device = self.config, self._device
        lanes, steps = columns["rewards"].shape
        seen = {Columns.OBS: to_device(columns["observations"], device)}
        remembers = self._net.state_size > 0
        if remembers:
            seen |= {name: to_device(columns[name], device) for name in (MEMORY, STARTS)}
        else:
            seen[Columns.OBS] = seen[Columns.OBS].reshape(lanes * (steps + 1), -1)
        with torch.no_grad():
            values = self._net.compute_values(seen).cpu().numpy().reshape(lanes, steps + 1)
        rows = {
            Columns.ACTIONS: columns["actions"],
            Columns.ACTION_LOGP: columns["logp"],
            **advantages_and_targets(columns, values, config.gamma, config.lambda_),
        }
        if self._net.mask_actions:
            rows[MASKS] = columns["masks"]
        learned = {name: to_device(each.reshape(lanes * steps, *each.shape[2:]), device) for name, each in rows.items()}
        parts = max(1, round(lanes * steps / config.minibatch_size))  # the same for learners with unequal masks
        for _ in range(config.num_epochs):
            if remembers:
                for indices in whole_lanes(self._rng, columns["valid"], parts):
                    together, places, row = (torch.from_numpy(each).to(device) for each in indices)
                    stretches = {name: tensor.index_select(0, together) for name, tensor in seen.items()}
                    yield {**stretches, PLACES: places, **{n: each.index_select(0, row) for n, each in learned.items()}}
            else:
                order = self._rng.permutation(np.flatnonzero(columns["valid"]))
                row, place = torch.from_numpy(np.stack([order, order + order // steps])).to(device)
                # Gathered once for all parts: an epoch costs a copy of the fragment, and few operations.
                shuffled = {name: each.index_select(0, row).tensor_split(parts) for name, each in learned.items()}
                shuffled[Columns.OBS] = seen[Columns.OBS].index_select(0, place).tensor_split(parts)
                yield from (dict(zip(shuffled, part, strict=True)) for part in zip(*shuffled.values(), strict=True))

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, torch.Tensor], fwd_out: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        net = self._net
        logp, entropy = net.head.logp_entropy(fwd_out[Columns.ACTION_DIST_INPUTS], batch[Columns.ACTIONS])
        log_ratio = logp - batch[Columns.ACTION_LOGP]
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1.0 - self.config.clip_param, 1.0 + self.config.clip_param)
        advantages = batch[Postprocessing.ADVANTAGES]
        policy_loss = -torch.minimum(advantages * ratio, advantages * clipped).mean()
        values = net.compute_values(batch, fwd_out[Columns.EMBEDDINGS])
        value_loss = (values - batch[Postprocessing.VALUE_TARGETS]).square().mean()
        mean_entropy = entropy.mean()
        with torch.no_grad():
            kl = ((ratio - 1.0) - log_ratio).mean()  # Schulman's low-variance estimate
            self.note(policy_loss, value_loss, mean_entropy, kl, (ratio != clipped).float().mean())
        policy_part = self._policy_weight * (policy_loss - self._entropy_weight * mean_entropy)
        return policy_part + self.config.vf_loss_coeff * value_loss

    def _update_module_kl_coeff(self, *, module_id: str, config: Any, kl_loss: float) -> None:
        raise NotImplementedError("the loss has no KL term; use_kl_loss stays False")


def advantages_and_targets(
    columns: dict[str, NDArray[Any]], values: NDArray[np.float32], gamma: float, gae_lambda: float
) -> dict[str, NDArray[np.float32]]:
    """RLlib's columns of the same names, float32 (N, T): advantages standardised over the valid rows, value targets.

    Args:
        columns: `rewards`, `terminated`, `truncated`, `valid` of a `Rollout` (N, T).
        values: V (N, T + 1) of its observations.
    """
    advantages = generalised_advantages(
        columns["rewards"], values, columns["terminated"], columns["truncated"], gamma, gae_lambda
    )
    chosen = advantages[columns["valid"]]
    return {
        Postprocessing.ADVANTAGES: (advantages - chosen.mean()) / max(SMALLEST_DEVIATION, float(chosen.std())),
        Postprocessing.VALUE_TARGETS: advantages + values[:, :-1],
    }


class BatchedPPOConfig(BatchedConfig, PPOConfig):
    """RLlib's PPO settings with the batched path; `max_grad_norm` replaces `grad_clip`.

    `lr` and `entropy_coeff` move linearly to `lr_final` and `entropy_final` over `schedule_rows` sampled rows.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or BatchedPPO)
        self.use_kl_loss = False
        self.schedules(lr=(1e-3, 1e-4), entropy=(0.03, 0.001), rows=1_000_000)

    def schedules(self, *, lr: tuple[float, float], entropy: tuple[float, float], rows: int) -> BatchedPPOConfig:
        """Set first and last value of learning rate and entropy weight, and the rows over which they move."""
        (self.lr, self.lr_final), (self.entropy_coeff, self.entropy_final) = lr, entropy
        self.schedule_rows = rows
        return self

    def get_default_learner_class(self) -> type:
        return BatchedPPOLearner

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        return RLModuleSpec(module_class=PPOModule)


class BatchedPPO(BatchedAlgorithm, PPO):
    """PPO: one fragment from every runner, then one guarded update."""

    @classmethod
    def get_default_config(cls) -> BatchedPPOConfig:
        return BatchedPPOConfig()

    def training_step(self) -> None:
        rollout = self.collect()
        self.learn(rollout.columns(), rows=int(rollout.valid.sum()))
