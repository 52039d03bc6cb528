"""The relatives of tests/inputs: texts, templates and answers as people have them, each read, rendered or graded right."""

from __future__ import annotations

import pytest

from benchmarks import inputs, inputs_documents, inputs_entries, inputs_models, inputs_scripts, inputs_texts
from benchmarks.inputs_entries import Entry, has_documents

RELATIVES = inputs_entries.read_relatives()
KNOWN_WRONG = {  # by name: why; a relative that is right goes from here
    "word_order_zh": "a bridge by its longer name is another bridge",
}


def by_name(entries: list[Entry], known: dict[str, str], *runs: str) -> list:
    """A parameter for each entry with one of these runs, named as the entry; one that is known to be wrong has to fail."""
    chosen = [entry for entry in entries if entry.run in runs]
    marks = {name: [pytest.mark.xfail(strict=True, reason=reason)] for name, reason in known.items()}
    return [pytest.param(entry, id=entry.name, marks=marks.get(entry.name, [])) for entry in chosen]


def some_by_script(*runs: str) -> list:
    """One relative of each kind and run that start a script: benchmarks/inputs.py makes all of them."""
    some: dict[tuple[str, str], list[Entry]] = {}
    for entry in RELATIVES:
        if entry.run in runs:
            some.setdefault((entry.kind, entry.run), []).append(entry)
    quickest = [min(entries, key=lambda entry: len(entry.expected.get("labels", []))) for entries in some.values()]
    return [pytest.param(entry, id=entry.name) for entry in quickest]


READ = [entry for entry in RELATIVES if entry.run == "read" or (entry.run == "collect" and has_documents(entry))]


@pytest.mark.parametrize("entry", by_name(READ, KNOWN_WRONG, "read", "collect"))
def test_a_text_is_read_as_a_person_would(entry, tmp_path):
    wrong, _ = inputs_documents.run(entry, tmp_path)
    assert wrong == []


@pytest.mark.parametrize("entry", by_name(RELATIVES, KNOWN_WRONG, *inputs_texts.RUNS))
def test_spans_verdicts_and_templates_are_as_expected(entry):
    assert inputs_texts.RUNS[entry.run](entry) == []


@pytest.mark.slow
@pytest.mark.parametrize("entry", some_by_script(*inputs_scripts.RUNS))
def test_servers_and_judges_are_met_as_they_are(entry):
    assert inputs_scripts.RUNS[entry.run](entry) == []


@pytest.mark.slow
@pytest.mark.parametrize("entry", some_by_script(*inputs_models.RUNS))
def test_datasets_models_and_networks_are_met_as_they_are(entry, model_path):
    assert inputs_models.RUNS[entry.run](entry) == []


def test_every_relative_is_run_and_every_known_fault_is_one():
    names = [entry.name for entry in RELATIVES]
    assert len(set(names)) == len(names) >= 200
    assert {entry.run for entry in RELATIVES} <= set(inputs.RUNS)
    assert set(KNOWN_WRONG) <= set(names)
