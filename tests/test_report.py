"""What the reports gather, from small files of the stages."""

from __future__ import annotations

import json
import os

import pytest
from runs import write_demo_run, write_run
from scripted import BASE, SFT

from evaluation import report
from training.log import write_log
from utils import InputError, log_file, write_json


@pytest.fixture
def run(tmp_path):
    return write_demo_run(tmp_path)


def test_what_a_report_gathers(run):
    (run / "lora" / "trainer_state.json").write_text(
        json.dumps(
            {
                "log_history": [
                    {"step": 5, "loss": 2.0, "lr": 1},
                    {"step": 5, "eval_loss": 1.5},
                    {"train_runtime": 3},
                    {"step": 6, "loss": float("nan")},
                ]
            }
        )
    )
    found = report.collect_report_data(run, "tuned", "base")
    # the open book is scored by match where nobody else did
    assert list(found["scores"]) == ["base", "sft", "open_book"]
    assert found["scores"]["open_book"]["accuracy"] == 0.6667
    assert (found["folder"], found["controls"]) == (str(run), None)  # no controls were judged
    assert found["wins"]["win_rate"] == 0.6667 and not {"verdicts", "mcnemar", "usage"} & set(found["wins"])
    assert list(found["made"]) == ["date", "commit", "machine"]
    assert found["loss"] == [{"step": 5, "loss": 2.0}, {"step": 5, "eval_loss": 1.5}]
    assert found["timeline"] == {
        "budget_seconds": None,
        "stages": [
            {"name": "collection", "seconds": 60},
            {"name": "fine-tuning", "seconds": 60},
            {"name": "inference", "seconds": 180},  # base, tuned and open book
            {"name": "evaluation", "seconds": 60},
        ],
    }
    assert [row["open_book"]["verdict"] for row in found["questions"]] == ["correct", "correct", "incorrect"]
    stages = [{"name": "collection", "seconds": 50, "planned_seconds": 60}]
    (run / "run.json").write_text(json.dumps({"budget_seconds": 3600, "stages": stages}))
    write_log(run / "lora", {"updates": 1}, [{"step": 1, "loss": 3.0}])
    found = report.collect_report_data(run, "tuned", "base")
    assert found["timeline"] == {"budget_seconds": 3600, "stages": stages} and found["loss"] == [
        {"step": 1, "loss": 3.0}
    ]
    report.write_reports(run, found)
    assert "| collection | 1.0             | 0.8     |" in (run / "report.md").read_text()
    assert "66.7% (2/3)" in (run / "report.md").read_text() and "<main" in (run / "report.html").read_text()


def test_all_four_models_are_shown_by_the_names_of_their_files_and_each_question_with_its_source(run):
    for name, response in (("read", "Ann Pellow"), ("found", "no")):
        answers = [{"question": f"{n}?", "reference": "Ann Pellow", "response": response} for n in range(3)]
        write_json(run / f"{name}.json", answers)
    names = {"data_name_open_book": "out/read.json", "data_name_rag": "out/found.json"}
    made = {"finished": "2027-01-02T03:04:05", "machine": "2 cores"}
    write_json(log_file(run / "tuned_win_rate.meta.json"), {"arguments": names, **made})
    wins = json.loads((run / "tuned_win_rate.json").read_text())
    wins["verdicts"][1]["file_name"] = "a.txt"
    write_json(run / "tuned_win_rate.json", wins | {"gap_closed": {"share": 0.5}, "usage": {"calls": 3}})
    (run / "documents").mkdir()
    (run / "documents" / "a.txt").write_text("Ann Pellow.\n")
    found = report.collect_report_data(run, "tuned", "base", documents=str(run / "documents"))
    assert not any("verdicts" in score for score in found["scores"].values()), "each answer is in its question"
    assert (found["made"]["date"], found["made"]["machine"]) == ("2027-01-02T03:04:05", "2 cores")
    assert (found["compared"]["gap_closed"], found["usage"]) == ({"share": 0.5}, {"calls": 3})
    assert not {"verdicts", "mcnemar", "gap_closed", "usage"} & set(found["wins"])
    assert {what: score["accuracy"] for what, score in found["scores"].items()} == {
        "base": 0.0, "sft": 0.6667, "open_book": 1.0, "rag": 0.0,
    }  # fmt: skip
    source = {"before": "", "quote": "Ann Pellow.", "after": "", "start": 0, "end": 11}
    assert [row.get("quote") for row in found["questions"]] == [None, source, None]


