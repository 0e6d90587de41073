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
from agents.policy import ACTIONS, MEMORY, NEXT_MEMORY, OBSERVATIONS, OUTPUTS, OnnxPolicy, TorchPolicy
from data_pipeline.files import atomic_path

TOLERANCE = 1e-5
OPSET = 18
MEMORY_STEPS = 20  # rows one after another in the check of a policy with memory
logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # it misses torchvision aloud


def export_policy_onnx(checkpoint: str | Path, path: str | Path) -> Path:
    """Write the policy of a checkpoint as ONNX: `observations` float32 (N, D) -> `actions`, `outputs`; with memory also
    `memory` float32 (N, S) -> `next_memory`.

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
    sizes = (len(policy.spec.observation_columns), policy.state_size)
    inputs = [OBSERVATIONS, MEMORY][: 2 if policy.state_size else 1]
    given = tuple(torch.zeros(2, size) for _, size in zip(inputs, sizes, strict=False))
    rows = torch.export.Dim("rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            policy.network,
            given,
            input_names=inputs,
            output_names=[ACTIONS, OUTPUTS, NEXT_MEMORY][: 1 + len(given)],
            dynamic_shapes=tuple({0: rows} for _ in given),
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
    """Run both on the same random observations, one after another where there is a memory; ArithmeticError names the
    first disagreement."""
    session = OnnxPolicy(path)._session
    rng = np.random.default_rng(0)
    for count in (1, 7, 256):
        memory = np.zeros((count, policy.state_size), np.float32)
        for _ in range(MEMORY_STEPS if policy.state_size else 1):
            rows = rng.standard_normal((count, len(policy.spec.observation_columns)), dtype=np.float32) * 3.0
            given = {OBSERVATIONS: rows, MEMORY: memory} if policy.state_size else {OBSERVATIONS: rows}
            with torch.inference_mode():
                wanted = [each.numpy() for each in policy.network(*map(torch.from_numpy, given.values()))]
            found = session.run([ACTIONS, OUTPUTS, NEXT_MEMORY][: len(wanted)], given)
            compare(OUTPUTS, wanted[1], found[1], TOLERANCE)
            compare(ACTIONS, wanted[0], found[0], TOLERANCE if wanted[0].dtype == np.float32 else 0.0)
            if policy.state_size:
                compare(MEMORY, wanted[2], found[2], TOLERANCE)
                memory = wanted[2]


def compare(name: str, wanted: NDArray[np.generic], found: NDArray[np.generic], tolerance: float) -> None:
    """ArithmeticError when arrays differ in shape or by more than `tolerance` of their size (at least of one)."""
    if wanted.shape != found.shape:
        raise ArithmeticError(f"exported policy: {name} have shape {found.shape}, in torch {wanted.shape}")
    exact, other = wanted.astype(np.float64), found.astype(np.float64)
    # Relative beyond one: a confident policy's logits are in the tens, where float32 itself is 1e-6 coarse.
    worst = float((np.abs(exact - other) / np.maximum(1.0, np.abs(exact))).max())
    if not worst <= tolerance:
        raise ArithmeticError(f"exported policy: {name} differ from torch by {worst:g} (allowed {tolerance:g})")
