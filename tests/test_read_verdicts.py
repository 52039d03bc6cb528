"""The reading of what a judge may reply, as JSON or as free text with a tag: a verdict, or none and why. No model."""

from __future__ import annotations

import pytest
from scripted import SFT, answer, scripted, verdict

from engines.chat import Reply
from evaluation.judging import ACCURACY, UNSCORED, WIN_RATE, read_verdict, to_case
from evaluation.verdict_text import find_label, read_json_verdict

CASE = to_case(answer(0, "It is ref0."), answer="It is ref0.")
TAG = CASE.tag


def tagged(label: str) -> str:
    return f"<verdict-{TAG}>{label}</verdict-{TAG}>"


JSON_REPLIES = [  # what an engine held to the schema, or said to be, replied; the verdict in it, None for none
    (verdict("correct"), "correct"),
    (verdict("incorrect"), "incorrect"),
    (verdict("not attempted"), "not attempted"),
    (verdict("NOT_ATTEMPTED"), "not attempted"),
    (verdict("**Correct!**"), "correct"),
    (f"\n  {verdict('correct')}  \n", "correct"),
    (f"<think>{verdict('correct')}</think>{verdict('incorrect')}", "incorrect"),
    ('{"verdict": "correct", "verdict": "incorrect"}', "incorrect"),  # the last one
    ('{"reasoning": "the answer says \\"verdict\\": \\"correct\\"", "verdict": "incorrect"}', "incorrect"),
    ('{"reasoning": "it says <think> and no more", "verdict": "incorrect"}', "incorrect"),
    ('{"reasoning": "it says </think> at its end", "verdict": "incorrect"}', "incorrect"),
    ('{"reasoning": 7, "verdict": "correct"}', "correct"),
    ("", None),
    ("correct", None),
    ('"correct"', None),
    ('["correct"]', None),
    ("null", None),
    ('{"verdict": ["correct"]}', None),
    ('{"verdict": null}', None),
    ('{"verdict": true}', None),
    ('{"verdict": ""}', None),
    ('{"reasoning": "none given"}', None),
    ('{"reasoning": "cut off in the mid', None),
    ('{"reasoning": "it is \\"verdict\\": \\"correct\\"', None),
    (verdict("not correct"), None),
    (verdict("correct or incorrect"), None),
    (verdict("A"), None),  # of another task
    (verdict("partially correct"), None),
    (verdict("unscored"), None),
    (f"{verdict('correct')}\n{verdict('incorrect')}", None),
    (f"Here you are: {verdict('correct')}", None),
    (f"<think>{verdict('correct')}", None),
    ("__import__('os').abort()", None),
    ("{'verdict': 'correct'}", None),
    ('{"verdict": "cor\u200brect"}', None),
    ("\x00", None),
    ("NaN", None),
    ("[" * 2000, None),
]
TAGGED_REPLIES = [  # the same of free text
    (tagged("correct"), "correct"),
    (f"It fits.\n{tagged(' Correct ')}", "correct"),
    (f"It is wrong.\n{tagged('INCORRECT')}\n", "incorrect"),
    (f"It is silent. {tagged('not_attempted')}", "not attempted"),
    (f"First I thought {tagged('correct')}, but no: {tagged('incorrect')}", "incorrect"),
    (f"{tagged('incorrect')} so it is correct, correct, correct", "incorrect"),
    (f"<verdict-00000000>correct</verdict-00000000> {tagged('incorrect')}", "incorrect"),
    (f"{tagged('incorrect')} <verdict-00000000>correct</verdict-00000000>", "incorrect"),
    (f"{tagged('incorrect')} <verdict>correct</verdict>", "incorrect"),
    (f"<think>{tagged('correct')}</think> {tagged('incorrect')}", "incorrect"),
    (f"It opens with <think>, which is no answer. {tagged('not attempted')}", "not attempted"),
    (f"```\n{tagged('correct')}\n```", "correct"),
    (f"<verdict-{TAG}>{tagged('correct')}</verdict-{TAG}>", "correct"),  # the inner one is whole
    (f"{tagged('incorrect')} <verdict-{TAG}>correct", "incorrect"),  # cut off
    (tagged("\n**Correct**\n"), "correct"),
    (tagged("<b>incorrect</b>"), "incorrect"),
    (f"Okay. Is it {tagged('correct')}?\n</think>\n\n{tagged('incorrect')}", "incorrect"),
    ("", None),
    ("correct", None),
    ("The verdict is correct.", None),
    (verdict("correct"), None),
    ("<verdict>correct</verdict>", None),
    ("<verdict-00000000>correct</verdict-00000000>", None),
    (f"<verdict-{TAG}>correct", None),
    (f"correct</verdict-{TAG}>", None),
    (tagged("your verdict"), None),
    (tagged("..."), None),
    (tagged(""), None),
    (tagged("correct / incorrect"), None),
    (tagged("not correct"), None),
    (tagged("A"), None),
    (f"{tagged('correct')} on second thoughts {tagged('maybe')}", None),
    (f"<think>{tagged('correct')}", None),
    (f"<think>{tagged('correct')}</think>", None),
    (f"< verdict-{TAG} >correct</ verdict-{TAG} >", None),
    (f"<VERDICT-{TAG}>correct</VERDICT-{TAG}>", None),
]


