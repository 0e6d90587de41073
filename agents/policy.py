"""Trained policies in use: one `act` for checkpoints and ONNX files. Neither needs Ray; ONNX files need no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from agents.checkpoints import POLICY_JSON, POLICY_WEIGHTS, checkpoint_of
from agents.policy_spec import PolicySpec
from data_pipeline.errors import InputError

OBSERVATIONS, MEMORY, ACTIONS, OUTPUTS, NEXT_MEMORY = "observations", "memory", "actions", "outputs", "next_memory"
"""Inputs and outputs of an ONNX policy."""


class TrainedPolicy(Protocol):
    """A deterministic policy: the likeliest (or mean) action for each observation (see `envs.policy`)."""

    spec: PolicySpec
    state_size: int
    """Numbers of memory per lane; 0 without memory."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.generic]:
        """Actions of a policy without memory, in the environment's space, one row per observation row.

        Args:
            observations: float32 (N, D), columns as in `spec.observation_columns`.

        Returns:
            int64 (N,) for discrete, int64 (N, K) for multi-discrete, float32 (N, K) for continuous actions.

        Raises:
            InputError: the observations have another number of columns, or the policy has a memory.
        """

    def respond(
        self, observations: NDArray[np.float32], memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
        """Actions as `act` gives them, given memory float32 (N, S), and the memory after these observations.

        Raises:
            InputError: observations or memory have another shape.
        """


def load_policy(path: str | Path, *, device: str = "cpu") -> TrainedPolicy:
    """Open a policy from a checkpoint folder, a run folder (its best checkpoint, else its newest) or an .onnx file.

    Args:
        path: where it lies.
        device: where a checkpoint's network computes; ONNX files compute on the CPU.

    Raises:
        InputError: nothing usable is there.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return OnnxPolicy(path)
    return TorchPolicy.load(checkpoint_of(path), device=device)


class TorchPolicy:
    """A policy network in torch.

    Args:
        spec: what it is.
        weights: arrays of the trained module by name; those that its policy does not need are left out.
        device: where it computes.
    """

    def __init__(self, spec: PolicySpec, weights: Mapping[str, NDArray[np.float32]], *, device: str = "cpu") -> None:
        from agents.policy_network import PolicyNetwork
        from supervised.devices import resolve_device

        self.spec = spec
        self._device = resolve_device(device)
        self.network = PolicyNetwork(spec)
        self.network.load_weights(weights)
        self._weights = {name: weights[name] for name in self.network.state_dict()}
        self.state_size = self.network.state_size
        self.network.to(self._device).eval()

    @classmethod
    def load(cls, checkpoint: Path, *, device: str = "cpu") -> TorchPolicy:
        """Open the policy of a checkpoint folder.

        Raises:
            InputError: a file is missing, damaged or does not fit the other.
        """
        spec = read_spec(checkpoint)
        try:
            with np.load(checkpoint / POLICY_WEIGHTS) as weights:
                return cls(spec, {name: weights[name] for name in weights.files}, device=device)
        except (OSError, ValueError, KeyError, RuntimeError, BadZipFile) as error:
            raise InputError(
                f"{POLICY_WEIGHTS} cannot be used ({error})", where=str(checkpoint), remedy="use another checkpoint"
            ) from error

    def save(self, folder: Path) -> None:
        """Write the spec and the weights into a folder; `load` opens it."""
        (folder / POLICY_JSON).write_text(json.dumps(self.spec.to_dict(), indent=2))
        np.savez(folder / POLICY_WEIGHTS, allow_pickle=False, **self._weights)

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.generic]:
        """See `TrainedPolicy.act`."""
        return self.respond(observations, _no_memory(self, observations))[0]

    def respond(
        self, observations: NDArray[np.float32], memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
        """See `TrainedPolicy.respond`."""
        import torch

        _check(observations, memory, self)
        given = (observations, memory) if self.state_size else (observations,)
        with torch.inference_mode():
            answer = self.network(*(torch.from_numpy(np.array(each, np.float32)).to(self._device) for each in given))
        return answer[0].cpu().numpy(), answer[2].cpu().numpy() if self.state_size else memory


class OnnxPolicy:
    """A policy exported with `agents.export.export_policy_onnx`, run by onnxruntime on one thread."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        if not path.is_file():
            raise InputError("no such file", where=str(path), remedy="export it with agents.export.export_policy_onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.spec = PolicySpec.from_dict(json.loads(metadata["policy"]), str(path))
            sizes = {each.name: each.shape[1] for each in self._session.get_inputs()}
            self.state_size = int(sizes.get(MEMORY, 0))
        except InputError:
            raise
        except Exception as error:  # onnxruntime raises its own unrelated types for a file that is no model
            raise InputError(f"not a policy ({error})", where=str(path), remedy="export it again") from error

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.generic]:
        """See `TrainedPolicy.act`."""
        return self.respond(observations, _no_memory(self, observations))[0]

    def respond(
        self, observations: NDArray[np.float32], memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
        """See `TrainedPolicy.respond`."""
        _check(observations, memory, self)
        rows = np.ascontiguousarray(observations, np.float32)
        if not self.state_size:
            return self._session.run([ACTIONS], {OBSERVATIONS: rows})[0], memory
        given = {OBSERVATIONS: rows, MEMORY: np.ascontiguousarray(memory, np.float32)}
        actions, memory = self._session.run([ACTIONS, NEXT_MEMORY], given)
        return actions, memory


def read_spec(checkpoint: Path) -> PolicySpec:
    """The spec of a checkpoint folder.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    where = str(checkpoint / POLICY_JSON)
    try:
        return PolicySpec.from_dict(json.loads((checkpoint / POLICY_JSON).read_text()), where)
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"no policy here ({error})", where=where, remedy="give a checkpoint folder") from error


def _no_memory(policy: TrainedPolicy, observations: NDArray[np.float32]) -> NDArray[np.float32]:
    """The memory (N, 0) of a policy without one; InputError for a policy that has one."""
    if policy.state_size:
        raise InputError(
            "the policy has a memory", where="policy", remedy="call respond, or let envs.policy.Seat keep its memory"
        )
    return np.empty((len(observations), 0), np.float32)


def _check(observations: NDArray[np.float32], memory: NDArray[np.float32], policy: TrainedPolicy) -> None:
    spec, shape = policy.spec, (len(observations), policy.state_size)
    if memory.shape != shape:
        raise InputError(f"memory has shape {memory.shape}, not {shape}", where="policy", remedy="begin with zeros")
    wanted = len(spec.observation_columns)
    if observations.ndim != 2 or observations.shape[1] != wanted:
        raise InputError(
            f"observations have shape {observations.shape}, the policy takes (N, {wanted})",
            where="policy",
            remedy=f"build the market with its columns: {', '.join(spec.observation_columns[:5])}, ...",
        )
