"""The report of a run for a person: report.md and report.html, made from the files that the stages wrote.

It reads the answers files and what evaluate.py writes beside them (<sft>_acc.json, <base>_acc.json, <sft>_win_rate.json
and, if present, <sft>_controls.json, <sft>_forgetting.json), the adapter's training files and run.json. The page is
report_template.html with the run's data in it: it loads nothing and needs no server.
"""

from __future__ import annotations

import json
import re
import unicodedata
from math import inf, isfinite
from pathlib import Path
from typing import Any

from data_processor.chunking import sentence_spans
from data_processor.conversion import kept_file
from data_processor.dataset import source_of
from data_processor.documents import read_text
from evaluation import accuracy, report_days, report_text
from evaluation.significance import describe_verdict
from evaluation.tokens import token_recall
from provenance import commit, machine, meta_file, today
from utils import InputError, log_file, read_json, write_text

TEMPLATE = Path(__file__).with_name("report_template.html")
DATA_PLACEHOLDER = "/*DATA*/null"

DAYS_FILE = "over_time.json"  # in a run's log folder, if it is that of a day
REMEDY = "run evaluate.py first"
SHOWN_KEYS = ("id", "question", "reference", "points", "fact", "file_name", "kind", "role")  # of a question
ANSWER_KEYS = ("response", "verdict", "reason", "match")
POINTS_KEYS = ("points_found", "points_needed")  # of an answer that has points
LAYOUT = re.compile("[\\s\u00ad\u200b\u2010-]+")  # what differs between a file and the sentences read from it
QUOTE_RECALL = 0.5  # a sentence with a smaller share of the fact's words is not its source


def collect_report_data(folder: Path, sft: str, base: str, documents: str | None = None) -> dict:
    """Everything the reports show, from the files of a run: see the keys below. What is missing is None or empty."""
    wins = read_json(folder / f"{sft}_win_rate.json", "a win rate", REMEDY)
    meta = read_optional(meta_file(folder / f"{sft}_win_rate.json")) or {}
    arguments = meta.get("arguments", {})
    models = {"base": base, "sft": sft}
    for what in ("open_book", "rag"):
        models[what] = Path(arguments.get(f"data_name_{what}") or what).stem
    scores = {what: read_scores(folder, name, wins["judge"]) for what, name in models.items()}
    controls = read_optional(folder / f"{sft}_controls.json") or {}
    sources = find_documents(folder, models, documents)
    return {
        "judge": wins["judge"],
        "made": {
            "date": meta.get("finished") or today(),
            "commit": commit(),
            "machine": meta.get("machine") or machine(),
        },
        "folder": str(folder),
        "scores": {what: omit_keys(score, "verdicts") for what, score in scores.items() if score},
        "compared": {key: wins.get(key) for key in ("mcnemar", "gap_closed")},
        "wins": omit_keys(wins, "verdicts", "mcnemar", "gap_closed", "usage"),
        "usage": wins.get("usage"),
        "controls": omit_keys(controls, "items") if controls.get("items") else None,
        "forgetting": read_optional(folder / f"{sft}_forgetting.json") or {},
        "loss": loss_curve(folder, models),
        "timeline": timeline(folder, models),
        "days": read_optional(log_file(folder / DAYS_FILE)) or [],
        "questions": questions(scores, wins["verdicts"], sources, folder),
    }


def omit_keys(found: dict, *keys: str) -> dict:
    return {key: value for key, value in found.items() if key not in keys}


def read_optional(path: Path) -> Any:
    """The content of a file, or None if there is no such file."""
    return read_json(path, "a file of a run") if path.is_file() else None


def read_scores(folder: Path, name: str, judge: str) -> dict | None:
    """This judge's verdicts on an answers file; None if there are none. String match is computed if missing."""
    judged = read_optional(folder / f"{name}_acc.json")
    if judged and judged["judge"] == judge:
        return judged
    answers = read_optional(folder / f"{name}.json")
    if answers is None or judge != "match":
        return None
    verdicts = accuracy.judge_answers(answers, None)
    return {"judge": judge, **accuracy.measure(answers, verdicts), "match": accuracy.score_match(answers, verdicts)}


def questions(
    scores: dict[str, dict | None], wins: list[dict], sources: Path | None, folder: Path | None = None
) -> list[dict]:
    """Every question with its details, the answers and verdicts of all models, and the source of its fact.

    `folder`, of the run, has the texts of PDF and Word files.
    """
    answers = {what: {str(row["id"]): row for row in score["verdicts"]} for what, score in scores.items() if score}
    texts: dict[str, str | None] = {}
    rows = []
    for win in wins:
        row = {key: win[key] for key in SHOWN_KEYS if key in win}
        row["win"] = {key: win[key] for key in ("verdict", "orders", "reason") if key in win}
        for what, found in answers.items():
            if str(win["id"]) in found:
                shown = found[str(win["id"])]
                row[what] = {key: shown.get(key) for key in ANSWER_KEYS}
                row[what] |= {key: shown[key] for key in POINTS_KEYS if key in shown}
        name = win.get("file_name")
        if sources and name:
            if name not in texts:
                there = (sources / name).is_file()
                texts[name] = read_text(sources / name, kept_file(folder, name)) if there else None
            row["quote"] = quote(win, texts[name]) if texts[name] else None
        rows.append(row)
    return rows


