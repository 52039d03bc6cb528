#!/usr/bin/env bash
# The whole story on the demo: five documents of invented facts in, an adapter, a table of measured numbers and report.html out.
#
#     bash shells/quickstart.sh             # goes on where an earlier run stopped
#     bash shells/quickstart.sh --fresh     # removes what earlier runs made in OUT first
#
# Hardware: 2 cores, 4 GiB of memory, no GPU; Python 3.11 and a network for the installation.
# Minutes: 19 from a fresh clone, 18 of them after the installation.
# Expected result: a table, also in results/quickstart.json: base 0/50, tuned 22/50.
set -euo pipefail
cd "$(dirname "$0")/.."
source demo/arguments.sh

OUT="${OUT:-output/quickstart}"
RESULTS="${RESULTS:-results/quickstart.json}"
MODEL=models/SmolLM2-135M-Instruct
SYSTEM="" # of training and asking alike; the template of the demo model would add 20 tokens to every example
STEPS=8

[ $# = 0 ] || [ "$*" = --fresh ] || { echo "error: expected --fresh or nothing, found $*: see the first lines of $0" >&2; exit 2; }
if [ $# = 1 ] && [ -e "$OUT" ]; then
    [ -e "$OUT/.quickstart" ] || { echo "error: expected files of an earlier quickstart in $OUT, found others: remove them yourself" >&2; exit 2; }
    rm -rf "$OUT"
fi
SECONDS=0
GPU="${GPU:-no}" # it stays small: the demo needs none, and vLLM with its 200 packages would be most of the installation
source shells/setup.sh requirements.txt
setup_seconds=$SECONDS
mkdir -p "$OUT" && touch "$OUT/.quickstart"

minutes() { awk -v seconds="$1" 'BEGIN { printf "%.1f", seconds / 60 }'; }

number=0 previous="" skipped=no
step() { # NAME OUTPUT COMMAND...: skipped where OUTPUT is there and not older than the output of the step before
    local name="$1" output="$2" started=$SECONDS
    shift 2
    number=$((number + 1))
    if [ -e "$output" ] && ! [ "$output" -ot "$previous" ]; then
        echo "[$number/$STEPS] $name: there already, $output"
        skipped=yes
    else
        echo "[$number/$STEPS] $name ..."
        "$@" || { status=$?; echo "[$number/$STEPS] $name failed (exit code $status); what is done is kept, run this again to go on" >&2; exit $status; }
        [ -e "$output" ] || { echo "error: expected $output after $name, found nothing" >&2; exit 1; }
        echo "[$number/$STEPS] $name: $(minutes $((SECONDS - started))) min, $(minutes $SECONDS) min in all"
    fi
    previous="$output"
}
ask() { # NAME FILE QUESTIONS [ARGUMENT]...
    local name="$1" file="$2" questions="$3"
    shift 3
    step "$name" "$OUT/$file.json" \
        python inference.py --model_name_or_path "$MODEL" --test_data_path "$questions" --output_path "$OUT/$file.json" \
        --system_prompt "$SYSTEM" "$@"
}

step "demo model" "$MODEL/model.safetensors" python demo/model.py
step "collection" "$OUT/data.json" python data_processor/data_collection_local.py --model_name_or_path "$MODEL" \
    --data_path demo/documents --json_save_dir "$OUT/data.json" "${DEMO_COLLECT_ARGS[@]}"
step "fine-tuning" "$OUT/lora/log/training.meta.json" python finetune.py --model_name_or_path "$MODEL" \
    --data_path "$OUT/data.json" --output_dir "$OUT/lora" --system_prompt "$SYSTEM" --logging_steps 25 "${DEMO_FINETUNE_ARGS[@]}"
both=(--lora_weights "$OUT/lora" --also_base) # the model is loaded once for both
ask "questions, base and tuned model" tuned demo/questions.json "${both[@]}" "$OUT/base.json"
ask "questions, base model with the document" open_book demo/questions.json --open_book demo/documents
ask "retention, base and tuned model" retention_tuned demo/retention.json "${both[@]}" "$OUT/retention_base.json"
evaluate() { # it writes each of its files before it has ended: the mark says that it has
    python evaluate.py --data_path "$OUT" --data_name_sft tuned.json --data_name_base base.json --judge match \
        --data_name_open_book open_book.json --data_name_retention_sft retention_tuned.json \
        --data_name_retention_base retention_base.json --model_name_or_path "$MODEL" --lora_weights "$OUT/lora" \
        --documents demo/documents && touch "$OUT/.evaluated"
}
step "evaluation" "$OUT/.evaluated" evaluate

report=(--data_path "$OUT" --results "$RESULTS")
if [ "$skipped" = no ]; then
    report+=(--minutes_after_install "$(minutes $((SECONDS - setup_seconds)))")
    [ "$INSTALLED" = no ] || report+=(--minutes_total "$(minutes $SECONDS)")
fi
echo "[$STEPS/$STEPS] report"
python benchmarks/quickstart.py "${report[@]}"
