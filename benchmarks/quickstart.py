"""The demo's numbers after shells/quickstart.sh: a table for the terminal, and one JSON object.

In:  --data_path, the folder of the run: base, tuned, open_book, retention_base and retention_tuned .json with their metas, and
     what evaluate.py wrote beside them.
Out: --results; see RESULT_KEYS in tests/test_quickstart.py for the minimum it contains.

    python benchmarks/quickstart.py --data_path output/quickstart --results results/quickstart.json
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluation.matching import match, points_of
from evaluation.significance import wilson_interval
from provenance import commit, machine, meta_file, today
from utils import InputError, parse_arguments, read_json, run_script, write_json

STAGES = (  # name, and the meta files whose seconds and memory are summed
    ("collection", ("data",)),
    ("fine-tuning", ("lora/training",)),
    ("inference", ("base", "tuned", "open_book", "retention_base", "retention_tuned")),
    ("evaluation", ("tuned_forgetting",)),  # the last one written
)


@dataclass
class Arguments:
    data_path: str = field(default="output/quickstart", metadata={"help": "The folder of the run."})
    results: str = field(default="results/quickstart.json", metadata={"help": "The JSON file to write."})
    minutes_total: float | None = field(
        default=None, metadata={"help": "Measured from start to end, installation included."}
    )
    minutes_after_install: float | None = field(
        default=None, metadata={"help": "Measured from the end of the installation."}
    )


def count_right(folder: Path, name: str, kind: str | None = None) -> tuple[int, int]:
    """(right answers, questions) in an answers file by string match; of one kind only, if given."""
    answers = read_json(folder / f"{name}.json", "answers", "run inference.py first")
    chosen = [answer for answer in answers if kind in (None, answer.get("kind"))]
    if not chosen:
        raise InputError(
            f"expected answers of kind {kind!r} in {folder / name}.json, found none: check the questions asked"
        )
    right = sum(
        match(answer["reference"], answer["response"], answer["question"], points=points_of(answer))
        for answer in chosen
    )
    return right, len(chosen)


def write_results(arguments: Arguments, folder: Path) -> None:
    """Write the demo's numbers as one JSON object, and print them as a table."""
    scores = {
        "base": count_right(folder, "base", "qa"),
        "tuned": count_right(folder, "tuned", "qa"),
        "open_book": count_right(folder, "open_book", "qa"),
        "reverse_base": count_right(folder, "base", "reverse"),
        "reverse_tuned": count_right(folder, "tuned", "reverse"),
        "reverse_open_book": count_right(folder, "open_book", "reverse"),
        "retention_before": count_right(folder, "retention_base"),
        "retention_after": count_right(folder, "retention_tuned"),
    }
    metas = {
        stage: [read_json(meta_file(folder / name), "a meta file", "run the stage first") for name in names]
        for stage, names in STAGES
    }
    minutes = {stage: round(sum(meta["seconds"] for meta in found) / 60, 1) for stage, found in metas.items()}
    result = {
        **{name: round(right / asked, 4) for name, (right, asked) in scores.items()},
        "counts": {name: f"{right}/{asked}" for name, (right, asked) in scores.items()},
        "intervals_95": {name: wilson_interval(right, asked) for name, (right, asked) in scores.items()},
        "minutes": minutes,
        "minutes_total": arguments.minutes_total,
        "minutes_after_install": arguments.minutes_after_install,
        "peak_gib": max(meta["peak_gib"] for found in metas.values() for meta in found),
        "dataset": metas["collection"][0]["counts"],
        "machine": machine(),
        "date": today(),
        "commit": commit(),
    }
    write_json(arguments.results, result)
    print_table(scores, minutes, result, folder, arguments.results)


def print_table(scores: dict, minutes: dict, result: dict, folder: Path, results: str) -> None:
    """Print the results of a run for a person."""

    def cell(name: str) -> str:
        right, asked = scores[name]
        return f"{right}/{asked} {right / asked:5.0%}"

    lines = (
        ("questions", "base", "tuned", "open_book"),
        ("asked the other way round", "reverse_base", "reverse_tuned", "reverse_open_book"),
        ("general knowledge kept", "retention_before", "retention_after"),
    )
    print(f"\n{'':<26}{'base':>14}{'tuned':>14}{'open book':>14}")
    for title, *names in lines:
        print(f"{title:<26}" + "".join(f"{cell(name):>14}" for name in names))
    stages = ", ".join(f"{stage} {value}" for stage, value in minutes.items())
    print(f"\nminutes: {stages}; peak memory {result['peak_gib']} GiB")
    if result["minutes_after_install"] is not None:
        print(f"minutes after the installation: {result['minutes_after_install']}, in all: {result['minutes_total']}")
    print(
        f"files: {folder}/data.json (dataset), {folder}/lora (adapter), {folder}/tuned.json (answers), {results} (these numbers)"
    )


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    folder = Path(arguments.data_path)
    write_results(arguments, folder)
    print(f"report: {folder / 'report.html'} (open it in a browser), {folder / 'report.md'}")


if __name__ == "__main__":
    run_script(main)
