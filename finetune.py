"""Teach a chat model the facts of a dataset by LoRA fine-tuning: alone, or under torchrun with DeepSpeed.

In:  a dataset (see dataset.py), the "conversations" of which are the training text; only the assistant's turns and the
     token that ends them are trained.
Out: --output_dir with the LoRA adapter, its tokenizer, `training.meta.json` and the losses in `trainer_state.json`.

    python finetune.py --model_name_or_path models/SmolLM2-135M-Instruct --data_path output/data.json --output_dir output/lora
    torchrun --nproc_per_node 8 finetune.py --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path data.json \\
        --deepspeed ds_configs/zero2.json --bf16 True --output_dir output/lora
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers

import provenance
from dataset import read_dataset
from inference import ADAPTER_SETTINGS
from llm import TransformersEngine
from training_data import AnswerCollator, LazySupervisedDataset, SupervisedDataset, loss_per_token, split_by_fact
from utils import InputError, parse_arguments, read_json, require_file, require_model, run, write_json

REPLAY_TOKENS = 20  # a replayed answer is cut here and trained without an end: how it begins is what gets lost
SAME_LOGITS = 1e-3  # the adapter read back must repeat the trained model's logits this closely, in float32

log = logging.getLogger(__name__)


@dataclass
class ModelArguments:
    model_name_or_path: str = field(metadata={"help": "A model folder, or a name on the Hugging Face hub."})


@dataclass
class DataArguments:
    data_path: str = field(metadata={"help": "The dataset to train on."})
    eval_data_path: str | None = field(
        default=None, metadata={"help": "A dataset for validation; --data_path stays whole then."}
    )
    lazy_preprocess: bool = field(default=False, metadata={"help": "Tokenise on demand instead of at the start."})
    validation: bool = field(default=False, metadata={"help": "Hold facts out of --data_path to measure the loss on."})
    validation_size: int = field(default=100, metadata={"help": "How many examples to hold out, in whole facts."})
    system_prompt: str | None = field(
        default=None,
        metadata={"help": "System prompt of every example; saved with the adapter. Default: the chat template's own."},
    )
    replay_ratio: float = field(
        default=0.1,
        metadata={
            "help": "Answers of the untrained model to general prompts, as a share of the dataset, mixed in against forgetting."
        },
    )
    replay_prompts: str = field(
        default="datasets/replay_prompts.json", metadata={"help": "A JSON list of general prompts."}
    )
    limit: int | None = field(default=None, metadata={"help": "Train on the first N examples only: a smoke run."})


@dataclass
class LoraArguments:
    use_lora: bool = field(default=True, metadata={"help": "False trains all weights."})
    lora_r: int = field(default=32, metadata={"help": "Rank."})
    lora_alpha: int | None = field(default=None, metadata={"help": "Scale; twice the rank by default."})
    lora_dropout: float = 0.0
    lora_target_modules: list[str] = field(
        default_factory=lambda: ["all-linear"],
        metadata={"help": "Module names; all linear layers of attention and MLP by default."},
    )
    q_lora: bool = field(default=False, metadata={"help": "Load the base in 4 bits (nf4, bitsandbytes, CUDA only)."})


@dataclass
class TrainingArguments(transformers.TrainingArguments):
    output_dir: str = field(default="output/lora")
    model_max_length: int = field(
        default=2048, metadata={"help": "In tokens; a longer example is refused by name, never cut."}
    )
    per_device_train_batch_size: int = 16
    learning_rate: float = field(default=2e-4, metadata={"help": "For 7-14B models; about 1e-3 suits 0.1-0.5B."})
    lr_scheduler_type: str = "cosine"
    warmup_steps: float = field(default=0.05, metadata={"help": "Steps, or below 1 a share of them."})
    train_sampling_strategy: str = "group_by_length"
    logging_steps: float = 10
    save_strategy: str = "no"
    report_to: str = "none"
    use_wandb: bool = False
    key: str | None = field(default=None, metadata={"help": "wandb key; better in the environment as WANDB_API_KEY."})
    wandb_run_name: str = "knowledge-update"
    wandb_project: str = "KnowledgeUpdate"


def replay_examples(model_name_or_path: str, data: DataArguments, count: int, cache: Path, seed: int) -> list[dict]:
    """How the untrained model begins its answers to general prompts, asked once and kept in `cache`.

    Where `count` is more than there are prompts, they are repeated.
    """
    if count == 0:
        return []
    prompts = read_json(data.replay_prompts, "a list of general prompts")
    random.Random(seed).shuffle(prompts)
    prompts = prompts[:count]
    key = {
        "model": model_name_or_path,
        "system_prompt": data.system_prompt,
        "prompts": prompts,
        "tokens": REPLAY_TOKENS,
    }
    kept = json.loads(cache.read_text()) if cache.is_file() else {}
    if kept.get("key") != key:
        engine = TransformersEngine.load(model_name_or_path, system_prompt=data.system_prompt)
        replies = engine.chat(
            [[{"role": "user", "content": prompt}] for prompt in prompts], max_new_tokens=REPLAY_TOKENS
        )
        kept = {"key": key, "answers": [[reply.text, reply.finish_reason] for reply in replies]}
        write_json(cache, kept)
    examples = [
        {
            "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}],
            "kind": "replay",
            "unfinished": ended != "stop",
        }
        for prompt, (answer, ended) in zip(prompts, kept["answers"], strict=True)
    ]
    return [{"id": f"replay_{i}", **examples[i % len(examples)]} for i in range(count)]


def load_model(name: str, lora: LoraArguments, training: TrainingArguments):
    """The base model, with fresh LoRA layers where they are asked for."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    quantization = None
    if lora.q_lora:
        quantization = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    model = transformers.AutoModelForCausalLM.from_pretrained(
        name, dtype=torch.bfloat16 if training.bf16 else torch.float32, quantization_config=quantization
    )
    model.config.use_cache = False
    if lora.q_lora:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=training.gradient_checkpointing)
    elif training.gradient_checkpointing:
        model.enable_input_require_grads()
    if lora.use_lora:
        targets = lora.lora_target_modules
        model = get_peft_model(
            model,
            LoraConfig(
                r=lora.lora_r,
                lora_alpha=lora.lora_alpha or 2 * lora.lora_r,
                lora_dropout=lora.lora_dropout,
                target_modules=targets[0] if targets == ["all-linear"] else targets,
                task_type="CAUSAL_LM",
            ),
        )
    return model


