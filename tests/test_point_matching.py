"""A long answer is right if it says each of its points and contradicts neither them nor the reference. No model."""

from __future__ import annotations

import pytest

from evaluation import judge_controls, matching
from evaluation.point_contradiction import contradicts, numbers_by_kind
from evaluation.reading import read

PASSWORDS = (
    "What does the policy say about passwords?",
    "Passwords are never shared, not even with administrators, because every access is logged under the owner's name.",
    ["never shared", "logged under the owner's name"],
)
REASON = ("Why must passwords never be shared?", PASSWORDS[1], ["logged under the owner's name"])
BADGE = (
    "May visitors enter the laboratory without a badge?",
    "No, visitors may not enter the laboratory without a badge, because the air in it is filtered.",
    ["air in it is filtered"],
)
STEPS = (
    "How is the filter changed?",
    "Switch off the pump, open the grey cover, take out the filter and wait 15 minutes before the new one goes in.",
    ["switch off the pump", "open the grey cover", "wait 15 minutes"],
)
LEAVE = (
    "What must employees do before a day off?",
    "Employees must tell their manager at least 14 days before the day off and enter it in the calendar.",
    ["tell their manager", "14 days", "calendar"],
)
OPENED = (
    "Why was the bridge closed?",
    "The bridge, which opened on 9 May 1991 at 14:30, was closed because two of its cables had rusted.",
    ["two of its cables had rusted"],
)
PASSWOERTER = (
    "Was gilt für Passwörter?",
    "Passwörter werden nie geteilt, auch nicht mit Administratoren, weil jeder Zugriff unter dem Namen des Inhabers "
    "protokolliert wird.",
    ["nie geteilt", "unter dem Namen des Inhabers protokolliert"],
)
URLAUB = (
    "Was müssen Mitarbeiter vor einem freien Tag tun?",
    "Sie müssen ihre Vorgesetzten mindestens 14 Tage vor dem freien Tag informieren und ihn in den Kalender eintragen.",
    ["Vorgesetzten informieren", "14 Tage", "in den Kalender eintragen"],
)
MIMA = (
    "为什么密码不得与他人共享？",
    "密码不得与他人共享，即使是管理员也不行，因为每次访问都会以所有者的名义记录。",
    ["以所有者的名义记录"],
)
QINGJIA = (
    "员工请假前要做什么？",
    "员工必须至少提前14天告知主管，并把假期登记在日历中。",
    ["14天", "告知主管", "登记在日历"],
)
CONGES = (
    "Que faut-il faire avant un congé ?",
    "Il faut prévenir son responsable au moins 14 jours avant le congé et inscrire celui-ci dans le calendrier commun.",
    ["prévenir son responsable", "14 jours", "dans le calendrier commun"],
)
OTPUSK = (
    "Что нужно сделать перед отпуском?",
    "Нужно предупредить руководителя не менее чем за 14 дней до отпуска и внести его в общий календарь.",
    ["предупредить руководителя", "14 дней", "общий календарь"],
)
FIRE = (
    "工厂后来怎么样？",
    "工厂在1973年大火过后十年重建，并开设了新的车间。",
    ["年大火过后", "新的车间"],
)
BRIDGE = (
    "谁修了桥，为什么？",
    "一位工程师修了桥，因为旧桥在1973年被洪水冲走了。",
    ["一位工程师", "洪水冲走"],
)
PARKING = (
    "May employees park here?",
    "Yes, but employees may not do so on Sundays, when the gate is closed.",
    ["Sundays"],
)
DEVICES = (
    "What must be reported?",
    "Lost or stolen devices must be reported to the helpdesk by phone within 24 hours.",
    ["lost", "stolen", "helpdesk"],
)
CHAIR = (
    "Wer wurde Vorsitzende und wer Stellvertreter?",
    "Vorsitzende: Claudia Meiß, Stellvertreter: Jens Petersen",
    ["Claudia Meiß", "Jens Petersen"],
)

