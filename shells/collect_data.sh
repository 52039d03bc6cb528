#!/usr/bin/env bash
# Stage 1: a folder of texts in, a dataset of questions and answers out, made by a local model. Further arguments are
# passed to data_processor/data_collection_local.py and override those below; paths are relative to the repository:
#
#     bash shells/collect_data.sh
#     MODEL=Qwen/Qwen2.5-7B-Instruct DATA=/path/to/texts OUT=output/texts/data.json bash shells/collect_data.sh
#
# Smaller chunks give more facts and take longer; so do more questions and roles per fact.
# Hardware: 2 cores or one GPU. Minutes: --dry_run True estimates them.
# Expected result: OUT, with more than a thousand examples for the demo; log/NAME.meta.json beside it counts what was dropped
# and why.
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" ;; esac
cd "$(dirname "$0")/.."
source shells/setup.sh requirements.txt

guard=()
[ -n "${MODEL:-}" ] || { python demo/model.py && guard=(--guard words); } # a model too small to trust
MODEL="${MODEL:-models/SmolLM2-135M-Instruct}"
DATA="${DATA:-demo/documents}"
OUT="${OUT:-output/data.json}"

exec python data_processor/data_collection_local.py \
    --model_name_or_path "$MODEL" \
    --data_path "$DATA" \
    --json_save_dir "$OUT" \
    --chunk_size_by_token 512 \
    --qa_amount_per_fact 5 \
    --role_amount_per_fact 2 \
    ${guard[@]+"${guard[@]}"} \
    "$@"
