"""Files, servers, templates, datasets and answers as people have them: which of them are read, asked, trained and graded right.

In:  --cases, a folder of cases; --expectations and --relatives, what is right for them and for ours (the vocabulary is at the
     head of the first); --paragraphs, files in SQuAD's form named *_LANGUAGE.json, which are wrapped and joined again;
     --graded, files LANGUAGE.json of graded answers (ours are written and graded by a large language model).
Out: --results: cases {name: right}, relatives {kind: {right, of}, wrong: [names]}, failed {name: [what]}, not_run, accounted,
     not_read, rewrapped_same {language: [same, of]}, not_joined [apart, of], match_kappa {language: kappa},
     sentence_library {name: {texts, exact, f1}}, of those that are installed: see benchmarks/sentence_libraries.py

    python benchmarks/inputs.py --cases CASES --paragraphs squad_new_wiki.json xquad_de.json
    python benchmarks/inputs.py --only read spans match template    # seconds: no model, no server
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import provenance
from benchmarks import (
    graded_answers,
    inputs_documents,
    inputs_lines,
    inputs_models,
    inputs_scripts,
    inputs_texts,
    sentence_libraries,
)
from benchmarks.inputs_entries import CASES, RELATIVES, ROOT, Entry, read_cases, read_relatives, shorten
from data_processor.documents import clean
from data_processor.edits import NOT_READ
from utils import InputError, parse_arguments, read_json, run_script, write_json

FUNCTIONS = inputs_texts.RUNS | inputs_scripts.RUNS | inputs_models.RUNS
RUNS = ["read", *FUNCTIONS]
NOT_JOINED = ROOT / "tests/inputs/not_joined.json"
GRADED = [str(ROOT / f"tests/inputs/graded/{language}.json") for language in ("de", "zh", "fr", "es", "ru")]


@dataclass
class Arguments:
    cases: str | None = field(default=None, metadata={"help": "A folder with a folder for each case."})
    expectations: str = field(default=str(CASES), metadata={"help": "What is right for each case."})
    relatives: str = field(default=str(RELATIVES), metadata={"help": "More of the kind, with their texts."})
    not_joined: str = field(default=str(NOT_JOINED), metadata={"help": "Texts whose lines belong apart."})
    paragraphs: list[str] = field(default_factory=list, metadata={"help": "Files in SQuAD's form to wrap."})
    graded: list[str] = field(default_factory=lambda: GRADED, metadata={"help": "Files of graded answers."})
    only: list[str] = field(default_factory=lambda: RUNS, metadata={"help": f"Of: {' '.join(RUNS)}."})
    names: list[str] = field(default_factory=list, metadata={"help": "Only the cases and relatives of these names."})
    results: str = field(default="results/inputs.json", metadata={"help": "The JSON file to write."})


@dataclass
class Outcome:
    """What is wrong with each case or relative, which runs of it were not made, and how its characters were accounted for."""

    failed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    not_run: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    kinds: Counter = field(default_factory=Counter)
    length: int = 0

    def is_right(self, name: str) -> bool:
        return not self.failed.get(name) and not self.not_run.get(name)


def make_run(entry: Entry, only: list[str], outcome: Outcome) -> None:
    """Make one run, as far as `only` has it, and keep what is wrong."""
    name, needed, made = entry.name, {entry.run, *(["read"] if entry.run == "collect" else [])}, set()
    try:
        if entry.run in FUNCTIONS and entry.run in only:
            made.add(entry.run)
            outcome.failed[name] += FUNCTIONS[entry.run](entry)
        if "read" in needed and "read" in only:
            made.add("read")
            with tempfile.TemporaryDirectory() as folder:
                wrong, found = inputs_documents.run(entry, Path(folder))
            outcome.failed[name] += wrong
            outcome.kinds += found.kinds
            outcome.length += found.length
    except Exception as error:  # a fault of ours that this input brings to light: the other runs go on
        logging.exception("%s", name)
        outcome.failed[name].append(f"{type(error).__name__}: {error}")
    outcome.not_run[name] += sorted(needed - made)


def account_texts(outcome: Outcome, texts: list[str]) -> None:
    """Count the characters of texts that are read as a file is."""
    found = inputs_documents.Found()
    for text in texts:
        inputs_documents.add(found, clean("a.txt", text), text)
    outcome.kinds += found.kinds
    outcome.length += found.length


def summarize(entries: list[Entry], outcome: Outcome) -> dict:
    """`cases` and `relatives` of the results."""
    cases = {entry.name: outcome.is_right(entry.name) for entry in entries if not entry.kind}
    kinds = {entry.name: entry.kind for entry in entries if entry.kind}
    relatives: dict = {kind: {"right": 0, "of": 0} for kind in dict.fromkeys(kinds.values())}
    for name, kind in kinds.items():
        relatives[kind]["of"] += 1
        relatives[kind]["right"] += outcome.is_right(name)
    relatives["wrong"] = [name for name in kinds if not outcome.is_right(name)]
    return {
        "cases": cases,
        "relatives": relatives,
        "failed": {name: [shorten(one) for one in wrong] for name, wrong in outcome.failed.items() if wrong},
        "not_run": {name: runs for name, runs in outcome.not_run.items() if runs},
    }


def language_of(path: str) -> str:
    """The language that the name of a file ends with, or English."""
    ending = Path(path).stem.rpartition("_")[2]
    return ending if len(ending) == 2 else "en"


def measure_lines(arguments: Arguments, outcome: Outcome) -> dict:
    """`rewrapped_same` and `not_joined` of the results."""
    found: dict = {"rewrapped_same": {}}
    for path in arguments.paragraphs:
        paragraphs = inputs_lines.paragraphs_to_report(path)
        result = inputs_lines.rewrapped(paragraphs)
        found["rewrapped_same"][language_of(path)] = [result["same"], result["sentences"]]
        account_texts(outcome, paragraphs)
        account_texts(outcome, [inputs_lines.wrap(text) for text in paragraphs])
    texts = read_json(arguments.not_joined, "texts whose lines belong apart")
    kept = inputs_lines.kept_apart(texts)
    account_texts(outcome, [item["text"] for item in texts])
    return {**found, "not_joined": [kept["apart"], kept["texts"]]}


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    unknown = [run for run in arguments.only if run not in RUNS]
    if unknown:
        raise InputError(f"expected --only of {' '.join(RUNS)}, found {' '.join(unknown)}: correct it")
    started = time.time()
    entries = read_cases(arguments.cases, arguments.expectations) if arguments.cases else []
    entries += read_relatives(arguments.relatives)
    entries = [entry for entry in entries if entry.name in arguments.names or not arguments.names]
    outcome = Outcome()
    for entry in entries:
        before = len(outcome.failed[entry.name])
        make_run(entry, arguments.only, outcome)
        for one in outcome.failed[entry.name][before:]:
            print(f"{entry.name} ({entry.run}): {shorten(one)}", flush=True)
    result = summarize(entries, outcome)
    result |= measure_lines(arguments, outcome)
    result["match_kappa"] = {Path(path).stem: graded_answers.measure(path)["kappa"] for path in arguments.graded}
    result["sentence_library"] = sentence_libraries.library_scores()
    result["accounted"] = round(sum(outcome.kinds.values()) / max(outcome.length, 1), 6)
    result["not_read"] = round(outcome.kinds[NOT_READ] / max(outcome.length, 1), 6)
    result["characters"] = dict(outcome.kinds)
    result |= {"machine": provenance.machine(), "date": provenance.today(), "commit": provenance.commit()}
    result |= {"versions": provenance.versions(), "seconds": round(time.time() - started, 1)}
    write_json(arguments.results, result)
    for key in ("accounted", "not_read", "rewrapped_same", "not_joined", "match_kappa", "sentence_library"):
        print(f"{key}: {result[key]}")
    wrong = [name for name, right in result["cases"].items() if not right]
    print(f"{len(wrong)} of {len(result['cases'])} cases wrong or not run: {' '.join(wrong)}")
    print(f"{len(result['relatives']['wrong'])} relatives wrong or not run")


if __name__ == "__main__":
    run_script(main)