def safe_save_model_for_hf_trainer(
    trainer: transformers.Trainer, output_dir: str, batch: dict | None = None
) -> float | None:
    """Save the adapter (or the whole model); under ZeRO-3 the Trainer gathers the weights first.

    With a batch the adapter is read back beside the trained one and both must give the same logits. Returns the largest
    difference; RuntimeError where it is more than SAME_LOGITS.
    """
    trainer.save_model(output_dir)
    trainer.save_state()
    model = trainer.accelerator.unwrap_model(trainer.model)
    if batch is None or not hasattr(model, "load_adapter") or trainer.is_deepspeed_enabled:
        return None
    inputs = {key: value.to(model.device) for key, value in batch.items() if key != "labels"}
    model.eval()
    with torch.inference_mode():
        trained = model(**inputs).logits.float()
        model.load_adapter(output_dir, adapter_name="reopened")
        model.set_adapter("reopened")
        difference = (model(**inputs).logits.float() - trained).abs().max().item()
    if not difference <= SAME_LOGITS:
        raise RuntimeError(
            f"the adapter in {output_dir} differs from the trained one by {difference:.2g} in its logits"
        )
    return difference


def check_arguments(
    model: ModelArguments, data: DataArguments, lora: LoraArguments, training: TrainingArguments
) -> None:
    """Name what cannot work before any weights are loaded."""
    require_model(model.model_name_or_path)
    if lora.q_lora and not torch.cuda.is_available():
        raise InputError("expected a CUDA GPU for --q_lora, found none: leave --q_lora out")
    if lora.q_lora and not lora.use_lora:
        raise InputError(
            "expected --use_lora True with --q_lora, found False: 4-bit weights cannot be trained themselves"
        )
    if isinstance(training.deepspeed, str) and "scheduler" in read_json(
        training.deepspeed, "a DeepSpeed configuration"
    ):
        raise InputError(
            f"expected no scheduler in {training.deepspeed}, found one, which would override --lr_scheduler_type: take it out"
        )
    if data.replay_ratio:
        require_file(data.replay_prompts, "general prompts", "give --replay_prompts, or --replay_ratio 0")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if training.world_size != world:  # without this every rank would train alone and write over the others
        raise InputError(
            f"expected {world} ranks as torchrun says, found {training.world_size}: on a CPU add --use_cpu True"
        )


