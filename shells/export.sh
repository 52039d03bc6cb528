#!/usr/bin/env bash
# A finished run as one model of full weights, checked against its adapter, with a model card. Paths are relative to the
# repository:
#
#     OUT=output/quickstart bash shells/export.sh
#     OUT=output/day LICENSE=apache-2.0 LLAMA_CPP=../llama.cpp bash shells/export.sh      # with a GGUF file
#
#   MODEL       where the base model is, if it has moved       DTYPE     bfloat16, float16 or float32, on disk
#   BASE_NAME   the base on the Hugging Face hub, for the card; needed where MODEL was a folder
#   LICENSE     for the card; default: what the base model's card says
#   LLAMA_CPP   a checkout of llama.cpp, whose convert_hf_to_gguf.py then writes a GGUF file; it is asked, where
#               llama-cpp-python is installed (pip install llama-cpp-python compiles for about 15 minutes)
#
# Hardware: memory for the base model once, disk for it once more, or twice with a GGUF file; a GPU is used for the check.
# Minutes: about 1 for the demo model, not measured for others.
# Expected result: OUT/export, whose logits differ from the adapter's by no more than rounding explains; then read its
# README.md, and `hf upload OWNER/NAME OUT/export`.
set -euo pipefail
case "${1:-}" in -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$(dirname "$0")/.."
source shells/setup.sh requirements.txt

OUT="${OUT:-output/run}"
MODEL="${MODEL:-}"
DTYPE="${DTYPE:-bfloat16}"
BASE_NAME="${BASE_NAME:-}"
LICENSE="${LICENSE:-}"

exec python -m training.export "$OUT" "$MODEL" "$DTYPE" "$BASE_NAME" "$LICENSE" "$@"
