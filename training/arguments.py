"""The arguments of finetune.py, and which of them cannot be combined.

python -m training.arguments ...     # whether finetune.py knows these words; an error says which not, and nothing else is done
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import transformers

from budget.clock import BudgetArguments
from budget.wandb_run import RUN_NAME
from engines.hub import require_model
from training import doctor
from training.adapters import require_lora
from training.checkpoints import require_checkpoint
from training.continued import changes_base
from training.layout import is_zero3
from training.null_space import uses_null_space
from training.precision import choose_precision
from utils import InputError, describe_unknown, require_file, run_script

# With 0.1 and 0, 78 of 299 general questions were lost instead of 55 (results/knowledge.json):
REPLAY_RATIO, KL_WEIGHT = 0.3, 2.0


@dataclass
class ModelArguments:
    model_name_or_path: str = field(metadata={"help": "A model folder, or a name on the Hugging Face hub."})


@dataclass
class DataArguments:
    data_path: str = field(metadata={"help": "The dataset to train on."})
    eval_data_path: str | None = field(
        default=None, metadata={"help": "A dataset for validation; all of --data_path is then trained."}
    )
    lazy_preprocess: bool = field(
        default=False,
        metadata={"help": "Read and tokenise rows only when needed, so that memory does not grow with the dataset."},
    )
    validation: bool = field(
        default=False, metadata={"help": "Hold out facts from --data_path to measure the validation loss."}
    )
    validation_size: int = field(default=100, metadata={"help": "How many examples to hold out, in whole facts."})
    recall_data_path: str | None = field(
        default=None,
        metadata={
            "help": "Held-out questions asked during training. Default: NAME.test.json beside NAME.json, if it exists."
        },
    )
    retention_data_path: str | None = field(
        default=None, metadata={"help": "General questions asked during training, to see what is forgotten."}
    )
    system_prompt: str | None = field(
        default=None,
        metadata={"help": "System prompt for every example; saved with the adapter. Default: the chat template's own."},
    )
    replay_ratio: float = field(
        default=REPLAY_RATIO,
        metadata={
            "help": "The untrained model's answers to general prompts, mixed in against forgetting, as a share of the dataset."
        },
    )
    replay_prompts: str | None = field(
        default=None, metadata={"help": "A JSON list of general prompts. Default: ours in the language of the dataset."}
    )
    split_long_examples: bool = field(
        default=False,
        metadata={"help": "Split an example longer than --model_max_length into several, instead of refusing it."},
    )
    limit: int | None = field(default=None, metadata={"help": "Train on the first N examples only, as a trial run."})
    show_mask: int = field(
        default=0,
        metadata={"help": "Print N examples with the trained tokens in green, or in [[ ]] where there are no colours."},
    )
    check_only: bool = field(default=False, metadata={"help": "Check data, template and arguments without training."})


@dataclass
class LoraArguments:
    use_lora: bool = field(default=True, metadata={"help": "False trains all weights."})
    lora_weights: str | None = field(
        default=None,
        metadata={"help": "Go on from this adapter of the same model, with its rank, scale and modules."},
    )
    lora_r: int | None = field(default=None, metadata={"help": "Rank. Default: depends on the number of facts."})
    lora_alpha: int | None = field(default=None, metadata={"help": "Scale. Default: twice the rank."})
    lora_dropout: float = 0.0
    lora_target_modules: list[str] = field(
        default_factory=lambda: ["all-linear"],
        metadata={"help": "Module names. Default: all linear layers of attention and MLP, never the head."},
    )
    init_lora_weights: str = field(
        default="true",
        metadata={
            "help": "true, gaussian, pissa, olora, orthogonal, ...; or null_space: A is fixed to directions that general answers "
            "hardly use, and B alone is trained."
        },
    )
    lora_options: str | None = field(
        default=None,
        metadata={
            "help": "Further options of peft's LoraConfig, as a JSON object: use_dora (Liu et al. 2024), use_rslora (scale by alpha / "
            "sqrt(rank), Kalajdzievski 2023), modules_to_save (modules trained in full, such as lm_head), ..."
        },
    )
    q_lora: bool = field(default=False, metadata={"help": "Load the base in 4 bits (nf4, bitsandbytes, CUDA only)."})


@dataclass
class TrainingArguments(transformers.TrainingArguments):
    output_dir: str = field(default="output/lora")
    model_max_length: int = field(
        default=2048,
        metadata={"help": "In tokens; a longer example is refused by name, or split, but never truncated."},
    )
    per_device_train_batch_size: int | None = field(
        default=None,
        metadata={
            "help": "Examples per batch on each GPU. Default: updates are sized by tokens so that a training has a few "
            "hundred of them, cut into batches that fit."
        },
    )
    max_tokens_per_batch: int | None = field(
        default=None,
        metadata={"help": "Fill each batch up to this many tokens, instead of a fixed number of examples."},
    )
    padding_free: bool | None = field(
        default=None,
        metadata={"help": "Pack each batch into one row without padding. Default: only with FlashAttention."},
    )
    attention: str | None = field(
        default=None, metadata={"help": "flash_attention_2, sdpa or eager. Default: the first that is available."}
    )
    learning_rate: float | None = field(
        default=None, metadata={"help": "Default: computed from the model's width and the tokens per update."}
    )
    kl_weight: float | None = field(
        default=None,
        metadata={
            "help": "Weight of the KL divergence from the untrained model, on replayed answers. "
            f"Default: {KL_WEIGHT:g} where LoRA leaves the base weights as they are, else 0."
        },
    )
    distill_weight: float = field(
        default=0.0,
        metadata={
            "help": "From 0 to 1: how much the loss is the distance from the untrained model with the row's passage and answer "
            "before it (from NAME.chunks.jsonl beside NAME.json), instead of cross-entropy."
        },
    )
    lr_scheduler_type: str = "cosine"
    warmup_steps: float = field(default=0.05, metadata={"help": "A number of steps, or, below 1, a share of them."})
    train_sampling_strategy: str = "group_by_length"
    logging_steps: float = 10
    save_strategy: str = "no"
    save_minutes: float = field(default=0.0, metadata={"help": "Minutes between checkpoints to resume from."})
    resume_from_checkpoint: str | None = field(
        default=None, metadata={"help": "auto: the newest complete checkpoint in --output_dir, if any; or a folder."}
    )
    early_stopping: int | None = field(
        default=None, metadata={"help": "Stop after this many rounds of questions without an improvement."}
    )
    bf16: bool | None = field(default=None, metadata={"help": "Default: on GPUs and CPUs that have units for it."})
    tf32: bool | None = field(default=None, metadata={"help": "Default: on GPUs that support it."})
    gradient_checkpointing: bool | None = field(
        default=None, metadata={"help": "Default: if the activations would not fit on the GPU."}
    )
    keep_frozen_states: bool = field(
        default=True,
        metadata={
            "help": "If LoRA leaves the lowest layers unchanged, run them once per example and keep their output."
        },
    )
    use_liger_kernel: bool | None = field(
        default=None, metadata={"help": "Default: on a GPU if liger-kernel is installed."}
    )
    ddp_find_unused_parameters: bool | None = (
        False  # every adapter is used in every batch, so there is nothing to search for
    )
    ddp_broadcast_buffers: bool | None = False  # buffers never change
    logging_nan_inf_filter: bool = False  # NaN and infinity must show
    report_to: list[str] = field(
        default_factory=lambda: ["none"], metadata={"help": "wandb, tensorboard or others that transformers knows."}
    )
    use_wandb: bool = False
    key: str | None = field(
        default=None, metadata={"help": "wandb key; better set in the environment as WANDB_API_KEY."}
    )
    wandb_run_name: str = RUN_NAME

    def __post_init__(self):
        choose_precision(self)
        self.counts_tokens = self.per_device_train_batch_size is None and self.max_tokens_per_batch is None
        self.per_device_train_batch_size = self.per_device_train_batch_size or 1
        self.requested_checkpointing = self.gradient_checkpointing
        if self.use_liger_kernel and self.liger_kernel_config is None:
            self.liger_kernel_config = {"rope": False}  # it recompiles for each number of rows (ops/rope.py: bs)
        # Checkpoints removes old ones once the new one is complete; the Trainer would do so earlier.
        self.kept_checkpoints, self.save_total_limit = self.save_total_limit, None
        # Chosen once the data are known (layout.py): the tokens or examples of an update on each rank, and if counts_tokens the
        # tokens on all; and with what batches this training ran out of memory before.
        self.update_size, self.update_tokens, self.out_of_memory = 0, 0, None
        super().__post_init__()


class ArgumentGroups(NamedTuple):
    """The arguments of finetune.py, by class."""

    model: ModelArguments
    data: DataArguments
    lora: LoraArguments
    training: TrainingArguments


def check_arguments(
    model: ModelArguments, data: DataArguments, lora: LoraArguments, training: TrainingArguments
) -> None:
    """InputError for what cannot work, before any weights are loaded."""
    require_model(model.model_name_or_path)
    require_checkpoint(training.resume_from_checkpoint)
    if lora.q_lora and not torch.cuda.is_available():
        raise InputError("expected a CUDA GPU for --q_lora, found none: leave --q_lora out")
    if lora.q_lora and is_zero3(training):
        raise InputError(
            "expected --q_lora or ds_configs/zero3.json, found both: ZeRO-3 cannot shard 4-bit weights, use zero2.json"
        )
    if lora.q_lora and not lora.use_lora:
        raise InputError(
            "expected --use_lora True with --q_lora, found False: 4-bit weights cannot be trained themselves"
        )
    if training.kl_weight is None:
        anchored = lora.use_lora and data.replay_ratio and not changes_base(lora.init_lora_weights)
        training.kl_weight = KL_WEIGHT if anchored else 0.0
    needs_base = lora.q_lora or training.deepspeed or training.kl_weight or training.distill_weight
    if changes_base(lora.init_lora_weights) and needs_base:
        raise InputError(
            f"expected --init_lora_weights {lora.init_lora_weights}, which changes the base weights, without --q_lora, "
            "--deepspeed, --kl_weight and --distill_weight, found one of them: leave it out or use --init_lora_weights true"
        )
    if training.kl_weight and not (lora.use_lora and data.replay_ratio):
        raise InputError(
            "expected --use_lora True and --replay_ratio above 0 with --kl_weight, found another value: correct it"
        )
    if not 0 <= training.distill_weight <= 1:
        raise InputError(f"expected --distill_weight from 0 to 1, found {training.distill_weight:g}: correct it")
    if uses_null_space(lora) and not data.replay_ratio:
        raise InputError(
            "expected --replay_ratio above 0 with --init_lora_weights null_space, found 0: leave one of them out"
        )
    require_lora(model.model_name_or_path, lora)
    if isinstance(training.deepspeed, str):
        doctor.require_neutral_deepspeed(training.deepspeed)
    if data.replay_ratio and data.replay_prompts:
        require_file(data.replay_prompts, "general prompts", "give --replay_prompts, or --replay_ratio 0")
    if training.n_gpu > 1:
        raise InputError(
            f"expected one process per GPU, found one for {training.n_gpu}: start with shells/finetune_lora_ds.sh, "
            "or set CUDA_VISIBLE_DEVICES=0"
        )
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if training.world_size != world:  # otherwise every rank would train alone and overwrite the others
        raise InputError(
            f"expected {world} ranks, as torchrun set, found {training.world_size}: on a CPU add --use_cpu True"
        )


def read_words() -> None:
    """InputError for a word on the command line that finetune.py does not know; what the others lead to is left to it."""
    groups = (ModelArguments, DataArguments, LoraArguments, TrainingArguments, BudgetArguments)
    launcher = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    launcher.add_argument("--ray_address")  # of launch.py
    _, words = launcher.parse_known_args()
    _, unknown = transformers.HfArgumentParser(groups, add_help=False).parse_known_args(words)
    if unknown:
        raise InputError(f"expected arguments that --help lists, found {describe_unknown(unknown)}")


if __name__ == "__main__":
    run_script(read_words)
