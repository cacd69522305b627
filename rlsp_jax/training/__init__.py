"""Running an experiment: its config, its stages, its records."""

from rlsp_jax.training.config import Experiment, load_experiment

__all__ = ["Experiment", "load_experiment"]
