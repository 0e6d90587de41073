"""The head's Laplace approximation against plain numpy, and whether its uncertainty behaves like one."""

import numpy as np
import pytest
import torch
from scipy.special import expit

from supervised.base import CausalModel
from supervised.config import ModelConfig
from supervised.models import build_model
from supervised.outputs import OutputLayout
from supervised.uncertainty import PRIOR_SD, averaged_probability, fit_covariance, prior_precision

HORIZONS, FEATURES = (1, 5), 3


class Identity(CausalModel):
    """A head on the rows themselves: logistic regression."""

    def __init__(self, n_features: int, layout: OutputLayout) -> None:
        super().__init__(n_features, layout, n_features)

    @property
    def receptive_field(self) -> int:
        return 1

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return x


def regression(rows: int, scale: float = 1.0, seed: int = 0) -> tuple[Identity, torch.Tensor, torch.Tensor]:
    """A model with given weights and temperatures, rows (4, rows / 4, F) and targets drawn from it, some unknown."""
    random = np.random.default_rng(seed)
    model = Identity(FEATURES, OutputLayout(HORIZONS)).eval()
    with torch.no_grad():
        model.head.weight[:2] = scale * torch.tensor([[1.0, -0.5, 0.2], [0.3, 0.8, -0.4]])
        model.head.bias[:2] = scale * torch.tensor([0.1, -0.2])
        model.temperature[:2] = torch.tensor([1.5, 0.8])
    x = random.standard_normal((4, rows // 4, FEATURES)).astype(np.float32)
    p = torch.sigmoid(model(torch.from_numpy(x)).detach()[..., :2]).numpy()
    y = np.where(random.random(p.shape) < p, 4.0, -3.0)
    y[random.random(y.shape) < 0.3] = np.nan
    return model, torch.from_numpy(x), torch.from_numpy(y.astype(np.float32))


def explicit(model: Identity, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Covariance per horizon, row by row, with the evidence maximised by its own definition on a grid."""
    phi = np.c_[x.reshape(-1, FEATURES).double().numpy(), np.ones(x.shape[0] * x.shape[1])]
    out = []
    for h, horizon in enumerate(HORIZONS):
        t = float(model.temperature[h])
        w = np.r_[model.head.weight[h].detach().double().numpy(), float(model.head.bias[h].detach())]
        information = np.zeros((FEATURES + 1, FEATURES + 1))
        for row, label in zip(phi, y.reshape(-1, 2)[:, h].numpy(), strict=True):
            if np.isfinite(label) and label != 0:
                p = expit(row @ w / t)
                information += p * (1 - p) * np.outer(row, row) / t**2 / horizon
        grid = np.geomspace(1e-3, 1e4, 40_000)
        determinants = np.log(np.linalg.eigvalsh(information)[:, None] + grid).sum(axis=0)
        evidence = -0.5 * grid * (w @ w) + 0.5 * len(w) * np.log(grid) - 0.5 * determinants
        out.append(np.linalg.inv(information + grid[np.argmax(evidence)] * np.eye(len(w))))
    return np.array(out)


def test_covariance_equals_the_explicit_computation() -> None:
    model, x, y = regression(400)
    found = fit_covariance(model, [(x[:1], y[:1]), (x[1:], y[1:])])
    expected = explicit(model, x, y)
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-3, atol=1e-7)
    model.covariance.copy_(found)
    said = model.forecast(x)
    phi = np.c_[x[0].numpy(), np.ones(x.shape[1])]
    for h in range(2):
        sd = np.sqrt(np.einsum("ni,ij,nj->n", phi, expected[h], phi)) / float(model.temperature[h])
        np.testing.assert_allclose(said.logit_sd[0, :, h].numpy(), sd, rtol=2e-3)


def test_the_sd_is_the_spread_of_refitted_logits() -> None:
    """Refit the regression to label sets drawn from it: the logits spread as far as the posterior says."""
    model, x, _ = regression(2_000, seed=1)
    phi = torch.cat([x.reshape(-1, FEATURES), torch.ones(x.shape[0] * x.shape[1], 1)], dim=1).double()
    w = torch.cat([model.head.weight[0], model.head.bias[:1]]).detach().double()
    asked = phi[:20]
    random = torch.Generator().manual_seed(0)
    logits = []
    for _ in range(300):
        up = (torch.rand(len(phi), generator=random, dtype=torch.float64) < torch.sigmoid(phi @ w)).double()
        v = w.clone()
        for _ in range(4):  # Newton
            p = torch.sigmoid(phi @ v)
            v += torch.linalg.solve(phi.T @ (phi * (p * (1 - p))[:, None]), phi.T @ (up - p))
        logits.append(asked @ v)
    model.temperature.fill_(1.0)
    known = torch.ones(*x.shape[:2], 2)
    model.covariance.copy_(fit_covariance(model, [(x, known)]))
    said = model.forecast(asked[None, :, :FEATURES].float()).logit_sd[0, :, 0].double()
    np.testing.assert_allclose(said, torch.stack(logits).std(dim=0), rtol=0.15)


def test_uncertainty_grows_away_from_the_data_and_with_less_of_it() -> None:
    sizes = (100, 1_000, 10_000)
    spread = []
    for rows in sizes:
        model, x, y = regression(rows, seed=2)
        model.covariance.copy_(fit_covariance(model, [(x, y)]))
        near, far = (float(model.forecast(factor * x).logit_sd[..., 0].mean()) for factor in (1.0, 5.0))
        assert far > 3 * near
        spread.append(near)
    assert spread[0] > 2 * spread[1] > 4 * spread[2]


def test_a_network_is_less_sure_of_rows_it_never_saw() -> None:
    """The encoder's last norm bounds the hidden state; a row unlike any other still points where no data were."""
    model = build_model(ModelConfig(kind="tcn", hidden=16, window=8), FEATURES, OutputLayout(HORIZONS), seed=0).eval()
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
    x = torch.randn(20, 100, FEATURES, generator=torch.Generator().manual_seed(0))
    x[..., 2] = x[..., 0]  # a feature that never differs from another
    y = torch.sign(torch.randn(20, 100, 2, generator=torch.Generator().manual_seed(1)))
    model.covariance.copy_(fit_covariance(model, [(x, y)]))
    strange = x.clone()
    strange[..., 2] = -4 * strange[..., 0]
    assert model.forecast(strange).logit_sd.mean() > 1.3 * model.forecast(x).logit_sd.mean()


def test_no_label_leaves_the_prior_within_its_bounds() -> None:
    model, x, y = regression(100)
    covariance = fit_covariance(model, [(x, torch.full_like(y, torch.nan))])
    width = FEATURES + 1
    variance = torch.diagonal(covariance, dim1=1, dim2=2)
    assert (covariance == torch.diag_embed(variance)).all()
    assert (variance >= PRIOR_SD[0] ** 2 / width * 0.999).all()
    assert (variance <= PRIOR_SD[1] ** 2 / width * 1.001).all()
    # A head that found nothing may not claim to be certain of that.
    assert prior_precision(torch.full((4,), 1e-6, dtype=torch.float64), 0.0, 4) == pytest.approx(4 / PRIOR_SD[0] ** 2)


def test_averaged_probability_is_the_integral_over_the_logit() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    for mean in (-2.0, -0.1, 0.5, 3.0):
        for sd in (0.0, 0.3, 1.0, 2.0):
            exact = float((expit(mean + sd * nodes) * weights).sum() / weights.sum())
            found = float(averaged_probability(torch.tensor(mean), torch.tensor(sd)))
            assert found == pytest.approx(exact, abs=0.012)
