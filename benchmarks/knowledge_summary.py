"""results/knowledge.json, from whatever runs benchmarks/knowledge.py has finished in its --work_dir.

Of the run on given text: "passages", "questions", "seeds", "base", "tuned", "open_book", "gap_closed_given_text",
"retention_ratio" (of the "general_questions" that the base model answers right), "peers" {name: {"tuned", "minutes", ...}}
and "p_vs_best_peer"; "rag" {"bm25", "tuned_right", "tuned_none", "tuned_wrong"}: the base model with what BM25 finds, the
tuned one with the right passage, none and a wrong one; "distill" {weight: {"tuned", "drift", ...}}, drift in nats a token;
"documents_curve" {documents in one adapter: share right}, "curve_large_to_5" with the mean of the adapters of 5 for the same
documents. "gap_closed_recorded" is of a recorded generator's dataset, "gap_closed" and "passages_own" of data that the
small model wrote itself. "runs" has all that was counted of every run, by source. What was not run is not there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from benchmarks import knowledge_scores as scores
from benchmarks.knowledge_data import GIVEN, OWN, RECORDED
from provenance import commit, machine, today
from utils import read_json

OURS = "ours"
GAPS = {GIVEN: "gap_closed_given_text", RECORDED: "gap_closed_recorded", OWN: "gap_closed"}
SMALL = 5  # documents in the adapters that one for all documents is compared with


class Corpus:
    """The answers in a corpus's folder, graded: of the base model, and of each finished run on all documents by seed."""

    def __init__(self, folder: Path):
        self.folder, self.about = folder, read_json(folder / "about.json", "a corpus")
        self.questions = read_json(folder / "questions.json", "questions")
        self.passages = [row["file_name"] for row in self.questions]
        self.general = read_json(folder / "general.json", "general questions")
        self.base, self.opened, self.bm25 = (
            self.graded(folder / "base" / name) for name in ("closed.json", "open_book.json", "bm25.json")
        )
        self.whole: dict[str, dict[int, Path]] = defaultdict(dict)
        self.curve: list[Path] = []
        for record in sorted(folder.glob("runs/*/run.json")):
            made, of = read_json(record, "a run"), record.parent
            if made["documents"]:
                self.curve += [of] if (of / "tuned.json").exists() else []
            elif (of / "drift.json").exists():
                self.whole[made["name"]][made["seed"]] = of

    def graded(self, path: Path) -> list[bool]:
        return scores.grade(read_json(path, "answers"))

    def tuned(self, name: str, seeds: Sequence[int], answers: str = "tuned.json") -> list[list[bool]]:
        """Whether each answer of a run is right, for each of the seeds."""
        return [self.graded(self.whole[name][seed] / answers) for seed in seeds]

    def measure(self, name: str) -> dict:
        """All that is counted of a run."""
        seeds = sorted(self.whole[name])
        folders = [self.whole[name][seed] for seed in seeds]
        made = [read_json(of / "run.json", "a run") for of in folders]
        general = [scores.grade_general(read_json(of / "general.json", "answers"), self.general) for of in folders]
        return {
            **scores.summarise(self.tuned(name, seeds), self.base, self.opened, self.passages),
            **scores.kept(general),
            "drift": scores.share([read_json(of / "drift.json", "a drift")["mean_kl"] for of in folders]),
            "minutes": round(sum(one["seconds"] for one in made) / len(made) / 60, 2),
            "seeds": seeds,
            "peer": made[0]["settings"]["peer"],
            "note": made[0]["settings"]["note"],
            "arguments": made[0]["settings"]["arguments"],
            "commits": sorted({one["commit"] for one in made}),
        }

    def against(self, name: str, other: str) -> dict:
        """One run against another on the seeds that both have."""
        seeds = sorted(set(self.whole[name]) & set(self.whole[other]))
        found = scores.compare(self.tuned(name, seeds), self.tuned(other, seeds), self.passages)
        return {"against": other, "seeds": seeds, **found}


