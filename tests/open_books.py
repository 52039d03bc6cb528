"""Rows on three passages, and a teacher that reads them, for the tests."""

from __future__ import annotations

import json

import pytest
from clocks import endless
from trainings import tiny_lora

from training import distillation
from training.arguments import DataArguments, TrainingArguments
from training.data import SupervisedDataset
from training.teaching import make_teacher

PASSAGES = [
    f"Town {n} lies by the lake Umbrel. Its mayor is Corrane {n}, and its river the Tolvimer." for n in range(3)
]


def rows(count: int = 9) -> list[dict]:
    """Three rows on each passage, then two that have none, of which one is replayed."""
    answers = [" ".join([f"Corrane {n % 3}"] * (1 + n)) for n in range(count)]
    taught = [
        {
            "id": str(n),
            "messages": [
                {"role": "user", "content": f"Who is mayor of town {n % 3}?"},
                {"role": "assistant", "content": a},
            ],
            "file_name": "towns.txt",
            "source": {"chunk": n % 3},
        }
        for n, a in enumerate(answers)
    ]
    bare = {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Nobody."}]}
    return [*taught, {"id": "bare", **bare}, {"id": "replayed", "kind": "replay", **bare}]


@pytest.fixture
def data(tmp_path) -> DataArguments:
    lines = [{"file_name": "towns.txt", "chunk": n, "text": text} for n, text in enumerate(PASSAGES)]
    (tmp_path / "data.chunks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return DataArguments(str(tmp_path / "data.json"))


@pytest.fixture
def model(tiny_model_path):
    """With an adapter that changes what it says: the teacher must be without."""
    return tiny_lora(tiny_model_path)


@pytest.fixture(autouse=True)
def low_bar(monkeypatch):
    """Three layers give no token one half, and the tests want tokens that are taught."""
    monkeypatch.setattr(distillation, "LEAST_RIGHT", -1e9)


def arguments(tmp_path, **changed) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(tmp_path / "lora"), use_cpu=True, **{"bf16": False, "distill_weight": 0.5, **changed}
    )


@pytest.fixture
def teach(model, data, tokenizer, tiny_model_path, tmp_path):
    """Makes a teacher, as finetune.py does; `given` are rows, the class of the dataset, a clock, arguments."""

    def make(given=None, kind=SupervisedDataset, clock=None, longest=512, **changed):
        examples = kind(rows() if given is None else given, tokenizer, "", longest, longest < 512)
        training = arguments(tmp_path, **changed)
        return make_teacher(model, examples, tiny_model_path, data, training, clock or endless(tmp_path))

    return make
