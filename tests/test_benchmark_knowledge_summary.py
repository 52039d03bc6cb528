"""results/knowledge.json and its picture, made from whatever runs there are; its scores and general questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT

from benchmarks import knowledge, knowledge_data, knowledge_plot, knowledge_runs, knowledge_scores, knowledge_summary
from benchmarks.knowledge_records import Records
from evaluation.tokens import stands_in
from utils import read_json


def marks(right: int, of: int) -> str:
    return "1" * right + "0" * (of - right)


def write_runs(folder: Path) -> Records:
    """A corpus of 6 passages with two questions each, a run of ours, one with distillation, one peer and a curve."""
    records, names = Records(folder / "k_runs.jsonl"), [f"{number}.txt" for number in range(6) for _ in range(2)]
    about = {"source": "given_text", "part": "report", "passages": 6, "model": "m"}
    base = {"closed": marks(1, 12), "open_book": marks(9, 12), "bm25": marks(6, 12), "general": marks(4, 9)}
    records.add({"corpus": "six", "run": "base", "about": about, "passages": names, **base})
    for run, right in {"ours": 7, "distill 0.5": 8, "peer": 2, "part": 4}.items():
        documents = ["0.txt", "1.txt", "2.txt", "3.txt", "4.txt"] if run == "part" else []
        arguments = ["--distill_weight", "0.5"] if run == "distill 0.5" else ["--lora_r", "8"]
        settings = {"peer": run == "peer", "note": "", "arguments": arguments}
        made = {"name": "ours" if documents else run, "seed": 1, "documents": documents, "settings": settings}
        asked = marks(right, 2 * len(documents) or 12)
        found = {
            "right": dict.fromkeys(("tuned", "tuned_right", "tuned_wrong"), asked),
            "general": "0111",
            "drift": 0.25,
        }
        records.add({"corpus": "six", "run": run, **made, **found, "seconds": 90.0, "commit": "c", "machine": "m"})
    return Records(folder / "k_runs.jsonl")


def test_the_summary_has_the_keys_and_numbers_of_whatever_runs_there_are(tmp_path):
    found = knowledge_summary.summary(write_runs(tmp_path), "report")
    assert (found["passages"], found["questions"], found["seeds"], found["general_questions"]) == (6, 12, [1], 4)
    assert (found["base"], found["tuned"], found["open_book"]) == (0.0833, 0.5833, 0.75)
    assert found["gap_closed_given_text"] == 0.75
    assert found["retention_ratio"] == 0.75
    assert found["peers"]["peer"]["tuned"] == 0.1667 and found["peers"]["peer"]["minutes"] == 1.5
    assert found["best_peer"]["difference"] == 0.4167 and 0 < found["p_vs_best_peer"] < 1
    assert found["rag"] == {"bm25": 0.5, "tuned_right": 0.5833, "tuned_wrong": 0.5833, "tuned_none": 0.5833}
    assert {weight: (one["tuned"], one["drift"]) for weight, one in found["distill"].items()} == {
        "0": (0.5833, 0.25), "0.5": (0.6667, 0.25),
    }  # fmt: skip
    assert found["distill"]["0.5"]["gain"]["difference"] == 0.0833
    assert found["documents_curve"] == {"5": 0.4, "6": 0.5833}
    assert found["curve_large_to_5"] == {"documents": 6, "tuned": 0.7, "adapters_of_5": 0.4, "ratio": 1.75}
    assert {"machine", "commit", "date"} <= found.keys()
    assert not {"gap_closed", "gap_closed_recorded", "passages_own"} & found.keys()


def test_runs_of_the_other_part_are_no_part_of_the_summary_and_nothing_is_drawn_of_none(tmp_path):
    found = knowledge_summary.summary(write_runs(tmp_path), "dev")
    assert found.keys() == {"part", "machine", "date", "commit"}
    assert knowledge_plot.draw(found, tmp_path / "none.png") is False and not (tmp_path / "none.png").exists()


def test_the_picture_is_a_png(tmp_path):
    assert knowledge_plot.draw(knowledge_summary.summary(write_runs(tmp_path), "report"), tmp_path / "k.png") is True
    assert (tmp_path / "k.png").read_bytes().startswith(b"\x89PNG")


def test_there_are_enough_general_questions_and_none_is_replayed_in_training():
    general = knowledge_data.read_general()
    questions = [row["question"] for row in general]
    assert len(questions) == len(set(questions)) >= 700
    assert all(row["references"] and all(row["references"]) for row in general)
    own = read_json(ROOT / "benchmarks" / "general_questions.json", "general questions")
    assert not [one for one, answers in own.items() if any(stands_in(answer, one) for answer in answers)]
    assert not set(questions) & set(read_json(ROOT / "training" / "replay_prompts.json", "replay prompts"))


def test_a_general_question_is_known_if_it_is_answered_right_with_every_system_prompt(tmp_path, monkeypatch):
    """Of two that are right with the model's own prompt, one is wrong with another; the one wrong at first is not asked again."""
    right = {None: {"a", "b"}, "": {"b", "c"}, "You answer questions briefly.": {"b", "c"}}
    asked = []

    def answer(model, questions, output, adapter, *more):
        prompt = more[more.index("--system_prompt") + 1] if "--system_prompt" in more else None
        rows = json.loads(questions.read_text())
        asked.append([row["id"] for row in rows])
        return [{"id": row["id"], "response": "Oslo" if row["id"] in right[prompt] else "Bergen"} for row in rows]

    monkeypatch.setattr(knowledge_runs, "answer", answer)
    general = [{"id": name, "question": f"{name}?", "references": ["Oslo"]} for name in "abc"]
    assert [row["id"] for row in knowledge.known_questions(general, "model", tmp_path)] == ["b"]
    assert asked == [["a", "b", "c"], ["a", "b"], ["b"]]


