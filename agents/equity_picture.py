"""A picture of what a policy did on the validation days, for TensorBoard: net return, the market beside it, and when it
was in a position.

Drawn with Pillow, which comes with TensorBoard, so it needs nothing that the base install lacks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from agents.validation import Validation
from envs.axes import nice_ticks, padded, thin, time_ticks
from envs.backtest import BacktestResult
from envs.columns import CLOSE
from envs.market import Market

Floats = NDArray[np.float64]
Box = tuple[int, int, int, int]

WIDTH, PANEL = 900, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 34, 66
STRIP = 12
"""Height of the strip that shows positions."""
POINTS = 1_500
INK, FAINT, LINE, HOLD, LONG, SHORT = "#222222", "#dddddd", "#1f5fa8", "#a0a0a0", "#1a7f5a", "#c0392b"


def equity_picture(validation: Validation) -> NDArray[np.uint8]:
    """One panel for each market, one below the other: uint8 (300 × markets, 900, 3)."""
    count = len(validation.markets)
    image = Image.new("RGB", (WIDTH, PANEL * count), "white")
    draw = ImageDraw.Draw(image)
    for number, (market, result) in enumerate(zip(validation.markets, validation.results, strict=True)):
        _panel(draw, PANEL * number, market, result)
    return np.asarray(image)


def _panel(draw: ImageDraw.ImageDraw, top: int, market: Market, result: BacktestResult) -> None:
    font = ImageFont.load_default(13)
    times = result.open_time_ms.astype(np.float64)
    net = result.equity[:, 0] / result.initial_capital[0] - 1.0
    hold = market.prices[:, CLOSE] / market.prices[0, CLOSE] - 1.0
    box = (LEFT, top + TOP, WIDTH - RIGHT, top + PANEL - BOTTOM)
    x, y = (times[0], times[-1]), padded([net, hold], include=0.0)

    title = f"{market.symbol}: net {net[-1]:+.2%} in {result.trades.num_rows:,} trades; the market {hold[-1]:+.2%}"
    draw.text((LEFT, top + 8), title, INK, font)
    ticks = nice_ticks(*y)
    digits = 0 if len(ticks) > 1 and ticks[1] - ticks[0] >= 0.01 else 2
    for at in ticks:
        ((_, row),) = _pixels(np.array([x[0]]), np.array([at]), x, y, box)
        draw.line([(box[0], row), (box[2], row)], INK if abs(at) < 1e-12 else FAINT)
        draw.text((box[0] - 6, row), f"{at + 0.0:+.{digits}%}", INK, font, anchor="rm")
    for at, text in time_ticks(*x):
        ((column, _),) = _pixels(np.array([at]), np.array([y[0]]), x, y, box)
        draw.text((column, box[3] + STRIP + 8), text, INK, font, anchor="ma")
    draw.line(_pixels(*thin(times, hold, POINTS), x, y, box), HOLD)
    draw.line(_pixels(*thin(times, net, POINTS), x, y, box), LINE, width=2)
    _positions(draw, result.position[:, 0], (box[0], box[3] + 2, box[2], box[3] + 2 + STRIP))
    words = (("net equity", LINE), ("market", HOLD), ("long", LONG), ("short", SHORT))
    column = float(box[0])
    for word, colour in words:
        draw.text((column, box[3] + STRIP + 28), word, colour, font)
        column += draw.textlength(word, font) + 18


def _positions(draw: ImageDraw.ImageDraw, position: Floats, box: Box) -> None:
    """Colour each column of pixels by the side held longest within it, paler the less of it was held."""
    width = box[2] - box[0]
    column = np.arange(len(position)) * width // len(position)
    bars = np.maximum(np.bincount(column, minlength=width), 1)
    longs, shorts = (np.bincount(column, side * position > 0.0, minlength=width) / bars for side in (1.0, -1.0))
    if len(position) < width:  # fewer bars than pixels: each colours all the pixels up to the next
        nearest = np.arange(width) * len(position) // width
        longs, shorts = (position > 0.0)[nearest].astype(float), (position < 0.0)[nearest].astype(float)
    for k in range(width):
        share, colour = (longs[k], LONG) if longs[k] >= shorts[k] else (shorts[k], SHORT)
        if share > 0.0:
            mixed = tuple(round(255 - share * (255 - int(colour[i : i + 2], 16))) for i in (1, 3, 5))
            draw.line([(box[0] + k, box[1]), (box[0] + k, box[3])], mixed)


def _pixels(
    x: Floats, y: Floats, across: tuple[float, float], up: tuple[float, float], box: Box
) -> list[tuple[float, float]]:
    """Where data points lie in the image."""
    columns = box[0] + (x - across[0]) / max(across[1] - across[0], 1.0) * (box[2] - box[0])
    rows = box[3] - (y - up[0]) / (up[1] - up[0]) * (box[3] - box[1])
    return list(zip(columns.tolist(), rows.tolist(), strict=True))
