"""How a training is laid out on its hardware: attention, and the tokens per update and per micro-batch."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from pathlib import Path

import torch

from engines import memory
from training import ranks
from training.recommended import MIN_TOKENS_PER_RANK, update_tokens
from utils import InputError, write_json

# Per micro-batch. With fewer, a GPU reads its weights for too little work, so gradient checkpointing is worth its cost, half
# as much computation again. With more tokens it gains nothing.
ENOUGH_TOKENS = 4096
MEASURED_TOKENS = (1024, 3072)  # of two batches, whose difference gives the memory per token
FREE_SHARE = 0.05  # of a GPU, left for batches slightly larger than those measured
OUT_OF_MEMORY = "out_of_memory.json"  # in --output_dir: a training ran out of memory and goes on with half batches
RESTART_EXIT_CODE = 75  # exit code (EX_TEMPFAIL): torchrun starts all ranks again

log = logging.getLogger(__name__)


def choose_attention(training) -> None:
    """Unless set: FlashAttention 2 if installed, else PyTorch's; no padding if the kernels can do without it."""
    from transformers.utils import is_flash_attn_2_available

    cuda = training.device.type == "cuda"
    if training.attention is None:
        flash = cuda and (training.bf16 or training.fp16) and is_flash_attn_2_available()
        training.attention = "flash_attention_2" if flash else "sdpa"
    if training.padding_free is None:
        # Without variable-length kernels, attention in a flattened batch is computed in full, all tokens with all.
        training.padding_free = training.attention.startswith("flash")
    if cuda:
        # cuDNN's backward pass gives NaN with a mask if the length modulo 128 is 64 (pytorch#196678). Our padded batches
        # have no mask, but a sliding window or a padding-free batch does.
        torch.backends.cuda.enable_cudnn_sdp(False)


def read_out_of_memory(output_dir: str | Path) -> dict | None:
    """With what batches a training in this folder ran out of memory; None if it did not."""
    record = Path(output_dir) / OUT_OF_MEMORY
    return json.loads(record.read_text()) if record.is_file() else None


def choose_batches(training, shape: memory.Shape, tokens: int, longest: int, rank: int, in_4_bits: bool) -> None:
    """Set the tokens per update and per micro-batch, and gradient checkpointing, unless the arguments do.

    `tokens` is the number in an epoch, `longest` that in its longest example. If --per_device_train_batch_size or
    --max_tokens_per_batch is given, it is kept.
    """
    device = training.device.type
    shards = training.world_size if is_zero3(training) else 1
    card_bytes = torch.cuda.get_device_properties(training.device).total_memory if device == "cuda" else math.inf
    free_bytes = memory.activation_room(card_bytes, shape, rank, in_4_bits, shards)
    fused = bool(training.use_liger_kernel)
    if not training.counts_tokens:
        size = training.max_tokens_per_batch or training.per_device_train_batch_size
        training.update_size = training.gradient_accumulation_steps * size
        if training.gradient_checkpointing is None:
            batch = training.max_tokens_per_batch or training.per_device_train_batch_size * longest
            training.gradient_checkpointing = batch * shape.bytes_per_token(False, fused) > free_bytes
    else:
        training.update_size = training.update_tokens = update_tokens(tokens, training.num_train_epochs, device)
        plain, checkpointed = (
            free_bytes / shape.bytes_per_token(checkpointing, fused) for checkpointing in (False, True)
        )
        set_micro_batch(training, plain, checkpointed)
    training.out_of_memory = read_out_of_memory(training.output_dir)
    if training.out_of_memory:
        halve_batches(training, **training.out_of_memory)
    if training.deepspeed:
        refresh_deepspeed_config(training)


