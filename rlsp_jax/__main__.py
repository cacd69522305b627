"""`python -m rlsp_jax` is `rlsp`."""

from rlsp_jax.cli import main

main()
