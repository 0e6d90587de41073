"""The tasks' losses against scipy's densities and a plain loop, and what each is smallest at."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax
from scipy.stats import bernoulli, laplace

from supervised.config import TaskConfig
from supervised.losses import LabelTally, LossWeights, base_rates, loss_weights, task_loss, task_losses, task_sums
from supervised.outputs import Bracket, OutputLayout

LAYOUT = OutputLayout((1, 5), (Bracket(20.0, 10.0, 30), Bracket(20.0, 10.0, 30, side=-1)))
EVEN = LossWeights.even(LAYOUT, TaskConfig(), torch.device("cpu"))


def case(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs (3, 40, O) and targets with unknowns, labels of zero and rows of context."""
    random = np.random.default_rng(seed)
    outputs = random.standard_normal((3, 40, LAYOUT.size))
    y = 8 * random.standard_t(4, (3, 40, 2))
    y[random.random(y.shape) < 0.1] = 0.0
    targets = np.concatenate([y, random.integers(-1, 2, (3, 40, 2))], axis=2)
    targets[random.random(targets.shape) < 0.2] = np.nan
    targets[:, :5] = np.nan
    return torch.from_numpy(outputs.astype(np.float32)), torch.from_numpy(targets.astype(np.float32))


def plain(outputs: torch.Tensor, targets: torch.Tensor, weights: LossWeights) -> list[float]:
    """Direction, move and barrier, label by label."""
    sums, shares = np.zeros(3), np.zeros(3)
    for said, known in zip(outputs.reshape(-1, LAYOUT.size).numpy(), targets.reshape(-1, 4).numpy(), strict=True):
        for h, r in enumerate(known[:2]):
            if np.isfinite(r):
                # The density of a Laplace law, less its ln 2.
                sums[1] -= laplace.logpdf(r, scale=np.exp(said[2 + h])) + np.log(2)
                shares[1] += 1
            if np.isfinite(r) and r != 0:
                weight = float(weights.direction[h, int(r > 0)])
                if weights.tasks.weight_by_move:
                    weight *= abs(r) / float(weights.mean_move[h])
                sums[0] -= weight * bernoulli.logpmf(int(r > 0), expit(said[h]))
                shares[0] += weight
        for k, outcome in enumerate(known[2:]):
            if np.isfinite(outcome):
                weight = float(weights.outcomes[k, int(outcome) + 1])
                sums[2] -= weight * log_softmax(said[4 + 3 * k : 7 + 3 * k])[int(outcome) + 1]
                shares[2] += weight
    return (sums / shares).tolist()


@pytest.mark.parametrize("tasks", [TaskConfig(), TaskConfig(balance=True), TaskConfig(weight_by_move=True)])
def test_losses_equal_scipys(tasks: TaskConfig) -> None:
    outputs, targets = case()
    weights = loss_weights(LabelTally.of(targets, LAYOUT), tasks)
    expected = plain(outputs, targets, weights)
    np.testing.assert_allclose(list(task_losses(outputs, targets, LAYOUT, weights)), expected, rtol=1e-5)
    total = tasks.direction * expected[0] + tasks.move * expected[1] + tasks.barrier * expected[2]
    assert float(task_loss(outputs, targets, LAYOUT, weights)) == pytest.approx(total, rel=1e-5)


def test_sums_and_tallies_of_parts_add_up() -> None:
    outputs, targets = case()
    whole = task_sums(outputs, targets, LAYOUT, EVEN)
    parts = [task_sums(outputs[i], targets[i], LAYOUT, EVEN) for i in range(3)]
    for name in ("losses", "weights"):
        torch.testing.assert_close(sum(getattr(part, name) for part in parts), getattr(whole, name))
    tally = LabelTally.of(targets[0], LAYOUT) + LabelTally.of(targets[1:], LAYOUT)
    for name in LabelTally.__slots__:
        np.testing.assert_allclose(getattr(tally, name), getattr(LabelTally.of(targets, LAYOUT), name))


def test_no_known_label_is_no_loss_and_no_gradient() -> None:
    outputs, targets = case()
    outputs.requires_grad_()
    loss = task_loss(outputs, torch.full_like(targets, torch.nan), LAYOUT, EVEN)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert (outputs.grad == 0).all()


@pytest.mark.parametrize("law", ["laplace", "student", "two sizes"])
def test_the_move_is_least_at_the_mean_absolute_return_of_any_law(law: str) -> None:
    random = np.random.default_rng(0)
    r = {
        "laplace": random.laplace(0, 7, 5_000),
        "student": 5 * random.standard_t(3, 5_000),
        "two sizes": random.choice([1.0, -20.0], 5_000),
    }[law]
    layout = OutputLayout((1,))
    targets = torch.from_numpy(r.astype(np.float32))[:, None]
    even = LossWeights.even(layout, TaskConfig(), torch.device("cpu"))

    def loss(log_move: float) -> float:
        outputs = torch.tensor([0.0, log_move]).expand(len(r), 2)
        return float(task_losses(outputs.double(), targets.double(), layout, even).move)

    found = minimize_scalar(loss, bounds=(-5, 8), method="bounded", options={"xatol": 1e-7}).x
    assert np.exp(found) == pytest.approx(np.abs(r).mean(), rel=1e-4)


def test_balanced_weights_shift_the_logits_by_what_is_taken_off() -> None:
    """Constant outputs fitted under class weights, less the shift, are the true frequencies."""
    random = np.random.default_rng(0)
    layout = OutputLayout((1,), (Bracket(20.0, 10.0, 30),))
    y = np.where(random.random(20_000) < 0.2, 5.0, -5.0)
    outcome = random.choice([-1.0, 0.0, 1.0], 20_000, p=[0.7, 0.2, 0.1])
    targets = torch.from_numpy(np.stack([y, outcome], axis=1).astype(np.float32))
    tally = LabelTally.of(targets, layout)
    weights = loss_weights(tally, TaskConfig(balance=True))
    outputs = torch.zeros(layout.size, requires_grad=True)
    optimizer = torch.optim.LBFGS([outputs], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = task_loss(outputs.expand(len(y), -1), targets, layout, weights)
        loss.backward()
        return loss

    optimizer.step(closure)
    fitted = outputs.detach()
    np.testing.assert_allclose(torch.sigmoid(fitted[0]), 0.5, atol=1e-3)  # balanced: both classes look alike
    honest = fitted - weights.shift()
    np.testing.assert_allclose(torch.sigmoid(honest[0]), (y > 0).mean(), atol=1e-3)
    frequencies = [(outcome == number).mean() for number in (-1, 0, 1)]
    np.testing.assert_allclose(honest[layout.barrier].softmax(dim=0), frequencies, atol=1e-3)
    start = base_rates(tally, layout)
    np.testing.assert_allclose(start[layout.barrier].softmax(dim=0), frequencies, atol=1e-3)
    assert float(start[1].exp()) == pytest.approx(5.0)


def test_without_balance_nothing_is_weighted_or_shifted() -> None:
    weights = loss_weights(LabelTally.of(case()[1], LAYOUT), TaskConfig())
    assert (weights.shift() == 0).all()
    assert (weights.direction == 1).all()
    assert (weights.outcomes == 1).all()
