#!/usr/bin/env bash
# Settings for the demo model and the demo documents; quickstart.sh and run_all.sh source this file.
# Hardware, minutes, expected result: see those scripts.
set -euo pipefail
# shellcheck disable=SC2034
DEMO_COLLECT_ARGS=(--guard words --chunk_size_by_token 512 --qa_amount_per_fact 5)
# shellcheck disable=SC2034 # "recorded", the name, is part of what a reply is found by; "files" asks nobody
DEMO_RECORDED_ARGS=(--api_model recorded --batch files --chunk_size_by_token 512)
# shellcheck disable=SC2034 # otherwise what finetune.py chooses itself: "ours" in docs/knowledge.md
DEMO_FINETUNE_ARGS=(--num_train_epochs 4)
DEMO_RECORDED_EPOCHS=2.5 # of more rows
