#!/usr/bin/env bash
# Run every test, in the same .venv as the other shells (made if it is missing). Arguments go to pytest:
#
#     bash shells/test.sh
#     bash shells/test.sh tests/test_finetune.py -k mask
#     bash shells/test.sh -m slow                            # ZeRO-1, -2, offload, two nodes, resumed runs: 3 minutes more
#
# Hardware: 2 cores, 4 GiB of memory, no GPU, no network once installed; DeepSpeed needs g++.
# Minutes: 10, and the installation the first time. Expected result: all passed.
set -euo pipefail
cd "$(dirname "$0")/.."
source shells/setup.sh requirements-dev.txt

python demo_model.py
python -m pytest -q "$@"
