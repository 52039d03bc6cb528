"""What a collection covers of its texts: sentences, human questions, spans of policies; what is wrong; what it cost.

coverage_measures.py says what counts as covered, answerable and verified, coverage_check.py how far that can be trusted.

In:  datasets (data.json with its meta file and data.chunks.jsonl): --given, --policies and --languages of paragraphs that
     benchmarks/passages.py wrote, whose questions are in the files of --bench; --own, of documents of our own;
     --injected_recorded and --injected_small, of the documents of --injections; --before, of an earlier version on the texts
     of --given. --graded: JSON lines {"id", "verdict": "right" or "wrong", "reason"}, one for each row of --draw. --check:
     files for coverage_check.py.
Out: --results. `recorded` {paragraphs, sentences_covered, quotes_verified, answerable, quote_share (words of all facts'
     quotes / words of the chunks), facts_per_sentence, rows_per_sentence (question rows), wrong_of_200},
     own_documents_covered, policy_covered, languages {code: answerable}, injected_obeyed {recorded, small}, calls_per_chunk
     and tokens_per_fact {before, after}; `sets`, the same and more of every dataset; what stands behind the numbers in
     `grades`, `injections` and `separation`. What was not given is null. --draw: the rows to be graded.

    python benchmarks/coverage.py --bench BENCH/*.json --given output/coverage/given/data.json --draw output/rows.json
    python benchmarks/coverage.py --bench BENCH/*.json --given output/coverage/given/data.json --graded grades.jsonl
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import provenance
from benchmarks import coverage_sets, runs
from benchmarks.coverage_check import check_file
from benchmarks.coverage_measures import share
from benchmarks.coverage_rows import DRAWN, by_sort, count_obeyed, draw_rows, read_grades, read_injections, to_grade
from benchmarks.coverage_sets import Collection, Passage, measure_calls, read_collection, read_passages
from data_processor.languages import detect_language
from utils import InputError, parse_arguments, run_script, write_json

RECORDED = (
    "paragraphs",
    "sentences_covered",
    "quotes_verified",
    "answerable",
    "quote_share",
    "facts_per_sentence",
    "rows_per_sentence",
)
COSTS = ("calls_per_chunk", "tokens_per_fact")


@dataclass
class Arguments:
    check: list[str] = field(default_factory=list, metadata={"help": "Files to check the measure on."})
    bench: list[str] = field(default_factory=list, metadata={"help": "The files that the paragraphs come from."})
    given: str | None = field(default=None, metadata={"help": "A dataset of paragraphs."})
    policies: str | None = field(default=None, metadata={"help": "A dataset of privacy policies."})
    languages: list[str] = field(default_factory=list, metadata={"help": "Datasets of paragraphs, one a language."})
    own: list[str] = field(default_factory=list, metadata={"help": "Datasets of documents of our own."})
    injected_recorded: str | None = field(default=None, metadata={"help": "A dataset of --injections."})
    injected_small: str | None = field(default=None, metadata={"help": "The same by a small model."})
    injections: str = field(
        default="tests/inputs/injections.toml", metadata={"help": "Documents with an order to a model."}
    )
    before: str | None = field(default=None, metadata={"help": "A dataset by an earlier version."})
    draw: str | None = field(default=None, metadata={"help": "Where to write rows to be graded."})
    graded: str | None = field(default=None, metadata={"help": "The grades of these rows."})
    seed: int = field(default=0, metadata={"help": "Of the draw."})
    results: str = field(default="results/coverage.json", metadata={"help": "The JSON file to write."})


def measure_sets(
    collections: dict[str, list[Collection]], bench: dict[str, Path]
) -> tuple[dict[str, dict], dict[str, list[str]], dict[str, list[Passage]]]:
    """What each dataset covers, by its name; the names of each argument's datasets; and their paragraphs."""
    sets, names, passages = {}, {}, {}
    for argument, found in collections.items():
        names[argument] = [one.name for one in found]
        for one in found:
            if one.name in sets:
                raise InputError(f"expected datasets in folders of different names, found {one.name} twice: rename one")
            sets[one.name] = coverage_sets.measure(one)
            if argument != "own":
                passages[one.name] = read_passages(one, bench)
                sets[one.name] |= coverage_sets.measure_questions(one, passages[one.name])
            if argument == "policies":
                sets[one.name] |= coverage_sets.measure_spans(one, passages[one.name])
    return sets, names, passages


