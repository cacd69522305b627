"""Running an experiment: its config, its stages, its records."""

from rlsp_jax.training.config import Experiment
from rlsp_jax.training.experiment_file import load_experiment

__all__ = ["Experiment", "load_experiment"]