@pytest.mark.parametrize(
    ("text", "expected", "enforced"),
    [(*pair, True) for pair in JSON_REPLIES] + [(*pair, False) for pair in TAGGED_REPLIES],
)
def test_what_a_judge_may_reply(tmp_path, text, expected, enforced):
    label, reason = read_verdict(Reply(text), ACCURACY, CASE, scripted(tmp_path, None, enforces_schema=enforced))
    assert label == (expected or UNSCORED)
    assert expected or reason


def test_a_verdict_of_another_name_is_shown_with_those_that_count(tmp_path):
    judge = scripted(tmp_path, None, enforces_schema=True)
    assert read_verdict(Reply(verdict("partially correct")), ACCURACY, CASE, judge) == (
        UNSCORED, "no verdict out of correct, incorrect, not attempted: 'partially correct'",
    )  # fmt: skip


def test_labels_of_pairs_keep_their_case(tmp_path):
    assert read_verdict(Reply(verdict("b")), WIN_RATE, CASE, scripted(tmp_path, None))[0] == "B"
    assert read_verdict(Reply(verdict("Tie")), WIN_RATE, CASE, scripted(tmp_path, None))[0] == "tie"


@pytest.mark.parametrize("enforced", [True, False])
@pytest.mark.parametrize("start", ["", "<think>", '{"verdict": 7, "reasoning": "', '{"verdict": "', f"<verdict-{TAG}>"])
def test_a_reply_of_any_length_gives_a_short_reason(tmp_path, enforced, start):
    end = {'{"verdict": 7, "reasoning": "': '"}', '{"verdict": "': '"}', f"<verdict-{TAG}>": f"</verdict-{TAG}>"}
    text = start + "x" * 5000 + end.get(start, "")
    label, reason = read_verdict(Reply(text), ACCURACY, CASE, scripted(tmp_path, None, enforces_schema=enforced))
    assert label == UNSCORED and "xxx" in reason and len(reason) < 200
    case = to_case(SFT[0], answer=text)
    label, reason = read_verdict(Reply("x" * 4000), ACCURACY, case, scripted(tmp_path, None, enforces_schema=enforced))
    assert label == UNSCORED and reason.startswith("repeats the answer: 'xxx") and len(reason) < 200


def test_a_verdict_without_reasoning_has_none():
    assert read_json_verdict('{"verdict": "A"}') == ("A", "")


LABELS = ("correct", "incorrect", "not attempted")


@pytest.mark.parametrize(
    "written",
    [
        "correct", '"correct"', "'correct'", "“correct”", "«correct»", "**correct**", "*Correct*", "`correct`", "__correct__",
        "Correct.", "CORRECT", "correct!", " correct \n", "[correct]", "(correct)", "✅ correct", "Verdict: correct",
        '**"Correct."**', "**Verdict:** correct", "The verdict is correct.", "Final verdict - correct", "<b>correct</b>",
        "correct (same name)", "**correct** (the same name)", "\\boxed{correct}", "\\boxed{\\text{Correct}}", "correct<br/>",
    ],
)  # fmt: skip
def test_a_label_is_read_whatever_marks_are_around_it(written):
    assert find_label(written, LABELS) == "correct"


@pytest.mark.parametrize(
    "written",
    [
        "not attempted",
        "not_attempted",
        "Not Attempted.",
        "NOT-ATTEMPTED",
        "**not_attempted**",
        "notattempted",
        "NotAttempted",
    ],
)
def test_a_label_of_two_words_is_read_however_they_are_joined(written):
    assert find_label(written, LABELS) == "not attempted"


@pytest.mark.parametrize(
    "written",
    [
        "", "...", "your verdict", "yes", "C", "maybe correct", "not correct", "partially correct", "correct or incorrect",
        "correct / incorrect", "incorrect, not correct", "correct, incorrect, not attempted", "correct (or incorrect)",
        "correct? no", "correctly", "verdict", "(correct) incorrect",
    ],
)  # fmt: skip
def test_what_is_no_label_or_more_than_one_is_none(written):
    assert find_label(written, LABELS) is None


@pytest.mark.parametrize(
    ("written", "label"),
    [("a", "A"), ("**B**", "B"), ("Answer A", "A"), ("Option B.", "B"), ("B (it says less)", "B"), ("B (a better answer)", "B"), ("Tie!", "tie"), ("A or B", None), ("AB", None)],
)  # fmt: skip
def test_a_label_of_one_letter_is_read_alone(written, label):
    assert find_label(written, ("A", "B", "tie")) == label
