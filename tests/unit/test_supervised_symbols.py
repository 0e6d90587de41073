"""One model for several symbols: told apart where that helps, foldable into a plain model, open to new ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data_pipeline.errors import InputError
from supervised.chunk_set import ChunkSet, LabelledRows, labelled_chunks
from supervised.config import MODEL_KINDS, ModelConfig, TrainConfig, WalkForwardConfig
from supervised.dataset import Dataset
from supervised.fold_store import load_fold
from supervised.fold_training import NEW_SYMBOL, Conduct
from supervised.symbols import UNKNOWN, SymbolModel
from supervised.training import fit
from supervised.walk_forward import plan_joint_folds, walk_forward
from tests.supervised_tools import FEATURES, LAYOUT, RUNS, TRAIN, rows, small_model


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_symbol_folds_into_a_bias(kind: str) -> None:
    inner = small_model(kind)
    torch.nn.init.normal_(inner.head.weight, generator=torch.Generator().manual_seed(1))
    model = SymbolModel(inner, 2).eval()
    x = torch.from_numpy(rows()[0][None, :50])
    with torch.inference_mode():
        assert torch.equal(model(x, torch.tensor([1])), inner(x))  # a fresh one knows no symbols
        model.offsets.weight.normal_(generator=torch.Generator().manual_seed(2))
        said = [model(x, torch.tensor([symbol])) for symbol in (0, 1, 2)]
        assert (said[1] - said[2]).abs().max() > 0.01
        for symbol, wanted in enumerate(said):
            torch.testing.assert_close(model.of(symbol)(x), wanted, atol=1e-5, rtol=1e-5)


def test_symbols_are_told_apart_and_a_new_one_is_met_with_doubt() -> None:
    """One symbol rises four times in five, the other falls; nothing else can be known."""
    random = np.random.default_rng(0)
    X, _, t1 = rows()
    parts = []
    for symbol, rising in ((1, 0.8), (2, 0.2)):
        y = np.full((len(X), 2), np.nan, dtype=np.float32)
        y[:, 0] = np.where(random.random(len(X)) < rising, 1.0, -1.0)
        parts.append(LabelledRows(X, y, t1, RUNS, 0, 1000, symbol))
    inner = small_model(dropout=0.0)
    model = SymbolModel(inner, 2, forget=0.2)

    def chunks(start: int, cut: int) -> ChunkSet:
        some = [replace(part, start=start, cut=cut) for part in parts]
        return labelled_chunks("some", some, LAYOUT, context=14, length=64, min_context=5)

    training, validation = chunks(0, 1000), chunks(1000, 1500)
    config = replace(TRAIN, epochs=12, patience=12, weight_decay=0.0)
    told = fit(model, training, validation, config, seed=0)[-1].validation_loss
    untold = fit(small_model(dropout=0.0), training, validation, config, seed=0)[-1].validation_loss
    assert told < 0.56  # 0.50 is the entropy
    assert untold > 0.67  # 0.69
    assert model.offsets.weight[UNKNOWN].any()  # trained on the chunks whose symbol was hidden
    x = torch.from_numpy(X[None, :300])
    with torch.inference_mode():
        p = [float(torch.sigmoid(model.of(symbol)(x)[..., 0]).mean()) for symbol in (1, 2, UNKNOWN)]
    assert p[0] > 0.7
    assert p[1] < 0.3
    assert 0.35 < p[2] < 0.65


def test_one_symbol_of_a_walk_forward_run_knows_nothing_of_the_others_future(tmp_path: Path) -> None:
    """Whatever happens to one from the embargo on, the predictions for another do not move before the fold ends."""
    config = WalkForwardConfig(
        horizons=(1,),
        models=(ModelConfig(kind="tcn", hidden=8, window=8, min_context=4),),
        train=TrainConfig(epochs=1, chunk=64, batch=2),
        folds=2,
        embargo_rows=5,
    )

    def market(seed: int, first: int, count: int) -> Dataset:
        X, y, t1 = rows(seed, count)
        y[-5:] = np.nan
        return Dataset(X, y[:, :1], t1[:, :1], np.array([[0, count]]), 60_000 * (first + np.arange(count)))

    markets = {"A": market(0, 0, 800), "B": market(1, 130, 500)}  # B begins later and ends earlier
    plan = plan_joint_folds(markets, config)
    moments = {name: data.open_time_ms for name, data in markets.items()}
    for folds in plan:
        start = moments["A"][folds["A"].start]
        assert moments["B"][: folds["B"].start].max() < start
        assert folds["B"].start == len(moments["B"]) or moments["B"][folds["B"].start] >= start
    before = walk_forward(markets, config, Conduct(tmp_path))
    stored = {name: load_fold(tmp_path / name, 1).models["tcn"] for name in ("A", "B", NEW_SYMBOL)}
    biases = [model.get_parameter("embed.bias") for model in stored.values()]
    assert not any(torch.equal(biases[one], biases[other]) for one, other in ((0, 1), (0, 2), (1, 2)))
    assert len(load_fold(tmp_path / NEW_SYMBOL, 1).predictions.values) == 0

    last, other = plan[-1]["B"], markets["B"]
    X, y = other.X.copy(), other.y.copy()
    X[last.start :] += 3.0
    y[other.t1[:, 0] >= last.cut] *= -1
    after = walk_forward({**markets, "B": replace(other, X=X, y=y)}, config, Conduct())
    np.testing.assert_array_equal(before["A"].values, after["A"].values)
    assert not np.array_equal(before["B"].values, after["B"].values, equal_nan=True)
    y[other.t1[:, 0] >= last.cut - 200] *= -1
    after = walk_forward({**markets, "B": replace(other, X=X, y=y)}, config, Conduct())
    assert not np.array_equal(before["A"].values, after["A"].values, equal_nan=True)  # they do share their models


def test_markets_of_other_labels_and_the_reserved_name_are_refused() -> None:
    X, y, t1 = rows(0, 600)
    y[-5:] = np.nan
    one = Dataset(X, y, t1, np.array([[0, 600]]), 60_000 * np.arange(600))
    config = WalkForwardConfig(horizons=(1,))
    with pytest.raises(InputError, match="predictions A: y has 2 columns for horizons"):
        walk_forward({"A": one, "B": one}, config, Conduct())
    narrow = replace(one, X=X[:, :2], y=y[:, :1], t1=t1[:, :1])
    wide = replace(one, y=y[:, :1], t1=t1[:, :1])
    with pytest.raises(InputError, match=f"B has 2 features, A has {FEATURES}"):
        walk_forward({"A": wide, "B": narrow}, config, Conduct())
    with pytest.raises(InputError, match=NEW_SYMBOL):
        walk_forward({"A": wide, NEW_SYMBOL: wide}, config, Conduct())
