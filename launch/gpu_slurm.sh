#!/usr/bin/env bash
#SBATCH --job-name=rlsp
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --output=rlsp-%j.log
# One process that drives all GPUs of one node. A requeued job continues: rlsp resumes a workdir that has a checkpoint.
#
#   sbatch launch/gpu_slurm.sh train experiments/countdown_rlsp.py --workdir /shared/countdown
#   sbatch --gpus-per-node=2 launch/gpu_slurm.sh …          options before the script replace those above
set -euo pipefail

if [[ "${1:-}" == "--help" || $# -eq 0 ]]; then
    echo "usage: sbatch [SBATCH-OPTIONS] launch/gpu_slurm.sh RLSP-ARGS…    (from the root of a checkout that has a .venv)"
    exit $(($# == 0 ? 2 : 0))
fi
if [[ -z "${SLURM_JOB_ID:-}" ]]; then
    echo "gpu_slurm.sh is a batch script: start it with sbatch." >&2
    exit 2
fi

cd "$SLURM_SUBMIT_DIR" # Slurm runs a copy of this file from elsewhere
if [[ ! -x .venv/bin/rlsp ]]; then
    echo "There is no .venv/bin/rlsp in $PWD: install it as launch/README.md says, then submit from the checkout." >&2
    exit 2
fi

exec srun .venv/bin/rlsp "$@"
