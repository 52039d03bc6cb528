"""The tables of README.md and docs/ that are made from results/, so that no number in them is typed.

A table stands between `<!-- table NAME -->` and `<!-- end of table -->`, NAME being one of TABLES. What has not been
measured has no row. tests/test_tables.py fails if a table is not what results/ gives.

    python benchmarks/tables.py
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import InputError, run_script, write_text

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("README.md", "docs/knowledge.md", "docs/days.md")
MARKED = re.compile(r"(<!-- table (\w+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)
GIVEN, OURS = "given_text", "ours"
SOURCES = {
    GIVEN: "a 7B model (given text)",
    "recorded": "a large language model, by the collection",
    "own": "SmolLM2-135M itself, by the collection",
}
# in README.md
OWN_RUNS = {OURS: "**`finetune.py` as it is, four epochs**", "no replay": "without replay and KL, three"}


def render(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; "" if there are no rows."""
    lines = [[*map(str, row)] for row in rows]
    if not lines:
        return ""
    return "".join(f"| {' | '.join(line)} |\n" for line in (headers, ["---"] * len(headers), *lines))


def percent(share: float | None, interval: Sequence[float] | None = None) -> str:
    """ "28 %", with an interval "28 % (11 to 38)"; a dash for None."""
    if share is None:
        return "–"
    return f"{100 * share:.0f} %" + (f" ({100 * interval[0]:.0f} to {100 * interval[1]:.0f})" if interval else "")


def knowledge_short(results: dict) -> str:
    """What README.md shows: the base model, ours, and the best of the recipes that had the same rows and seconds."""
    corpus = results.get("runs", {}).get(GIVEN, {})
    runs = corpus.get("runs", {})
    if OURS not in runs:
        return ""
    peers = {name: run for name, run in runs.items() if run["peer"]}
    best = [max(peers, key=lambda name: peers[name]["tuned"])] if peers else []
    labels = {name: label for name, label in OWN_RUNS.items() if name in runs}
    labels |= {name: f"best of {len(peers)} others, same time: {name.partition(',')[0]}" for name in best}
    rows = [
        ("untrained", percent(corpus["base"]), "100 %"),
        ("untrained, with the passage", percent(corpus["open_book"]), ""),
    ]
    rows += [
        (label, percent(runs[name]["tuned"], runs[name]["tuned_interval"]), percent(runs[name]["retention_ratio"]))
        for name, label in labels.items()
    ]
    headers = (
        f"{corpus['questions']} questions of people on {corpus['passages']} Wikipedia paragraphs",
        "right",
        "general questions kept",
    )
    return render(headers, rows)


def knowledge_runs(results: dict) -> str:
    """Every run on given text, the best first, with 95 % intervals."""
    runs = results.get("runs", {}).get(GIVEN, {}).get("runs", {})
    rows = [
        (
            f"**{name}**" if name == OURS else name,
            percent(run["tuned"], run["tuned_interval"]),
            percent(run["gap_closed"], run["gap_closed_interval"]),
            percent(run["retention_ratio"], run["kept_interval"]),
            f"{run['drift']:.3f}",
            f"{run['minutes']:.0f}",
            len(run["seeds"]),
            run["note"],
        )
        for name, run in sorted(runs.items(), key=lambda item: -item[1]["tuned"])
    ]
    headers = ("run", "right", "gap closed", "general questions kept", "drift, nats", "minutes", "seeds", "settings")
    return render(headers, rows)


def knowledge_context(results: dict) -> str:
    """What the base and the tuned model say with texts before the question."""
    corpus, rag = results.get("runs", {}).get(GIVEN, {}), results.get("rag", {})
    if not rag:
        return ""
    rows = [
        ("untrained", "nothing", corpus["base"]),
        ("untrained", "the right passage", corpus["open_book"]),
        ("untrained", "what BM25 finds", rag["bm25"]),
        *(
            ("tuned", what, rag[key])
            for what, key in (
                ("nothing", "tuned_none"),
                ("the right passage", "tuned_right"),
                ("another passage", "tuned_wrong"),
            )
            if key in rag
        ),
    ]
    return render(
        ("model", "before the question", "right"), [(model, what, percent(share)) for model, what, share in rows]
    )


def knowledge_sources(results: dict) -> str:
    """What ours learns by who wrote the text that it is trained on."""
    corpora = {source: one for source, one in results.get("runs", {}).items() if OURS in one["runs"]}
    rows = []
    for source, corpus in corpora.items():
        run = corpus["runs"][OURS]
        rows.append(
            (
                SOURCES[source],
                corpus["passages"],
                corpus["questions"],
                percent(run["tuned"], run["tuned_interval"]),
                percent(run["gap_closed"], run["gap_closed_interval"]),
                percent(run["retention_ratio"], run["kept_interval"]),
                f"{run['minutes']:.0f}",
            )
        )
    headers = ("written by", "passages", "questions", "right", "gap closed", "general questions kept", "minutes")
    return render(headers, rows)


def days_ways(results: dict) -> str:
    """The ways to go on beside one another, after the last day."""
    counted = {
        "cost of the last day": "day5_cost_ratio", "its trained tokens": "day5_tokens_ratio",
        "of day 1's facts, still right": "day1_kept", "old value still said": "superseded_said",
        "new value right": "new_value_right", "taken back, still said (less the base)": "retracted_said",
        "all facts right": "right", "general questions kept": "general_kept",
    }  # fmt: skip
    ways = results.get("ways", {})
    rows = [(label, *(percent(one[key]) for one in ways.values())) for label, key in counted.items()]
    counts = [
        (label, *(one[key] for one in ways.values()))
        for label, key in (
            ("changed facts known before", "changed_known"),
            ("taken-back facts known before", "retracted_known"),
            ("days", "last_day"),
        )
    ]
    return render(("", *ways), [*rows, *counts] if ways else [])


TABLES: dict[str, tuple[str, Callable[[dict], str]]] = {  # name: the file in results/, and what is made of it
    "knowledge_short": ("knowledge.json", knowledge_short),
    "knowledge_runs": ("knowledge.json", knowledge_runs),
    "knowledge_context": ("knowledge.json", knowledge_context),
    "knowledge_sources": ("knowledge.json", knowledge_sources),
    "days_ways": ("update.json", days_ways),
}


def make(name: str, results: Path) -> str:
    """The lines of a table; none if its numbers are not there."""
    if name not in TABLES:
        raise InputError(f"expected a table of {', '.join(TABLES)}, found {name}: correct its name in the file")
    file, function = TABLES[name]
    path = results / file
    return function(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else ""


def fill(text: str, results: Path = ROOT / "results") -> str:
    """A Markdown text with each of its tables made anew."""
    return MARKED.sub(lambda found: f"{found[1]}{make(found[2], results)}{found[4]}", text)


def main() -> None:
    for place in PLACES:
        path = ROOT / place
        before = path.read_text(encoding="utf-8")
        after = fill(before)
        if after != before:
            write_text(path, after)
        print(f"{place}: {'written' if after != before else 'as it was'}")


if __name__ == "__main__":
    run_script(main)