def is_quoted(quoted: str | None, part: str) -> bool:
    """Whether a part of a file is the quote: white space, and hyphens at line ends, may differ where it was read."""

    def letters(one: str) -> str:
        return LAYOUT.sub("", unicodedata.normalize("NFC", one))

    return bool(quoted) and part == part.strip() and letters(part) == letters(quoted)


def quote(row: dict, text: str) -> dict | None:
    """Where a document states the fact of a question: {"start", "end"} in characters, with the text around it.

    Found by the dataset's offsets if it has them, else as the sentence with the most words of the fact.
    """
    source = source_of(row)
    start, end = source.get("start"), source.get("end")
    placed = isinstance(start, int) and isinstance(end, int)
    if not (placed and is_quoted(source.get("quote"), text[start:end])):
        spans = sentence_spans(text)
        fact = row.get("fact") or row["reference"]
        best = max(spans, key=lambda span: token_recall(fact, text[slice(*span)]), default=None)
        if best is None or token_recall(fact, text[slice(*best)]) < QUOTE_RECALL:
            return None
        start, end = best
    before, after = text.rfind("\n", 0, start) + 1, text.find("\n", end)
    after = len(text) if after < 0 else after
    return {
        "before": text[before:start],
        "quote": text[start:end],
        "after": text[end:after],
        "start": start,
        "end": end,
    }


def find_documents(folder: Path, models: dict[str, str], documents_path: str | None) -> Path | None:
    """The folder the documents were read from: as given, else from the meta files of the open book or the collection."""
    if documents_path and not Path(documents_path).is_dir():
        raise InputError(
            f"expected the documents in {documents_path}, found no folder: give the one that was collected from"
        )
    candidates = [documents_path]
    for name, key in ((models["open_book"], "open_book"), ("data", "data_path")):
        candidates.append(((read_optional(meta_file(folder / f"{name}.json")) or {}).get("arguments") or {}).get(key))
    return next((Path(path) for path in candidates if isinstance(path, str) and Path(path).is_dir()), None)


def find_adapter(folder: Path, models: dict[str, str]) -> Path | None:
    """The folder of the adapter that answered, else `lora` beside the answers."""
    arguments = (read_optional(meta_file(folder / f"{models['sft']}.json")) or {}).get("arguments") or {}
    candidates = (arguments.get("lora_weights"), folder / "lora")
    return next((Path(path) for path in candidates if path and Path(path).is_dir()), None)


def loss_curve(folder: Path, models: dict[str, str]) -> list[dict]:
    """[{"step", "loss" or "eval_loss"}] from train_log.json, or from the trainer_state.json of other trainers."""
    adapter = find_adapter(folder, models)
    rows: list[dict] = []
    for name, key in (("trainer_state", "log_history"), ("train_log", "log")):
        if adapter and (found := read_optional(adapter / f"{name}.json")):
            rows = found.get(key, rows)
    loss_keys = ("step", "loss", "eval_loss")
    curve = [{key: row[key] for key in loss_keys if isfinite(row.get(key, inf))} for row in rows]
    return [row for row in curve if "step" in row and len(row) > 1]


def timeline(folder: Path, models: dict[str, str]) -> dict | None:
    """The seconds of each stage: {"budget_seconds", "stages": [{"name", "seconds", "planned_seconds"}]}.

    From run.json if the run had a budget, else from the meta files.
    """
    found = read_optional(folder / "run.json")
    if found:
        return {"budget_seconds": found.get("budget_seconds"), "stages": found.get("stages", [])}
    adapter = find_adapter(folder, models)
    parts = {
        "collection": [folder / "data.json"],
        "fine-tuning": [adapter / "training"] if adapter else [],
        "inference": [folder / f"{name}.json" for name in models.values()],
        "evaluation": [folder / f"{models['sft']}_forgetting.json"],
    }
    metas = {
        name: [meta for path in paths if (meta := read_optional(meta_file(path)))] for name, paths in parts.items()
    }
    stages = [
        {"name": name, "seconds": sum(meta.get("seconds", 0) for meta in found)}
        for name, found in metas.items()
        if found
    ]
    return {"budget_seconds": None, "stages": stages} if stages else None


def write_reports(folder: Path, found: dict) -> None:
    """Write report.md and report.html, each completely or not at all."""
    write_text(folder / "report.md", report_text.render_markdown(found))
    write_text(folder / "report.html", render_html(found))


def finite(value: Any) -> Any:
    """The same with None for each number that is none (NaN, infinite): JSON has no such numbers, and no browser reads them."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def render_html(found: dict) -> str:
    """The page. Text from models and documents is embedded as JSON and shown as text; "<" cannot end the script."""
    questions = [{**row, "tags": report_text.tags(row)} for row in found["questions"]]
    change = found["compared"]["mcnemar"]
    words = {
        "verdict": describe_verdict(change["gained"], change["lost"], change["p"]),
        "judge_failed": report_text.judge_failure(found),
        "models": report_text.MODELS,
        "kinds": report_text.KINDS,
        "points": report_text.POINTS,
        "about_points": report_text.about_points(found),
        "about_unanswerable": report_text.about_unanswerable(found),
        "days": report_days.tables(found.get("days", [])),
    }
    shown = omit_keys(found, "days") | {"questions": questions, "words": words}
    data = json.dumps(finite(shown), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for mark, escaped in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        data = data.replace(mark, escaped)
    return TEMPLATE.read_text(encoding="utf-8").replace(DATA_PLACEHOLDER, data)