def summary(work_dir: Path, part: str) -> dict:
    """The results of one part of the passages; of several corpora of a source, that with the most passages."""
    best: dict[str, Corpus] = {}
    for about in sorted(work_dir.glob("*/about.json")):
        if not (about.parent / "general.json").exists():
            continue
        corpus = Corpus(about.parent)
        source = corpus.about["source"]
        is_larger = source not in best or corpus.about["passages"] > best[source].about["passages"]
        if corpus.about["part"] == part and is_larger:
            best[source] = corpus
    results: dict = {"part": part}
    for source, corpus in best.items():
        measured = {name: corpus.measure(name) for name in corpus.whole}
        if OURS in measured:
            results[GAPS[source]] = measured[OURS]["gap_closed"]
            results[f"{GAPS[source]}_interval"] = measured[OURS]["gap_closed_interval"]
        if source == GIVEN:
            results |= of_given_text(corpus, measured)
        if source == OWN:
            results["passages_own"] = corpus.about["passages"]
        results.setdefault("runs", {})[source] = {
            **corpus.about,
            "questions": len(corpus.questions),
            "base": scores.share(corpus.base),
            "open_book": scores.share(corpus.opened),
            "bm25": scores.share(corpus.bm25),
            "runs": measured,
        }
    return {**results, "machine": machine(), "date": today(), "commit": commit()}


def of_given_text(corpus: Corpus, measured: dict[str, dict]) -> dict:
    """The keys that the run on given text has at the top of the results."""
    found = {
        "passages": corpus.about["passages"],
        "questions": len(corpus.questions),
        "base": scores.share(corpus.base),
        "open_book": scores.share(corpus.opened),
        "rag": {"bm25": scores.share(corpus.bm25)},
        "peers": {name: peer_numbers(one) for name, one in measured.items() if one["peer"]},
        "distill": {},
    }
    if OURS in measured:
        ours, seeds = measured[OURS], measured[OURS]["seeds"]
        found |= {
            key: ours[key] for key in ("seeds", "tuned", "tuned_interval", "retention_ratio", "general_questions")
        }
        for name in ("tuned_right", "tuned_wrong"):
            found["rag"][name] = joint(corpus.tuned(OURS, seeds, f"{name}.json"))
        found["rag"]["tuned_none"] = ours["tuned"]
        if found["peers"]:
            best = max(found["peers"], key=lambda name: found["peers"][name]["tuned"])
            found["best_peer"] = corpus.against(OURS, best)
            found["p_vs_best_peer"] = found["best_peer"]["p"]
    for name, one in measured.items():
        weight = distill_weight(one["arguments"])
        if name == OURS or weight:
            gain = {"gain": corpus.against(name, OURS)} if name != OURS and OURS in measured else {}
            keys = ("tuned", "tuned_interval", "drift", "retention_ratio", "minutes")
            found["distill"][f"{weight:g}"] = {**{key: one[key] for key in keys}, **gain}
    return found | documents_curve(corpus)


def joint(right: Iterable[Sequence[bool]]) -> float:
    """The share right of several lists together."""
    return scores.share(list(chain.from_iterable(right)))


def peer_numbers(measured: dict) -> dict:
    keys = ("tuned", "tuned_interval", "minutes", "retention_ratio", "drift")
    return {key: measured[key] for key in keys}


def distill_weight(arguments: Sequence[str]) -> float:
    """The --distill_weight among the arguments of finetune.py, the last if there are several; 0 without any."""
    places = [place for place, word in enumerate(arguments) if word == "--distill_weight"]
    return float(arguments[places[-1] + 1]) if places else 0.0


def documents_curve(corpus: Corpus) -> dict:
    """The share right by how many documents share an adapter, over the questions of all adapters of a size.

    The documents of the sizes differ where there are fewer adapters of one. So the largest adapters are also compared
    with adapters of SMALL on the documents that both have.
    """
    right: dict[int, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    of_ours = corpus.whole.get(OURS, {})
    for folder in [*corpus.curve, *(of_ours[seed] for seed in sorted(of_ours)[:1] if corpus.curve)]:
        size = len(read_json(folder / "run.json", "a run")["documents"]) or corpus.about["passages"]
        answers = read_json(folder / "tuned.json", "answers")
        for row, is_right in zip(answers, scores.grade(answers), strict=True):
            right[size][row["file_name"]].append(is_right)
    if not right:
        return {}
    curve = {str(size): joint(of.values()) for size, of in sorted(right.items())}
    largest, found = max(right), {"documents_curve": curve}
    common = right[largest].keys() & right[SMALL].keys() if SMALL in right else set()
    if largest > SMALL and common:
        one, small = (joint(right[size][name] for name in common) for size in (largest, SMALL))
        ratio = round(one / small, 4) if small else None
        found["curve_large_to_5"] = {"documents": largest, "tuned": one, "adapters_of_5": small, "ratio": ratio}
    return found
