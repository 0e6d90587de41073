"""Learning that goes on after training: it helps, it adapts, it rehearses, and it cannot wreck the model."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from data_pipeline.errors import InputError
from supervised.base import CausalModel, Criterion
from supervised.config import MODEL_KINDS, ModelConfig, OnlineConfig, TaskConfig
from supervised.devices import torch_threads
from supervised.fit_state import copy_state
from supervised.models import build_model
from supervised.outputs import Bracket, OutputLayout

FEATURES, HORIZONS, ROWS = 4, 2, 60
LAYOUT = OutputLayout((1, 5), (Bracket(20.0, 10.0, 30),))
CRITERION = nn.BCEWithLogitsLoss()


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Many tiny steps: a second thread only waits for the first, long on a busy machine."""
    with torch_threads(1):
        yield


def model_of(kind: str = "tcn") -> CausalModel:
    return build_model(ModelConfig(kind=kind, hidden=8, window=8, dropout=0.0), FEATURES, LAYOUT, seed=0).eval()


def adam(model: CausalModel, learning_rate: float = 1e-2) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=learning_rate)


def chunk(seed: int, sign: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Feature 0 tells the direction (times `sign`), with noise; the last rows' labels are not known yet."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(ROWS, FEATURES, generator=generator)
    y = (sign * x[:, :1] + 0.5 * torch.randn(ROWS, HORIZONS, generator=generator)) * 10
    y[-3:] = torch.nan
    return x, y


def accuracy(model: CausalModel, x: torch.Tensor, y: torch.Tensor) -> float:
    known = torch.isfinite(y)
    with torch.inference_mode():
        return float(((model(x[None])[0, :, LAYOUT.direction] > 0) == (y > 0))[known].float().mean())


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_updates_lower_the_loss_and_adapt_after_a_flip(kind: str) -> None:
    model = model_of(kind)
    optimizer = adam(model)
    losses = [model.online_update(*chunk(seed), optimizer, CRITERION) for seed in range(60)]
    assert losses[0] == pytest.approx(math.log(2))
    assert np.mean(losses[-5:]) < 0.45
    assert accuracy(model, *chunk(1000)) > 0.8

    flipped = [model.online_update(*chunk(100 + seed, sign=-1.0), optimizer, CRITERION) for seed in range(150)]
    assert flipped[0] > 1.0
    assert np.mean(flipped[-5:]) < 0.69
    assert accuracy(model, *chunk(2000, sign=-1.0)) > 0.7


def test_replay_keeps_what_the_newest_chunks_no_longer_show() -> None:
    """Feature 0 decides where feature 3 is high, feature 1 where it is low; only the first case comes in the end."""

    def regime(seed: int, first: bool) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(seed))
        x[:, 3] = 2.0 if first else -2.0
        return x, (x[:, :1] if first else -x[:, :1]).repeat(1, HORIZONS)

    forgotten = {}
    for chunks in (0, 4):
        model = model_of()
        model.online = OnlineConfig(replay_chunks=chunks)
        optimizer = adam(model)
        for seed in range(120):
            model.online_update(*regime(seed, first=seed % 2 == 0), optimizer, CRITERION)
        assert accuracy(model, *regime(900, first=False)) > 0.9
        for seed in range(120, 240):
            model.online_update(*regime(seed, first=True), optimizer, CRITERION)
        x, y = regime(901, first=False)
        with torch.inference_mode():
            forgotten[chunks] = float(CRITERION(model(x[None])[0, :, LAYOUT.direction], (y > 0).float()))
    assert forgotten[4] < 0.5 * forgotten[0]


def test_the_promised_replay_holds_ten_thousand_samples() -> None:
    model = model_of("lstm")
    assert model.online.replay_samples == 10_000
    optimizer = adam(model)
    for seed in range(200):
        model.online_update(*chunk(seed), optimizer, CRITERION)
    assert model.replay is not None
    assert 10_000 - 2 * ROWS < len(model.replay) <= 10_000


def test_no_known_label_changes_nothing() -> None:
    model = model_of()
    optimizer = adam(model)
    model.online_update(*chunk(0), optimizer, CRITERION)
    before, held = copy_state(model), len(model.replay or ())
    x, y = chunk(1)
    assert math.isnan(model.online_update(x, torch.full_like(y, torch.nan), optimizer, CRITERION))
    assert math.isnan(model.online_update(x, torch.zeros_like(y), optimizer, CRITERION))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert len(model.replay or ()) == held


