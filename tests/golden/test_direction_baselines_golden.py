"""The logistic baseline against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from supervised.baselines import fit_logistic


@pytest.mark.parametrize("penalty", [1e-3, 0.1])
def test_logistic_agrees_with_scikit_learn(penalty):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((3000, 12)) @ rng.standard_normal((12, 12))
    up = rng.uniform(size=3000) < 1 / (1 + np.exp(-0.3 * X[:, 0] + 0.7))
    theirs = LogisticRegression(C=1 / (penalty * len(X)), tol=1e-10, max_iter=10_000).fit(X, up)
    ours = fit_logistic(X, up, penalty, np.zeros(13))
    assert ours[:-1] == pytest.approx(theirs.coef_[0], abs=2e-5)
    assert ours[-1] == pytest.approx(theirs.intercept_[0], abs=2e-5)
