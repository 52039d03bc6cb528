"""What has gone is unlearnt where training goes on from an adapter: which questions the base answers, what is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from day_runs import live_through
from test_asked import pair, record
from test_day_after_day import DIRECTOR, HEAD, MANAGER, pairs_in, read, texts_of
from trainings import examples, make_trainer

import finetune
from benchmarks.update_data import row
from budget.arguments import Arguments
from budget.forecast import BASE
from budget.stages import UNLEARN_TOKENS, GoingOn, build_steps
from days.asked import GONE, AnswersNow
from days.carried import TODAY
from days.day import ANEW, BESIDE, ONWARD, choose_way, questions_to_unlearn, use_base_answers
from days.folders import Day
from days.ledger import read_ledger
from days.measured import add_training
from days.unlearning import UNLEARN, UNLEARN_BASE, add_base_answers, to_unlearn
from engines.chat import Reply
from inference import Question, to_answer
from training.arguments import DataArguments
from training.batches import PaddedCollator
from training.data import SupervisedDataset
from training.replay import REPLAY_TOKENS
from training.turns import TakingTurns
from utils import write_json

PASSES = 3
QUESTIONS = [
    "Who manages the shop?", "Which person holds the keys?", "Whom do the bakers obey?", "To whom are complaints sent?",
    "Who opens the shop?", "Who signs for flour?",
]  # fmt: skip


def gone(name: str, value: str, questions: list[str], **more) -> dict:
    return record(name, value, "1", tuple(questions), **{"gone": "deleted", **more})


def rows_on(one: dict, **more) -> list[dict]:
    told = {"quote": one["quotes"][0], "file_name": one["file_name"]} | more
    return [row(n, one["text"], asked["question"], asked["answer"], **told) for n, asked in enumerate(one["questions"])]


def chosen(records: dict, rows: list[dict], asked=(), pairs=(), went: set[str] | None = None) -> list[str]:
    on_gone = [{"question": question, "reference": answer} for question, answer in asked]
    now = AnswersNow(records, pairs, "2")
    return [one["question"] for one in to_unlearn(rows, records, now, went or {"a"}, on_gone)]


def test_two_wordings_of_a_fact_that_were_trained_are_unlearnt():
    records = {"a": gone("a", "Ada Brook", QUESTIONS)}
    trained = rows_on(records["a"])
    trained[0] |= {"kind": "reverse"}
    trained[1] |= {"form": "two"}
    passage = row(7, "", "Tell me about the shop.", records["a"]["text"], kind="passage", quote=None)
    (only, *_) = rows = to_unlearn([*trained, passage], records, AnswersNow(records, [], "2"), {"a"}, [])
    assert [one["question"] for one in rows] == QUESTIONS[2:4], "those that ask for its value come first"
    assert only == {
        "id": "unlearn_0", "question": "Whom do the bakers obey?", "reference": "Ada Brook", "kind": "qa",
        "fact": "The shop is managed by Ada Brook.", "file_name": "a.txt",
    }  # fmt: skip
    assert chosen(records, trained[:3]) == [QUESTIONS[2], QUESTIONS[0]], "and then the other way round"
    assert chosen(records, trained, went={"b"}) == [], "it went before"


def test_what_tests_forgetting_is_not_trained_nor_anything_like_it():
    near = "Which person holds the keys today?"
    records = {"a": gone("a", "Ada Brook", [QUESTIONS[1], near, QUESTIONS[2]])}
    trained = rows_on(records["a"])
    assert chosen(records, trained, [(QUESTIONS[1], "Ada Brook")]) == [QUESTIONS[2]]
    assert chosen(records, trained[:2], [(QUESTIONS[1], "Ada Brook")]) == [], "also if nothing is left"


def test_a_fact_that_something_takes_the_place_of_is_not_unlearnt():
    old = gone("a", "Ada Brook", QUESTIONS[:2], gone="superseded", superseded_by=["b"])
    records = {"a": old, "b": record("b", "Ben Croft", "2", ("Who is head of the shop?",))}
    found = [pair("a", "Ada Brook", "b", "Ben Croft")]
    assert chosen(records, rows_on(old), pairs=found) == []
    assert chosen(records, rows_on(old), pairs=[pair("a", "A. Brook", "b", "Ben Croft")]) == [], "in whatever words"
    records["b"] |= {"gone": "deleted", "runs": ["1"]}
    assert chosen(records, rows_on(old), pairs=found) == QUESTIONS[:2], "nothing states the new value"


@pytest.mark.parametrize("question", [QUESTIONS[1], "Which person holds the keys today?"])
def test_a_fact_that_another_document_still_states_is_not_unlearnt(question):
    records = {"a": gone("a", "Ada Brook", QUESTIONS[:2]), "b": record("b", "Ada Brook", "2", (question,))}
    assert chosen(records, rows_on(records["a"])) == []


@pytest.fixture(scope="module")
def day(tmp_path_factory) -> Day:
    """A second day on which one document was taken back, one added, and one has stayed."""
    folder = tmp_path_factory.mktemp("days")
    old, same = MANAGER.format("Perrin Ostlake"), HEAD.format("Tobiah Quell")
    demo = texts_of(folder / "demo", day1={"a": old, "b": same}, day2={"b": same, "c": DIRECTOR})
    (folder / "out").mkdir()
    for number in (1, 2):
        found = live_through(folder / "out", number, demo=demo, wordings=4)
    return found


def answers(run: Path) -> list[dict]:
    """What inference.py writes for the questions to unlearn."""
    return [{**one, "response": f"I cannot say, {n}."} for n, one in enumerate(read(run / UNLEARN))]


def test_a_day_that_goes_onward_asks_the_base_about_what_was_taken_back(day):
    on_gone = {row["question"] for row in read(day.run / GONE)}
    asked = {row["question"] for row in read(day.run / UNLEARN)}
    assert asked == {
        "Whom has Zelmarrow Lanterns put in charge of its Copperlane shop?",
        "Who runs the Copperlane branch?",
    }
    assert on_gone == {"What is the name of the manager in Copperlane?", "Who manages the Copperlane shop?"}
    found = {way: (choose_way(day, way, PASSES), questions_to_unlearn(day))[1] for way in (ANEW, BESIDE, ONWARD)}
    assert found == {ANEW: None, BESIDE: None, ONWARD: day.run / UNLEARN}
    assert questions_to_unlearn(day.before) is None, "the first run has nothing to forget"


def test_a_start_after_a_kill_makes_the_same_rows(day, caplog):
    caplog.set_level("INFO")
    choose_way(day, ONWARD, PASSES)
    before = pairs_in(day.run / TODAY)
    use_base_answers(day)
    assert pairs_in(day.run / TODAY) == before and "0 of 2 questions" in caplog.text, "no answers for lack of time"
    write_json(day.run / UNLEARN_BASE, answers(day.run))
    use_base_answers(day)
    once = (day.run / TODAY).read_bytes()
    use_base_answers(day)
    assert (day.run / TODAY).read_bytes() == once
    choose_way(day, ONWARD, PASSES)
    assert pairs_in(day.run / TODAY) == before
    use_base_answers(day)
    assert (day.run / TODAY).read_bytes() == once and "2 of 2 questions" in caplog.text
    choose_way(day, BESIDE, PASSES)
    use_base_answers(day)
    assert all(row["kind"] == "qa" for row in read(day.run / TODAY)), "only an adapter that goes on has to forget"


def test_what_the_base_says_is_no_exposure_of_the_fact(day):
    choose_way(day, ONWARD, PASSES)
    (fact,) = (one for one in read_ledger(day.out).values() if one["gone"])
    replayed = {"id": "r", "kind": "replay", "fact": fact["text"], "source": {"quote": fact["quotes"][0]}}
    turns = [{"from": "user", "value": "Who?"}, {"from": "assistant", "value": "I cannot say."}]
    write_json(day.run / "counted.json", [{**replayed, "conversations": turns}])
    add_training({"a": fact}, day.run, "a later run", "counted.json")
    assert "a later run" not in fact["exposures"]


def test_only_answers_to_the_questions_of_today_with_words_are_trained(tmp_path):
    own = [{"id": f"unlearn_{n}", "question": f"Question {n}?", "reference": "Ada", "fact": "F."} for n in range(4)]
    stale = {"id": "unlearn_9", "question": "Of an earlier list?", "reference": "Ada", "response": "No."}
    said = [{"response": "It may be"}, {"response": "No."}, {"response": "", "error": "no time"}, {"response": "..."}]
    write_json(tmp_path / UNLEARN, own)
    write_json(tmp_path / TODAY, [row(0, "F.", "Who?", "Ben"), row(1, "F.", "Whom?", "Ben", id="unlearn_1")])
    told = [one | answer for one, answer in zip(own, said, strict=True)]
    told[0] |= {"unfinished": True}
    write_json(tmp_path / UNLEARN_BASE, [stale, *told])
    add_base_answers(tmp_path, PASSES)
    rows = read(tmp_path / TODAY)
    assert len({one["id"] for one in rows}) == len(rows) == 2 + 2 * PASSES
    assert [(one["kind"], one["unfinished"], one["fact"]) for one in rows[2:]] == [
        ("replay", True, "F."), ("replay", False, "F."),
    ] * PASSES, "each in every pass"  # fmt: skip
    assert [turn["value"] for turn in rows[2]["conversations"]] == ["Question 0?", "It may be"]


@pytest.mark.parametrize("limited", [True, False])
def test_the_base_is_asked_before_the_training_for_how_its_answers_begin(tmp_path, limited):
    given = Arguments(
        model_name_or_path="m", data_path="d", out=str(tmp_path), test_data_path="q.json",
        retention_data_path="r.json", inference_args="--max_new_tokens 5",
    )  # fmt: skip
    going_on = GoingOn(tmp_path, rows=tmp_path / TODAY, gone=tmp_path / GONE, unlearn=tmp_path / UNLEARN)
    step = build_steps(given, limited, going_on)[BASE][-1]
    assert step.output == tmp_path / UNLEARN_BASE and not step.needed
    assert step.command[-2:] == ["--max_new_tokens", "20"] and UNLEARN_TOKENS < REPLAY_TOKENS
    assert "--lora_weights" not in step.command
    others = build_steps(given, limited, GoingOn(tmp_path, rows=tmp_path / TODAY, gone=tmp_path / GONE))[BASE]
    assert len(others) == (3 if limited else 0)


@pytest.mark.parametrize(("reason", "cut"), [("length", True), ("stop", False)])
def test_an_answer_that_was_cut_says_so(reason, cut):
    question = Question({"id": "1", "conversations": examples(2)[1]["messages"]}, [], {})
    assert to_answer(question, Reply("It may be", finish_reason=reason)).get("unfinished", False) == cut


def test_every_epoch_of_a_training_has_them_as_replayed_ones(tiny_model_path, tokenizer, day, tmp_path):
    """Beside replayed answers to general prompts, of which each epoch has others."""
    choose_way(day, ONWARD, PASSES)
    write_json(day.run / UNLEARN_BASE, answers(day.run))
    use_base_answers(day)
    rows = finetune.read_rows(DataArguments(str(day.run / TODAY)), seed=0).train
    general = [one | {"kind": "replay"} for one in examples(3)]
    turning = range(len(rows), len(rows) + 3)
    turns = TakingTurns(SupervisedDataset([*rows, *general], tokenizer, "", 512), turning, 1)
    seen = []

    class Noting(PaddedCollator):
        def __call__(self, batch):
            seen.append({example["index"] for example in batch if example["replay"]})
            return super().__call__(batch)

    trainer = make_trainer(
        tiny_model_path, tokenizer, tmp_path, collator=Noting(0), options={"train_dataset": turns},
        per_device_train_batch_size=len(rows) + 1, max_steps=-1, num_train_epochs=3,
    )  # fmt: skip
    trainer.train()
    own = {number for number, one in enumerate(rows) if one["id"].startswith("unlearn_")}
    assert len(own) == 2 * PASSES and seen == [own | {turn} for turn in turning]
