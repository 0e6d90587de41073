"""Actions of every mode stand for the documented order rows."""

import math

import numpy as np
import pytest

from data_pipeline.errors import InputError
from envs.actions import ActionDecoder, action_space, encode_sides
from envs.config import MarketConfig

CONFIG = {
    mode: MarketConfig(action_mode=mode, ttl_bars=17.0, tp_grid_bps=(10.0, 20.0, 50.0), sl_grid_bps=(5.0, 15.0))
    for mode in ("discrete", "multi_discrete", "continuous")
}


def orders_of(mode: str, actions: np.ndarray) -> np.ndarray:
    decoder = ActionDecoder(CONFIG[mode])
    orders = np.full((len(actions), 4), np.nan)
    decoder.decode(decoder.as_batch(actions, len(actions)), orders)
    return orders


def test_discrete() -> None:
    orders = orders_of("discrete", np.array([0, 1, 2]))
    np.testing.assert_array_equal(orders, [[0, 30, 20, 17], [1, 30, 20, 17], [-1, 30, 20, 17]])


def test_multi_discrete_names_every_choice_once() -> None:
    space = action_space(CONFIG["multi_discrete"])
    grid = np.indices(space.nvec).reshape(3, -1).T
    orders = orders_of("multi_discrete", grid)
    for (code, tp, sl), order in zip(grid, orders, strict=True):
        assert order.tolist() == [(0, 1, -1)[code], (10.0, 20.0, 50.0)[tp], (5.0, 15.0)[sl], 17.0]


def test_continuous_is_linear_with_a_dead_zone() -> None:
    actions = np.array([[0.25, -1, -1], [0.26, 1, 1], [-1, 0, 0], [-0.25, 0, 0.5], [1, 0.5, -0.5]], dtype=np.float32)
    orders = orders_of("continuous", actions)
    np.testing.assert_allclose(orders[:, 0], [0, 0.26, -1, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(orders[:, 1], [10, 50, 30, 30, 40])
    np.testing.assert_allclose(orders[:, 2], [5, 15, 10, 12.5, 7.5])
    assert (orders[:, 3] == 17).all()


@pytest.mark.parametrize("mode", CONFIG)
def test_sampled_actions_are_orders(mode: str) -> None:
    space = action_space(CONFIG[mode])
    space.seed(0)
    orders = orders_of(mode, np.array([space.sample() for _ in range(200)]))
    assert (np.abs(orders[:, 0]) <= 1).all()
    assert set(np.sign(orders[:, 0])) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize(
    ("mode", "action"),
    [
        ("discrete", [3]),
        ("discrete", [-1]),
        ("multi_discrete", [[1, 3, 0]]),
        ("multi_discrete", [[1, 0, -1]]),
        ("continuous", [[1.01, 0, 0]]),
        ("continuous", [[0, math.nan, 0]]),
    ],
)
def test_actions_outside_the_space_are_refused(mode: str, action: list) -> None:
    good = np.zeros_like(np.array(action))
    with pytest.raises(InputError, match=r"lane 1: action .* is outside the"):
        orders_of(mode, np.concatenate([good, np.array(action)]))


def test_a_batch_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(InputError, match="3 lanes of multi_discrete actions need"):
        ActionDecoder(CONFIG["multi_discrete"]).as_batch(np.zeros((2, 3)), 3)


@pytest.mark.parametrize("mode", CONFIG)
def test_rules_speak_every_mode(mode: str) -> None:
    actions = encode_sides(np.array([0, 1, -1]), CONFIG[mode])
    assert all(action in action_space(CONFIG[mode]) for action in actions)
    orders = orders_of(mode, actions)
    np.testing.assert_array_equal(orders[:, 0], [0, 1, -1])
    if mode == "discrete":
        assert (orders[:, 1:3] == (30, 20)).all()
    elif mode == "multi_discrete":
        assert (orders[:, 1:3] == (20, 15)).all()  # the nearest of each grid
    else:
        np.testing.assert_allclose(orders[:, 1:3], [(30, 15)] * 3, rtol=1e-6)  # clipped to the grid's ends
