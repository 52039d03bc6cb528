#!/usr/bin/env bash
# Stage 2: a dataset in, a LoRA adapter out. One process for each GPU that there is enough work for, or one on the CPU; the
# weights whole on each GPU, divided by ZeRO-3, or in 4 bits, whichever fits. It logs its choice and why; your arguments win.
#
#     bash shells/finetune_lora_ds.sh -m MODEL -d DATASET [--deepspeed CONFIG] [--wandb_key KEY] [argument of finetune.py]...
#
#   -m, --model       model folder or hub name          (MODEL, default: the demo model)
#   -d, --data        dataset from stage 1              (DATA, default output/data.json)
#   --deepspeed       a file of ds_configs/             (DS_CONFIG_PATH, default: ZeRO-3 where one GPU is too small)
#   --wandb_key       log to Weights & Biases           (WANDB_KEY; better export WANDB_API_KEY, add --use_wandb True)
#   OUT               folder of the adapter, default output/lora
#   GPUS_PER_NODE     default: chosen by model, data and GPUs; with several nodes all GPUs
#   --ray_address     auto: on the machines of the Ray cluster that this one belongs to (docs/scale.md)
#   NNODES NODE_RANK  default 1 and 0; with more nodes and no Ray run this on each, with the same MASTER_ADDR and
#                     MASTER_PORT, and OUT on a file system that they share
#
# Paths are relative to the repository. Example for eight GPUs, which can be restarted after any interruption:
#     bash shells/finetune_lora_ds.sh -m Qwen/Qwen2.5-7B-Instruct -d output/data.json \
#         --save_minutes 10 --resume_from_checkpoint auto
# Check data and arguments first, in seconds: add --check_only True.
# Hardware: 2 cores to several nodes. Minutes: it logs an estimate before it trains.
# Expected result: OUT/adapter_model.safetensors and OUT/log/training.meta.json.
set -euo pipefail
help=""
case " $* " in *" -h "* | *" --help "*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; help=yes ;; esac
cd "$(dirname "$0")/.."
more=()
while [ $# -gt 0 ]; do
    case "$1" in
        -m | --model) MODEL="${2:?expected a value after $1}"; shift 2 ;;
        -d | --data) DATA="${2:?expected a value after $1}"; shift 2 ;;
        --deepspeed) DS_CONFIG_PATH="${2:?expected a value after $1}"; shift 2 ;;
        --wandb_key) WANDB_KEY="${2:?expected a value after $1}"; shift 2 ;;
        --ray_address*) on_ray=yes; more+=("$1"); shift ;;
        *) more+=("$1"); shift ;;
    esac
done
source shells/setup.sh requirements.txt
[ -z "$help" ] || exec python finetune.py --help

[ -n "${MODEL:-}" ] || python demo/model.py
MODEL="${MODEL:-models/SmolLM2-135M-Instruct}"
DATA="${DATA:-output/data.json}"
NNODES="${NNODES:-1}"
if [ "$NNODES" != 1 ]; then
    : "${MASTER_ADDR:?expected the address of node 0, the same on every node}" "${MASTER_PORT:?expected a port, the same on every node}"
fi
free_port='import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'

arguments=(--model_name_or_path "$MODEL" --data_path "$DATA" --output_dir "${OUT:-output/lora}")
[ -z "${DS_CONFIG_PATH:-}" ] || arguments+=(--deepspeed "$DS_CONFIG_PATH")
if [ -n "${WANDB_KEY:-}" ]; then
    export WANDB_API_KEY="$WANDB_KEY" # in the environment: everybody on the machine can read a command line
    arguments+=(--use_wandb True)
fi
arguments+=(${more[@]+"${more[@]}"})

GPUS="$(python -c 'import torch; print(torch.cuda.device_count())')"
[ "$GPUS" != 0 ] || [ -n "${on_ray:-}" ] || arguments+=(--use_cpu True)
command=(python -m training.launch) # chooses GPUs, ZeRO-3 or 4 bits, and starts finetune.py
if [ -n "${GPUS_PER_NODE:-}" ] || [ "$NNODES" != 1 ]; then
    command=(python -m torch.distributed.run --nnodes "$NNODES" --node_rank "${NODE_RANK:-0}" --max_restarts 1
        --nproc_per_node "${GPUS_PER_NODE:-$((GPUS > 0 ? GPUS : 1))}" --master_addr "${MASTER_ADDR:-127.0.0.1}"
        --master_port "${MASTER_PORT:-$(python -c "$free_port")}" finetune.py)
fi
exec "${command[@]}" "${arguments[@]}" # so that a signal to this script reaches the training, which saves a checkpoint
