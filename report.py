"""Put the numbers of a run together: a table on standard output and one JSON file.

In:  --data_path, a folder with base.json, tuned.json, open_book.json, retention_base.json and retention_tuned.json as
     inference.py writes them, and the meta files beside them.
Out: --results, one JSON object; see RESULT_KEYS in tests/test_report.py for what it has at least.

    python report.py --data_path output/quickstart --results results/quickstart.json
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from matching import match
from provenance import commit, machine, today
from significance import wilson_interval
from utils import InputError, parse_arguments, read_json, run, write_json

STAGES = (  # name, meta files whose seconds and memory it sums
    ("collection", ("data",)),
    ("fine-tuning", ("lora/training",)),
    ("inference", ("base", "tuned", "open_book", "retention_base", "retention_tuned")),
    ("evaluation", ("tuned_win_rate", "retention_tuned_win_rate")),
)


@dataclass
class Arguments:
    data_path: str = field(default="output/quickstart", metadata={"help": "The folder of the run."})
    results: str = field(default="output/quickstart/result.json", metadata={"help": "The JSON file to write."})
    minutes_total: float | None = field(
        default=None, metadata={"help": "Measured from start to end, installation included."}
    )
    minutes_after_install: float | None = field(
        default=None, metadata={"help": "Measured from the end of the installation."}
    )


def accuracy(folder: Path, name: str, kind: str | None = None) -> tuple[int, int]:
    """Right answers and questions of an answers file by string match, of one kind where it is given."""
    answers = read_json(folder / f"{name}.json", "answers", "run inference.py first")
    chosen = [answer for answer in answers if kind in (None, answer.get("kind"))]
    if not chosen:
        raise InputError(
            f"expected answers of the kind {kind!r} in {folder / name}.json, found none: check the questions asked"
        )
    return sum(match(answer["reference"], answer["response"]) for answer in chosen), len(chosen)


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    folder = Path(arguments.data_path)
    scores = {
        "base": accuracy(folder, "base", "qa"),
        "tuned": accuracy(folder, "tuned", "qa"),
        "open_book": accuracy(folder, "open_book", "qa"),
        "reverse_base": accuracy(folder, "base", "reverse"),
        "reverse_tuned": accuracy(folder, "tuned", "reverse"),
        "reverse_open_book": accuracy(folder, "open_book", "reverse"),
        "retention_before": accuracy(folder, "retention_base"),
        "retention_after": accuracy(folder, "retention_tuned"),
    }
    metas = {
        stage: [read_json(folder / f"{name}.meta.json", "a meta file", "run the stage first") for name in names]
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
    """The end of a run, as a person reads it."""

    def cell(name: str) -> str:
        right, asked = scores[name]
        return f"{right}/{asked} {right / asked:5.0%}"

    print(f"\n{'':<26}{'base':>14}{'tuned':>14}{'open book':>14}")
    print(f"{'questions':<26}{cell('base'):>14}{cell('tuned'):>14}{cell('open_book'):>14}")
    print(
        f"{'asked the other way round':<26}{cell('reverse_base'):>14}{cell('reverse_tuned'):>14}{cell('reverse_open_book'):>14}"
    )
    print(f"{'general knowledge kept':<26}{cell('retention_before'):>14}{cell('retention_after'):>14}")
    stages = ", ".join(f"{stage} {value}" for stage, value in minutes.items())
    print(f"\nminutes: {stages}; peak memory {result['peak_gib']} GiB")
    if result["minutes_after_install"] is not None:
        print(f"minutes after the installation: {result['minutes_after_install']}, in all: {result['minutes_total']}")
    print(
        f"files: {folder}/data.json (dataset), {folder}/lora (adapter), {folder}/tuned.json (answers), {results} (these numbers)"
    )


if __name__ == "__main__":
    run(main)
