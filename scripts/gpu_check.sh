#!/usr/bin/env bash
# Tries on a GPU what the project could only test on a CPU, and writes a report to attach to an issue: reference values,
# ten training steps, recomputation, bf16 and fp16 at O1 and O2, two devices if there are two, and the time and memory of
# a step beside PyTorch. Install requirements-gpu.txt and requirements-test.txt first. Without a GPU it is a dry run.
#   bash scripts/gpu_check.sh             writes output/gpu_check/report.md
#   bash scripts/gpu_check.sh FOLDER      writes FOLDER/report.md
# PYTHON names the interpreter [.venv/bin/python, else python].
set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=python
if [ -x "$root/.venv/bin/python" ]; then python=$root/.venv/bin/python; fi
PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-$python}" "$root/benchmarks/gpu_check.py" "$@"
