#!/usr/bin/env bash
# The tuned model of a finished run behind an OpenAI-compatible API, its base beside it: models "tuned" and "base". By vLLM
# on a GPU, else by `transformers serve`. Further arguments are passed to that server; paths are relative to the repository:
#
#     OUT=output/quickstart bash shells/serve.sh
#     OUT=output/day PORT=8001 bash shells/serve.sh --max-model-len 4096
#
#   MODEL    where the base model is, if it has moved        ENGINE   auto, vllm or transformers
#
# Before it says "ready", the server is asked some of the run's own questions. If its answers are not those of inference.py
# (OUT/tuned.json, OUT/base.json), or the adapter has no effect, it ends with an error. Only this machine can reach it; for
# others add --host 0.0.0.0, and export VLLM_API_KEY or put a proxy of yours before it.
# Hardware: 2 cores or one GPU. Minutes until it is ready: about 1 for the demo model, not measured for others.
# Expected result: "ready: http://127.0.0.1:8000/v1 ..."; it then runs until Ctrl-C. docs/serve.md has requests to try.
set -euo pipefail
case "${1:-}" in -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$(dirname "$0")/.."
source shells/setup.sh requirements.txt

OUT="${OUT:-output/run}"
MODEL="${MODEL:-}"
ENGINE="${ENGINE:-auto}"
PORT="${PORT:-8000}"

exec python -m engines.serve "$OUT" "$MODEL" "$ENGINE" "$PORT" "$@"