def test_of_the_direction_only_the_sign_of_known_labels_counts() -> None:
    x, y = chunk(0)
    y[5:8] = 0.0
    x_twin, y_twin = x.clone(), torch.sign(y) * 123.0
    y_twin[5:8] = torch.nan
    x_twin[-1] += 9.0  # after the last known label
    one, other = model_of(), model_of()
    one.online = other.online = OnlineConfig(tasks=TaskConfig(move=0.0))
    losses = [
        model.online_update(*pair, adam(model), CRITERION) for model, pair in ((one, (x, y)), (other, (x_twin, y_twin)))
    ]
    assert losses[0] == losses[1]
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_a_poisoned_chunk_is_skipped_and_not_rehearsed(poison: float) -> None:
    model = model_of()
    optimizer = adam(model)
    model.online_update(*chunk(0), optimizer, CRITERION)
    before, held = copy_state(model), len(model.replay or ())
    x, y = chunk(1)
    x[10, 2] = poison
    assert not math.isfinite(model.online_update(x, y, optimizer, CRITERION))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert len(model.replay or ()) == held
    assert math.isfinite(model.online_update(*chunk(2), optimizer, CRITERION))


def steep(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Zero, with an endless slope."""
    return (logits - logits.detach()).abs().sum().sqrt()


def endless(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Infinite, with a slope of one."""
    return logits.mean() + math.inf


@pytest.mark.parametrize(("criterion", "loss"), [(steep, 0.0), (endless, math.inf)])
def test_a_step_is_skipped_when_only_the_loss_or_only_the_gradient_is_endless(
    criterion: Criterion, loss: float
) -> None:
    model = model_of()
    before = copy_state(model)
    assert model.online_update(*chunk(0), adam(model), criterion) == loss
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gradients_are_clipped() -> None:
    x, y = chunk(0)
    steps = {}
    for factor in (1.0, 1e6):
        model = model_of()
        model.online = replace(model.online, max_grad_norm=0.01, tasks=TaskConfig(move=0.0, barrier=0.0))
        model.online_update(
            x, y, torch.optim.SGD(model.parameters(), lr=1.0), lambda z, t, f=factor: f * CRITERION(z, t)
        )
        steps[factor] = model.head.bias.detach().clone()
    assert steps[1.0].abs().max() > 0
    torch.testing.assert_close(steps[1.0], steps[1e6])


def test_the_mode_is_kept_and_an_optimiser_of_the_head_moves_the_head_only() -> None:
    model = model_of()
    before = copy_state(model)
    nn.init.normal_(model.head.weight)
    model.online_update(*chunk(0), torch.optim.Adam(model.head.parameters(), lr=1e-2), CRITERION)
    assert not model.training
    moved = {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    assert moved == {"head.weight", "head.bias"}


def test_moves_and_outcomes_are_learned_too() -> None:
    """The move's size follows feature 1, the bracket's outcome the sign of feature 2; some outcomes are unknown."""

    def tick(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = chunk(seed)
        outcome = torch.sign(x[:, 2:3])
        outcome[: ROWS // 2] = torch.nan
        return x, torch.cat([torch.sign(y) * 10 * torch.exp(x[:, 1:2]), outcome], dim=1)

    model = model_of()
    optimizer = adam(model)
    for seed in range(200):
        x, y = tick(seed)
        model.online_update(x, y if seed % 2 else y[:, :HORIZONS], optimizer, CRITERION)
    x, y = tick(1000)
    said = model.forecast(x[None])
    assert np.corrcoef(said.move_bps[0, :, 0].log(), x[:, 1])[0, 1] > 0.9
    assert ((said.outcomes[0, :, 0].argmax(dim=1) - 1) == torch.sign(x[:, 2])).float().mean() > 0.9
    only_outcomes = torch.where(torch.arange(HORIZONS + 1) < HORIZONS, torch.nan, y)
    before = copy_state(model)
    assert math.isnan(model.online_update(x, only_outcomes, optimizer, CRITERION))
    assert not torch.equal(before["head.weight"], model.head.weight)


def test_shapes_that_do_not_fit_are_refused() -> None:
    model = model_of()
    x, y = chunk(0)
    for wrong in ((x, y[:, :1]), (x[:, :3], y), (x[:-1], y), (x[None], y)):
        with pytest.raises(InputError, match="do not fit a model of 4 features, 2 horizons and 1 brackets"):
            model.online_update(*wrong, adam(model), CRITERION)
