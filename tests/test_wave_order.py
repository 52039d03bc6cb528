"""Which steps are asked together, in which order, when answers come later: method.WAVES says so to whoever waits."""

from __future__ import annotations

import json

import pytest
from generators import ReadingEngine, empty_work

from data_processor.arguments import CollectionArguments
from data_processor.chunking import Chunk
from data_processor.method import WAVES
from data_processor.pipeline import collect_all
from data_processor.waves import describe_waves_left
from engines.chat import WaveWaiting


class LateEngine(ReadingEngine):
    """Answers what an earlier run has asked, as a batch does; asked again, it answers in other words."""

    def __init__(self):
        self.known: set[str] = set()
        self.asked: set[str] = set()

    def chat(self, conversations, **options):
        self.asked |= (asked := set(map(str, conversations)))
        if asked - self.known:
            raise WaveWaiting
        return super().chat(conversations, **options)

    def answer(self, prompt, schema):
        told = super().answer(prompt, schema)
        again = "from the document alone" in prompt
        return json.dumps([one | {"answer": "so they say"} for one in json.loads(told)]) if again else told


LATE = (["wordings"], ["wordings, check"], ["wordings, same"])


@pytest.mark.parametrize(
    ("verify", "waves"),
    [
        (False, [["questions", "unknown", "two facts", "texts"], ["wordings", "unknown, check"]]),
        (
            True,
            [
                ["facts, check"],
                ["questions", "unknown", "two facts", "texts"],
                ["questions, check", "unknown, check", "two facts, check"],
                ["questions, same", "two facts, same"],
                *LATE,
            ],
        ),
    ],
)
def test_the_steps_are_asked_in_the_waves_that_the_method_names(verify, waves):
    names = "Pellow Berg Holm Moor Lund Vik Dal Ek".split()
    texts = {
        "en": " ".join(f"Ann {name} has the boat of Corrin." for name in names) + " Nothing.",
        "it": "Anna ha la barca.",
    }
    chunks = [Chunk(f"{code}.txt", 0, 0, len(text), text, "", "en", code) for code, text in texts.items()]
    engine, waited, collected = LateEngine(), [], None
    while not collected:
        job = empty_work(engine, "quotes", verify=verify)
        try:
            collected = collect_all(job, chunks, CollectionArguments(role_amount_per_fact=1, qa_amount_per_fact=1))
        except WaveWaiting as waiting:
            waited.append(list(waiting.args))
            engine.known |= engine.asked
    assert waited == [["phrases", "read"], ["rest"], *waves]
    assert list(map(set, waited)) == list(map(set, WAVES["llm" if verify else "rules"]))
    assert {pair.form for pair in collected.pairs} >= {"short", "two"} and job.phrases.keys() == {"it"}


def test_the_hours_of_the_waves_that_may_follow_are_told():
    waves = (("read",), ("questions", "texts"), ("check",))
    assert describe_waves_left(waves, ("texts", "check"), False) == "At most 1 more wave follows it"
    assert describe_waves_left(waves, ("read",), True) == "At most 2 more waves follow it (48 hours at 24 a wave)"
