"""Knowledge on passages that nobody here wrote: what a model knows of them without the passage, after training, beside its peers.

In:  --passages_file, in SQuAD's form: the model writes its own data (stage 1), is trained and asked the people's questions.
     --given, text that is there: [{"title", "context", "questions": [[q, a]], "self_qa": [[q, a]], "rewrites": [text]}], of
     which self_qa, rewrites and context are trained; or a collected dataset, with the --passages_file of its questions.
     knowledge.toml has the settings of all runs; "curve" as a run makes adapters of 1, 5, 20 and 50 documents.
Out: --results, see knowledge_summary.py, a PNG and NAME_runs.jsonl beside it: what was right in each finished run, none of
     which is made again (knowledge_records.py). So start it anew after a kill, on another machine, or with more seeds and
     runs. --work_dir has texts, datasets, adapters and every answer.

    python benchmarks/knowledge.py --given given_text.json --part dev --runs ours "LLaMA-Factory, all the time"
    python benchmarks/knowledge.py --given given_text.json --part all --seeds 1 2 3 --trl_python ~/trl/bin/python
    python benchmarks/knowledge.py --passages_file squad.json --passages 100 --runs ours
    python benchmarks/knowledge.py --passages_file given_text.json --runs ours    # own data on the passages of given text
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import knowledge_data, knowledge_plot, knowledge_runs, knowledge_scores, knowledge_summary
from benchmarks.knowledge_records import BASE, Records, from_marks, records_beside, to_marks
from benchmarks.knowledge_runs import Run, Settings, read_settings
from provenance import commit, machine
from utils import InputError, parse_arguments, read_json, run_script, write_json

CURVE, OURS = "curve", "ours"
CURVE_SIZES = (1, 5, 20, 50)  # documents of one adapter
SHORT = ("--max_new_tokens", "32")  # general questions: there are many, and the answer comes first
# A general question counts as known if the base model answers it right with each of these system prompts (None: the model's
# own): a quarter of those that it answers right with one prompt it answers wrong with another, without any training.
SYSTEM_PROMPTS = (None, "", "You answer questions briefly.")
CURVE_ADAPTERS = {1: 10}  # how many adapters of a size, at most; otherwise as many as the documents fill


@dataclass
class Arguments:
    passages_file: str | None = field(
        default=None,
        metadata={
            "help": "Passages with the questions of people, in SQuAD's form or as given text, of which no row is taken."
        },
    )
    given: str | None = field(default=None, metadata={"help": "Text to train on: given text, or a collected dataset."})
    part: str = field(
        default="report", metadata={"help": "dev: a third, to choose settings on; report: the others; or all."}
    )
    passages: int | None = field(default=None, metadata={"help": "How many. Default: all of the part."})
    seeds: list[int] = field(default_factory=lambda: [1])
    runs: list[str] = field(
        default_factory=list, metadata={"help": "Names in knowledge.toml, and curve. Default: all."}
    )
    model_name_or_path: str = "models/SmolLM2-135M-Instruct"
    results: str = "results/knowledge.json"
    work_dir: str = "output/knowledge"
    trl_python: str | None = field(
        default=None, metadata={"help": "A Python that has TRL; without it TRL's runs are left out."}
    )


def make_corpus(arguments: Arguments) -> Path:
    """The folder of the chosen passages, written and, for own data, collected."""
    source, found = knowledge_data.read_source(arguments.given, arguments.passages_file)
    passages = knowledge_data.choose(found, arguments.part, arguments.passages)
    model = Path(arguments.model_name_or_path).name
    parts = [source, model, *(str(one.rows) + one.text + str(one.questions) for one in passages)]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]
    corpus = Path(arguments.work_dir).resolve() / f"{source}_{arguments.part}_{len(passages)}_{key}"
    knowledge_data.write_corpus(passages, corpus)
    about = {"source": source, "part": arguments.part, "passages": len(passages), "model": model}
    write_json(corpus / "about.json", about)
    if source == knowledge_data.OWN:
        say(f"collection of {len(passages)} passages")
        knowledge_runs.collect(corpus, arguments.model_name_or_path)
    return corpus


def ask_base(corpus: Path, model: str, records: Records) -> None:
    """The base model without and with the passages, with what BM25 finds, and on general questions, if it is not recorded.

    Writes general.json, the general questions that it knows (SYSTEM_PROMPTS): those that each tuned model is asked.
    """
    general, made = knowledge_data.read_general(), records.get(corpus.name, BASE)
    if made is None:
        made = record_base(corpus, model, general)
        records.add(made)
    known = [row for row, is_known in zip(general, from_marks(made["general"]), strict=True) if is_known]
    say(f"the base model knows {len(known)} of {len(general)} general questions")
    if not known:
        raise InputError(f"expected general questions that {model} answers, found none: give another model")
    write_json(corpus / "general.json", known)


def record_base(corpus: Path, model: str, general: list[dict]) -> dict:
    """Let the base model answer; what was right, for knowledge_records.py."""
    base, texts = corpus / "base", corpus / "texts"
    known = {row["id"] for row in known_questions(general, model, base)}
    ways = {"closed": (), "open_book": ("--open_book", texts)}
    if asks_with_texts(corpus):
        ways["bm25"] = ("--rag", texts)
    asked = {
        name: knowledge_runs.answer(model, corpus / "questions.json", base / f"{name}.json", None, *more)
        for name, more in ways.items()
    }
    return {
        "corpus": corpus.name,
        "run": BASE,
        "about": read_json(corpus / "about.json", "a corpus"),
        "passages": [row["file_name"] for row in asked["closed"]],
        **{name: to_marks(knowledge_scores.grade(rows)) for name, rows in asked.items()},
        "general": to_marks(row["id"] in known for row in general),
        "commit": commit(),
        "machine": machine(),
    }


def asks_with_texts(corpus: Path) -> bool:
    """Whether questions are asked with texts before them as well: on given text alone, as that takes longer than the rest."""
    return read_json(corpus / "about.json", "a corpus")["source"] == knowledge_data.GIVEN


def known_questions(general: list[dict], model: str, folder: Path) -> list[dict]:
    """The general questions that the model answers right with each of SYSTEM_PROMPTS."""
    for number, prompt in enumerate(SYSTEM_PROMPTS):
        questions = folder / f"general_questions_{number}.json"
        write_json(questions, general)
        prompted = () if prompt is None else ("--system_prompt", prompt)
        answers = knowledge_runs.answer(model, questions, folder / f"general_{number}.json", None, *SHORT, *prompted)
        right = knowledge_scores.grade_general(answers, general)
        general = [row for row, is_right in zip(general, right, strict=True) if is_right]
    return general


def make_run(run: Run, seconds: float | None, trl_python: str | None, records: Records) -> float:
    """Train a run and let it answer, if it is not recorded; returns the seconds of its training."""
    made = records.get(run.corpus.name, run.folder.name)
    if made is None:
        made = record_run(run, seconds, trl_python)
        records.add(made)
    right = made["right"]["tuned"]
    say(f"{describe(run)}: {right.count('1')} of {len(right)} right, trained for {made['seconds'] / 60:.1f} minutes")
    return made["seconds"]


def record_run(run: Run, seconds: float | None, trl_python: str | None) -> dict:
    """Train and ask; what was right, for knowledge_records.py."""
    data, folder, questions = run.corpus / "data.json", run.folder, run.corpus / "questions.json"
    if run.documents or run.settings.kinds:
        data = folder / "data.json"
        if not (folder / "run.json").exists():
            knowledge_data.take_rows(run.corpus, run.documents, run.settings.kinds, data)
    if run.documents:
        rows, questions = read_json(questions, "questions"), folder / "questions.json"
        write_json(questions, [row for row in rows if row["file_name"] in run.documents])
    made, model, lora = knowledge_runs.train(run, data, seconds, trl_python), run.model, folder / "lora"
    asked = {"tuned": knowledge_runs.answer(model, questions, folder / "tuned.json", lora)}
    if run.settings.name == OURS and not run.documents and asks_with_texts(run.corpus):
        for name, texts in (("tuned_right", "texts"), ("tuned_wrong", "wrong_texts")):
            shown = ("--open_book", run.corpus / texts)
            asked[name] = knowledge_runs.answer(model, questions, folder / f"{name}.json", lora, *shown)
    more = {}
    if not run.documents:
        general = run.corpus / "general.json"
        answers = knowledge_runs.answer(model, general, folder / "general.json", lora, *SHORT)
        right = knowledge_scores.grade_general(answers, read_json(general, "general questions"))
        more = {"general": to_marks(right), "drift": knowledge_runs.measure_drift(model, lora, folder)}
    right = {name: to_marks(knowledge_scores.grade(rows)) for name, rows in asked.items()}
    return {"corpus": run.corpus.name, "run": folder.name, **made, "right": right, **more, "machine": machine()}


def describe(run: Run) -> str:
    of = f", {len(run.documents)} documents" if run.documents else ""
    return f"{run.settings.name}, seed {run.seed}{of}"


def curve_groups(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The documents of every adapter of the curve: groups of each size, and one of all, beginning at the first document.

    All documents that fill whole groups are in adapters of 5, so that their mean can be compared with one adapter for
    all of them; of 1 document there are a few adapters, evenly over the documents.
    """
    groups = []
    for size in sorted({*(size for size in CURVE_SIZES if size < len(names)), len(names)}):
        starts = range(0, len(names) - size + 1, size)
        most = CURVE_ADAPTERS.get(size, len(starts))
        step = max(1, -(-len(starts) // most))
        groups += [tuple(names[start : start + size]) for start in starts[::step]]
    return groups


def chosen_runs(names: Sequence[str], trl_python: str | None) -> tuple[list[Settings], bool]:
    """The settings to run, ours first since its seconds are the peers'; and whether the curve is among them."""
    known = read_settings()
    if unknown := [name for name in names if name not in (*known, CURVE)]:
        raise InputError(f"expected --runs of {', '.join((*known, CURVE))}, found {unknown[0]!r}: correct it")
    chosen = [one for name, one in known.items() if not names or name in names]
    left_out = [one.name for one in chosen if one.trainer in knowledge_runs.TRL_TRAINERS and not trl_python]
    if left_out:
        say(f"without --trl_python these are left out: {', '.join(left_out)}")
    if any(one.peer for one in chosen) and known[OURS] not in chosen:
        chosen.insert(0, known[OURS])
    return [one for one in chosen if one.name not in left_out], not names or CURVE in names


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    chosen, has_curve = chosen_runs(arguments.runs, arguments.trl_python)
    records = Records(records_beside(arguments.results))
    corpus, model = make_corpus(arguments), arguments.model_name_or_path
    ask_base(corpus, model, records)
    for seed in arguments.seeds:
        ours = None
        for settings in chosen:
            run, deadline = Run(settings, seed, model, corpus), ours if settings.peer else None
            seconds = make_run(run, deadline, arguments.trl_python, records)
            ours = seconds if settings.name == OURS else ours
            write_results(arguments, records)
    if has_curve:
        names, settings = list(read_json(corpus / "corpus.json", "a corpus")["documents"]), read_settings()[OURS]
        for documents in curve_groups(names):
            documents = () if len(documents) == len(names) else documents  # then it is the run above, trained once
            make_run(Run(settings, arguments.seeds[0], model, corpus, documents), None, None, records)
    write_results(arguments, records)
    say(f"results in {arguments.results}, the answers of this run in {corpus}")


def write_results(arguments: Arguments, records: Records) -> None:
    """Write --results and its picture from the runs that there are."""
    results = knowledge_summary.summary(records, arguments.part)
    write_json(arguments.results, results)
    knowledge_plot.draw(results, Path(arguments.results).with_suffix(".png"))


if __name__ == "__main__":
    run_script(main)
