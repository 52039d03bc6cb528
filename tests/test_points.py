"""Points on their way: proposed, checked, asked, answered, judged, reported. No model."""

from __future__ import annotations

import json

import pytest
from runs import write_run
from scripted import SFT, answer, case_of, scripted, verdict

import inference
from benchmarks import graded_answers, quickstart
from data_processor.dataset import read_dataset
from data_processor.points import check_points, points_by_rule
from engines.chat import Reply
from evaluation import accuracy, report, report_text, win_rate
from evaluation.answers import pair_answers, read_answers
from evaluation.judging import ACCURACY, WIN_RATE, ask, to_case
from utils import InputError

RULE = "Employees must tell their manager 14 days before the day off, and enter it in the “team calendar” – always."
REGEL = "Wer zwei Tage frei nimmt, sagt es vierzehn Tage vorher der Vorgesetzten und trägt es in den Kalender ein."
GUIZE = "员工请假前必须提前14天告知主管，并在日历中登记。"


@pytest.mark.parametrize(
    ("points", "text", "language", "kept"),
    [
        (["tell their manager", "14 days"], RULE, "en", ["tell their manager", "14 days"]),
        (["Team calendar'", ' "14 DAYS".', '"team calendar" - always'], RULE, "en", ["Team calendar", "14 DAYS"]),
        (["within 14 days", "4 days", "manage", "calendars"], RULE, "en", []),  # not so in it, or part of a word
        (["", " .", "and in the", "it", None, 7], RULE, "en", []),
        (["manager", "tell their manager", "14 days before", "14 days"], RULE, "en", ["manager", "14 days"]),
        (["employees", "manager", "14", "day off", "calendar"], RULE, "en", ["employees", "manager", "14", "day off"]),
        (["VIERZEHN TAGE", "Vorgesetzte", "in den", "zwei", "Tage"], REGEL, "de", ["zwei", "Tage"]),
        (["必须", "14天", "告知主管", "日历 中"], GUIZE, "zh", ["14天", "告知主管"]),
        (["必须提前14天", "14天"], GUIZE, "zh", ["14天"]),
        (['Team Calendar" \u2014 always'], RULE, "en", ['Team Calendar" \u2014 always']),  # other marks than the text's
        (["Kalender"], REGEL.upper(), "it", ["Kalender"]),
    ],
)
def test_the_points_that_can_be_relied_on(points, text, language, kept):
    assert check_points(points, text, f"Before. {text} After.", language) == kept


def test_a_point_stands_in_both_the_answer_and_the_text():
    assert check_points(["14 days", "manager"], "Tell the manager 14 days before.", "Tell the manager.", "en") == [
        "manager"
    ]
    assert check_points(["14 days", "manager"], "Tell the manager.", "Tell the manager 14 days before.", "en") == [
        "manager"
    ]


def test_points_by_rule_are_the_phrases_with_most_to_say_in_the_order_of_the_answer():
    answer = "It needs fresh water, old copper pipes, a lead sheet, tin, and brass door bells with grey iron bolts."
    text = "fresh water x old copper pipes y lead sheet z tin w brass door bells v grey iron bolts"
    assert points_by_rule(answer, text, "en") == [
        "fresh water",
        "old copper pipes",
        "brass door bells",
        "grey iron bolts",
    ]


def test_points_by_rule_are_whole_words_or_characters_as_the_language_writes_them():
    assert points_by_rule("请务必提前14天告知主管。", GUIZE, "zh") == ["请", "提前14天告知主管"]
    assert points_by_rule("Man sagt es vierzehn Tage vorher der Vorgesetzten.", REGEL, "de") == [
        "sagt es vierzehn tage vorher",
        "vorgesetzten",
    ]


def test_points_by_rule_are_found_in_a_long_text_that_says_them_often():
    assert points_by_rule("It leaves at noon.", "The ferry leaves at noon. " * 50, "en") == ["leaves at noon"]


