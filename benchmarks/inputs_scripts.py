"""The runs of benchmarks/inputs.py that ask a server: collection, inference, and evaluation with a judge."""

from __future__ import annotations

import functools
import json
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.inputs_entries import Entry, failures, has_documents, write_documents, write_rows
from benchmarks.inputs_processes import Ended, asked_again, check_ended, server, start, write_answers
from utils import read_json

ROWS = "rows_have rows_lack answers_have answers_lack questions_lack".split()
COUNTS = ("correct", "incorrect", "not_attempted", "unscored")
NO_THOUGHT = "{no think}"  # stands for any answer without a thought


def collect(entry: Entry) -> list[str]:
    """Collect from the entry's documents, and look at the dataset."""
    with tempfile.TemporaryDirectory() as name, server(entry) as running:
        folder = Path(name)
        texts, calls = write_documents(entry, folder), []
        for _ in range(2 if entry.expected.get("again") else 1):
            ended = run_collection(entry, running, texts, folder)
            calls.append(ended.calls)
        rows = dataset(folder)
    wrong = failures(
        entry.expected,
        lambda checks: check_ended(checks, ended) + check_rows(checks, rows) + check_same(entry, checks, rows),
    )
    return wrong + (asked_again(*calls) if len(calls) > 1 else [])


def run_collection(entry: Entry, running, texts: Path, folder: Path) -> Ended:
    return start(
        entry, running, "data_processor/data_collection_api.py", "--api_model", "m", "--api_base", running.address,
        "--data_path", texts, "--json_save_dir", folder / "out/data.json",
        "--role_amount_per_fact", 0, "--unknown_amount_per_chunk", 0,
    )  # fmt: skip


def dataset(folder: Path) -> list[tuple[str, str]]:
    """The (question, answer) of each row that a collection wrote; [] if it wrote none."""
    path = folder / "out/data.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [tuple(turn["value"] for turn in row["conversations"][-2:]) for row in rows]


def check_rows(checks: dict, rows: list[tuple[str, str]]) -> list[str]:
    wrong = []
    questions, answers = ([row[place] for row in rows] for place in (0, 1))
    turns = [*questions, *answers]
    shown = turns[:12]
    wrong += [
        f"rows_have: expected {part!r}, found {shown}"
        for part in checks.get("rows_have", [])
        if not any(part in turn for turn in turns)
    ]
    for part in checks.get("rows_lack", []):
        wrong += [f"rows_lack: found {part!r} in {turn!r}" for turn in turns if part in turn][:1]
    wrong += [
        f"answers_have: expected {one!r}, found {answers}"
        for one in checks.get("answers_have", [])
        if one not in answers
    ]
    for one in checks.get("answers_lack", []):
        wrong += [f"answers_lack: found {question!r} => {answer!r}" for question, answer in rows if answer == one][:1]
    for pattern in checks.get("questions_lack", []):
        wrong += [
            f"questions_lack: found {pattern!r} in {question!r}"
            for question in questions
            if re.search(pattern, question)
        ][:2]
    return wrong


def check_same(entry: Entry, checks: dict, rows: list[tuple[str, str]]) -> list[str]:
    """Whether the dataset is that of the same run under other circumstances."""
    if "same_as" not in checks:
        return []
    keys = {"env", "args", "raw", "tty"} if checks["same_as"] == "plain" else {"args"}
    kept = {
        key: value
        for key, value in entry.expected.items()
        if key not in keys | {"rules", "disturb"} or key in ("files", "text")
    }
    mode = checks["same_as"].removeprefix("server:") if ":" in checks["same_as"] else entry.expected.get("server", "ok")
    shape = {key: kept[key] for key in ("files", "text", "file", "encoding", "raw", "links", "env") if key in kept}
    expected = collected(json.dumps([shape, str(entry.folder) if has_documents(entry) else ""]), mode)
    return (
        []
        if rows == expected
        else [f"same_as: expected {len(expected)} rows, found {len(rows)} that differ: {differing(expected, rows)}"]
    )


def differing(expected: list, found: list) -> list:
    return [*(one for one in expected if one not in found), *(one for one in found if one not in expected)][:2] or [
        "their order"
    ]


