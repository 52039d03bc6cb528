#!/usr/bin/env bash
# Stage 4: how many questions the base and the tuned model answered correctly, how often the tuned answer is better, and
# what was forgotten. Further arguments are passed to evaluate.py:
#
#     bash shells/evaluate.sh
#     DATA_PATH=output SFT=tuned.json BASE=base.json JUDGE=local bash shells/evaluate.sh --local_model_path Qwen/Qwen2.5-7B-Instruct
#     JUDGE=api bash shells/evaluate.sh --api_model gpt-4.1 --price_in 2 --price_out 8    # the key is in OPENAI_API_KEY
#     JUDGE=auto bash shells/evaluate.sh --rescore                                        # the same verdicts, no judge asked
#
# Hardware: any for JUDGE=match; one GPU for a local judge worth asking. Minutes on the demo: 0.1 (match).
# Expected result: accuracies and win rate on the screen and, beside the answers, in *_acc.json and *_win_rate.json; and
# report.html, to open in a browser.
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" ;; esac
cd "$(dirname "$0")/.."
source shells/setup.sh requirements.txt

DATA_PATH="${DATA_PATH:-output}"
SFT="${SFT:-tuned.json}"
BASE="${BASE:-base.json}"
JUDGE="${JUDGE:-match}"

exec python evaluate.py \
    --data_path "$DATA_PATH" \
    --data_name_sft "$SFT" \
    --data_name_base "$BASE" \
    --judge "$JUDGE" \
    "$@"