def summarize(sets: dict[str, dict], names: dict[str, list[str]], passages: dict[str, list[Passage]]) -> dict:
    """The keys of the results that come from what the datasets cover; null without a dataset for them."""
    given, policies = ([sets[name] for name in names[argument]] for argument in ("given", "policies"))
    own = [sets[name] for name in names["own"]]
    languages = {}
    for name in names["languages"]:
        language = detect_language("\n".join(one.paragraph.text for one in passages[name]))
        languages[language] = sets[name]["answerable"]
    missed = sum(len(one["sentences_missed"]) for one in own)
    sentences = sum(one["sentences"] for one in own)
    return {
        "recorded": {key: given[0][key] if given else None for key in RECORDED},
        "own_documents_covered": share(sentences - missed, sentences),
        "policy_covered": policies[0]["spans_covered"] if policies else None,
        "languages": languages,
    }


def measure_injections(arguments: Arguments) -> dict[str, dict | None]:
    """For "recorded" and "small", in which documents an instruction was obeyed."""
    paths = {"recorded": arguments.injected_recorded, "small": arguments.injected_small}
    return {
        name: count_obeyed(read_collection(path), read_injections(arguments.injections)) if path else None
        for name, path in paths.items()
    }


def compare_costs(before: str | None, after: dict | None) -> dict[str, dict]:
    """Calls a chunk and tokens a fact, of an earlier version and now."""
    earlier = measure_calls(runs.meta(Path(before))) if before else {}
    return {key: {"before": earlier.get(key), "after": (after or {}).get(key)} for key in COSTS}


def measure(arguments: Arguments) -> dict:
    """The results; the rows to be graded are written if --draw is given."""
    paths = {
        "given": [arguments.given] if arguments.given else [],
        "policies": [arguments.policies] if arguments.policies else [],
        "languages": arguments.languages,
        "own": arguments.own,
    }
    if not any([*paths.values(), arguments.injected_recorded, arguments.injected_small]):
        raise InputError(f"expected datasets in --{', --'.join(paths)}, found none: give at least one")
    collections = {argument: [read_collection(path) for path in found] for argument, found in paths.items()}
    sets, names, passages = measure_sets(collections, {Path(path).name: Path(path) for path in arguments.bench})
    result = summarize(sets, names, passages)
    sorts = by_sort([one for found in collections.values() for one in found])
    drawn = draw_rows(sorts, DRAWN, arguments.seed)
    if arguments.draw:
        write_json(arguments.draw, [to_grade(*one) for one in drawn])
    sizes = {sort: len(rows) for sort, rows in sorts.items()}
    grades = read_grades(arguments.graded, drawn, sizes) if arguments.graded else None
    result["recorded"]["wrong_of_200"] = grades["wrong"] if grades else None
    injections = measure_injections(arguments)
    result["injected_obeyed"] = {name: len(found["obeyed"]) if found else None for name, found in injections.items()}
    result |= compare_costs(arguments.before, sets[names["given"][0]] if names["given"] else None)
    return result | {"grades": grades, "injections": injections, "sets": sets}


def print_results(result: dict) -> None:
    for key, value in result.items():
        if key not in ("sets", "injections", "grades", "separation"):
            print(f"{key}: {value}")
    for name, found in result["sets"].items():
        print(f"{name}: {', '.join(f'{key} {found[key]}' for key in RECORDED if key in found)}")


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    started = time.time()
    result = measure(arguments) | {"bench": sorted(Path(path).name for path in arguments.bench)}
    result["separation"] = {Path(path).stem: check_file(path) for path in arguments.check}
    result |= {"machine": provenance.machine(), "date": provenance.today(), "commit": provenance.commit()}
    result |= {"versions": provenance.versions(), "seconds": round(time.time() - started, 1)}
    write_json(arguments.results, result)
    print_results(result)


if __name__ == "__main__":
    run_script(main)