RIGHT = [
    (BRIDGE, "工程师修的，因为旧桥被洪水冲走了。"),
    (PARKING, "Employees may not do so on Sundays."),  # reads as the rest of the reference
    (DEVICES, "Lost or stolen devices, to the helpdesk."),  # the reference has the "or"
    (CHAIR, "Claudia Meiß hat den Vorsitz, Jens Petersen die Stellvertretung."),
    (("Why was it closed in 2003?", *OPENED[1:]), "It was closed in 2003 because two of its cables had rusted."),
    (OPENED, "Two of its cables had rusted by 1991. It had never been painted."),
    (PASSWORDS, "Never shared passwords get logged under the owner's name."),
    (REASON, "They must never be shared and access is logged under the owner's name."),
    (FIRE, FIRE[1]),  # word for word, although a point begins behind its number
    (PASSWORDS, "They are never shared and every access is logged under the owner's name."),
    (PASSWORDS, "Every access is logged under the owner's name. Passwords are never shared."),
    (PASSWORDS, "Passwords are never shared as access is logged under the owner's name."),
    (REASON, "Because every access is logged under the owner's name."),
    (REASON, "They are not shared since access is logged under the owner's name."),
    (BADGE, "No. The air in it is filtered."),
    (BADGE, "Visitors may not, because the air in it is filtered."),
    (STEPS, "Open the grey cover, switch off the pump, wait fifteen minutes."),  # in any order
    (LEAVE, "They must tell their manager 14 days before and put it in the calendar, whether or not it is a Monday."),
    (OPENED, "Because two of its cables had rusted."),
    (OPENED, "Two of its cables had rusted; it had opened in 1991."),
    (PASSWOERTER, "Sie werden nie geteilt und jeder Zugriff wird unter dem Namen des Inhabers protokolliert."),
    (PASSWOERTER, "Niemals geteilt, nie; denn der Zugriff wird unter des Inhabers Namen protokolliert."),
    (URLAUB, "Den Vorgesetzten zwei Wochen vorher informieren und den Tag in den Kalender eintragen."),
    (MIMA, "因为每次访问都以所有者的名义记录。"),
    (QINGJIA, "提前十四天告知主管，并登记在日历里。"),
    (QINGJIA, "员工或实习生提前14天告知主管，并登记在日历里。"),  # the "or" stands beside no point
    (CONGES, "Prévenez le responsable quatorze jours avant et inscrivez-le dans le calendrier commun."),
    (OTPUSK, "Предупредите руководителя за четырнадцать дней и внесите отпуск в общий календарь."),
]
WRONG = [
    (PARKING, "No, not on Sundays."),
    (CHAIR, "Jens Petersen hat den Vorsitz, Claudia Meiß die Stellvertretung."),
    (LEAVE, "Maybe they tell their manager 14 days before, or maybe they put it in the calendar."),
    (STEPS, "Switch off the pump, it is forbidden to open the grey cover, wait 15 minutes."),
    (PASSWORDS, "Passwords are never shared."),  # a point is missing
    (PASSWORDS, "Passwords are never shared and access is not logged under the owner's name."),
    (PASSWORDS, "Passwords are shared and access is logged under the owner's name."),
    (REASON, "Because no access is logged under the owner's name."),
    (BADGE, "Yes, because the air in it is filtered."),
    (BADGE, "Visitors may enter because the air in it is filtered."),
    (STEPS, "Switch off the pump, open the grey cover, wait 20 minutes."),
    (STEPS, "Switch off the pump, do not open the grey cover, wait 15 minutes."),
    (STEPS, "Switch off the pump, open the grey cover and wait 10 or 15 minutes."),
    (LEAVE, "They must tell their manager 14 days after it and put it in the calendar."),
    (LEAVE, "They must either tell their manager or the office 14 days before it and put it in the calendar."),
    (LEAVE, "They must tell their manager within fourteen days or so and put it in the calendar."),
    (OPENED, "Because two of its cables had rusted; it had opened in 1992."),
    (OPENED, "Because two of its cables had rusted; it had opened in June 1991."),
    (OPENED, "Because two of its cables had rusted; it had opened at 15:30."),
    (OPENED, "Because two of its cables had not rusted."),
    (PASSWOERTER, "Sie werden nie geteilt, weil kein Zugriff unter dem Namen des Inhabers protokolliert wird."),
    (PASSWOERTER, "Sie werden geteilt, weil jeder Zugriff unter dem Namen des Inhabers protokolliert wird."),
    (URLAUB, "Den Vorgesetzten 30 Tage vorher informieren und den Tag in den Kalender eintragen."),
    (URLAUB, "Den Vorgesetzten 14 Tage vorher nicht informieren, aber den Tag in den Kalender eintragen."),
    (URLAUB, "Den Vorgesetzten 14 Tage vorher informieren."),
    (MIMA, "因为访问不会以所有者的名义记录。"),
    (QINGJIA, "提前7天告知主管，并登记在日历里。"),
    (QINGJIA, "提前14天告知主管，不用登记在日历。"),
    (CONGES, "On ne prévient pas le responsable 14 jours avant, mais on l'inscrit dans le calendrier commun."),
    (OTPUSK, "Не предупреждайте руководителя за 14 дней, внесите отпуск в общий календарь."),
]


def graded(case: tuple, response: str) -> tuple[str, str]:
    question, reference, points = case
    return matching.grade(reference, response, None, question, points=points)


@pytest.mark.parametrize(("case", "response"), RIGHT)
def test_every_point_said_is_right(case, response):
    assert graded(case, response)[0] == "correct"


@pytest.mark.parametrize(("case", "response"), WRONG)
def test_a_point_left_out_or_contradicted_is_wrong(case, response):
    assert graded(case, response)[0] == "incorrect"


@pytest.mark.parametrize("case", list({case[0]: case for case, _ in RIGHT + WRONG}.values()))
def test_every_reference_says_its_own_points(case):
    assert graded(case, case[1]) == ("correct", f"says {len(case[2])} of {len(case[2])} points")