def test_the_source_in_a_pdf_is_shown_in_the_text_that_was_read_from_it(tmp_path):
    """As the run kept it: the file itself, which is none here, is not read again."""
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "run" / "converted").mkdir(parents=True)
    kept = tmp_path / "run" / "converted" / "a.pdf.txt"
    kept.write_text("It is old. Ann Pellow built it.\n")
    os.utime(kept, ns=2 * ((tmp_path / "a.pdf").stat().st_mtime_ns,))
    win = {"id": 0, "question": "Who?", "reference": "Ann Pellow", "fact": "Ann Pellow built it.", "file_name": "a.pdf"}
    (row,) = report.questions({}, [win | {"verdict": "win"}], tmp_path, tmp_path / "run")
    assert (row["quote"]["before"], row["quote"]["quote"]) == ("It is old. ", "Ann Pellow built it.")


def test_logs_that_lack_something_are_shown_as_far_as_they_go(run):
    """As other trainers and earlier versions write them."""
    write_json(run / "lora" / "trainer_state.json", {"global_step": 3})
    write_json(log_file(run / "lora" / "training.meta.json"), {"peak_gib": 1.5})
    found = report.collect_report_data(run, "tuned", "base")
    assert found["loss"] == []
    assert found["timeline"]["stages"][1] == {"name": "fine-tuning", "seconds": 0}


def test_answers_that_this_judge_has_not_seen_are_not_scored_by_another(tmp_path):
    for name, judge in (("sft", "m"), ("base", "other")):
        (tmp_path / f"{name}_acc.json").write_text(json.dumps({"judge": judge, "n": 4}))
        (tmp_path / f"{name}.json").write_text(json.dumps(SFT))
    assert report.read_scores(tmp_path, "sft", "m") == {"judge": "m", "n": 4}
    assert report.read_scores(tmp_path, "base", "m") is None and report.read_scores(tmp_path, "none", "match") is None
    by_match = report.read_scores(tmp_path, "base", "match")
    assert (by_match["judge"], by_match["accuracy"], by_match["match"]["accuracy"]) == ("match", 0.75, 0.75)


def write_meta(folder, name: str, **arguments) -> None:
    write_json(log_file(folder / f"{name}.meta.json"), {"arguments": arguments})


def test_where_the_documents_are(tmp_path):
    folders = {name: tmp_path / name for name in ("given", "read", "collected")}
    for folder in folders.values():
        folder.mkdir()
    models = {"open_book": "book", "sft": "sft"}
    assert report.find_documents(tmp_path, models, None) is None
    write_meta(tmp_path, "data", data_path=str(folders["collected"]))
    assert report.find_documents(tmp_path, models, None) == folders["collected"]
    write_meta(tmp_path, "book", open_book=str(folders["read"]))
    assert report.find_documents(tmp_path, models, None) == folders["read"]
    assert report.find_documents(tmp_path, models, str(folders["given"])) == folders["given"]
    write_meta(tmp_path, "book", open_book=str(tmp_path / "gone"))
    assert report.find_documents(tmp_path, models, None) == folders["collected"]
    with pytest.raises(InputError, match="expected the documents in nowhere, found no folder"):
        report.find_documents(tmp_path, models, "nowhere")


def test_the_adapter_is_that_which_answered(tmp_path):
    models = {"sft": "sft"}
    assert report.find_adapter(tmp_path, models) is None
    for name in ("lora", "other"):
        (tmp_path / name).mkdir()
    assert report.find_adapter(tmp_path, models) == tmp_path / "lora"
    write_meta(tmp_path, "sft", lora_weights=str(tmp_path / "other"))
    assert report.find_adapter(tmp_path, models) == tmp_path / "other"


TEXT = "A title\n\nAnn came in 1990. She keeps the old lighthouse.\nBob went home."


