#!/usr/bin/env bash
# Install this checkout on every host of a Cloud TPU slice. Training on several hosts at once does not work yet.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: launch/tpu_pod.sh setup TPU ZONE    copy the committed files to every host and install them there

TPU and ZONE name a slice that exists: gcloud compute tpus tpu-vm list --zone ZONE
There is no action that trains: rlsp does not call jax.distributed.initialize() yet, so a run has one host.

example: launch/tpu_pod.sh setup my-slice us-east5-b
TEXT
}

fail() {
    echo "$1" >&2
    exit 2
}

on_every_host() {
    gcloud compute tpus tpu-vm ssh "$tpu" --zone "$zone" --worker=all --command "$1"
}

setup() {
    local archive
    command -v gcloud >/dev/null || fail "gcloud is not installed: https://cloud.google.com/sdk/docs/install"
    archive="$(mktemp -d)/rlsp_jax.tar.gz"
    git -C "$(dirname "${BASH_SOURCE[0]}")/.." archive --format=tar.gz --output="$archive" HEAD
    gcloud compute tpus tpu-vm scp "$archive" "$tpu:rlsp_jax.tar.gz" --zone "$zone" --worker=all
    on_every_host "mkdir -p rlsp_jax && tar -xzf rlsp_jax.tar.gz -C rlsp_jax && rlsp_jax/launch/setup_tpu.sh"
}

[[ "${1:-}" == "--help" || "${1:-}" == "-h" ]] && usage && exit 0
(($# >= 3)) || fail "$(usage)"
action="$1" tpu="$2" zone="$3"
shift 3
[[ "$zone" =~ ^[a-z]+-[a-z]+[0-9]+-[a-z]$ ]] || fail "'$zone' is no zone; one looks like us-east5-b."

case "$action" in
    setup) (($# == 0)) || fail "setup takes nothing after the zone; got: $*" && setup ;;
    run) fail "Training on several hosts does not work yet: rlsp does not call jax.distributed.initialize()." ;;
    *) fail "'$action' is no action: use setup." ;;
esac
