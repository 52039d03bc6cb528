#!/usr/bin/env bash
# Ask the base and the tuned model of a finished run in the terminal, side by side, as they write. Where a row of
# OUT/data.json fits the question, its fact and the quote it rests on stand below. Paths are relative to the repository:
#
#     OUT=output/quickstart bash shells/chat.sh
#     echo "Who wrote Halfmoth?" | OUT=output/quickstart bash shells/chat.sh
#
#   MODEL    where the base model is, if it has moved
#
# Ctrl-C stops an answer; at the prompt it ends the program, as Ctrl-D does.
# Hardware: 2 cores or one GPU, with room for the model once. Minutes until the prompt: 0.2 for the demo model.
# Expected result: two answers a question, of which those about your documents differ.
set -euo pipefail
case "${1:-}" in -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$(dirname "$0")/.."
source shells/setup.sh requirements.txt

OUT="${OUT:-output/run}"
MODEL="${MODEL:-}"

exec python -m evaluation.chat "$OUT" "$MODEL" "$@"