@pytest.mark.parametrize("points", ["manager", ["manager", ""], [3], {"1": "manager"}, [" .", "manager"]])
def test_what_is_no_list_of_phrases_is_named_with_its_row(tmp_path, points):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(["Q?", {"question": "Who?", "reference": "Tell the manager.", "points": points}]))
    with pytest.raises(InputError, match=r'^expected a list of phrases as "points" in row 1 of .*rows.json, found '):
        read_dataset(path, bare_questions=True)
    path.write_text(json.dumps([{**SFT[0], "points": points}]))
    with pytest.raises(InputError, match=r'^expected a list of phrases as "points" in row 0 of .*rows.json, found '):
        read_answers(path)


def test_points_go_from_a_question_to_its_answer(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"question": "Who?", "reference": "Tell the manager.", "points": ["manager"]}, "Why?"]))
    questions = [inference.Question(row, [], {}) for row in read_dataset(path, bare_questions=True)]
    told, bare = (inference.to_answer(question, Reply("Nobody.")) for question in questions)
    assert told["points"] == ["manager"] and "points" not in bare


def test_other_points_are_another_question():
    with pytest.raises(InputError, match=r"found points \['ref0'\] in row 0 of one and None in the other"):
        pair_answers([{**SFT[0], "points": ["ref0"]}], SFT[:1])


LONG = answer(0, "They tell the manager.", reference=RULE, points=["tell their manager", "[14] days"])


def test_the_judge_is_shown_the_points_and_told_what_they_are():
    case = to_case(LONG, answer=LONG["response"])
    assert json.loads(case.text)["points"] == {"1": "tell their manager", "2": "[14] days"}
    assert "[" not in case.text and case.has_points
    assert not to_case({**LONG, "kind": "unknown"}, answer="x").has_points


@pytest.mark.parametrize("task", [ACCURACY, WIN_RATE])
def test_only_a_case_with_points_is_asked_with_the_rule_on_points(tmp_path, task):
    label = task.labels[0]
    judge = scripted(tmp_path, lambda prompt, seed: verdict(label))
    assert ask(judge, task, [to_case(row, answer="a") for row in (LONG, SFT[0])]) == [(label, "because")] * 2
    long, short = judge.engine.calls[0][0]
    assert f"{task.prompt}\n\n{task.points_prompt}\n\nThe case is" in long and "points" in case_of(long)
    assert f"{task.prompt}\n\nThe case is" in short and "points" not in short


KEYS = {  # of version c2d414f, before there were points: by these its verdicts are found in a journal
    ("accuracy", True): "b105e1f8cadc804f", ("accuracy", False): "43e6ba2468b4fb0b",
    ("win_rate", True): "4d35348fabb33de7", ("win_rate", False): "6a54e1c2caba55cc",
}  # fmt: skip


@pytest.mark.parametrize("task", [ACCURACY, WIN_RATE])
@pytest.mark.parametrize("enforced", [True, False])
def test_a_verdict_from_before_there_were_points_is_still_found(tmp_path, task, enforced):
    case = to_case(answer(0, "It is ref0."), answer="It is ref0.")
    assert case.item == "0f889650ea3e1018"
    judge = scripted(tmp_path, None, enforces_schema=enforced)
    text = verdict(task.labels[1]) if enforced else f"<verdict-{case.tag}>{task.labels[1]}</verdict-{case.tag}>"
    judge.journal.add("scripted", KEYS[task.name, enforced], case.item, "old", Reply(text, 100, 10))
    assert ask(judge, task, [case])[0][0] == task.labels[1] and judge.engine.calls == []


