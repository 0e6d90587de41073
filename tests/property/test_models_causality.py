"""No output of any model depends on a later row, to the bit, nor on a row before its receptive field."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from supervised.base import CausalModel
from supervised.config import MODEL_KINDS, ModelConfig
from supervised.models import build_model
from supervised.outputs import Bracket, OutputLayout

FEATURES = 5
LAYOUT = OutputLayout((1, 5), (Bracket(20.0, 10.0, 30), Bracket(20.0, 10.0, 30, side=-1)))


def lively(kind: str, window: int = 13) -> CausalModel:
    """A model whose output depends on everything it may: a fresh head is zero and would hide any leak."""
    model = build_model(ModelConfig(kind=kind, hidden=8, window=window), FEATURES, LAYOUT, seed=3).eval()
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
    return model


MODELS = {kind: lively(kind) for kind in MODEL_KINDS}


@pytest.mark.parametrize("kind", MODEL_KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), rows=st.integers(2, 90), scale=st.sampled_from([1e-3, 1.0, 1e3]), seed=st.integers(0, 2**31))
def test_later_rows_change_nothing(kind: str, data: st.DataObject, rows: int, scale: float, seed: int) -> None:
    cut = data.draw(st.integers(1, rows - 1))
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, rows, FEATURES, generator=generator)
    changed = x.clone()
    changed[:, cut:] = scale * torch.randn(2, rows - cut, FEATURES, generator=generator)
    with torch.inference_mode():
        before, after = MODELS[kind](x), MODELS[kind](changed)
    np.testing.assert_array_equal(before[:, :cut].numpy(), after[:, :cut].numpy())
    assert (before[:, cut:] != after[:, cut:]).any(dim=(0, 1)).all()  # every output reads the rows


@pytest.mark.parametrize("kind", ["tcn", "transformer", "mixer"])
def test_receptive_field_is_exact(kind: str) -> None:
    model = MODELS[kind]
    field = model.receptive_field
    x = torch.randn(1, field + 5, FEATURES, generator=torch.Generator().manual_seed(0), requires_grad=True)
    model(x)[0, -1].sum().backward()
    reach = x.grad[0].abs().sum(dim=-1)
    assert (reach[: x.shape[1] - field] == 0).all()
    assert reach[x.shape[1] - field] > 0


def test_training_never_uses_later_rows_for_a_gradient() -> None:
    for model in MODELS.values():
        x = torch.randn(1, 60, FEATURES, generator=torch.Generator().manual_seed(0), requires_grad=True)
        model(x)[0, 30].sum().backward()
        assert (x.grad[0, 31:] == 0).all()
        assert (x.grad[0, 30] != 0).any()


@pytest.mark.parametrize("window", [2, 3, 4, 50, 100])
@pytest.mark.parametrize("kind", ["tcn", "mixer"])
def test_the_window_is_covered(kind: str, window: int) -> None:
    assert build_model(ModelConfig(kind=kind, hidden=4, window=window), 3, OutputLayout((1,))).receptive_field >= window
