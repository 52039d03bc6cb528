"""Training that goes on from an existing adapter (`--lora_weights`): it has that adapter's shape and starts at its weights.

take_over_adapter(name, data, lora, training)        # the arguments become those of the adapter; InputError if they cannot
model = get_peft_model(base, continued_config(lora))
load_adapter_weights(model, lora.lora_weights)

The untrained model, whose answers are replayed and who is the open-book teacher, stays the base without any adapter.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from engines.adapter import WEIGHTS, require_adapter, require_adapter_weights, trained_system_prompt
from engines.vllm_lora import adapter_config
from utils import InputError, require_file

if TYPE_CHECKING:
    import peft

# Initialisations that subtract the initial values from the base weights.
BASE_CHANGING_INITS = ("pissa", "olora", "corda", "loftq", "lora_ga")

log = logging.getLogger(__name__)


def changes_base(init_lora_weights: str | bool) -> bool:
    """Whether this initialisation changes the base weights, so that the model without its adapter is a different one."""
    return str(init_lora_weights).startswith(BASE_CHANGING_INITS)


def take_over_adapter(name: str, data, lora, training) -> None:
    """Set rank, scale and modules to those of --lora_weights, and the system prompt too, unless one is given.

    `name` is the base model's; the others are the arguments of finetune.py. Nothing happens without --lora_weights.
    InputError, before any weights are loaded, if it is no LoRA adapter of this base, if the arguments ask for another shape,
    or if the new adapter would be written over it.
    """
    folder = lora.lora_weights
    if folder is None:
        return
    require_adapter(folder, name)
    require_file(Path(folder) / WEIGHTS, "the weights of an adapter", "give the --output_dir of finetune.py")
    require_adapter_weights(folder)
    config = adapter_config(folder)
    require_plain_lora(folder, config)
    output, given = Path(training.output_dir).resolve(), Path(folder).resolve()
    if output == given or output in given.parents:
        raise InputError(
            f"expected an --output_dir that does not hold --lora_weights {folder}, found {training.output_dir}: give "
            "another, so that a killed training can start from the same adapter again"
        )
    require_same_shape(folder, config, lora)
    lora.lora_r, lora.lora_alpha = config["r"], config["lora_alpha"]
    lora.lora_target_modules = target_modules(config)
    if data.system_prompt is None:
        data.system_prompt = trained_system_prompt(folder)
    log.info("going on from the adapter in %s, rank %d, alpha %g", folder, lora.lora_r, lora.lora_alpha)


def require_plain_lora(folder: str, config: dict) -> None:
    """InputError if the adapter is of another kind, or fits only a base that its initialisation has changed."""
    if config.get("peft_type") != "LORA":
        raise InputError(
            f"expected a LoRA adapter in {folder}, found {config.get('peft_type')}: give another, or leave "
            "--lora_weights out"
        )
    if changes_base(config.get("init_lora_weights", True)):
        raise InputError(
            f"expected an adapter of the unchanged base in {folder}, found init_lora_weights {config['init_lora_weights']}, "
            "which changes the base: save it with path_initial_model_for_weight_conversion, as finetune.py does"
        )


def require_same_shape(folder: str, config: dict, lora) -> None:
    """InputError if the arguments ask for an adapter of another shape than the one to go on from."""
    if not lora.use_lora:
        raise InputError("expected --use_lora True with --lora_weights, found False: leave one of them out")
    if lora.init_lora_weights.lower() != "true":
        raise InputError(
            f"expected --init_lora_weights or --lora_weights, found both: the weights of {folder} are the initial ones, "
            "leave --init_lora_weights out"
        )
    asked = {"lora_r": (lora.lora_r, config["r"]), "lora_alpha": (lora.lora_alpha, config["lora_alpha"])}
    if lora.lora_target_modules != ["all-linear"]:
        asked["lora_target_modules"] = sorted(lora.lora_target_modules), target_modules(config)
    options = json.loads(lora.lora_options) if lora.lora_options else {}
    asked |= {f"lora_options {key}": (value, config.get(key)) for key, value in options.items()}
    for argument, (wanted, found) in asked.items():
        if wanted is not None and wanted != found:
            raise InputError(
                f"expected --{argument} {found}, as the adapter in {folder} has it, found {wanted}: leave it out, or "
                "leave --lora_weights out to train a new adapter"
            )


def target_modules(config: dict) -> list[str]:
    """The modules an adapter is on, in alphabetical order; a regular expression stays one."""
    found = config["target_modules"]
    return [found] if isinstance(found, str) else sorted(found)


def continued_config(lora) -> peft.LoraConfig:
    """peft's configuration of the adapter that --lora_weights names, to be trained with --lora_dropout."""
    from peft import LoraConfig

    config = LoraConfig.from_pretrained(lora.lora_weights)
    config.inference_mode, config.init_lora_weights, config.lora_dropout = False, True, lora.lora_dropout
    config.base_model_name_or_path = None  # that of the model it is put on
    return config


def load_adapter_weights(model, folder: str) -> None:
    """Put the saved weights into a model with an adapter of that shape; InputError if some are missing or belong nowhere."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    result = set_peft_model_state_dict(model, load_file(Path(folder) / WEIGHTS))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    wrong = sorted(trained.intersection(result.missing_keys)) + sorted(result.unexpected_keys)
    if wrong:
        raise InputError(
            f"expected in {Path(folder) / WEIGHTS} the weights that adapter_config.json beside it describes, found "
            f"{len(wrong)} missing or of other modules, such as {wrong[0]}: save the adapter again"
        )


def weights_digest(folder: str | None) -> str | None:
    """A hash of the weights of an adapter, of all bytes; None without one."""
    if folder is None:
        return None
    with (Path(folder) / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
