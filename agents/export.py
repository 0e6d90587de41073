"""Policies as ONNX files: dynamic batch, metadata inside, and equality with torch checked before the file appears."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from agents.checkpoints import checkpoint_of
from agents.policy import OnnxPolicy, TorchPolicy
from data_pipeline.files import atomic_path

TOLERANCE = 1e-5
OPSET = 18
logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # it misses torchvision aloud


def export_policy_onnx(checkpoint: str | Path, path: str | Path) -> Path:
    """Write the policy of a checkpoint as ONNX: `observations` float32 (N, D) -> `actions`, `outputs`.

    Before the file gets its name, onnxruntime runs it beside torch on random observations of several batch sizes: the
    discrete actions must be equal, continuous ones and raw outputs within 1e-5 (of their size, where that exceeds one).

    Args:
        checkpoint: a checkpoint or run folder.
        path: file to write; ends in .onnx.

    Returns:
        The path written.

    Raises:
        InputError: there is no policy at `checkpoint`.
        ArithmeticError: onnxruntime and torch disagree.
    """
    import onnx

    path = Path(path)
    policy = TorchPolicy.load(checkpoint_of(Path(checkpoint)))
    columns = len(policy.spec.observation_columns)
    rows = torch.zeros(2, columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            policy.network,
            (rows,),
            input_names=["observations"],
            output_names=["actions", "outputs"],
            dynamic_shapes=({0: torch.export.Dim("rows")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # torch returns None only when asked to write the file itself
    model = program.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = "policy", json.dumps(policy.spec.to_dict())
    with atomic_path(path) as temporary:
        onnx.save(model, str(temporary))
        check_parity(policy, temporary)
    return path


def check_parity(policy: TorchPolicy, path: Path) -> None:
    """Run both on the same random observations; ArithmeticError names the first disagreement."""
    session = OnnxPolicy(path)._session
    rng = np.random.default_rng(0)
    for count in (1, 7, 256):
        rows = rng.standard_normal((count, len(policy.spec.observation_columns)), dtype=np.float32) * 3.0
        with torch.inference_mode():
            actions, outputs = (each.numpy() for each in policy.network(torch.from_numpy(rows)))
        found_actions, found_outputs = session.run(["actions", "outputs"], {"observations": rows})
        compare("outputs", outputs, found_outputs, TOLERANCE)
        compare("actions", actions, found_actions, TOLERANCE if actions.dtype == np.float32 else 0.0)


def compare(name: str, wanted: NDArray[np.generic], found: NDArray[np.generic], tolerance: float) -> None:
    """ArithmeticError when arrays differ in shape or by more than `tolerance` of their size (at least of one)."""
    if wanted.shape != found.shape:
        raise ArithmeticError(f"exported policy: {name} have shape {found.shape}, in torch {wanted.shape}")
    exact, other = wanted.astype(np.float64), found.astype(np.float64)
    # Relative beyond one: a confident policy's logits are in the tens, where float32 itself is 1e-6 coarse.
    worst = float((np.abs(exact - other) / np.maximum(1.0, np.abs(exact))).max())
    if not worst <= tolerance:
        raise ArithmeticError(f"exported policy: {name} differ from torch by {worst:g} (allowed {tolerance:g})")
