"""LoRA adapters: adding one to a model, and saving it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers

from engines.memory import empty_model
from engines.weights import load_base
from training import ranks
from training.continued import changes_base, continued_config, load_adapter_weights
from training.precision import weights_dtype
from training.recommended import SMALLEST_RANK
from utils import InputError

HEAD_AND_EMBEDDINGS = ("lm_head", "embed_tokens", "embed_in", "embed_out", "wte", "word_embeddings")  # by architecture
NULL_SPACE = "null_space"  # as --init_lora_weights: see null_space.py
INITIAL_ADAPTER = "initial_adapter"  # in --output_dir


def require_lora(name: str, lora) -> None:
    """InputError if the LoRA arguments do not suit the model, found out on one without weights, before anything is loaded."""
    from peft import get_peft_model

    if not lora.use_lora or lora.lora_weights:
        return
    model = empty_model(transformers.AutoConfig.from_pretrained(name))
    targets = [target.rpartition(".")[2] for target in lora.lora_target_modules]
    tied = [target for target in targets if target in HEAD_AND_EMBEDDINGS]
    if tied and model.config.get_text_config().tie_word_embeddings:
        raise InputError(
            f"expected a head of its own in {name} for --lora_target_modules {tied[0]}, found it tied to the embeddings, so "
            f'that merging the adapter would change both: use --lora_options \'{{"modules_to_save": ["{tied[0]}"]}}\''
        )
    config = lora_config(lora, model)
    if changes_base(config.init_lora_weights):
        config.init_lora_weights = False  # there are no weights to compute it from
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    try:
        get_peft_model(model, config)
        if unknown := {name.rpartition(".")[2] for name in config.modules_to_save or ()} - names:
            raise ValueError(f"no module {min(unknown)} for modules_to_save")
    except (ValueError, AttributeError) as error:  # such as "Target modules {'q_prj'} not found in the base model"
        raise InputError(f"expected LoRA arguments that suit {name}, found: {error}: correct them") from None


def load_model(name: str, lora, training):
    """The base model in the training's precision, with LoRA layers if the arguments ask for them: fresh, or --lora_weights.

    `lora` and `training` are the arguments of finetune.py.
    """
    from peft import get_peft_model

    options = {"attn_implementation": training.attention} if getattr(training, "attention", None) else {}
    if training.device.type == "cuda" and not transformers.integrations.is_deepspeed_zero3_enabled():
        options["device_map"] = {"": training.device}  # so that no rank copies the weights into main memory
    model = load_base(name, weights_dtype(training), lora.q_lora, **options)
    model.config.use_cache = False
    # Not peft's prepare_model_for_kbit_training for 4 bits: it doubles embeddings and head to float32, which autocast rounds
    # again, and turns gradient checkpointing on before layout.measure_batches has compared the memory with and without it.
    if training.gradient_checkpointing:
        model.enable_input_require_grads()
    if lora.use_lora:
        model = get_peft_model(model, continued_config(lora) if lora.lora_weights else lora_config(lora, model))
        if lora.lora_weights:
            load_adapter_weights(model, lora.lora_weights)
        if training.bf16 or training.fp16:
            disable_input_casting(model)
    if not getattr(training, "deepspeed", None):  # which keeps a copy in float32 itself
        train_in_float32(model)
    return model


def train_in_float32(model) -> None:
    """Put what is trained into float32: 16 bits would round most updates away, and float16 cannot be unscaled at all.

    peft does so with LoRA's matrices, but not with modules_to_save; without LoRA it is all weights.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def save_initial_adapter(model, lora, folder: Path, writes: bool) -> str | None:
    """If initialising changed the base weights: save the adapter before its first update, and return its folder.

    From it and the trained adapter `save_adapter` makes one that fits the unchanged base. Only one rank `writes`.
    """
    if not (lora.use_lora and changes_base(lora.init_lora_weights)):
        return None
    model.peft_config["default"].init_lora_weights = True  # reading it back must not change the base again
    if writes:
        model.save_pretrained(str(folder / INITIAL_ADAPTER))
    return str(folder / INITIAL_ADAPTER)


def disable_input_casting(model) -> None:
    """Keep LoRA layers from casting their inputs to float32: autocast would cast them back, a wasted copy of each."""
    for module in model.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False


def lora_config(lora, model):
    """peft's configuration from the arguments; InputError if --lora_options has an option that peft does not know.

    `model` is the base, with weights or without.
    """
    from peft import LoraConfig

    targets = lora.lora_target_modules
    asked = lora.init_lora_weights
    initial = {"true": True, "false": False, NULL_SPACE: True}.get(asked.lower(), asked)
    rank = lora.lora_r or SMALLEST_RANK  # open only as long as nothing is trained
    try:
        options = json.loads(lora.lora_options) if lora.lora_options else {}
        return LoraConfig(
            r=rank,
            lora_alpha=lora.lora_alpha or 2 * rank,
            lora_dropout=lora.lora_dropout,
            target_modules=targets[0] if targets == ["all-linear"] else targets,
            init_lora_weights=initial,
            task_type="CAUSAL_LM",
            **{"exclude_modules": parts_without_text(model), **options},
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"expected options of peft's LoraConfig, found: {error}: correct the LoRA arguments") from None


def parts_without_text(model) -> str | None:
    """A regular expression of the modules that no text passes through, such as a vision tower's; None if there are none.

    An adapter there would never be used: several ranks wait for its gradients and fail, and servers do not know it.
    """
    decoder = next((name for name, module in model.named_modules() if module is model.get_decoder()), "").split(".")
    beside = set()
    if decoder == [""]:
        return None
    for name, module in model.named_modules():
        path = name.split(".")
        apart = next(
            (place for place, (one, other) in enumerate(zip(path, decoder, strict=False)) if one != other), None
        )
        head = module is model.get_output_embeddings()
        if apart is not None and isinstance(module, torch.nn.Linear) and not head:
            beside.add(".".join(path[: apart + 1]))
    return rf"(?:{'|'.join(map(re.escape, sorted(beside)))})(?:\..*)?" if beside else None


@contextlib.contextmanager
def gathered_parameters(model, modifier_rank: int | None = None) -> Iterator[list[tuple[str, torch.nn.Parameter]]]:
    """The trainable parameters and LoRA's by name, complete even if ZeRO-3 has spread them over the ranks."""
    parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad or ".lora_" in name]
    if not transformers.integrations.is_deepspeed_zero3_enabled():
        yield parameters
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters([p for _, p in parameters], modifier_rank=modifier_rank):
        yield parameters


def save_adapter(model, folder: str | Path, initial: str | None = None) -> None:
    """Write a peft model's adapter on rank 0; under ZeRO-3 only the adapter's weights are gathered.

    `initial` is the folder of the adapter before its first update, needed if initialising changed the base
    (`changes_base`): the saved adapter then fits the unchanged base. All ranks must call this.
    """
    options = {} if initial is None else {"path_initial_model_for_weight_conversion": initial}
    with gathered_parameters(model):
        if ranks.is_rank_0():
            model.save_pretrained(str(folder), **options)
