"""Eight-bit graphs: accepted where they lose almost nothing on real rows and are faster, refused otherwise.

Static quantisation: every product's inputs and weights are rounded to 256 steps whose ranges come from real rows (QDQ
form, weights per channel). It is made of the full graph; in streaming the products are too small to gain.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from scipy.special import expit

from data_pipeline.errors import InputError
from data_pipeline.files import atomic_path
from supervised.base import CausalModel
from supervised.inference.onnx_export import export_onnx
from supervised.inference.onnx_session import INPUT, ExportError, load_session

CALIBRATION_WINDOWS = 64
LATENCY_ROUNDS = 60
LEAST_ROWS = 1_000
"""Labelled rows below which a loss of accuracy could not be told from chance."""


@dataclass(frozen=True, slots=True)
class Int8Limits:
    """What an eight-bit graph may cost."""

    log_loss: float = 2e-4
    """Most by which the log-loss of P(up) may rise, in nats: a tenth of what a good model gains on one-minute bars."""
    accuracy: float = 0.005
    """Most by which the share of right directions may fall."""
    latency_ratio: float = 0.9
    """Most that a window may take, as a share of float32's time."""


@dataclass(frozen=True, slots=True)
class Int8Report:
    """Both graphs side by side on the rows kept from calibration."""

    labels: int
    """Known directions they are judged on, over all horizons."""
    log_loss: tuple[float, float]
    """Mean, in nats: float32, int8."""
    accuracy: tuple[float, float]
    """Share of right directions."""
    largest_difference: float
    """Of any P(up)."""
    latency_us: tuple[float, float]
    """Median time of one window of the receptive field."""

    def __str__(self) -> str:
        return (
            f"log-loss {self.log_loss[0]:.5f} -> {self.log_loss[1]:.5f}, accuracy {self.accuracy[0]:.4f} -> "
            f"{self.accuracy[1]:.4f} on {self.labels} labels, P(up) differs by up to {self.largest_difference:.4f}, "
            f"{self.latency_us[0]:.0f} -> {self.latency_us[1]:.0f} us a window"
        )

    def refusal(self, limits: Int8Limits) -> str:
        """Which limit is broken; "" when none is."""
        if not self.log_loss[1] - self.log_loss[0] <= limits.log_loss:
            return f"its log-loss rises by more than {limits.log_loss:g}"
        if not self.accuracy[0] - self.accuracy[1] <= limits.accuracy:
            return f"its accuracy falls by more than {limits.accuracy:g}"
        if not self.latency_us[1] <= limits.latency_ratio * self.latency_us[0]:
            return f"it takes more than {limits.latency_ratio:.0%} of float32's time"
        return ""


def export_int8(
    model: CausalModel, path: Path, x: NDArray[np.float32], y: NDArray[np.float32], limits: Int8Limits | None = None
) -> Int8Report:
    """Write the full graph in eight bits: input and output as `onnx_export.export_onnx` has them.

    x: float32 (T, F) contiguous scaled rows, complete. y: (T, H) their label returns, NaN unknown. Ranges are taken
    from the first half, the judgement is made on the second. The file appears only within `limits`; otherwise
    ExportError says what was measured. Raises InputError for too few rows.
    """
    limits = limits or Int8Limits()
    field, half = model.receptive_field, len(x) // 2
    known = np.isfinite(y[half + field :]) & (y[half + field :] != 0)
    if half < field + CALIBRATION_WINDOWS or known.sum() < LEAST_ROWS:
        raise InputError(
            f"{len(x)} rows with {known.sum()} known directions in the second half",
            where="int8",
            remedy=f"give at least {2 * (field + LEAST_ROWS)} contiguous rows with labels",
        )
    with tempfile.TemporaryDirectory() as folder, atomic_path(Path(path)) as temporary:
        exact = Path(folder) / "exact.onnx"
        export_onnx(model, exact)
        _quantise(exact, temporary, _windows(x[:half], field))
        report = _compare(load_session(exact), load_session(temporary), x[half:], y[half:], field)
        reason = report.refusal(limits)
        if reason:
            raise ExportError(f"{path}: int8 is refused: {reason} ({report})")
    return report


class _Windows(CalibrationDataReader):
    def __init__(self, windows: Iterator[NDArray[np.float32]]) -> None:
        self._windows = windows

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        window = next(self._windows, None)
        return None if window is None else {INPUT: window}


def _windows(x: NDArray[np.float32], rows: int) -> Iterator[NDArray[np.float32]]:
    """Windows (1, rows, F) spread evenly over x."""
    for start in np.linspace(0, len(x) - rows, CALIBRATION_WINDOWS).astype(int):
        yield x[None, start : start + rows]


def _quantise(exact: Path, target: Path, windows: Iterator[NDArray[np.float32]]) -> None:
    prepared = exact.with_name("prepared.onnx")
    quant_pre_process(str(exact), str(prepared), skip_symbolic_shape=True)
    logging.disable(logging.WARNING)  # it recommends what was just done
    try:
        quantize_static(
            str(prepared),
            str(target),
            _Windows(windows),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Gemm", "Conv"],
            extra_options={"MatMulConstBOnly": True},  # scores of attention hold minus infinity, which has no range
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.disable(logging.NOTSET)


def _compare(
    exact: onnxruntime.InferenceSession,
    rounded: onnxruntime.InferenceSession,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    field: int,
) -> Int8Report:
    horizons, counted = y.shape[1], slice(field, None)
    known = np.isfinite(y[counted]) & (y[counted] != 0)
    up = y[counted][known] > 0
    logits = [session.run(None, {INPUT: x[None]})[0][0, counted, :horizons][known] for session in (exact, rounded)]
    log_loss = [float(np.logaddexp(0.0, np.where(up, -z, z)).mean()) for z in logits]
    accuracy = [float(((z > 0) == up).mean()) for z in logits]
    window = x[None, :field]
    spent: tuple[list[int], list[int]] = ([], [])
    for _ in range(LATENCY_ROUNDS):
        for session, times in zip((exact, rounded), spent, strict=True):
            start = time.perf_counter_ns()
            session.run(None, {INPUT: window})
            times.append(time.perf_counter_ns() - start)
    return Int8Report(
        labels=int(known.sum()),
        log_loss=(log_loss[0], log_loss[1]),
        accuracy=(accuracy[0], accuracy[1]),
        largest_difference=float(np.abs(expit(logits[0]) - expit(logits[1])).max()),
        latency_us=(float(np.median(spent[0])) / 1e3, float(np.median(spent[1])) / 1e3),
    )
