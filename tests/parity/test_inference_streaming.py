"""Row by row, every backend says what the dense causal model says of the whole stretch."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from data_pipeline.errors import InputError
from supervised.base import CausalModel
from supervised.config import MODEL_KINDS, ModelKind
from supervised.inference.backends import open_stream
from supervised.inference.compiled_stream import CompiledStream
from supervised.inference.config import Backend
from supervised.inference.onnx_export import export_stream
from supervised.inference.onnx_stream import OnnxStream
from supervised.inference.streaming import Stream
from tests.inference_tools import LAYOUT, dense_answers, lively_model, random_rows

TOLERANCE = 1e-5
BACKENDS: tuple[Backend, ...] = ("compiled", "onnx", "torch")


def answers(stream: Stream, x: np.ndarray) -> np.ndarray:
    return np.array([stream.advance(row) for row in x])


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_ten_thousand_rows_equal_the_dense_model(kind: ModelKind, backend: Backend) -> None:
    model, x = lively_model(kind), random_rows(10_000)
    wanted = dense_answers(model, x)
    said = answers(open_stream(model, backend), x)
    assert said.shape == (10_000, LAYOUT.size + len(LAYOUT.horizons))
    assert np.abs(said - wanted).max() <= TOLERANCE
    assert wanted.std(axis=0).min() > 1_000 * TOLERANCE  # every output does say different things


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize(("features", "hidden", "window"), [(3, 4, 5), (64, 64, 100), (41, 24, 33)])
def test_compiled_at_other_sizes(kind: ModelKind, features: int, hidden: int, window: int) -> None:
    model = lively_model(kind, features=features, hidden=hidden, window=window)
    x = random_rows(400, features)
    assert np.abs(answers(CompiledStream(model), x) - dense_answers(model, x)).max() <= TOLERANCE


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_saved_state_goes_on_to_the_bit_and_a_reset_starts_anew(kind: ModelKind, backend: Backend) -> None:
    model, x = lively_model(kind), random_rows(90)
    stream, other = open_stream(model, backend), open_stream(model, backend)
    first = answers(stream, x[:55])
    other.restore(stream.state_bytes())
    assert other.rows == stream.rows == 55
    np.testing.assert_array_equal(answers(other, x[55:]), answers(stream, x[55:]))
    stream.reset()
    np.testing.assert_array_equal(answers(stream, x[:55]), first)


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_new_weights_are_served_from_the_next_row_on(kind: ModelKind, backend: Backend) -> None:
    before, after, x = lively_model(kind), lively_model(kind, seed=2), random_rows(120)
    stream = open_stream(before, backend)
    answers(stream, x[:40])
    stream.prepare()  # work done ahead with the old weights must not be mixed with the new ones
    stream.update_weights(after)
    mixed = answers(stream, x[40:])
    switched = open_stream(before, "torch")  # the definition: old weights' state, new weights' step
    answers(switched, x[:40])
    switched.update_weights(after)
    assert np.abs(mixed - answers(switched, x[40:])).max() <= TOLERANCE
    stream.reset()
    assert np.abs(answers(stream, x) - dense_answers(after, x)).max() <= TOLERANCE


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_work_done_ahead_changes_nothing(kind: ModelKind) -> None:
    model, x = lively_model(kind), random_rows(60)
    eager, lazy = CompiledStream(model), CompiledStream(model)
    for row in x:
        eager.prepare()
        eager.prepare()
        np.testing.assert_array_equal(eager.advance(row), lazy.advance(row))


def test_weights_swapped_from_another_thread_are_never_mixed() -> None:
    """Both weights answer a first row; whatever the other thread does, each answer is one of the two."""
    models = [lively_model("tcn", seed=seed) for seed in (1, 2)]
    row = random_rows(1)[0]
    allowed = np.array([CompiledStream(model).advance(row) for model in models])
    stream, stop = CompiledStream(models[0]), threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for model in models:
                stream.update_weights(model)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        said: list[np.ndarray] = []
        seen: set[bytes] = set()
        # A busy machine may let the other thread wait for long: 3,000 answers, and on until it has had its turn.
        while len(said) < 3_000 or (len(seen) < 2 and len(said) < 1_000_000):
            said.append(stream.advance(row))
            seen.add(said[-1].tobytes())
            stream.reset()
            stream.prepare()
    finally:
        stop.set()
        swapper.join()
    match = (np.array(said)[:, None] == allowed).all(axis=-1)
    assert match.any(axis=1).all()
    assert match.any(axis=0).all()


def test_later_training_does_not_show_until_it_is_taken_over() -> None:
    model, row = lively_model("lstm"), random_rows(1)[0]
    stream = CompiledStream(model)
    before = stream.advance(row)
    with torch.no_grad():
        model.head.bias.add_(1.0)
    stream.reset()
    np.testing.assert_array_equal(stream.advance(row), before)
    stream.update_weights(model)
    stream.reset()
    assert np.abs(stream.advance(row) - before).min(where=np.arange(len(before)) < LAYOUT.size, initial=9.0) > 0.5


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_does_not_fit_is_refused(backend: Backend) -> None:
    stream = open_stream(lively_model("tcn"), backend)
    with pytest.raises(InputError, match=r"row float64 \(7,\) does not fit a model of 7 features"):
        stream.advance(np.zeros(7))
    with pytest.raises(InputError, match=r"row float32 \(8,\)"):
        stream.advance(np.zeros(8, dtype=np.float32))
    for other in (lively_model("lstm"), lively_model("tcn", hidden=24), lively_model("tcn", features=8)):
        with pytest.raises(InputError, match="another shape"):
            stream.update_weights(other)
    for state in (b"", stream.state_bytes()[:-4], open_stream(lively_model("lstm"), backend).state_bytes()):
        with pytest.raises(InputError, match="another stream"):
            stream.restore(state)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_an_exported_file_is_enough_to_serve(kind: ModelKind, tmp_path: Path) -> None:
    model, x = lively_model(kind), random_rows(80)
    assert export_stream(model, tmp_path / "stream.onnx") <= TOLERANCE
    stream = OnnxStream((tmp_path / "stream.onnx").read_bytes())
    assert stream.layout == model.layout
    assert np.abs(answers(stream, x) - dense_answers(model, x)).max() <= TOLERANCE


def test_untrained_models_whose_weights_are_equal_keep_their_names() -> None:
    """The exporter merges equal weights, such as the ones of two fresh norms; updates find weights by name."""
    fresh = lively_model("transformer")
    for module in fresh.modules():
        if isinstance(module, torch.nn.LayerNorm):
            torch.nn.init.ones_(module.weight)
            torch.nn.init.zeros_(module.bias)
    stream, x = open_stream(fresh, "onnx"), random_rows(30)
    learned: CausalModel = lively_model("transformer", seed=3)
    stream.update_weights(learned)
    assert np.abs(answers(stream, x) - dense_answers(learned, x)).max() <= TOLERANCE