@functools.cache
def collected(shape: str, mode: str) -> list[tuple[str, str]]:
    """The dataset of a collection from documents given as JSON, by a server in `mode`."""
    expected, folder = json.loads(shape)
    entry = Entry("", "", expected, Path(folder) if folder else None)
    with tempfile.TemporaryDirectory() as name, server(entry, mode) as running:
        run_collection(entry, running, write_documents(entry, Path(name)), Path(name))
        return dataset(Path(name))


def infer_api(entry: Entry) -> list[str]:
    """Ask the entry's questions over the API, and grade the answers by string match where scores are expected."""
    with tempfile.TemporaryDirectory() as name, server(entry) as running:
        folder, calls = Path(name), []
        questions = write_rows(entry, "questions", folder)
        for _ in range(2 if entry.expected.get("again") else 1):
            ended = start(
                entry, running, "inference.py", "--api_model", "m", "--api_base", running.address,
                "--test_data_path", questions, "--output_path", folder / "tuned.json",
            )  # fmt: skip
            calls.append(ended.calls)
        wrong = failures(
            entry.expected, lambda checks: check_ended(checks, ended) + check_responses(checks, folder / "tuned.json")
        )
        if "scores" in entry.expected and (folder / "tuned.json").is_file():
            shutil.copy(folder / "tuned.json", folder / "base.json")
            plain = replace(entry, expected={})
            start(plain, running, "evaluate.py", "--data_path", folder, "--data_name_sft", "tuned.json",
                  "--data_name_base", "base.json", "--judge", "match")  # fmt: skip
            wrong += check_scores(entry.expected["scores"], folder)
    return wrong + (asked_again(*calls) if len(calls) > 1 else [])


def check_responses(checks: dict, path: Path) -> list[str]:
    if "responses" not in checks:
        return []
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    wrong = (
        []
        if len(rows) == len(checks["responses"])
        else [f"responses: expected {len(checks['responses'])}, found {len(rows)}"]
    )
    for expected, row in zip(checks["responses"], rows, strict=False):
        found = row.get("response", "")
        if isinstance(expected, dict):
            right = re.search(expected["error"], row.get("error", ""))
        elif expected == NO_THOUGHT:
            right = "think>" not in found and found == found.lstrip() and "error" not in row
        else:
            right = found == expected and "error" not in row
        wrong += [] if right else [f"responses: expected {expected!r}, found {found!r} {row.get('error', '')}"]
    return wrong


def judge(entry: Entry) -> list[str]:
    """Let an API judge the entry's answers, once for each of `labels`."""
    runs = [{"label": one} for one in entry.expected.get("labels", [])]
    runs += [{"label_all": one} for one in entry.expected.get("labels_all", [])]
    wrong = []
    for label in runs or [{}]:
        with tempfile.TemporaryDirectory() as name, server(entry, None, [label] if label else None) as running:
            folder, calls = Path(name), []
            tuned, base = write_answers(entry, folder)
            for _ in range(2 if entry.expected.get("again") else 1):
                ended = start(
                    entry, running, "evaluate.py", "--data_path", folder, "--data_name_sft", tuned, "--data_name_base", base,
                    "--judge", "api", "--api_model", "m", "--api_base", running.address, "--controls", 0,
                )  # fmt: skip
                calls.append(ended.calls)

            def check(checks: dict, ended=ended, folder=folder) -> list[str]:
                return check_ended(checks, ended) + check_scores(checks.get("scores", {}), folder)

            found = failures(entry.expected, check)
            wrong += [f"{label or ''} {one}".strip() for one in found] + (asked_again(*calls) if len(calls) > 1 else [])
    return wrong


def check_scores(scores: dict, folder: Path) -> list[str]:
    """Counts of verdicts, of the win rate, and the headline of the report."""
    wrong = []
    for name, counts in scores.items():
        path = folder / (
            "tuned_win_rate.json" if name == "win_rate" else "report.md" if name == "headline" else f"{name}_acc.json"
        )
        if not path.is_file():
            wrong.append(f"scores: expected {path.name}, found none")
        elif name == "headline":
            lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][:6]
            wrong += (
                []
                if any(re.search(counts, line) for line in lines)
                else [f"headline: expected {counts!r}, found {lines}"]
            )
        else:
            found = read_json(path, "scores")
            there = {key: found.get(key) for key in counts}
            wrong += [] if there == counts else [f"scores of {name}: expected {counts}, found {there}"]
    return wrong


RUNS = {run.__name__: run for run in (collect, infer_api, judge)}
