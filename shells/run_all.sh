#!/usr/bin/env bash
# All stages: a folder of documents in, an adapter and a report out, in full or within a time budget. Further arguments are
# passed to run_all.py and override those below; paths are relative to the repository:
#
#     bash shells/run_all.sh                                    # the demo, all of it
#     bash shells/run_all.sh --time_budget 20m
#     bash shells/run_all.sh --until 07:30
#     MODEL=Qwen/Qwen2.5-7B-Instruct DATA=my_texts OUT=output/day bash shells/run_all.sh --time_budget 24h
#     MODEL=... DATA=... bash shells/run_all.sh --time_budget 24h --plan_only True     # its plan, and what more time would buy
#     MODEL=... DATA=... bash shells/run_all.sh --report_to wandb tensorboard          # to watch it: docs/time_budget.md
#     MODEL=... DATA=... bash shells/run_all.sh --time_budget 24h --ray_address auto   # on a cluster of machines: docs/scale.md
#
#   TEST RETENTION   questions about the documents (default: some of the collection's) and general ones (default: ours)
#   COLLECT_ARGS FINETUNE_ARGS INFERENCE_ARGS EVALUATE_ARGS   further arguments for a stage, in one string
#
# Once the documents have changed, the same command makes a run of that day in OUT/days (docs/days.md): --way, --newer FILE.
# --quiz True asks the base model first: facts that it knows are not trained.
# Ctrl-C stops it in an orderly way, a second one at once. Restarted after that or a crash, it resumes from OUT/run.json, with
# the deadline there.
# Hardware: 2 cores to several nodes. Minutes: as many as you give; a first start installs for 2 to 4 of them.
# Expected result: OUT/lora and OUT/report.html, and in OUT/run.json the time planned for and taken by each stage.
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" ;; esac
cd "$(dirname "$0")/.."
source shells/setup.sh requirements.txt

DATA="${DATA:-demo/documents}"
OUT="${OUT:-output/run}"
more=()
if [ -z "${MODEL:-}" ]; then
    python demo/model.py
    source demo/arguments.sh
    MODEL=models/SmolLM2-135M-Instruct
    more+=(--system_prompt "") # as in shells/quickstart.sh
    COLLECT_ARGS="${COLLECT_ARGS:-${DEMO_COLLECT_ARGS[*]}}"
    FINETUNE_ARGS="${FINETUNE_ARGS:-$(printf '%q ' "${DEMO_FINETUNE_ARGS[@]}")}"
fi
if [ "$DATA" = demo/documents ]; then
    TEST="${TEST:-demo/questions.json}"
    RETENTION="${RETENTION:-demo/retention.json}"
fi
[ -z "${TEST:-}" ] || more+=(--test_data_path "$TEST")
[ -z "${RETENTION:-}" ] || more+=(--retention_data_path "$RETENTION")

exec python run_all.py \
    --model_name_or_path "$MODEL" \
    --data_path "$DATA" \
    --out "$OUT" \
    --collect_args="${COLLECT_ARGS:-}" \
    --finetune_args="${FINETUNE_ARGS:-}" \
    --inference_args="${INFERENCE_ARGS:-}" \
    --evaluate_args="${EVALUATE_ARGS:---judge match}" \
    ${more[@]+"${more[@]}"} \
    "$@"
