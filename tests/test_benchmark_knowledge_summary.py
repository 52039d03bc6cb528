"""results/knowledge.json and its picture, made from whatever runs there are; and the general questions behind it."""

from __future__ import annotations

from pathlib import Path

from conftest import ROOT

from benchmarks import knowledge_data, knowledge_plot, knowledge_summary
from evaluation.matching import stands_in
from utils import read_json, write_json


def answers(rights: list[bool], names: list[str]) -> list[dict]:
    return [
        {"id": f"question_{number}", "file_name": name, "reference": "yes", "response": "yes" if is_right else "no"}
        for number, (is_right, name) in enumerate(zip(rights, names, strict=True))
    ]


def write_runs(work_dir: Path) -> None:
    """A corpus of 6 passages with two questions each, a run of ours, one with distillation, one peer and a curve."""
    corpus, names = work_dir / "given_text_report_6_x", [f"{number}.txt" for number in range(6) for _ in range(2)]
    general = [{"id": f"general_{n}", "question": "?", "reference": "yes", "references": ["yes"]} for n in range(4)]
    write_json(corpus / "about.json", {"source": "given_text", "part": "report", "passages": 6, "model": "m"})
    write_json(corpus / "questions.json", answers([True] * 12, names))
    write_json(corpus / "general.json", general)
    write_json(corpus / "base" / "closed.json", answers([True] + [False] * 11, names))
    write_json(corpus / "base" / "open_book.json", answers([True] * 9 + [False] * 3, names))
    write_json(corpus / "base" / "bm25.json", answers([True] * 6 + [False] * 6, names))
    runs = {"ours": 7, "distill 0.5": 8, "peer": 2, "part": 4, "whole": 7}
    for name, right in runs.items():
        folder = corpus / "runs" / name
        documents = ["0.txt", "1.txt", "2.txt", "3.txt", "4.txt"] if name == "part" else []
        arguments = ["--distill_weight", "0.5"] if name == "distill 0.5" else ["--lora_r", "8"]
        settings = {"peer": name == "peer", "note": "", "arguments": arguments}
        name = "ours" if name in ("part", "whole") else name
        made = {"name": name, "seed": 1, "documents": documents, "settings": settings, "seconds": 90.0, "commit": "c"}
        write_json(folder / "run.json", made)
        asked = [one for one in names if not documents or one in documents]
        rows = answers([number < right for number in range(len(asked))], asked)
        for file in ("tuned.json", "tuned_right.json", "tuned_wrong.json"):
            write_json(folder / file, rows)
        write_json(
            folder / "general.json", [{"id": f"general_{n}", "response": "yes" if n else "no"} for n in range(4)]
        )
        write_json(folder / "drift.json", {"mean_kl": 0.25})


def test_the_summary_has_the_keys_and_numbers_of_whatever_runs_there_are(tmp_path):
    write_runs(tmp_path)
    found = knowledge_summary.summary(tmp_path, "report")
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
    write_runs(tmp_path)
    found = knowledge_summary.summary(tmp_path, "dev")
    assert found.keys() == {"part", "machine", "date", "commit"}
    assert knowledge_plot.draw(found, tmp_path / "none.png") is False and not (tmp_path / "none.png").exists()


def test_the_picture_is_a_png(tmp_path):
    write_runs(tmp_path)
    assert knowledge_plot.draw(knowledge_summary.summary(tmp_path, "report"), tmp_path / "k.png") is True
    assert (tmp_path / "k.png").read_bytes().startswith(b"\x89PNG")


def test_there_are_enough_general_questions_and_none_is_replayed_in_training():
    general = knowledge_data.read_general()
    questions = [row["question"] for row in general]
    assert len(questions) == len(set(questions)) >= 700
    assert all(row["references"] and all(row["references"]) for row in general)
    own = read_json(ROOT / "benchmarks" / "general_questions.json", "general questions")
    assert not [one for one, answers in own.items() if any(stands_in(answer, one) for answer in answers)]
    assert not set(questions) & set(read_json(ROOT / "training" / "replay_prompts.json", "replay prompts"))
