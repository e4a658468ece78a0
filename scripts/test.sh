#!/usr/bin/env bash
# Run all tests, the slow ones included; no GPU and no network are needed. Arguments go to pytest, paths are relative to
# the repository:
#   bash scripts/test.sh
#   bash scripts/test.sh tests/report -x
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/environment.sh --tests
unset PYTHONDONTWRITEBYTECODE # the tests start hundreds of processes, which need not compile the package each
exec .venv/bin/python -m pytest -m "slow or not slow" "$@"
