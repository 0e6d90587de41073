"""Feature rows in, calibrated out-of-sample probabilities out: sequence models, walk-forward training, ensemble,
ONNX."""