def test_the_reason_counts_the_points():
    assert graded(STEPS, "Switch off the pump, then open the grey cover.") == ("incorrect", "says 2 of 3 points")
    denied = "Passwords are never shared and access is not logged under the owner's name."
    assert graded(PASSWORDS, denied) == ("incorrect", "says 2 of 2 points, but contradicts the reference")
    assert graded(STEPS, "I do not know.") == ("not attempted", "says 0 of 3 points")
    assert graded(STEPS, "") == ("not attempted", "says 0 of 3 points")
    # a point of fillers only, as a person may write it
    assert matching.count_points(["从"], MIMA[1], "", MIMA[0]) == (0, 1)
    assert graded(STEPS, "<think>\nSwitch off the pump, open the grey cover, wait 15 minutes.")[0] == "not attempted"


def test_a_point_that_the_question_says_proves_nothing_unless_there_is_no_other():
    points = ["never be shared", "logged"]
    assert matching.needed_points(points, REASON[0]) == ["logged"]
    assert matching.needed_points(points[:1], REASON[0]) == ["never be shared"]
    assert matching.needed_points(["shared never"], REASON[0]) == ["shared never"]  # not so in the question
    assert matching.needed_points(["他人共享", "所有者的名义"], MIMA[0]) == ["所有者的名义"]
    echoed = matching.grade(REASON[1], "Passwords must never be shared.", None, REASON[0], points=points)
    assert echoed == ("incorrect", "says 0 of 1 points")


def test_a_row_is_graded_by_its_points_and_one_without_an_answer_by_its_kind():
    row = {"question": STEPS[0], "reference": STEPS[1], "points": STEPS[2], "response": "Switch off the pump."}
    assert matching.grade_row(row) == ("incorrect", "says 1 of 3 points")
    assert matching.count_points_of_row(row) == (1, 3)
    echo = {"question": REASON[0], "reference": REASON[1], "points": ["never be shared", "logged"], "response": "?"}
    assert matching.count_points_of_row(echo) == (0, 1), "what the question says is no point"
    assert matching.grade_row({**row, "points": []})[1] == "token recall 0.18"
    unknown = {**row, "kind": "unknown", "response": "That is not known."}
    assert matching.grade_row(unknown) == ("correct", "says that it is not known") and matching.points_of(unknown) == []


def test_in_a_language_without_words_only_the_points_count():
    points = ["grå dörren", "15 minuter"]
    reference = "Man öppnar den grå dörren, väntar 15 minuter och tar sedan ut det gamla filtret."
    question = "Hur byter man filtret?"
    assert matching.match(reference, "Vänta 15 minuter vid den grå dörren.", question, points=points)
    assert not matching.match(reference, "Vänta 5 minuter vid den grå dörren.", question, points=points)
    assert not contradicts(points, reference, "Vänta inte 15 minuter vid den grå dörren.", question, "sv")


def test_what_is_forbidden_one_must_not():
    case = ("What is forbidden in the laboratory?", "Eating and drinking and the use of open flames.", ["open flames"])
    assert graded(case, "You must not use open flames.")[0] == "correct"


def test_the_kinds_of_numbers():
    found = numbers_by_kind(read("Within 14 days, 3 people, at 14:30 on Monday, 9 May 1991, for 20 euros", "en"))
    assert found == {"s": {1209600.0}, "year": {1991.0}, "EUR": {20.0}, "month": {"month#5"}, "time": {"14:30"}}


def test_points_are_counted_in_the_language_of_the_question_or_else_of_the_file():
    asked = ("1.250", "1250", "Wie viele Leute kamen?")
    assert matching.count_points(["1.250"], *asked) == (1, 1)
    assert matching.match(*asked, points=["1.250"])
    assert matching.match("1.250", "1250", language="de", points=["1.250"])
    assert not matching.match("1.250", "1250", language="en", points=["1.250"])


ROWS = [
    {"question": q, "reference": r, "points": p, "fact": r, "response": "r"} for q, r, p in (STEPS, LEAVE, PASSWORDS)
]


def test_controls_of_long_answers_are_right_and_wrong_by_their_points():
    controls = judge_controls.make_controls(ROWS, 3)
    verdicts = {
        kind: [
            matching.grade(c.row["reference"], c.answer, None, c.row["question"], points=c.row["points"])[0]
            for c in controls
            if c.kind == kind
        ]
        for kind in ("right", "other fact", "altered")
    }
    assert verdicts == {"right": ["correct"] * 3, "other fact": ["incorrect"] * 3, "altered": ["incorrect"] * 2}


def test_only_what_a_point_says_is_altered_in_a_control():
    row = {
        "question": "Who signs?",
        "reference": "From 2027 on, 3 of the 9 members of the board around Ann Pellow sign together with Bob Marsh.",
        "points": ["9 members", "Ann Pellow"],
    }
    others = [{"reference": "Dora Finch"}]
    altered = "From 2027 on, 3 of the 12 members of the board around Ann Pellow sign together with Bob Marsh."
    assert judge_controls.altered_reference(row, others) == altered
    names = {**row, "points": ["ann pellow"]}
    assert judge_controls.altered_reference(names, others) == row["reference"].replace("Pellow", "Dora")
    assert judge_controls.altered_reference({**row, "points": ["sign together"]}, others) is None
