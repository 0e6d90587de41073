"""Members and ensemble on a stream of feature rows say what research says of the same rows."""

import numpy as np
import pytest

from data_pipeline.errors import InputError
from features.scaling import Scaler
from supervised.chunks import complete_runs
from supervised.config import ENSEMBLE_KINDS, EnsembleConfig, ModelConfig, TrainConfig
from supervised.fold_store import FoldForecast
from supervised.forecasting import predict
from supervised.inference.config import Backend
from supervised.inference.members import StreamingEnsemble, StreamingMembers
from supervised.meta import Ensemble
from tests.inference_tools import LAYOUT, lively_model

TOLERANCE = 1e-5
FEATURES, ROWS, HOLE, GAP = 7, 500, 130, 300
MODELS = {kind: lively_model(kind) for kind in ENSEMBLE_KINDS}
SETTINGS = tuple(ModelConfig(kind, min_context=5 + 5 * number) for number, kind in enumerate(ENSEMBLE_KINDS))
NAMES = ("realised_volatility_60", "return_60", *(f"other_{number}" for number in range(FEATURES - 2)))


def feature_rows() -> tuple[np.ndarray, Scaler]:
    """float64 (ROWS, F) with a missing value in one row, one constant column, one wild value; and their scaler."""
    X = 3.0 + 2.0 * np.random.default_rng(0).standard_normal((ROWS, FEATURES))
    X[:, 3] = 1.25
    X[200, 1] = 1e9
    scaler = Scaler.fit(X, slice(0, 190))
    X[HOLE, 2] = np.nan
    return X, scaler


def research(X: np.ndarray, scaler: Scaler) -> FoldForecast:
    runs = complete_runs(X, np.array([[0, min(GAP, len(X))], [min(GAP, len(X)), len(X)]]))
    config = TrainConfig(chunk=ROWS)  # one chunk per run, so that the LSTM too begins where the run does
    scaled = scaler.transform(X)
    said = [
        predict(MODELS[member.kind], scaled, runs, 0, len(X), config, min_context=member.min_context)
        for member in SETTINGS
    ]
    return FoldForecast.of(said, len(LAYOUT.horizons))


@pytest.mark.parametrize("backend", ["compiled", "onnx"])
def test_a_stream_of_rows_is_research(backend: Backend) -> None:
    X, scaler = feature_rows()
    members = StreamingMembers(MODELS, SETTINGS, scaler, backend=backend)
    said = []
    for number, row in enumerate(X):
        if number == GAP:
            members.reset()
        said.append(members.advance(row))
        members.prepare()
    wanted = research(X, scaler)
    for name in ("p_up", "further"):
        live = np.concatenate([getattr(one, name) for one in said])
        expected = getattr(wanted, name)
        np.testing.assert_array_equal(np.isnan(live), np.isnan(expected))
        assert np.nanmax(np.abs(live - expected) / np.maximum(1.0, np.abs(expected))) <= TOLERANCE
        assert np.isnan(expected).any()
        assert np.isfinite(expected[-1]).all()


def test_asked_as_a_fold_is_asked_a_window_at_a_time() -> None:
    """Row numbers of a caller that keeps the last rows only: a stretch that is cut off in front is no new stretch."""
    X, scaler = feature_rows()
    members, kept, said = StreamingMembers(MODELS, SETTINGS, scaler), 40, []
    for number in range(len(X)):
        first = max(0, number + 1 - kept)
        gap = GAP - first
        window = X[first : number + 1]
        whole = np.array([[0, len(window)]])
        cut = np.array([[0, gap], [gap, len(window)]])
        said.append(members.predict(window, cut if 0 < gap < len(window) else whole, len(window) - 1).p_up)
    live, wanted = np.concatenate(said), research(X, scaler).p_up
    np.testing.assert_array_equal(np.isnan(live), np.isnan(wanted))
    assert np.nanmax(np.abs(live - wanted)) <= TOLERANCE


def test_rows_are_scaled_to_the_bit() -> None:
    X, scaler = feature_rows()
    members = StreamingMembers(MODELS, SETTINGS, scaler)
    wanted = scaler.transform(X)
    for row, expected in zip(X, wanted, strict=True):
        members.advance(row)
        if np.isfinite(expected).all():
            np.testing.assert_array_equal(members.scaled, expected)


def test_a_saved_state_goes_on_to_the_bit_and_weights_can_be_replaced() -> None:
    X, scaler = feature_rows()
    members, other = (StreamingMembers(MODELS, SETTINGS, scaler) for _ in range(2))
    for row in X[:60]:
        members.advance(row)
    other.restore(members.state())
    for row in X[60:90]:
        np.testing.assert_array_equal(other.advance(row).further, members.advance(row).further)
    other.update_weights("lstm", lively_model("lstm", seed=4))
    ours, theirs = members.advance(X[90]).p_up[0], other.advance(X[90]).p_up[0]
    changed = np.array([kind == "lstm" for kind in MODELS])
    assert (ours[:, changed] != theirs[:, changed]).all()
    np.testing.assert_array_equal(ours[:, ~changed], theirs[:, ~changed])
    with pytest.raises(InputError, match="another stream"):
        other.restore({"tcn": b"1"})


def test_the_ensemble_answers_and_learns_as_in_research() -> None:
    """With labels that arrive late: the gate sees the regime of the row a label was decided on."""
    X, scaler = feature_rows()
    X, delay = X[:HOLE], 3
    rng = np.random.default_rng(1)
    y = rng.standard_normal((len(X), len(LAYOUT.horizons)))
    ends = np.repeat(np.arange(len(X))[:, None] + delay, y.shape[1], axis=1)
    config = EnsembleConfig()
    learned = Ensemble.start(config, LAYOUT.horizons, tuple(MODELS), NAMES)
    live = StreamingEnsemble(StreamingMembers(MODELS, SETTINGS, scaler), learned.copy())
    said = []
    for number, row in enumerate(X):
        forecast = live.members.advance(row)
        known = number - delay
        if known >= 0:
            live.ensemble.online_update(said[known].experts, said[known].regime[None].repeat(2, axis=0), y[known])
        said.append(live.answer(forecast))
    wanted, _ = learned.run(research(X, scaler).p_up, scaler.transform(X), y, ends)
    mixture = np.array([one.ensemble for one in said])
    np.testing.assert_array_equal(np.isnan(mixture), np.isnan(wanted))
    assert np.nanmax(np.abs(mixture - wanted)) <= TOLERANCE


def test_members_must_be_the_ensembles() -> None:
    _, scaler = feature_rows()
    ensemble = Ensemble.start(EnsembleConfig(), LAYOUT.horizons, ("lstm", "tcn"), NAMES)
    with pytest.raises(InputError, match="not the ensemble's"):
        StreamingEnsemble(StreamingMembers(MODELS, SETTINGS, scaler), ensemble)
    with pytest.raises(InputError, match="features have shape"):
        StreamingMembers(MODELS, SETTINGS, scaler).advance(np.zeros(3))
