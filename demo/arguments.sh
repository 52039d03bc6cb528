#!/usr/bin/env bash
# Settings tuned for the demo model and the demo documents; quickstart.sh and run_all.sh source this file.
# Hardware, minutes, expected result: see those scripts.
set -euo pipefail
# shellcheck disable=SC2034
DEMO_COLLECT_ARGS=(--guard words --chunk_size_by_token 512 --qa_amount_per_fact 5 --role_amount_per_fact 0)
# shellcheck disable=SC2034 # "recorded", the name, is part of what a reply is found by; "files" asks nobody
DEMO_RECORDED_ARGS=(--api_model recorded --batch files --chunk_size_by_token 512)
# shellcheck disable=SC2034
DEMO_FINETUNE_ARGS=(--learning_rate 2e-3 --lora_r 16 --num_train_epochs 4 --per_device_train_batch_size 8
    --replay_ratio 0.5 --kl_weight 8 --lora_target_modules q_proj k_proj v_proj o_proj gate_proj up_proj down_proj
    --lora_options "{\"layers_to_transform\": [$(seq -s, 18 29)]}") # the upper layers: less is forgotten, and more updates fit
# shellcheck disable=SC2034
DEMO_RECORDED_EPOCHS=2.5 # of more rows
