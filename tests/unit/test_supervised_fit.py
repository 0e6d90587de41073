"""What surrounds a step: sixteen bits, gradients that are not finite, scores in sums, short fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data_pipeline.errors import InputError
from supervised.base import CausalModel
from supervised.config import MODEL_KINDS, TaskConfig
from supervised.fit_state import FitState
from supervised.losses import LossWeights, task_losses
from supervised.precision import MixedPrecision
from supervised.scores import Score
from supervised.training import fit
from supervised.transformer import BandedAttention
from tests.supervised_tools import LAYOUT, TRAIN, chunk_sets, small_model

CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_bfloat16_learns_the_same_and_keeps_weights_in_float32(kind: str) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        model = small_model(kind, dropout=0.0)
        history = fit(model, *chunk_sets(model), replace(TRAIN, precision=precision), seed=1)
        losses.append(history[-1].validation_loss)
        assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


def test_attention_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    whole = BandedAttention._mix

    def mix(self: BandedAttention, qkv: torch.Tensor) -> torch.Tensor:
        mixed = whole(self, qkv)
        seen.append((qkv.dtype, mixed.dtype))
        return mixed

    monkeypatch.setattr(BandedAttention, "_mix", mix)
    with torch.autocast("cpu", torch.bfloat16):
        out = BandedAttention(8, 2, 8)(torch.randn(1, 20, 8))
    assert seen == [(torch.float32, torch.float32)]
    assert out.dtype == torch.bfloat16  # the rest is in sixteen bits


def test_auto_takes_bfloat16_where_the_processor_is_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, wanted in (("amx_bf16", torch.bfloat16), ("avx512_bf16", torch.bfloat16), ("avx512_f", None)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {name: True})
        assert MixedPrecision.choose("auto", CPU).dtype == wanted
    with pytest.raises(InputError, match="float16 is not for the CPU"):
        MixedPrecision.choose("float16", CPU)


def test_float16_scales_its_loss_and_forgives_what_overflows(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU for the test's sake: the first scale of 65,536 is too large somewhere, is halved, and kept."""
    half = MixedPrecision(CPU, torch.float16)
    monkeypatch.setattr(MixedPrecision, "choose", lambda *_: half)
    assert half.grad_scaler().is_enabled()
    assert not MixedPrecision(CPU, torch.bfloat16).grad_scaler().is_enabled()
    kept: list[dict] = []

    class Memory:
        every = 0

        def save(self, dumped: dict) -> None:
            kept.append(dumped)

        def load(self) -> None:
            return None

    model = small_model(dropout=0.0)
    history = fit(model, *chunk_sets(model), TRAIN, seed=1, checkpoint=Memory())
    assert history[-1].validation_loss < history[0].validation_loss < 0.69
    assert kept[-1]["grad_scaler"]["scale"] <= 65_536


def poisoned(model: CausalModel, chunks: int) -> float:
    """Skipped steps of a fit in which the features of so many chunks make gradients overflow."""
    training, validation = chunk_sets(model)
    (part,) = training.parts
    X = part.X.copy()
    for plan in training.plans:
        for number in range(chunks):
            X[plan.first[number] : plan.stop[number]] = 3e38
    skipped = []

    class Seen:
        def begin(self, state: FitState, steps: int, labels: float) -> None: ...

        def step(self, state: FitState, loss: torch.Tensor) -> None: ...

        def epoch(self, state: FitState, score: Score) -> None:
            skipped.append(state.skipped)

    fit(
        model,
        replace(training, parts=(replace(part, X=X),)),
        validation,
        replace(TRAIN, epochs=1),
        seed=0,
        watch=Seen(),
    )
    return skipped[-1]


def test_a_step_whose_gradient_is_not_finite_is_not_taken() -> None:
    model = small_model()
    assert 1 <= poisoned(model, 1) <= 2  # of four: its rows are the context of the next chunk
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    with pytest.raises(InputError, match="no finite gradient or loss in pass 1"):
        poisoned(small_model(), 16)


@pytest.mark.parametrize(("batch", "epochs"), [(1000, 1), (1000, 2), (1000, 5), (4, 1), (16, 1)])
def test_fits_of_a_few_steps_are_fits(batch: int, epochs: int) -> None:
    model = small_model()
    assert len(fit(model, *chunk_sets(model), replace(TRAIN, batch=batch, epochs=epochs), seed=0)) == epochs


def test_scores_add_up() -> None:
    random = torch.Generator().manual_seed(0)
    outputs = torch.randn(400, LAYOUT.size, generator=random)
    targets = torch.stack(
        [torch.randn(400, generator=random), torch.randint(-1, 2, (400,), generator=random).float()], 1
    )
    targets[::7] = torch.nan
    targets[3, 0] = 0.0
    even = LossWeights.even(LAYOUT, TaskConfig(), CPU)
    whole = Score.of(outputs, targets, LAYOUT, even)
    parts = Score.zero(LAYOUT)
    for rows in (slice(0, 150), slice(150, 151), slice(151, 400)):
        parts += Score.of(outputs[rows], targets[rows], LAYOUT, even)
    for one, other in zip(whole.losses, parts.losses, strict=True):
        assert float(one) == pytest.approx(float(other), rel=1e-5)
    for one, wanted in zip(whole.losses, task_losses(outputs, targets, LAYOUT, even), strict=True):
        assert float(one) == pytest.approx(float(wanted), rel=1e-5)
    torch.testing.assert_close(whole.bins, parts.bins)

    y, p = targets[:, 0].numpy(), torch.sigmoid(outputs[:, 0]).numpy()
    known = np.isfinite(y) & (y != 0)
    assert float(whole.accuracy[0]) == pytest.approx(((p > 0.5) == (y > 0))[known].mean())
    gaps = [abs((p - (y > 0))[known & (np.minimum((p * 10).astype(int), 9) == number)].sum()) for number in range(10)]
    assert float(whole.calibration_error[0]) == pytest.approx(sum(gaps) / known.sum(), rel=1e-5)
