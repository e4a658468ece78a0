#!/usr/bin/env bash
# All tests, the slow ones included, without GPU and network. Arguments go to pytest, paths relative to the repository:
#   bash scripts/test.sh
#   bash scripts/test.sh tests/report -x
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/environment.sh --tests
exec .venv/bin/python -m pytest -m "slow or not slow" "$@"
