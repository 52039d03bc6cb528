"""results/knowledge.json, from whatever runs benchmarks/knowledge.py has recorded (knowledge_records.py).

Of the run on given text: "passages", "questions", "seeds", "base", "tuned", "open_book", "gap_closed_given_text",
"retention_ratio" (of the "general_questions" that the base model knows), "peers" {name: {"tuned", "minutes", ...}}
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

from benchmarks import knowledge_scores as scores
from benchmarks.knowledge_data import GIVEN, OWN, RECORDED
from benchmarks.knowledge_records import Records, from_marks
from provenance import commit, machine, today

OURS = "ours"
GAPS = {GIVEN: "gap_closed_given_text", RECORDED: "gap_closed_recorded", OWN: "gap_closed"}
SMALL = 5  # documents in the adapters that one for all documents is compared with


class Corpus:
    """What was right in the runs of a corpus: of the base model, and of each model trained on all documents, by seed."""

    def __init__(self, base: dict, runs: Sequence[dict]):
        self.about, self.passages = base["about"], base["passages"]
        self.base, self.opened = from_marks(base["closed"]), from_marks(base["open_book"])
        self.bm25 = from_marks(base.get("bm25", ""))  # of given text
        self.whole: dict[str, dict[int, dict]] = defaultdict(dict)
        self.curve = [run for run in runs if run["documents"]]
        for run in runs:
            if not run["documents"]:
                self.whole[run["name"]][run["seed"]] = run

    def tuned(self, name: str, seeds: Sequence[int], asked_with: str = "tuned") -> list[list[bool]]:
        """Whether each answer of a run is right, for each of the seeds."""
        return [from_marks(self.whole[name][seed]["right"][asked_with]) for seed in seeds]

    def measure(self, name: str) -> dict:
        """All that is counted of a run."""
        seeds = sorted(self.whole[name])
        runs = [self.whole[name][seed] for seed in seeds]
        return {
            **scores.summarise(self.tuned(name, seeds), self.base, self.opened, self.passages),
            **scores.kept([from_marks(run["general"]) for run in runs]),
            "drift": scores.share([run["drift"] for run in runs]),
            "minutes": round(sum(run["seconds"] for run in runs) / len(runs) / 60, 2),
            "seeds": seeds,
            "peer": runs[0]["settings"]["peer"],
            "note": runs[0]["settings"]["note"],
            "arguments": runs[0]["settings"]["arguments"],
            "commits": sorted({run["commit"] for run in runs}),
            "machines": sorted({run["machine"] for run in runs}),
        }

    def against(self, name: str, other: str) -> dict:
        """One run against another on the seeds that both have."""
        seeds = sorted(set(self.whole[name]) & set(self.whole[other]))
        found = scores.compare(self.tuned(name, seeds), self.tuned(other, seeds), self.passages)
        return {"against": other, "seeds": seeds, **found}


def summary(records: Records, part: str) -> dict:
    """The results of one part of the passages; of several corpora of a source, that with the most passages."""
    best: dict[str, Corpus] = {}
    for base in records.bases:
        corpus = Corpus(base, records.of(base["corpus"]))
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
            "questions": len(corpus.passages),
            "base": scores.share(corpus.base),
            "open_book": scores.share(corpus.opened),
            **({"bm25": scores.share(corpus.bm25)} if corpus.bm25 else {}),
            "runs": measured,
        }
    return {**results, "machine": machine(), "date": today(), "commit": commit()}


def of_given_text(corpus: Corpus, measured: dict[str, dict]) -> dict:
    """The keys that the run on given text has at the top of the results."""
    found = {
        "passages": corpus.about["passages"],
        "questions": len(corpus.passages),
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
            found["rag"][name] = joint(corpus.tuned(OURS, seeds, name))
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
    for run in [*corpus.curve, *(of_ours[seed] for seed in sorted(of_ours)[:1] if corpus.curve)]:
        learned = run["documents"] or dict.fromkeys(corpus.passages)
        asked = [name for name in corpus.passages if name in learned]
        for name, is_right in zip(asked, from_marks(run["right"]["tuned"]), strict=True):
            right[len(learned)][name].append(is_right)
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
