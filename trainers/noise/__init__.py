"""Label noise: the labels that training sees, as a function of (labels, classes, seed) alone."""

from trainers.noise.corrupted_labels import CorruptedLabels
from trainers.noise.noise_model import NoiseModel
from trainers.noise.registry import make_noise_model
from trainers.noise.registry import noise_model_descriptions
from trainers.noise.registry import noise_model_names
from trainers.noise.registry import takes_rate
from trainers.noise.symmetric import symmetric_noise

__all__ = [
    "CorruptedLabels",
    "NoiseModel",
    "make_noise_model",
    "noise_model_descriptions",
    "noise_model_names",
    "symmetric_noise",
    "takes_rate",
]
