"""Each model's own arithmetic against the plain textbook form of it."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from supervised.config import MODEL_KINDS, ModelConfig
from supervised.mixer import CausalFIR
from supervised.models import build_model
from supervised.outputs import Bracket, OutputLayout
from supervised.tcn import CausalConv
from supervised.transformer import BandedAttention

LAYOUT = OutputLayout((1, 5), (Bracket(20.0, 10.0, 30),))


@pytest.mark.parametrize("dilation", [1, 4, 16])
@pytest.mark.parametrize("rows", [1, 7, 50])
def test_causal_convolution_equals_conv1d(dilation: int, rows: int) -> None:
    torch.manual_seed(0)
    layer = CausalConv(5, 6, 3, dilation)
    x = torch.randn(2, rows, 5)
    weight = layer.taps.weight.view(6, 3, 5).transpose(1, 2)  # (out, tap, in) -> conv1d's (out, in, tap)
    padded = F.pad(x.transpose(1, 2), (2 * dilation, 0))
    expected = F.conv1d(padded, weight, layer.taps.bias, dilation=dilation).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("window", [2, 5, 13, 100])
@pytest.mark.parametrize("rows", [1, 4, 33, 250])
def test_banded_attention_equals_attention_under_a_full_mask(window: int, rows: int) -> None:
    torch.manual_seed(0)
    heads, width = 2, 4
    attention = BandedAttention(heads * width, heads, window)
    torch.nn.init.normal_(attention.lag_bias)
    x = torch.randn(3, rows, heads * width)
    parts = attention.qkv(x).view(3, rows, 3, heads, width).permute(2, 0, 3, 1, 4)
    lag = torch.arange(rows)[:, None] - torch.arange(rows)[None, :]
    scores = parts[0] @ parts[1].transpose(-1, -2) / math.sqrt(width) + attention.lag_bias[:, lag.clamp(0, window - 1)]
    weights = scores.masked_fill((lag < 0) | (lag >= window), -math.inf).softmax(dim=-1)
    expected = attention.out((weights @ parts[2]).transpose(1, 2).reshape(3, rows, heads * width))
    torch.testing.assert_close(attention(x), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("taps", [1, 2, 13])
def test_a_filter_equals_its_sum_over_the_past(taps: int) -> None:
    layer = CausalFIR(3, taps)
    torch.nn.init.normal_(layer.taps, generator=torch.Generator().manual_seed(1))
    x = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros_like(x)
    for t in range(20):
        for k in range(min(taps, t + 1)):
            expected[:, t] += layer.taps[:, k] * x[:, t - k]
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_filters_start_as_averages_of_several_spans() -> None:
    start = CausalFIR(8, 50).taps.detach()
    assert (start > 0).all()
    assert (start[:, 0].diff() < 0).all()  # slower from channel to channel
    torch.testing.assert_close(start[0].sum(), torch.tensor(1.0))
    torch.testing.assert_close(start[-1, 25] / start[-1, 0], torch.tensor(0.5))  # half-life of half the taps


def test_mixer_block_equals_its_formula() -> None:
    model = build_model(ModelConfig(kind="mixer", hidden=6, layers=1, window=9), 4, OutputLayout((1, 5)), seed=2).eval()
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
    x = torch.randn(1, 30, 4, generator=torch.Generator().manual_seed(0))
    w = {name: value.detach().double().numpy() for name, value in model.named_parameters()}

    def affine(h: np.ndarray, name: str) -> np.ndarray:
        return h @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(h: np.ndarray, name: str) -> np.ndarray:
        centred = h - h.mean(axis=1, keepdims=True)
        return centred / np.sqrt(h.var(axis=1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def gelu(h: np.ndarray) -> np.ndarray:
        return 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))

    h = affine(x[0].double().numpy(), "embed")
    normed = norm(h, "blocks.0.norm_time")
    taps = w["blocks.0.filter.taps"]
    filtered = np.stack([np.convolve(normed[:, c], taps[c])[: len(h)] for c in range(6)], axis=1)
    h = h + filtered / (1 + np.exp(-affine(normed, "blocks.0.gate")))
    h = h + affine(gelu(affine(norm(h, "blocks.0.norm_channels"), "blocks.0.mlp.0")), "blocks.0.mlp.2")
    expected = affine(norm(h, "norm"), "head")
    np.testing.assert_allclose(model(x)[0].detach().numpy(), expected, atol=1e-5)


def test_lstm_equals_its_recurrence() -> None:
    model = build_model(ModelConfig(kind="lstm", hidden=6), 4, OutputLayout((1,)), seed=2).eval()
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
    x = torch.randn(1, 40, 4, generator=torch.Generator().manual_seed(0))
    weights = {name.removesuffix("_l0"): value for name, value in model.cells.named_parameters()}
    h, c, expected = torch.zeros(6), torch.zeros(6), []
    with torch.inference_mode():
        for row in x[0]:
            gates = weights["weight_ih"] @ row + weights["bias_ih"] + weights["weight_hh"] @ h + weights["bias_hh"]
            i, f, g, o = gates.chunk(4)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            expected.append(model.head(model.norm(h)))
        torch.testing.assert_close(model(x)[0], torch.stack(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["tcn", "transformer", "mixer"])
def test_dense_outputs_equal_those_of_single_windows(kind: str) -> None:
    model = build_model(ModelConfig(kind=kind, hidden=8, window=12), 4, OutputLayout((1, 5)), seed=5).eval()
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
    field = model.receptive_field
    x = torch.randn(field + 30, 4, generator=torch.Generator().manual_seed(0))
    windows = x.unfold(0, field, 1).transpose(1, 2)
    with torch.inference_mode():
        dense, last = model(x[None])[0, field - 1 :], model(windows)[:, -1]
    torch.testing.assert_close(dense, last, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_models_are_reproducible_and_leave_the_random_state_alone(kind: str) -> None:
    state = torch.random.get_rng_state()
    first, second, other = (
        build_model(ModelConfig(kind=kind), 4, LAYOUT, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_an_untrained_model_says_one_half() -> None:
    for kind in MODEL_KINDS:
        logits = build_model(ModelConfig(kind=kind), 4, LAYOUT)(torch.randn(2, 10, 4))
        np.testing.assert_array_equal(logits.detach().numpy(), 0.0)