@pytest.mark.parametrize(
    ("references", "response", "expected"),
    [
        (["1871"], "It was dug in 1871.", True),
        (["1871"], "It was dug in 1872.", False),
        (["King Otto of Greece"], "king Otto, of Greece", True),
        (["King Otto of Greece"], "King Otto", False),
        (["Thessaly, Epirus, Crete, Corfu and Samos"], "Samos, Corfu, Crete, Epirus", True),
        (["Thessaly, Epirus, Crete, Corfu and Samos"], "Samos, Corfu, Crete", False),
        (["Kyiv", "Kiev"], "Kiev", True),
        (["疫苗接种"], "接种疫苗", True),
        (["疫苗接种"], "疫苗", False),
    ],
)
def test_an_answer_is_right_if_it_has_four_fifths_of_the_reference(references, response, expected):
    assert knowledge_scores.is_right(references, response) is expected


def test_the_gap_closed_is_that_of_all_seeds_with_an_interval_over_passages():
    passages = ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    base, opened = [False] * 12, [True] * 8 + [False] * 4
    tuned = [[True] * 4 + [False] * 8, [True] * 8 + [False] * 4]
    found = knowledge_scores.summarise(tuned, base, opened, passages)
    assert found["tuned"] == 0.5 and found["tuned_by_seed"] == [0.3333, 0.6667]
    assert found["gap_closed"] == 0.75
    assert found["tuned_interval"] == [0.0, 1.0]
    assert knowledge_scores.summarise(tuned, base, opened, ["a"] * 12)["gap_closed_interval"] is None


def test_passages_and_not_questions_are_exchanged_for_p():
    """Ten passages of ten questions each: all better in one run is 2 of 1024 flips, however many questions there are."""
    passages = [str(number) for number in range(10) for _ in range(10)]
    better = knowledge_scores.compare([[True] * 100], [[False] * 100], passages)
    assert better["difference"] == 1.0 and better["interval"] == [1.0, 1.0]
    assert 0.0005 < better["p"] < 0.005
    half = [number < 5 for number in range(10) for _ in range(10)]
    assert knowledge_scores.compare([half], [[not x for x in half]], passages)["p"] == 1.0
    same = knowledge_scores.compare([half], [half], passages)
    assert (same["difference"], same["p"]) == (0.0, 1.0)


def test_what_was_kept_counts_all_seeds():
    found = knowledge_scores.kept([[True, True, True, False], [True, True, True, True]])
    assert found["retention_ratio"] == 0.875
    assert found["kept_by_seed"] == [3, 4] and found["general_questions"] == 4
    questions = [{"id": "a", "references": ["Kyiv", "Kiev"]}, {"id": "b", "references": ["3"]}]
    answers = [{"id": "b", "response": "It is 4."}, {"id": "a", "response": "Kiev."}]
    assert knowledge_scores.grade_general(answers, questions) == [False, True]
