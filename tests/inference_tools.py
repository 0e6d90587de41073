"""Models for tests of inference: every part of them matters to the answer."""

import numpy as np
import torch

from supervised.base import CausalModel
from supervised.config import ModelConfig, ModelKind
from supervised.models import build_model
from supervised.outputs import Bracket, OutputLayout

LAYOUT = OutputLayout((1, 5), (Bracket(10.0, 8.0, 30),))


def lively_model(
    kind: ModelKind, *, features: int = 7, hidden: int = 16, window: int = 20, seed: int = 1
) -> CausalModel:
    """In eval mode, with a head, norms, temperatures and a covariance that are nobody's defaults; two layers deep."""
    layers = 0 if kind == "tcn" else 2
    model = build_model(ModelConfig(kind, hidden=hidden, layers=layers, window=window), features, LAYOUT, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                value.add_(torch.empty_like(value).normal_(0.0, 0.1, generator=generator))
        model.head.weight.normal_(0.0, hidden**-0.5, generator=generator)
        model.temperature[LAYOUT.direction] = torch.tensor([0.7, 1.6])
        model.temperature[LAYOUT.barrier] = 1.3
        root = torch.empty(2, hidden + 1, hidden + 1).normal_(0.0, 0.1, generator=generator)
        model.covariance.copy_(root @ root.mT)
    return model.eval()


def random_rows(rows: int, features: int = 7, seed: int = 0) -> np.ndarray:
    """float32 (rows, features), standard normal."""
    return np.random.default_rng(seed).standard_normal((rows, features)).astype(np.float32)


def dense_answers(model: CausalModel, x: np.ndarray) -> np.ndarray:
    """float32 (T, O + H): what the dense causal model says of all rows at once, and its uncertainty."""
    rows = torch.from_numpy(x)[None]
    with torch.inference_mode():
        return torch.cat([model(rows), model.forecast(rows).logit_sd], dim=-1)[0].numpy()
