"""The report as one HTML file: report_template.html with the run's data in it. It loads nothing and needs no server."""

from __future__ import annotations

import json
from pathlib import Path

from evaluation import report_text
from evaluation.significance import verdict_in_words

TEMPLATE = Path(__file__).with_name("report_template.html")
PLACE = "/*DATA*/null"


def render(found: dict) -> str:
    """The page. What models and documents wrote goes in as JSON and is shown as text; "<" cannot end the script."""
    questions = [{**row, "tags": report_text.tags(row)} for row in found["questions"]]
    change = found["compared"]["mcnemar"]
    words = {
        "verdict": verdict_in_words(change["gained"], change["lost"]),
        "models": report_text.MODELS,
        "kinds": report_text.KINDS,
    }
    data = json.dumps({**found, "questions": questions, "words": words}, ensure_ascii=False, separators=(",", ":"))
    for mark, escaped in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        data = data.replace(mark, escaped)
    return TEMPLATE.read_text(encoding="utf-8").replace(PLACE, data)
