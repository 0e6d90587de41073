"""Options of serving. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

from typing import Literal

Backend = Literal["auto", "compiled", "onnx", "openvino", "torch"]
"""What computes the answers; see `supervised.inference.backends`."""
