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


class TrainedPolicy(Protocol):
    """A deterministic policy: the likeliest (or mean) action for each observation."""

    spec: PolicySpec

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.generic]:
        """Actions in the environment's space, one row per observation row.

        Args:
            observations: float32 (N, D), columns as in `spec.observation_columns`.

        Returns:
            int64 (N,) for discrete, int64 (N, K) for multi-discrete, float32 (N, K) for continuous actions.

        Raises:
            InputError: the observations have another number of columns.
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
        weights: arrays of the trained network by name ("pi.0.weight", ...).
        device: where it computes.
    """

    def __init__(self, spec: PolicySpec, weights: Mapping[str, NDArray[np.float32]], *, device: str = "cpu") -> None:
        from agents.policy_network import PolicyNetwork
        from supervised.devices import resolve_device

        self.spec = spec
        self._weights = dict(weights)
        self._device = resolve_device(device)
        self.network = PolicyNetwork(spec)
        self.network.load_weights(weights)
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
        import torch

        _check(observations, self.spec)
        with torch.inference_mode():
            rows = torch.from_numpy(np.ascontiguousarray(observations, np.float32)).to(self._device)
            return self.network(rows)[0].cpu().numpy()


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
        except InputError:
            raise
        except Exception as error:  # onnxruntime raises its own unrelated types for a file that is no model
            raise InputError(f"not a policy ({error})", where=str(path), remedy="export it again") from error

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.generic]:
        """See `TrainedPolicy.act`."""
        _check(observations, self.spec)
        rows = np.ascontiguousarray(observations, np.float32)
        return self._session.run(["actions"], {"observations": rows})[0]


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


def _check(observations: NDArray[np.float32], spec: PolicySpec) -> None:
    wanted = len(spec.observation_columns)
    if observations.ndim != 2 or observations.shape[1] != wanted:
        raise InputError(
            f"observations have shape {observations.shape}, the policy takes (N, {wanted})",
            where="policy",
            remedy=f"build the market with its columns: {', '.join(spec.observation_columns[:5])}, ...",
        )
