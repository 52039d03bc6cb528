#!/usr/bin/env bash
# All stages on the demo: five documents of invented facts in, an adapter, a table of measured numbers and report.html out.
#
#     bash shells/quickstart.sh               # resumes where an earlier run stopped: see run_all.py
#     bash shells/quickstart.sh --fresh       # first removes what earlier runs left in OUT
#     bash shells/quickstart.sh --recorded    # the same on a large language model's dataset; with --fresh too, if you like
#
# With --recorded the demo model does not write its own training data: a large language model's replies, recorded in
# demo/recorded.jsonl, go through the collection, as they would from an API. Nothing is asked, and no key is needed.
#
# Hardware: 2 cores, 6 GiB of memory (8 with --recorded, whose rows are longer), no GPU; Python 3.11 and a network connection for the installation.
# Minutes: 19 from a fresh clone, 18 of them after the installation.
# Expected result: a table, also in results/quickstart.json: base 0/50, tuned 12/50. With --recorded 22/50 after 17 minutes
# (measured before the last changes to the settings).
set -euo pipefail
case "${1:-}" in -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit ;; esac
cd "$(dirname "$0")/.."
source demo/arguments.sh

name=quickstart fresh=no
for argument in "$@"; do
    case "$argument" in
        --fresh) fresh=yes ;;
        --recorded) name=quickstart_recorded ;;
        *) echo "error: expected --fresh, --recorded, both or nothing, found $*: see the first lines of $0" >&2; exit 2 ;;
    esac
done
OUT="${OUT:-output/$name}"
RESULTS="${RESULTS:-results/$name.json}"
SYSTEM="" # for training and asking alike; the demo model's template would add 20 tokens to every example

if [ "$fresh" = yes ] && [ -e "$OUT" ]; then
    [ -e "$OUT/.$name" ] || { echo "error: expected files of an earlier $name in $OUT, found others: remove them yourself" >&2; exit 2; }
    rm -rf "$OUT"
fi
SECONDS=0
GPU="${GPU:-no}" # keeps the installation small: the demo needs no GPU, and vLLM with its 200 packages would be most of it
source shells/setup.sh requirements.txt
setup_seconds=$SECONDS
mkdir -p "$OUT" && touch "$OUT/.$name"
resumed=no
[ ! -e "$OUT/run.json" ] || resumed=yes

minutes() { awk -v seconds="$1" 'BEGIN { printf "%.1f", seconds / 60 }'; }

collect=("${DEMO_COLLECT_ARGS[@]}") finetune=(--logging_steps 25 "${DEMO_FINETUNE_ARGS[@]}") data_by="the demo model itself"
if [ "$name" = quickstart_recorded ]; then
    collect=("${DEMO_RECORDED_ARGS[@]}") finetune+=(--num_train_epochs "$DEMO_RECORDED_EPOCHS")
    data_by="a large language model, recorded in demo/recorded.jsonl"
    mkdir -p "$OUT/log" && cp demo/recorded.jsonl "$OUT/log/data.journal.jsonl"
fi
echo "training data written by: $data_by"
python demo/model.py
python run_all.py \
    --model_name_or_path models/SmolLM2-135M-Instruct \
    --data_path demo/documents \
    --out "$OUT" \
    --test_data_path demo/questions.json \
    --retention_data_path demo/retention.json \
    --system_prompt "$SYSTEM" \
    --collect_args="${collect[*]}" \
    --finetune_args="$(printf '%q ' "${finetune[@]}")"

report=(--data_path "$OUT" --results "$RESULTS")
if [ "$resumed" = no ]; then
    report+=(--minutes_after_install "$(minutes $((SECONDS - setup_seconds)))")
    [ "$INSTALLED" = no ] || report+=(--minutes_total "$(minutes $SECONDS)")
fi
python benchmarks/quickstart.py "${report[@]}"
echo "training data written by: $data_by"
