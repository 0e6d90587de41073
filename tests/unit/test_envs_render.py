"""The picture of an episode: its shape, its file, and that it leaves nothing out."""

import sys

import numpy as np
import pytest

from data_pipeline.errors import InputError
from envs.config import MarketConfig
from envs.env import ScalpingEnv
from tests.market_tools import rich_market

pytest.importorskip("matplotlib")

CONFIG = MarketConfig(episode_bars=200, min_episode_bars=20, default_tp_bps=15.0, default_sl_bps=10.0)


def played(steps: int, render_mode: str | None = "rgb_array") -> ScalpingEnv:
    env = ScalpingEnv(rich_market(2, 300, holes=False), CONFIG, render_mode=render_mode)
    env.reset(seed=0)
    for t in range(steps):
        env.step(1 + t // 9 % 2)
    return env


def test_it_is_an_image_of_the_declared_size() -> None:
    env = played(60)
    image = env.render()
    assert (image.shape, image.dtype) == ((600, 1000, 3), np.uint8)
    assert image.std() > 10
    later = played(90).render()
    assert (later != image).any()
    assert env.metadata["render_modes"] == ["rgb_array"]


def test_the_first_row_can_be_drawn() -> None:
    assert played(0).render().shape == (600, 1000, 3)


def test_no_exit_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every exit of the episode is drawn once, at its own price, though a training env remembers only the last."""
    from envs import render

    drawn: list[np.ndarray] = []
    monkeypatch.setattr(render, "_draw_trade", lambda axes, market, record: drawn.append(record.copy()))
    env = ScalpingEnv(rich_market(2, 300, holes=False), CONFIG, render_mode="rgb_array")
    env.reset(seed=0)
    for t in range(200):
        info = env.step(1 + t // 3 % 2)[4]
    env.render()
    assert len(drawn) == info["account"]["trades"] > 50
    assert (np.diff([record[render.lanes.EXIT_BAR] for record in drawn]) >= 0).all()
    assert len({tuple(record) for record in drawn}) == len(drawn)


def test_a_png_is_written(tmp_path) -> None:
    path = tmp_path / "episode.png"
    played(60).save_picture(path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match='make the env with "rgb_array"'):
        played(5, render_mode=None).save_picture(path)


def test_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    env = played(5)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"matplotlib is not installed; pip install '.*\[render\]'"):
        env.render()


def test_importing_the_env_imports_no_matplotlib() -> None:
    import subprocess

    code = "import envs.env, sys; print('matplotlib' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_unknown_render_modes_are_refused() -> None:
    with pytest.raises(InputError, match="render_mode 'human' is unknown"):
        ScalpingEnv(rich_market(2, 300, holes=False), CONFIG, render_mode="human")