@pytest.mark.parametrize(
    ("row", "quoted"),
    [
        ({"fact": "She keeps the old lighthouse.", "source": {"start": 9, "end": 26, "quote": "Ann came in 1990."}},
         ("", "Ann came in 1990.", " She keeps the old lighthouse.", 9)),
        ({"fact": "She keeps the old lighthouse.", "source": {"start": 8, "end": 26, "quote": "Ann came in 1990."}},
         ("Ann came in 1990. ", "She keeps the old lighthouse.", "", 27)),  # another edition of the document
        ({"fact": "She keeps the old lighthouse.", "source": {"start": "9"}},
         ("Ann came in 1990. ", "She keeps the old lighthouse.", "", 27)),
        ({"fact": "She keeps the old lighthouse.", "source": {"start": 57, "end": None, "quote": "Bob went home."}},
         ("Ann came in 1990. ", "She keeps the old lighthouse.", "", 27)),
        ({"fact": "", "reference": "Bob went home"}, ("", "Bob went home.", "", 57)),
        ({"fact": "Bob went away, yesterday", "source": None}, ("", "Bob went home.", "", 57)),  # half of its words
        ({"fact": "Bob flew away, yesterday, alone"}, None),
    ],
)  # fmt: skip
def test_the_sentence_that_is_quoted(row, quoted):
    found = report.quote({"reference": "r", **row}, TEXT)
    if quoted is None:
        assert found is None
    else:
        before, quote, after, start = quoted
        end = start + len(quote)
        assert found == {"before": before, "quote": quote, "after": after, "start": start, "end": end}


def test_a_quote_at_the_top_of_a_document_stands_without_the_empty_line_before_it():
    found = report.quote({"reference": "r", "fact": "Bob went home"}, "\nBob went home.")
    assert found == {"before": "", "quote": "Bob went home.", "after": "", "start": 1, "end": 15}


def test_a_document_without_a_sentence_has_no_quote():
    assert report.quote({"reference": "r", "fact": "f"}, "") is None


def test_a_document_that_is_gone_is_quoted_nowhere_and_a_run_without_times_has_no_timeline(tmp_path):
    win = {"id": 1, "question": "Q", "reference": "r", "file_name": "gone.txt", "verdict": "tie"}
    assert [row["quote"] for row in report.questions({}, [win], tmp_path)] == [None]
    assert report.timeline(tmp_path, {"base": "base", "sft": "tuned"}) is None


def test_a_question_has_what_each_model_said_of_it_by_its_id():
    scores = {
        "base": {"verdicts": [{"id": 1, "response": "b", "verdict": "incorrect", "reason": "x", "match": "incorrect", "n": 9}]},
        "sft": {"verdicts": [{"id": "2", "response": "s", "verdict": "correct", "reason": "y", "match": "correct"}]},
        "rag": None,
    }  # fmt: skip
    wins = [
        {"id": "1", "question": "Q", "reference": "r", "fact": "f", "file_name": "a.txt", "kind": "qa", "role": "n",
         "verdict": "win", "orders": ["win", "win"], "reason": "z", "response_sft": "s"},
        {"id": 2, "question": "P", "reference": "r", "verdict": "tie"},
    ]  # fmt: skip
    assert report.questions(scores, wins, None) == [
        {"id": "1", "question": "Q", "reference": "r", "fact": "f", "file_name": "a.txt", "kind": "qa", "role": "n",
         "win": {"verdict": "win", "orders": ["win", "win"], "reason": "z"},
         "base": {"response": "b", "verdict": "incorrect", "reason": "x", "match": "incorrect"}},
        {"id": 2, "question": "P", "reference": "r", "win": {"verdict": "tie"},
         "sft": {"response": "s", "verdict": "correct", "reason": "y", "match": "correct"}},
    ]  # fmt: skip


def test_a_run_without_verdicts_is_told_to_make_them(tmp_path):
    with pytest.raises(
        InputError, match=r"expected a win rate at .*tuned_win_rate.json, found nothing: run evaluate.py"
    ):
        report.collect_report_data(tmp_path, "tuned", "base")


def test_a_file_of_the_run_that_is_damaged_is_named(run):
    (run / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"expected a file of a run .*run\.json"):
        report.collect_report_data(run, "tuned", "base")


def test_an_untrusted_judge_is_named_first(tmp_path):
    write_run(tmp_path, SFT, BASE)
    why = ["only 3 of 20 right answers were called correct (at least 80% is needed)"]
    counts = {"n": 20, "passed": 3, "rate": 0.15, "interval": [0.05, 0.36], "unscored": 0}
    controls = {
        "judge": "m",
        "floor": 0.8,
        "trusted": False,
        "why": why,
        "sensitivity": counts,
        "specificity": counts,
        "kinds": {},
        "items": [{}],
    }
    (tmp_path / "sft_controls.json").write_text(json.dumps(controls))
    found = report.collect_report_data(tmp_path, "sft", "base")
    assert found["controls"] == {key: value for key, value in controls.items() if key != "items"}
    report.write_reports(tmp_path, found)
    assert f"> This judge cannot be trusted: {why[0]}." in (tmp_path / "report.md").read_text()
    assert why[0] in (tmp_path / "report.html").read_text()
