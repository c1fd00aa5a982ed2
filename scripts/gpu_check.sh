#!/usr/bin/env bash
# The first thing to run where there is a GPU: does a cuda build work there, is it right, and how fast is it beside torch?
#
#   scripts/gpu_check.sh [BINARY] [--seconds 360] [--out DIR] [--rehearse]
#
# BINARY, by default target/release/rapport, is built elsewhere (docs/performance.md); the machine needs no Rust and no
# network, only the NVIDIA driver and a Python, which gives the torch side its numbers if it has torch and transformers.
# PYTHON names another interpreter, BACKEND another backend than cuda. --rehearse makes everything tiny, so that
# `BACKEND=flex scripts/gpu_check.sh target/debug/rapport --rehearse` tries the script on any machine.
set -euo pipefail
exec "${PYTHON:-python3}" -u "$(dirname "${BASH_SOURCE[0]}")/gpu_check/run.py" "$@"
