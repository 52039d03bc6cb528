#!/usr/bin/env bash
# Stage 3: a model answers the test questions: alone, and with its LoRA adapter if LORA is given (loaded once for both, with
# the adapter's system prompt). Further arguments are passed to inference.py; paths are relative to the repository:
#
#     bash shells/inference.sh
#     MODEL=Qwen/Qwen2.5-7B-Instruct LORA=output/lora TEST=questions.json OUT=output bash shells/inference.sh
#
# Hardware: 2 cores or one GPU. Minutes for the 60 questions of the demo on 2 cores: less than 1.
# Expected result: OUT/base.json, and OUT/tuned.json with LORA.
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" ;; esac
cd "$(dirname "$0")/.."
source shells/setup.sh requirements.txt

[ -n "${MODEL:-}" ] || python demo/model.py
MODEL="${MODEL:-models/SmolLM2-135M-Instruct}"
LORA="${LORA:-}"
TEST="${TEST:-demo/questions.json}"
OUT="${OUT:-output}"

ask() { # with the arguments common to both cases
    exec python inference.py --model_name_or_path "$MODEL" --test_data_path "$TEST" "$@"
}

if [ -n "$LORA" ]; then
    ask --output_path "$OUT/tuned.json" --lora_weights "$LORA" --also_base "$OUT/base.json" "$@"
else
    ask --output_path "$OUT/base.json" "$@"
fi
