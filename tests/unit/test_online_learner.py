"""One model that learns on: when it swaps, what the guard does, what is restored, and that nobody else is disturbed."""

import builtins
import logging
from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from data_pipeline.errors import InputError
from supervised.base import CausalModel
from supervised.config import MODEL_KINDS, ModelConfig, OnlineConfig
from supervised.devices import torch_threads
from supervised.models import build_model
from supervised.online.arrays import weights_of
from supervised.online.config import LearningConfig
from supervised.online.drift import MOST, DriftMonitor
from supervised.online.guard import Guard
from supervised.online.learner import OnlineLearner
from supervised.online.pending import KnownLabel
from supervised.outputs import OutputLayout
from supervised.predictions import LeakError

LAYOUT = OutputLayout((1, 2))
CONFIG = LearningConfig(update_every=8, swap_after=3, guard_rows=200, replay=OnlineConfig(replay_samples=100))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def learner(config: LearningConfig = CONFIG, kind: str = "tcn", dropout: float = 0.3) -> OnlineLearner:
    model = build_model(ModelConfig(kind=kind, hidden=8, window=8, dropout=dropout), 3, LAYOUT)
    torch.nn.init.normal_(model.head.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    return OnlineLearner(model, config)


def feed(
    online: OnlineLearner,
    count: int,
    *,
    seed: int = 0,
    wrong: bool = False,
    asked: list[tuple[CausalModel, CausalModel]] | None = None,
) -> list[np.ndarray]:
    """Rows whose feature 0 tells the sign of their labels; returns what `serving` had to say of each.

    `wrong`: claims that the serving model said the opposite of what came. `asked` gets the models that were asked.
    """
    first = online.row + 1
    x = np.random.default_rng((seed, 0)).normal(size=(first + count, 3)).astype(np.float32)
    said = []
    for row in range(first, first + count):
        online.begin_row()
        if asked is not None:
            asked.append((online.serving, online.reference))
        window = torch.from_numpy(x[max(row - 20, 0) : row + 1])[None]
        with torch.inference_mode():
            p, q = (torch.sigmoid(m(window)[0, -1, :2]).numpy() for m in (online.serving, online.reference))
        labels = [KnownLabel(row - 2 - h, h, float(x[row - 2 - h, 0]), row) for h in range(2) if row >= 3]
        if wrong:
            p, q = np.full(2, 0.05 if x[row, 0] > 0 else 0.95), np.full(2, 0.5)
        online.end_row(x[row], p, q, labels, follows=row > 0)
        said.append(p)
    return said


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_it_learns_in_a_copy_and_swaps_when_it_said_it_would(kind: str) -> None:
    online = learner(kind=kind)
    original, swapped = online.serving, []
    online.on_swap = lambda model: swapped.append((online.row, model))
    before = weights_of(original)
    feed(online, 31)
    # Updates at the ends of rows 7, 15, 23; each is in place before the prediction three rows later. At 31 no row is.
    assert [row for row, _ in swapped] == [9, 17, 25]
    assert online.version == online.counts.swaps == online.counts.updates == 3
    assert online.serving is swapped[-1][1] is not original
    for name, value in weights_of(original).items():
        np.testing.assert_array_equal(value, before[name])  # who still holds the old model is not disturbed
    assert any((value != before[name]).any() for name, value in weights_of(online.serving).items())
    assert not online.serving.training
    feed(online, 600)
    assert online.counts.promotions > 0
    assert online.counts.roll_backs == 0


@pytest.mark.parametrize("follow", [0.1, 1.0])
def test_what_serves_follows_what_was_learned(follow: float) -> None:
    online = learner(replace(CONFIG, follow=follow))
    before = weights_of(online.serving)
    feed(online, 11)  # updated at the end of row 7, in place from row 10 on
    goal, after = weights_of(online._student), weights_of(online.serving)
    assert online.counts.swaps == 1
    for name, value in after.items():
        np.testing.assert_allclose(value, before[name] + follow * (goal[name] - before[name]), rtol=0, atol=1e-7)
    assert np.abs(goal["head.weight"] - before["head.weight"]).max() > 5e-4


def test_quiet_rows_are_answered_by_the_same_models() -> None:
    online, changes = learner(), 0
    for _ in range(100):
        asked: list[tuple[CausalModel, CausalModel]] = []
        before = online.serving
        feed(online, online.quiet_rows(), asked=asked)
        assert len({id(serving) for serving, _ in asked}) == len({id(reference) for _, reference in asked}) == 1
        changes += asked[0][0] is not before
    assert changes > 20
    assert online.counts.promotions > 0


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_an_update_draws_no_random_number_and_leaves_the_threads_alone(kind: str) -> None:
    online = learner(kind=kind)
    before = torch.get_rng_state()
    feed(online, 40)
    assert online.counts.updates > 3
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("head_only", [False, True])
def test_head_only_learns_the_head_only(kind: str, head_only: bool) -> None:
    online = learner(LearningConfig(update_every=8, head_only=head_only), kind)
    before = weights_of(online.serving)
    feed(online, 40)
    after = weights_of(online.serving)
    moved = {name for name in before if (before[name] != after[name]).any()}
    assert (moved == {"head.weight", "head.bias"}) == head_only
    assert "head.weight" in moved


@pytest.mark.parametrize(
    ("drift", "cut"), [("none", 0), ("adwin", 24), ("none", 25), ("page_hinkley", 27), ("adwin", 90)]
)
def test_a_restored_learner_goes_on_bit_for_bit_in_background_and_foreground(drift: str, cut: int) -> None:
    """Weights, optimizer, replay and its draws, detector, guard, queue: stopped before, inside and after an update."""
    config = LearningConfig(update_every=8, swap_after=3, drift=drift, replay=OnlineConfig(replay_samples=100))
    straight, stopped = learner(config), learner(LearningConfig(**{**asdict(config), "replay": config.replay}))
    feed(straight, 130)
    feed(stopped, cut)
    state = stopped.state()
    background = LearningConfig(**{**asdict(config), "replay": config.replay, "background": True})
    resumed = learner(background)
    resumed.restore(state)
    feed(resumed, 130 - cut)
    wanted, found = straight.state(), resumed.state()
    resumed.close()
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert resumed.counts == straight.counts


def test_a_model_that_loses_more_than_the_reference_is_rolled_back(caplog: pytest.LogCaptureFixture) -> None:
    online = learner()
    reference = online.reference
    feed(online, 40)
    with caplog.at_level(logging.WARNING):
        feed(online, 150, wrong=True)
    assert online.counts.roll_backs >= 1
    assert "rolled back: it lost more" in caplog.text
    assert online.counts.promotions == 0
    assert online.reference is reference


def test_weights_that_are_not_finite_never_serve(caplog: pytest.LogCaptureFixture) -> None:
    online = learner()
    feed(online, 24)
    with torch.no_grad():
        next(online._student.parameters()).fill_(torch.nan)
    said = feed(online, 40)
    assert np.isfinite(said).all()
    assert online.counts.roll_backs == 1
    assert "not finite" in caplog.text
    assert all(bool(torch.isfinite(value).all()) for value in online.serving.state_dict().values())
    assert online.counts.swaps > 3  # it learns on from the reference


def test_a_label_of_the_future_is_refused() -> None:
    online = learner()
    feed(online, 10)
    x, half = np.zeros(3, dtype=np.float32), np.full(2, 0.5)
    online.begin_row()
    with pytest.raises(LeakError, match="ends at row 11, the newest is 10"):
        online.end_row(x, half, half, [KnownLabel(9, 0, 1.0, 11)], follows=True)


def test_the_guard_needs_evidence_and_forgets_once_it_has_decided() -> None:
    random = np.random.default_rng(0)
    for mean, verdict in ((0.05, "roll back"), (-0.05, "promote"), (0.0, "go on")):
        guard, found = Guard(LearningConfig(), overlap=5), []
        for _ in range(400):
            guard.note(random.normal(mean, 0.1))
            found.append(guard.verdict())
        assert set(found) <= {verdict, "go on"}
        assert found[:249] == ["go on"] * 249  # fewer than 50 blocks of five rows
        if verdict != "go on":
            first = found.index(verdict)
            assert found[first + 1 : first + 200] == ["go on"] * len(found[first + 1 : first + 200])


def test_false_alarms_of_the_guard_are_rare() -> None:
    random, alarms = np.random.default_rng(1), 0
    for _ in range(40):
        guard = Guard(LearningConfig(), overlap=1)
        for row in range(3_000):
            guard.note(random.normal(0.0, 0.2))
            alarms += row % 32 == 31 and guard.verdict() == "roll back"
    assert alarms <= 2


@pytest.mark.parametrize("kind", ["adwin", "page_hinkley"])
def test_detectors_see_a_rise_and_a_fall_and_nothing_else(kind: str) -> None:
    random = np.random.default_rng(0)
    for step in (0.15, -0.15):
        monitor = DriftMonitor(kind)
        assert [monitor.update(random.normal(0.66, 0.2)) for _ in range(4_000)] == [0.0] * 4_000
        drifts = [found for found in (monitor.update(random.normal(0.66 + step, 0.2)) for _ in range(600)) if found]
        assert np.sign(drifts[0]) == np.sign(step)


def test_a_detector_that_never_finds_anything_stays_small() -> None:
    monitor = DriftMonitor("page_hinkley")
    for _ in range(MOST + 10):
        assert monitor.update(0.69) == 0
    assert len(monitor.state()) == 10


def test_a_rise_lets_go_of_the_old_and_boosts_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    online = learner(LearningConfig(update_every=8, drift="adwin", boost=4.0, boost_rows=100, drift_keeps=20))
    feed(online, 200)
    assert online._student.replay is not None
    assert len(online._student.replay) > 150
    rises = iter([0.1])
    monkeypatch.setattr(online._drift, "update", lambda loss: next(rises, 0.0))
    feed(online, 8)
    assert online.counts.drifts == 1
    assert len(online._student.replay) <= 28
    assert online._optimizer.param_groups[0]["lr"] == pytest.approx(4.0 * online.config.learning_rate)
    feed(online, 50)
    assert 1.0 < online._optimizer.param_groups[0]["lr"] / online.config.learning_rate < 3.0
    feed(online, 60)
    assert online._optimizer.param_groups[0]["lr"] == online.config.learning_rate


def test_without_river_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments, **options):
        if name == "river":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    learner()
    with pytest.raises(InputError, match=r"river is not installed; pip install 'crypto-scalping-suite\[learning\]'"):
        learner(LearningConfig(drift="adwin"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"update_every": 0}, "update_every 0 is below 1"),
        ({"update_every": 4, "swap_after": 5}, "swap_after 5 is above update_every 4"),
        ({"learning_rate": float("nan")}, "learning_rate nan is not positive"),
        ({"follow": 0.0}, r"follow 0.0 is outside \(0, 1\]"),
        ({"drift": "cusum"}, "drift 'cusum' is unknown"),
        ({"optimizer": "lion"}, "optimizer 'lion' is unknown"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LearningConfig(**settings)
