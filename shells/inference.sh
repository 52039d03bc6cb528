#!/usr/bin/env bash
# Stage 3: a model answers the test questions: alone, and with its LoRA adapter where LORA is given. More arguments go
# to inference.py; paths are relative to the repository:
#
#     bash shells/inference.sh
#     MODEL=Qwen/Qwen2.5-7B-Instruct LORA=output/lora TEST=questions.json OUT=output bash shells/inference.sh
#
# Hardware: 2 cores or one GPU. Minutes on the 60 questions of the demo with 2 cores: 0.5 for each model.
# Expected result: OUT/base.json, and OUT/tuned.json with LORA.
set -euo pipefail
cd "$(dirname "$0")/.."
source shells/setup.sh requirements.txt

[ -n "${MODEL:-}" ] || python demo_model.py
MODEL="${MODEL:-models/SmolLM2-135M-Instruct}"
LORA="${LORA:-}"
TEST="${TEST:-datasets/demo/questions.json}"
OUT="${OUT:-output}"

answer() { # FILE [ARGUMENT]...
    local file="$1"
    shift
    python inference.py --model_name_or_path "$MODEL" --test_data_path "$TEST" --output_path "$OUT/$file" "$@"
}

answer base.json "$@"
if [ -n "$LORA" ]; then
    answer tuned.json --lora_weights "$LORA" "$@"
fi
