#!/usr/bin/env bash
# Make .venv on one TPU VM: the locked packages, libtpu and this checkout. Run it on every host of a slice.
set -euo pipefail

if [[ "${1:-}" == "--help" ]]; then
    echo "usage: launch/setup_tpu.sh    (no arguments; run inside a checkout of rlsp_jax on a TPU VM)"
    exit 0
fi
if (($#)); then
    echo "setup_tpu.sh takes no arguments; got: $*" >&2
    exit 2
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The system's Python on TPU images may be older than 3.11: uv brings its own.
export PATH="$HOME/.local/bin:$PATH"
command -v uv >/dev/null || python3 -m pip install --user --quiet uv

uv venv --quiet --clear --python 3.12 .venv
uv pip install --quiet --python .venv/bin/python -r requirements.lock "jax[tpu]"
uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
echo "Ready: $(pwd)/.venv/bin/rlsp"
