"""From a `ModelConfig` to a model."""

from __future__ import annotations

import torch

from supervised.base import CausalModel
from supervised.config import ModelConfig
from supervised.lstm import LSTM
from supervised.mixer import Mixer
from supervised.outputs import OutputLayout
from supervised.tcn import TCN, levels_for
from supervised.transformer import Transformer


def build_model(config: ModelConfig, n_features: int, layout: OutputLayout, *, seed: int = 0) -> CausalModel:
    """A fresh model with weights drawn from `seed`; torch's global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.kind == "tcn":
            levels = config.layers or levels_for(config.window)
            return TCN(n_features, layout, config.width, levels, config.dropout)
        if config.kind == "transformer":
            layers = config.layers or 2
            return Transformer(n_features, layout, config.width, layers, config.heads, config.window, config.dropout)
        if config.kind == "mixer":
            return Mixer(n_features, layout, config.width, config.layers or 2, config.window, config.dropout)
        return LSTM(n_features, layout, config.width, config.layers or 1, config.window, config.dropout)
