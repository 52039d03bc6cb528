"""Whether a model is there: in a folder, in the Hugging Face cache, or on the hub, asked for a few seconds at most."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from utils import InputError, read_json

LOADING_S = 1800.0  # for an answer of a server that loads its model when it is first asked
NETWORK_S = 5.0  # how long a server may take to show that it is there; without one there is another way

log = logging.getLogger(__name__)


def require_model(path: str, what: str = "a model") -> None:
    """Check that a model's folder, or the hub model of that name, is there, before its weights are loaded."""
    folder = Path(path)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise InputError(f"expected {what} in {path}, found no config.json there: give a Hugging Face model folder")
    if not folder.exists():
        if not could_be_hub_name(path):
            raise InputError(
                f"expected {what} at {path}, found nothing: give a model folder or a hub name such as Qwen/Qwen2.5-7B-Instruct"
            )
        require_hub_model(path, what)


def could_be_hub_name(path: str) -> bool:
    return path.count("/") == 1 and not path.startswith((".", "/", "~", "models/"))


def require_hub_model(name: str, what: str) -> None:
    """Check that a hub model can be had; if the hub is down and the model in the cache, go on without the hub."""
    from huggingface_hub import constants

    cached = cached_folder(name)
    there = cached is not None and (what == "a tokenizer" or has_weights(cached))
    if constants.is_offline_mode():
        if there:
            return
        problem = f"nothing complete in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE=1"
        raise InputError(f"expected {what} {name}, found {problem}: unset HF_HUB_OFFLINE, or give a model folder")
    problem = hub_problem(name, what)
    if problem is None:
        return
    if not there:
        raise InputError(f"expected {what} {name} from the hub, found {problem}: correct it, or give a model folder")
    log.warning("the Hugging Face hub gives %s; %s is read from the cache", problem, name)
    os.environ["HF_HUB_OFFLINE"] = "1"  # for the processes that this one starts
    constants.HF_HUB_OFFLINE = True


def cached_folder(name: str) -> Path | None:
    """The folder of a hub model in the Hugging Face cache, where at least its config.json is; asks nobody."""
    import huggingface_hub

    if not could_be_hub_name(name):
        return None
    config = huggingface_hub.try_to_load_from_cache(name, "config.json")
    return Path(config).parent if isinstance(config, str) else None


def has_weights(folder: Path) -> bool:
    """Whether all files of a model's weights are in a folder: those in its index, or any if there is none."""
    for index in folder.glob("*.index.json"):
        return all((folder / name).is_file() for name in set(read_json(index, "an index")["weight_map"].values()))
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))


def hub_problem(name: str, what: str = "a model") -> str | None:
    """Why a hub model cannot be had, in a few words; None if it can."""
    import huggingface_hub
    from huggingface_hub import errors

    url = huggingface_hub.hf_hub_url(name, "config.json")
    try:
        call_within(2 * NETWORK_S, lambda: huggingface_hub.get_hf_file_metadata(url, timeout=NETWORK_S))
    except errors.GatedRepoError:
        return "a model that its owner must allow you to use: ask for it on its page, and export HF_TOKEN"
    except errors.RepositoryNotFoundError:
        return "no model of that name, or a private one: export HF_TOKEN if it is yours"
    except errors.EntryNotFoundError:
        return None if what == "a tokenizer" else "no config.json there, such as in a repository of GGUF files"
    except Exception as error:  # of several HTTP libraries, by version
        status = getattr(getattr(error, "response", None), "status_code", None)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"an answer with status {status}" if status else f"no answer ({lines[0]})"
    return None


def call_within(seconds: float, call: Callable[[], Any]) -> Any:
    """The result of a call, or its exception; TimeoutError after `seconds`, and the call is left to itself.

    The time limits of HTTP clients do not cover name servers that do not answer.
    """
    found: list[Any] = []

    def run() -> None:
        try:
            found.append((call(), None))
        except Exception as error:
            found.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError(f"no answer in {seconds:g} s")
    result, error = found[0]
    if error is not None:
        raise error
    return result