def halve_batches(training, size: int, unit: str, gradient_checkpointing: bool = True, **_) -> None:
    """Micro-batches of at most half the `size` that ran out of memory, in an update as large as before.

    What was measured before that is not measured again, and the arithmetic may be more hopeful than the measurement was.
    """
    name = {"tokens": "max_tokens_per_batch", "examples": "per_device_train_batch_size"}[unit]
    now = getattr(training, name)
    if training.requested_checkpointing is None:
        training.gradient_checkpointing = gradient_checkpointing
    if (unit == "examples" and training.max_tokens_per_batch) or now is None:  # other arguments are given by now
        return
    parts = math.ceil(now / max(1, size // 2))
    setattr(training, name, math.ceil(now / parts))
    training.gradient_accumulation_steps *= parts
    log.info("%d %s ran out of memory before: micro-batches of %d now", size, unit, getattr(training, name))


def set_micro_batch(training, plain: float, checkpointed: float) -> None:
    """Cut a rank's part of an update into micro-batches that fit: `plain` tokens, or `checkpointed` with checkpointing."""
    rank_tokens = max(1, round(training.update_tokens / training.world_size))
    if training.gradient_checkpointing is None:
        training.gradient_checkpointing = plain < min(rank_tokens, ENOUGH_TOKENS)
    fitting_tokens = checkpointed if training.gradient_checkpointing else plain
    training.gradient_accumulation_steps = math.ceil(rank_tokens / max(1.0, min(rank_tokens, fitting_tokens)))
    training.max_tokens_per_batch = math.ceil(rank_tokens / training.gradient_accumulation_steps)
    least = MIN_TOKENS_PER_RANK[training.device.type]
    if rank_tokens < least and training.world_size > 1:
        log.info(
            "%d tokens per update for each of %d ranks: with fewer ranks each would have enough work",
            rank_tokens, training.world_size,
        )  # fmt: skip


def is_zero3(training) -> bool:
    if not training.deepspeed:
        return False
    return training.hf_deepspeed_config.is_zero3()


def zero_stage(training) -> int | None:
    """DeepSpeed's ZeRO stage, or None without DeepSpeed."""
    return training.hf_deepspeed_config.get_value("zero_optimization.stage", 0) if training.deepspeed else None


def refresh_deepspeed_config(training) -> None:
    """Fill the "auto" values of DeepSpeed's configuration again, now from the values chosen since parsing."""
    from accelerate.utils import DeepSpeedPlugin
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    training.hf_deepspeed_config = HfTrainerDeepSpeedConfig(training.deepspeed)
    training.hf_deepspeed_config.trainer_config_process(training)
    training.deepspeed_plugin = DeepSpeedPlugin(hf_ds_config=training.hf_deepspeed_config)
    training.deepspeed_plugin.set_mixed_precision(training.mixed_precision)
    training.deepspeed_plugin.set_deepspeed_weakref()


def measure_batches(trainer) -> None:
    """Choose micro-batch and gradient checkpointing by measuring a first forward and backward pass on the GPU.

    The memory per token is the difference between two batches; the ranks agree on the minimum. Under DeepSpeed, whose
    engine does not exist yet, the arithmetic of `choose_batches` stands.
    """
    training = trainer.args
    if training.device.type != "cuda" or training.deepspeed or training.out_of_memory:
        return
    fitting_tokens = []
    for checkpointing in (False, True):
        try:
            room_bytes, token_bytes = measure_memory(trainer, checkpointing)
            fitting_tokens.append(room_bytes / token_bytes)
        except torch.OutOfMemoryError:
            fitting_tokens.append(MEASURED_TOKENS[0] / 2)
        trainer.model.gradient_checkpointing_disable()
        trainer.model.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
    plain, checkpointed = ranks.minimum(fitting_tokens)
    if training.counts_tokens:
        training.gradient_checkpointing = training.requested_checkpointing
        set_micro_batch(training, plain, checkpointed)
    elif training.requested_checkpointing is None:
        longest = max(trainer.train_dataset.lengths)
        batch = training.max_tokens_per_batch or training.per_device_train_batch_size * longest
        training.gradient_checkpointing = batch > plain
    log.info("measured: a micro-batch of %.0f tokens fits, %.0f with gradient checkpointing", plain, checkpointed)


def measure_memory(trainer, checkpointing: bool) -> tuple[float, float]:
    """(bytes available for activations, bytes per token), measured on a GPU."""
    model, device = trainer.model, trainer.args.device
    peaks, sizes = [], []
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    for tokens in (MEASURED_TOKENS[0], *MEASURED_TOKENS):  # the first lets the libraries allocate what they keep
        batch = trainer.heaviest_batch(tokens)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        trainer.rehearse(batch)
        peaks.append(torch.cuda.max_memory_allocated(device) - before)
        sizes.append(batch["labels"].numel())
    model.zero_grad(set_to_none=True)
    torch.cuda.empty_cache()
    free_bytes, card_bytes = torch.cuda.mem_get_info(device)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    token_bytes = (peaks[2] - peaks[1]) / (sizes[2] - sizes[1]) if sizes[2] > sizes[1] else peaks[2] / sizes[2]
    # gradients and two moments are still to come
    return free_bytes - FREE_SHARE * card_bytes - 3 * memory.WIDTH_32_BIT * trained, token_bytes


def restart_with_half_batches(training, step: int) -> None:
    """After a CUDA out-of-memory error: record it and restart with half the micro-batch; InputError the second time.

    The size of the update stays the same. A micro-batch of one example gets gradient checkpointing instead, InputError if it
    has that already. A single process replaces itself; one of several exits with RESTART_EXIT_CODE, and torchrun restarts
    them all (--max-restarts).
    """
    size = training.max_tokens_per_batch or training.per_device_train_batch_size
    unit = "tokens" if training.max_tokens_per_batch else "examples"
    can_checkpoint = training.requested_checkpointing is None and not training.gradient_checkpointing
    if training.out_of_memory or (
        size == 1 and not can_checkpoint
    ):  # as it was at the start: another rank may write it now
        raise InputError(
            f"expected micro-batches of {size} {unit} to fit into {training.device}, found it out of memory at step {step}"
            f"{' again' if training.out_of_memory else ''}: give --max_tokens_per_batch or --model_max_length a lower value, "
            "or --q_lora True"
        )
    checkpointing = bool(training.gradient_checkpointing) or (size == 1 and can_checkpoint)
    record = {"step": step, "size": size, "unit": unit, "gradient_checkpointing": checkpointing}
    write_json(Path(training.output_dir) / OUT_OF_MEMORY, record)
    log.warning("out of memory at step %d with micro-batches of %d %s: starting again with half", step, size, unit)
    if training.world_size > 1:
        raise SystemExit(RESTART_EXIT_CODE)
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def require_reason_to_restart(training) -> None:
    """InputError where torchrun started the ranks once more, and they would begin anew and fail as before.

    It does so whatever they failed of; what helps is less memory, or a checkpoint to go on from.
    """
    again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if again and not training.resume_from_checkpoint and not read_out_of_memory(training.output_dir):
        raise InputError(
            "expected the first start of this training to come to its end, found it failed, for the reason above: mend that and "
            "start it again, with --resume_from_checkpoint auto if there are checkpoints"
        )


def limit_evaluation(training, longest_trained: int, longest_held_out: int) -> None:
    """Cut validation batches, which are by examples, to the tokens of a micro-batch, for which there is memory."""
    tokens = training.max_tokens_per_batch or training.per_device_train_batch_size * longest_trained
    fitting = max(1, tokens // longest_held_out)
    training.per_device_eval_batch_size = min(training.per_device_eval_batch_size, fitting)
