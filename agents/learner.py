"""The update loop both learners share: gradient steps over one batch of arrays, guarded by one finite check.

RLlib's loop checks every parameter's gradient and logs a dozen metrics per minibatch; each check is a wait for the
device. Here every step leaves its figures and gradient norm on the device, and the host reads them once at the end. If
any of them is not finite, the whole update is undone: weights, targets and optimizer moments return to what they were.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core import ALL_MODULES, DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.utils.metrics import NUM_ENV_STEPS_TRAINED, NUM_ENV_STEPS_TRAINED_LIFETIME

from agents.dense import Dense
from agents.devices import LearnerDeviceMixin
from agents.normaliser import moment_sums
from agents.peers import average_gradients, follow_first, mean, peers_of
from supervised.devices import load_ipex
from supervised.precision import MixedPrecision

GRADIENT_NORM = "gradient_norm"
SKIPPED_UPDATES = "skipped_updates"  # counted over the learner's life; 0 on a healthy run
LEARNING_RATE = "learning_rate"
SAMPLER = "sampler"
SMALLEST_NORM = 1e-6  # of a gradient: keeps one that is zero from dividing by zero


class GuardedLearner(LearnerDeviceMixin, TorchLearner):
    """Base of the learners here. A subclass gives `minibatches`, `compute_loss_for_module` and `figure_names`.

    Its `compute_loss_for_module` calls `self.note` with the figures of the step, in the order of `figure_names`.
    """

    figure_names: tuple[str, ...] = ()
    observed = "observations"  # the column of a batch that the normaliser learns from

    def build(self) -> None:
        load_ipex(self._device)
        self._peers = peers_of(self._device)
        self._precision = MixedPrecision.choose(self.config.precision, self._device)
        super().build()
        follow_first(self._net, self._peers)
        if self._precision.dtype is None:
            for part in self._net.modules():
                if isinstance(part, Dense):
                    part.keep_buffers()
        self._rng = np.random.default_rng(self.config.seed)
        self._skipped = 0
        self._figures: list[torch.Tensor] = []

    def minibatches(self, columns: dict[str, NDArray[Any]]) -> Iterator[dict[str, torch.Tensor]]:
        """Cut a batch of host arrays into the device tensors of each gradient step."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Called after each gradient step."""

    def note(self, *figures: torch.Tensor) -> None:
        """Keep one step's figures on the device."""
        self._figures.append(torch.stack([figure.detach() for figure in figures]))

    def update(self, *, training_data: TrainingData, timesteps: dict[str, Any], **kwargs: Any) -> Any:  # type: ignore[override]
        """Learn from one batch of arrays; undo it if any gradient was not finite.

        Args:
            training_data: holds one `MultiAgentBatch` of host arrays for the default module.
            timesteps: lifetime counters that drive RLlib's schedules.

        Returns:
            RLlib's reduced metrics.
        """
        self.before_gradient_based_update(timesteps=timesteps)
        training_data.validate()
        training_data.solve_refs()
        self._weights_seq_no += 1
        before = self._snapshot()
        self._figures = []
        columns = training_data.batch.policy_batches[DEFAULT_MODULE_ID]
        for minibatch in self.minibatches(columns):
            self.gradient_step(minibatch)
        # The one wait for the device. Of all learners, so that all undo the update or none does.
        figures = mean(torch.stack(self._figures).mean(0), self._peers).cpu().numpy()
        if not np.isfinite(figures).all():
            self._restore(before)
            self._skipped += 1
        else:
            self._move_normaliser(columns[self.observed])
        self._log(figures, training_data.batch.env_steps())
        self.after_gradient_based_update(timesteps=timesteps)
        return self.metrics.reduce()

    def _move_normaliser(self, observations: NDArray[np.float32]) -> None:
        """Count the observations of all learners into the running moments, after the steps that were taken with the old
        ones: within an update a probability ratio compares two policies that see alike."""
        perception = self._net.perception
        if perception.normaliser is not None:
            sums = moment_sums(observations, perception.market)
            perception.normaliser.take_in(self._peers.total(sums))

    def gradient_step(self, minibatch: dict[str, torch.Tensor]) -> None:
        """One step of every optimizer."""
        net = self._net
        with self._precision.region():
            loss = self.compute_loss_for_module(
                module_id=DEFAULT_MODULE_ID, config=self.config, batch=minibatch, fwd_out=net.forward_train(minibatch)
            )
        for optimizer in self._named_optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        average_gradients(net.parameters(), self._peers)
        self._figures[-1] = torch.cat([self._figures[-1], self.clip()[None]])
        self.step()
        self.after_step()

    def clip(self) -> torch.Tensor:
        """Clip each optimizer's gradient norm to `max_grad_norm`; returns the largest norm before that, ()."""
        norms = []
        for parameters in self._optimizer_parameters.values():
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            if gradients:
                norms.append(_clipped(gradients, self.config.max_grad_norm))
        return norms[0] if len(norms) == 1 else torch.stack(norms).amax()

    def step(self) -> None:
        """Step every optimizer; parameters without a gradient stay as they are."""
        for optimizer in self._named_optimizers.values():
            optimizer.step()

    def _make_modules_ddp_if_necessary(self) -> None:
        """Nothing is wrapped: see `agents.peers`."""

    def _snapshot(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        weights = {name: value.detach().clone() for name, value in self._net.state_dict().items()}
        return weights, {name: copy.deepcopy(each.state_dict()) for name, each in self._named_optimizers.items()}

    def _restore(self, snapshot: tuple[dict[str, torch.Tensor], dict[str, Any]]) -> None:
        weights, optimizers = snapshot
        self._net.load_state_dict(weights)
        for name, state in optimizers.items():
            self._named_optimizers[name].load_state_dict(state)

    @property
    def _net(self) -> Any:
        """The module of the one policy there is."""
        return self.module[DEFAULT_MODULE_ID]

    def _log(self, figures: NDArray[np.float32], rows: int) -> None:
        names = (*self.figure_names, GRADIENT_NORM)
        values = dict(zip(names, map(float, figures), strict=True)) | {SKIPPED_UPDATES: float(self._skipped)}
        values |= self._learning_rates()
        self.metrics.log_dict(values, key=DEFAULT_MODULE_ID, window=1)
        self.metrics.log_value((ALL_MODULES, NUM_ENV_STEPS_TRAINED), rows, reduce="sum")
        self.metrics.log_value((ALL_MODULES, NUM_ENV_STEPS_TRAINED_LIFETIME), rows, reduce="lifetime_sum")

    def _learning_rates(self) -> dict[str, float]:
        """`learning_rate` in use; with several optimizers one each, `learning_rate_<name>`."""
        module = f"{DEFAULT_MODULE_ID}_"
        rates = {name.removeprefix(module): each.param_groups[0]["lr"] for name, each in self._named_optimizers.items()}
        if len(rates) == 1:
            return {LEARNING_RATE: float(*rates.values())}
        return {f"{LEARNING_RATE}_{name}": float(rate) for name, rate in rates.items()}

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(SAMPLER, components, not_components):
            state[SAMPLER] = {"rng": self._rng.bit_generator.state, "skipped": self._skipped}
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if SAMPLER in state:
            self._rng.bit_generator.state = state[SAMPLER]["rng"]
            self._skipped = state[SAMPLER]["skipped"]


def _clipped(gradients: list[torch.Tensor], limit: float) -> torch.Tensor:
    """Scale gradients in place so that their common norm is at most `limit`; the norm before, ()."""
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(each) for each in gradients]))
    torch._foreach_mul_(gradients, (limit / (norm + SMALLEST_NORM)).clamp(max=1.0))
    return norm


def to_device(values: NDArray[Any], device: torch.device) -> torch.Tensor:
    """A host array on a device; arrays from Ray's object store are read-only, which torch warns about, so copy them."""
    return torch.from_numpy(values if values.flags.writeable else values.copy()).to(device)
