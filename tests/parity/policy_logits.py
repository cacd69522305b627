"""The logits of a run's newest policy, in a process with the run's own devices: `policy_logits.py WORKDIR IDS OUT`."""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from rlsp_jax.training.evaluate import load_policy, open_trained
from rlsp_jax.training.progress import Display

if __name__ == "__main__":
    workdir, ids_file, out = map(Path, sys.argv[1:])
    ids = np.load(ids_file).astype(np.int32)
    with open_trained(workdir, Display(Console(), enabled=False)) as run:
        _, _, policy = load_policy(run)
        hidden = run.model.hidden(policy, jnp.asarray(ids), jnp.ones(ids.shape, bool))
        np.save(out, np.asarray(hidden @ run.model.head(policy)))
