#!/usr/bin/env bash
# Makes .venv and installs the locked packages. When they are installed already, it does nothing and needs no network.
#   bash scripts/environment.sh            what training, evaluation and the quickstart need
#   bash scripts/environment.sh --tests    also what the tests and the comparisons with PyTorch need
# BRIDGETOWER_PYTHON names another interpreter (3.10, 3.11 or 3.12) than the one that is found.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONPATH PYTHONHOME # pip would take packages there for installed ones

say() { echo "[environment] $*"; }
fail() {
    echo "[environment] error: $*" >&2
    exit 1
}

requirements=(-r requirements.txt)
case "${1:-}" in
    "") wanted=run ;;
    --tests) wanted=tests requirements+=(-r requirements-test.txt -r requirements-serve.txt) ;;
    *) fail "unknown argument '$1'; the only one is --tests" ;;
esac

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
is_supported() { [[ "$(version_of "$1")" =~ ^3\.1[012]$ ]]; }

find_python() { # sets $python
    local candidate lacks_venv=""
    local candidates=(python3.11 python3.12 python3.10 python3 python)
    if [ -n "${BRIDGETOWER_PYTHON:-}" ]; then candidates=("$BRIDGETOWER_PYTHON"); fi
    for candidate in "${candidates[@]}"; do
        is_supported "$candidate" || continue
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            python=$candidate
            return
        fi
        lacks_venv=$candidate
    done
    if [ -n "$lacks_venv" ]; then
        fail "$lacks_venv lacks the venv module; install it (Debian, Ubuntu: apt-get install" \
            "python$(version_of "$lacks_venv")-venv) or name another interpreter in BRIDGETOWER_PYTHON"
    fi
    if [ -n "${BRIDGETOWER_PYTHON:-}" ]; then
        fail "BRIDGETOWER_PYTHON=$BRIDGETOWER_PYTHON is not a working Python 3.10, 3.11 or 3.12"
    fi
    fail "no Python 3.10, 3.11 or 3.12 on the PATH; install one, or name it in BRIDGETOWER_PYTHON"
}

reason_to_rebuild() { # prints why an existing .venv cannot be kept, nothing when it can
    if [ -f .venv/.installing ]; then
        echo "the last installation did not finish"
    elif ! is_supported .venv/bin/python; then
        echo "it holds no working Python 3.10, 3.11 or 3.12"
    elif ! grep -qF "$PWD/.venv/bin/" .venv/bin/pip; then
        echo "it was made in another folder"
    elif [ -n "${BRIDGETOWER_PYTHON:-}" ] && [ "$(version_of "$python")" != "$(version_of .venv/bin/python)" ]; then
        echo "it holds Python $(version_of .venv/bin/python), BRIDGETOWER_PYTHON is $(version_of "$python")"
    fi
}

# The stamp is a hash of what the installation depends on, and the installed set; "tests" includes "run".
fingerprint() {
    { .venv/bin/python -VV && cat pyproject.toml requirements*.txt constraints.txt; } | sha256sum | cut -c 1-64
}
is_ready() { [[ -f .venv/.ready && "$(cat .venv/.ready)" =~ ^"$(fingerprint)"\ ("$wanted"|tests)$ ]]; }

exec 9>.venv.lock
if ! flock --nonblock 9; then
    say "another installation is running in this folder: waiting for it"
    flock 9
fi

if [ -n "${BRIDGETOWER_PYTHON:-}" ]; then find_python; fi
if [ -d .venv ]; then
    reason=$(reason_to_rebuild)
    if [ -n "$reason" ]; then
        say "making .venv afresh: $reason"
        rm -rf .venv
    elif is_ready; then
        exit 0
    fi
fi

if [ ! -d .venv ]; then
    find_python
    say "1/3 making .venv with $("$python" --version)"
    mkdir .venv
    touch .venv/.installing
    "$python" -m venv .venv
fi
touch .venv/.installing
rm -f .venv/.ready

# Packages are built with the locked setuptools; pip's isolated environments would fetch the newest one.
pip=(.venv/bin/python -m pip install --disable-pip-version-check --no-input --constraint constraints.txt)
say "2/3 installing the build tools"
"${pip[@]}" --quiet setuptools setuptools-scm wheel
say "3/3 installing the packages (0.5 to 0.7 GB to download when pip has not kept them)"
"${pip[@]}" --no-build-isolation --no-compile "${requirements[@]}"
# Compile on all cores. Where Python may not write byte code (PYTHONDONTWRITEBYTECODE), each start would take 12 s more.
.venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null || true # some packages hold templates that are no Python

echo "$(fingerprint) $wanted" >.venv/.ready
rm .venv/.installing
say "ready after $SECONDS seconds: .venv with $(.venv/bin/python --version)"
