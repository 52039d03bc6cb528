"""A model is there, in a folder, in the cache or on the hub, or one line says why not. No network: the hub is played."""

from __future__ import annotations

import json
import logging
import os
import threading
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from engines import hub
from engines.hub import call_within, require_model
from utils import InputError

NAME = "Qwen/Qwen2.5-7B-Instruct"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and whatever is set to stay off line is put back afterwards."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def play_hub(monkeypatch, error: Exception | None) -> list[str]:
    asked = []

    def metadata(url, timeout):
        asked.append(url)
        if error:
            raise error

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", metadata)
    return asked


def hub_error(kind: type, status: int) -> Exception:
    error = kind.__new__(kind)
    error.args, error.response = ("words of the server",), SimpleNamespace(status_code=status)
    return error


def fill_cache(cache, *names: str, index: dict | None = None) -> None:
    repository = cache / "models--Qwen--Qwen2.5-7B-Instruct"
    folder = repository / "snapshots" / "c0ffee"
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    for name in names:
        (folder / name).touch()
    if index:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def test_a_models_folder_is_checked_before_it_is_loaded(tmp_path, monkeypatch):
    asked = play_hub(monkeypatch, None)
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "config.json").touch()
    require_model(str(tmp_path / "good"))
    with pytest.raises(InputError) as error:
        require_model(str(tmp_path))
    assert str(error.value) == (
        f"expected a model in {tmp_path}, found no config.json there: give a Hugging Face model folder"
    )
    assert asked == []


@pytest.mark.parametrize(
    "nowhere", ["/nowhere-at-all", "models/nowhere", "./nowhere", "../nowhere", "~/nowhere", "nowhere", "a/b/nowhere"]
)
def test_a_path_that_is_no_name_of_a_hub_has_to_be_there(nowhere, monkeypatch):
    asked = play_hub(monkeypatch, None)
    with pytest.raises(
        InputError, match=f"^expected a model at {nowhere}, found nothing: give a model folder or a hub"
    ):
        require_model(nowhere)
    with pytest.raises(InputError, match=f"^expected a judge at {nowhere}, found nothing"):
        require_model(nowhere, "a judge")
    assert asked == []


def test_the_hub_is_asked_for_a_name(monkeypatch):
    asked = play_hub(monkeypatch, None)
    require_model(NAME)
    assert [url.partition("/Qwen/")[2] for url in asked] == ["Qwen2.5-7B-Instruct/resolve/main/config.json"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("Name or service not known"), r"no answer \(Name or service not known\)"),
        (hub_error(errors.HfHubHTTPError, 503), "an answer with status 503"),
        (hub_error(errors.RepositoryNotFoundError, 404), "no model of that name, or a private one"),
        (hub_error(errors.GatedRepoError, 403), "a model that its owner must allow you to use"),
        (hub_error(errors.RemoteEntryNotFoundError, 404), "no config.json there"),
    ],
)
def test_a_hub_model_that_cannot_be_had_is_one_line(monkeypatch, error, words):
    play_hub(monkeypatch, error)
    with pytest.raises(InputError, match=f"^expected a judge {NAME} from the hub, found {words}") as told:
        require_model(NAME, "a judge")
    assert "\n" not in str(told.value)


def test_a_tokenizer_needs_no_config_on_the_hub(monkeypatch, caplog):
    play_hub(monkeypatch, hub_error(errors.RemoteEntryNotFoundError, 404))
    require_model(NAME, "a tokenizer")
    assert caplog.messages == [] and not constants.is_offline_mode()


def test_a_hub_that_says_nothing_is_not_waited_for(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(hub, "NETWORK_S", 0.01)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, timeout: never.wait(20))
    with pytest.raises(InputError, match=r"found no answer \(no answer in 0\.02 s\): correct it"):
        require_model(NAME)
    never.set()


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_model_in_the_cache_is_read_from_there_if_the_hub_is_down(monkeypatch, cache, caplog, weights):
    play_hub(monkeypatch, OSError("down"))
    fill_cache(cache, "config.json", weights)
    with caplog.at_level(logging.WARNING):
        require_model(NAME)
    assert caplog.messages == [f"the Hugging Face hub gives no answer (down); {NAME} is read from the cache"]
    assert os.environ["HF_HUB_OFFLINE"] == "1" and constants.is_offline_mode()


def test_offline_only_what_is_whole_in_the_cache_will_do(monkeypatch, cache):
    asked = play_hub(monkeypatch, None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=f"^expected a model {NAME}, found nothing complete .*HF_HUB_OFFLINE=1: unset"):
        require_model(NAME)
    fill_cache(cache, "config.json", "one.safetensors", index={"a": "one.safetensors", "b": "two.safetensors"})
    require_model(NAME, "a tokenizer")
    with pytest.raises(InputError, match="found nothing complete"):
        require_model(NAME)
    next(cache.glob("*/snapshots/*")).joinpath("two.safetensors").touch()
    require_model(NAME)
    assert asked == []


def test_an_empty_index_in_the_cache_is_named(monkeypatch, cache):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    fill_cache(cache, "config.json", "model.safetensors.index.json")
    with pytest.raises(
        InputError, match=r"^expected an index at .*/model\.safetensors\.index\.json, found an empty file"
    ):
        require_model(NAME)


def test_a_call_that_gives_nothing_is_left_to_itself():
    assert call_within(60, lambda: 7) == 7
    assert call_within(60, lambda: threading.current_thread().daemon), "a script can end while it is unanswered"
    with pytest.raises(ZeroDivisionError):
        call_within(60, lambda: 1 / 0)
    never = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer in 0\.01 s"):
        call_within(0.01, never.wait)
    never.set()