def set_up_wandb(training: TrainingArguments) -> None:
    """Report to wandb if asked; offline where there is no key, instead of stopping."""
    if training.use_wandb:
        training.report_to = ["wandb"]
        training.run_name = training.wandb_run_name
        os.environ.setdefault("WANDB_PROJECT", training.wandb_project)
        if training.key:
            os.environ["WANDB_API_KEY"] = training.key
        elif not os.environ.get("WANDB_API_KEY"):
            os.environ.setdefault("WANDB_MODE", "offline")
    training.key = None  # it must not reach a log or a file


def train() -> None:
    if "--deepspeed" in sys.argv and not torch.cuda.is_available():
        import deepspeed

        deepspeed.init_distributed(dist_backend="gloo")
    model_arguments, data, lora, training = parse_arguments(
        ModelArguments, DataArguments, LoraArguments, TrainingArguments
    )
    started = time.time()
    rows = read_dataset(data.data_path, "a dataset", data.limit)
    held_out = read_dataset(data.eval_data_path, "a validation dataset") if data.eval_data_path else []
    check_arguments(model_arguments, data, lora, training)
    set_up_wandb(training)
    if data.validation and not held_out:
        rows, held_out = split_by_fact(rows, data.validation_size, training.seed)

    tokenizer = transformers.AutoTokenizer.from_pretrained(model_arguments.model_name_or_path)
    with training.main_process_first(desc="replay"):
        cache = Path(training.output_dir) / "replay.json"
        replay = replay_examples(
            model_arguments.model_name_or_path, data, round(data.replay_ratio * len(rows)), cache, training.seed
        )
    kind = LazySupervisedDataset if data.lazy_preprocess else SupervisedDataset
    train_set = kind(rows + replay, tokenizer, data.system_prompt, training.model_max_length)
    eval_set = kind(held_out, tokenizer, data.system_prompt, training.model_max_length) if held_out else None
    if eval_set is not None and training.eval_strategy == "no":
        training.eval_strategy = transformers.IntervalStrategy.EPOCH

    transformers.set_seed(training.seed)
    model = load_model(model_arguments.model_name_or_path, lora, training)
    collator = AnswerCollator(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id)
    trainer = transformers.Trainer(
        model=model,
        args=training,
        train_dataset=train_set,
        eval_dataset=eval_set,
        data_collator=collator,
        processing_class=tokenizer,
        compute_loss_func=loss_per_token,
    )
    if training.process_index == 0:
        describe(trainer, rows, replay, held_out)
    result = trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    difference = safe_save_model_for_hf_trainer(trainer, training.output_dir, collator([train_set[0]]))
    if training.process_index == 0:
        write_json(Path(training.output_dir) / ADAPTER_SETTINGS, {"system_prompt": data.system_prompt})
        provenance.write_meta(
            Path(training.output_dir) / "training",
            {**vars(model_arguments), **vars(data), **vars(lora), **training.to_dict()},
            started,
            counts={"examples": len(rows), "replay": len(replay), "held_out": len(held_out)},
            updates=result.global_step,
            train_loss=result.training_loss,
            reopened_difference=difference,
        )
        log.info("adapter in %s; read back, its logits differ by %s", training.output_dir, difference)


def describe(trainer: transformers.Trainer, rows: list[dict], replay: list[dict], held_out: list[dict]) -> None:
    """Say what will be trained, before the first step."""
    training = trainer.args
    trainable = sum(parameter.numel() for parameter in trainer.model.parameters() if parameter.requires_grad)
    batch = training.train_batch_size * training.gradient_accumulation_steps * training.world_size
    updates = (
        training.max_steps
        if training.max_steps > 0
        else -(-(len(rows) + len(replay)) // batch) * training.num_train_epochs
    )
    log.info(
        "%d examples and %d replayed answers, %d held out; %.1f M trainable parameters; %d updates of %d examples",
        len(rows), len(replay), len(held_out), trainable / 1e6, updates, batch,
    )  # fmt: skip


if __name__ == "__main__":
    run(train)
