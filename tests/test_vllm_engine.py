"""The vLLM engine on the real small model: on a GPU, or with the CPU build of vLLM (OPTIONAL=yes bash shells/test.sh)."""

from __future__ import annotations

import importlib.util
import json
import signal
from pathlib import Path

import pytest
from conftest import save_random_adapter
from test_llm import QUESTIONS, SCHEMA, asked

from engines.arguments import EngineArguments
from engines.hf import TransformersEngine
from engines.journal import JournaledEngine
from engines.load import load_base_and_tuned, load_engine
from engines.vllm import VllmEngine
from engines.vllm_decoder import VllmDecoder
from utils import InputError

pytestmark = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
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


def test_the_same_prompt_is_answered_differently_where_it_is_sampled(pair):
    options = {"max_new_tokens": 12, "temperature": 1.0}
    same = texts(pair[0].chat(asked(*QUESTIONS[:1] * 8), seed=[*range(8)], **options))
    assert len(set(same)) > 1 and len(set(texts(pair[0].chat(asked(*QUESTIONS[:1] * 8), max_new_tokens=12)))) == 1


def test_a_prompt_too_long_is_an_error_that_names_the_room(pair):
    long, short = pair[0].chat(asked("word " * 600, QUESTIONS[0]), max_new_tokens=8)
    assert long.text == "" and "--max_model_len leaves room for 511" in long.error and "Paris" in short.text


def load_watched(busy_file: str, **options) -> VllmDecoder:
    """A copy for 8 requests at once, which writes down for each step how many it was writing and how many it had."""
    decoder = VllmDecoder.load(**options)
    decoder.capacity = 8
    scheduler, step = decoder.engine.engine_core.engine_core.scheduler, decoder.engine.step

    def watched():
        outputs, writing = step(), len(scheduler.running)
        with Path(busy_file).open("a") as file:
            file.write(f"{writing} {writing + len(scheduler.waiting)}\n")
        return outputs

    decoder.engine.step = watched
    return decoder


def test_continuous_feeding_keeps_vllm_full_and_is_journaled_in_groups(model_path, tmp_path, monkeypatch):
    """Greedy replies of many lengths: vLLM is never drained before the last are taken up."""
    monkeypatch.setattr("engines.journal.GROUP_SIZE", 16)
    monkeypatch.setattr("engines.journal.GROUP_S", 1000.0)
    busy_file, path = tmp_path / "busy", tmp_path / "data.journal.jsonl"
    options = {"load_decoder": load_watched, "busy_file": str(busy_file), "max_model_len": 512}
    engine = VllmEngine.load([[]], model_path, **options)
    conversations = asked(*(f"What is {number} plus 3?" for number in range(48)))
    replies = JournaledEngine(engine, path).chat(conversations, max_new_tokens=24)
    assert len({reply.completion_tokens for reply in replies}) > 3
    steps = [tuple(map(int, line.split())) for line in busy_file.read_text().splitlines()]
    assert max(inside for _, inside in steps) <= 8
    full = [writing for writing, _ in steps[: len(steps) * 3 // 4]]
    assert sum(full) >= 6.5 * len(full), full
    assert [len(json.loads(line)) for line in path.read_text().splitlines()] == [16, 16, 16]
    again = JournaledEngine(engine, path)
    assert again.chat(conversations, max_new_tokens=24) == replies and again.asked == 0


class Stop(Exception):
    """What the handler of a signal raises."""


def stop_in_the_middle(engine, seconds: float) -> None:
    """Ask for long answers and leave them by a signal."""

    def stop(*_):
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with pytest.raises(Stop):
            engine.chat(asked(*QUESTIONS * 8), max_new_tokens=300, temperature=2.0)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_stale_requests_of_a_stopped_call_are_not_answered_in_the_next(pair):
    """Stopped at any moment, also within a step of vLLM, which is another process's."""
    expected = texts(pair[0].chat(asked(*QUESTIONS[1:]), max_new_tokens=8))
    for number in range(12):
        stop_in_the_middle(pair[0], 0.01 + 0.05 * number)
        assert texts(pair[0].chat(asked(*QUESTIONS[1:]), max_new_tokens=8)) == expected


def test_two_copies_answer_as_one_and_stale_replies_are_dropped(pair, model_path, adapter):
    copies = load_engine(model_path, EngineArguments(engine="vllm", max_model_len=512, data_parallel_size=2), adapter)
    seen = []
    replies = copies.chat(asked(*QUESTIONS), max_new_tokens=8, on_reply=lambda index, reply: seen.append(index))
    expected = texts(pair[1].chat(asked(*QUESTIONS), max_new_tokens=8))
    assert texts(replies) == expected and sorted(seen) == [0, 1, 2, 3]
    assert texts(copies.base().chat(asked(QUESTIONS[0]), max_new_tokens=8))[0].count("Paris") == 1
    for seconds in (0.05, 0.7):
        stop_in_the_middle(copies, seconds)
        assert texts(copies.chat(asked(*QUESTIONS), max_new_tokens=8)) == expected
    with pytest.raises(ValueError, match="cannot be enforced"):
        copies.chat(asked(*QUESTIONS), schemas={"type": "nonsense"})
    drawn = texts(copies.chat(asked(*QUESTIONS[:1] * 2), max_new_tokens=16, temperature=1.0))
    assert drawn[0] != drawn[1], "copies draw different random numbers"


def test_settings_that_vllm_refuses_are_one_line(model_path):
    with pytest.raises(InputError, match="max_model_len") as caught:
        VllmEngine.load([[]], model_path, max_model_len=10**6)
    assert "\n" not in str(caught.value)