def test_a_case_with_points_is_in_the_journal_too(tmp_path):
    judge = scripted(tmp_path, lambda prompt, seed: verdict("correct"))
    verdicts = accuracy.judge_answers([LONG, SFT[0]], judge)
    assert accuracy.judge_answers([LONG, SFT[0]], scripted(tmp_path, None)) == verdicts
    prompts = [json.loads(line)["prompt"] for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
    assert prompts[0] != prompts[1] == "b105e1f8cadc804f"


ROWS = [
    answer(0, "Tell the manager 14 days before.", reference=RULE, points=["manager", "14 days"]),
    answer(1, "Tell the manager.", reference=RULE, points=["manager", "14 days"]),
    answer(2, "ref2"),
    answer(3, "That is not known.", kind="unknown", points=["manager"]),
    answer(4, "", reference=RULE, points=["manager"], error="timeout"),
]


def test_how_many_points_an_answer_says_stands_in_its_verdict(tmp_path):
    judge = scripted(tmp_path, lambda prompt, seed: verdict("correct"))
    for found in (accuracy.judge_answers(ROWS, None), accuracy.judge_answers(ROWS, judge)):
        counts = [(row.get("points_found"), row.get("points_needed")) for row in found]
        assert counts == [(2, 2), (1, 2), (None, None), (None, None), (None, None)]
        assert [row["match"] for row in found] == ["correct", "incorrect", "correct", "correct", "unscored"]


def test_the_scores_with_points_and_without_are_kept_apart():
    verdicts = accuracy.judge_answers(ROWS, None)
    found = accuracy.measure(ROWS, verdicts)
    shares = {group: (part["n"], part["correct"], part["accuracy"]) for group, part in found["by_points"].items()}
    assert shares == {"with_points": (3, 1, 0.5), "without_points": (1, 1, 1.0)}
    assert found["verdicts"][0]["points"] == ["manager", "14 days"]
    assert set(accuracy.measure(ROWS[:1], verdicts[:1])["by_points"]) == {"with_points"}
    assert "by_points" not in accuracy.measure(ROWS[2:4], verdicts[2:4])


def test_the_report_says_how_much_rests_on_points(tmp_path):
    base = [{**row, "response": "Nobody says."} for row in ROWS]
    write_run(tmp_path, ROWS, base)
    found = report.collect_report_data(tmp_path, "sft", "base")
    told = (
        "3 of 4 questions have a long answer, with the points that any right one must say; they alone decide. Points said, by "
        "string match: base 0/4, tuned 3/4"
    )
    assert report_text.about_points(found) == told
    lines = report_text.render_markdown(found).splitlines()
    start = lines.index("## By what an answer must say")
    rows = [[cell.strip() for cell in line.strip("|").split("|")][:3] for line in lines[start + 4 : start + 6]]
    assert rows == [
        ["its points", "0% (0/2), 1 unscored", "50.0% (1/2), 1 unscored"],
        ["the whole reference", "0% (0/1)", "100% (1/1)"],
    ]
    assert f"- {told}" in lines
    assert "the judge is shown them" in report_text.about_points({**found, "judge": "m"})
    page = json.loads(report.render_html(found).split('id="data">')[1].split("</script>")[0])
    assert page["words"]["about_points"] == told and page["questions"][1]["points"] == ["manager", "14 days"]
    assert (page["questions"][1]["sft"]["points_found"], page["questions"][1]["sft"]["points_needed"]) == (1, 2)


def test_a_report_without_points_says_nothing_of_them(tmp_path):
    write_run(tmp_path, SFT, SFT)
    found = report.collect_report_data(tmp_path, "sft", "base")
    assert report_text.about_points(found) is None
    assert not any("points" in line or "must say" in line for line in report_text.render_markdown(found).splitlines())


def test_a_pair_is_compared_by_points():
    base = {**ROWS[0], "response": RULE.replace("14", "10")}
    assert [row["verdict"] for row in win_rate.judge_pairs([ROWS[0], ROWS[1]], [base, base], None)] == ["win", "tie"]


def test_the_benchmarks_score_by_points(tmp_path):
    (tmp_path / "tuned.json").write_text(json.dumps(ROWS[:3]))
    assert quickstart.count_right(tmp_path, "tuned") == (2, 3)
    (tmp_path / "graded.json").write_text(json.dumps([{**row, "correct": n != 1} for n, row in enumerate(ROWS[:3])]))
    assert graded_answers.measure(tmp_path / "graded.json")["agreement"] == 1.0
