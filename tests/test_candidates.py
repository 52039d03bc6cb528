"""Pairs of facts that may contradict one another: the same subject and relation, another value."""

from __future__ import annotations

import pytest

from days.candidates import find_rivals

SURE, ASKED, NONE = "sure", "asked", None  # whether a rule decides, a model is asked, or they are no pair


def told(first: str, second: str, *questions: list[dict]):
    """What is found of two facts, with their values."""
    asked = questions or ([], [])
    facts = [{"text": text, "questions": rows} for text, rows in zip((first, second), asked, strict=True)]
    rivals = find_rivals(facts, {1})
    assert [(rival.first, rival.second) for rival in rivals] in ([], [(0, 1)])
    return (None, None) if not rivals else (SURE if rivals[0].is_sure else ASKED, rivals[0].values)


@pytest.mark.parametrize(
    ("first", "second", "values"),
    [
        ("The Saltgate shop closes at 18:25.", "The Saltgate shop now closes at 19:40.", ("18:25", "19:40")),
        ("Requests for leave at Orla Works go to Yolanda Cripwell.", "Requests for leave at Orla Works now go to Edmer Fosse.", ("Yolanda Cripwell", "Edmer Fosse")),
        ("The contract with Thornvale Furnace runs until 30 June 2029.", "The contract with Thornvale Furnace runs until 1 May 2031.", ("30 June 2029", "1 May 2031")),
        ("A ticket for the Wherrygate market costs €6.", "A ticket for the Wherrygate market costs 7 euros.", ("€6", "7 euros")),
        ("A ticket for the Wherrygate market costs 6 euros.", "A ticket for the Wherrygate market costs 7 dollars.", ("6 euros", "7 dollars")),
        ("Das Freibad Nelby öffnet um 9:30 Uhr.", "Das Freibad Nelby öffnet jetzt um 10:15 Uhr.", ("9:30 Uhr", "10:15 Uhr")),
        ("Die Probezeit bei Orla Venn dauert 3 Monate.", "Die Probezeit bei Orla Venn dauert künftig 6 Monate.", ("3 Monate", "6 Monate")),
        ("Le magasin de Nelby ferme à 18 heures.", "Le magasin de Nelby ferme désormais à 19 heures.", ("18 heures", "19 heures")),
        ("La tienda de Nelby cierra el 3 de mayo de 2027.", "La tienda de Nelby cierra ahora el 5 de mayo de 2027.", ("3 de mayo de 2027", "5 de mayo de 2027")),
        ("Магазин в Нелби закрывается в 18:25.", "Магазин в Нелби теперь закрывается в 19:40.", ("18:25", "19:40")),
        ("员工每年有15天年假。", "员工每年现有20天年假。", ("15天", "20天")),
        ("The 14th edition of the atlas has 320 pages.", "The 14th edition of the atlas has 340 pages.", ("320 pages", "340 pages")),
    ],
)  # fmt: skip
def test_another_value_of_one_thing_is_sure(first, second, values):
    assert told(first, second) == (SURE, values)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The Copperlane shop is managed by Perrin Ostlake.", "The Copperlane shop is run by Mavra Dunsel."),
        ("The Saltgate shop opens at 9 and closes at 18:25.", "The Saltgate shop opens at 10 and closes at 19:40."),
        (
            "The handle of the Emberjack lantern is made of copper.",
            "The handle of the Emberjack lantern is made of brass.",
        ),
        ("The Mill Stairs shop stays closed on Monday.", "The Mill Stairs shop stays closed on Tuesday."),
        ("Anna Bell leads the choir of Nelby School.", "Carl Dunn leads the choir of Nelby School."),
    ],
)
def test_of_what_may_be_another_value_a_model_is_asked(first, second):
    assert told(first, second)[0] in (ASKED, SURE)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The Saltgate shop closes at 18:25.", "The Saltgate shop closes at 18:25 now."),
        ("A barrel of oil costs Orla Works 210 euros.", "A barrel of oil costs Orla Works €210."),
        ("The Emberjack lantern costs 64 euros.", "The Duskling lantern costs 38 euros."),
        ("The Emberjack lantern weighs 870 grams.", "The Emberjack lantern burns for 26 hours."),
        ("The Emberjack lantern costs 64 euros.", "The Emberjack travel case is sewn by Petra Daskell."),
        ("In 2023 Orla Works sold 4,000 lamps.", "In 2024 Orla Works sold 5,000 lamps."),
        (
            "The Mossbell lantern was designed by Fabrice Onyett.",
            "The Emberjack lantern was designed by Sixten Valderose.",
        ),
        ("Orla Works employs 43 people.", "The contract of Orla Works with Thornvale Furnace ends on 3 May 2029."),
        ("It costs 64 euros.", "It costs 71 euros."),
    ],
)
def test_what_is_no_pair(first, second):
    assert told(first, second) == (None, None)


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("Volunteers may park in the yard of Orla Works.", "Volunteers may not park in the yard of Orla Works.", SURE),
        ("Besucher dürfen im Hof parken.", "Besucher dürfen nicht im Hof parken.", SURE),
        (
            "Volunteers may park in the yard of Orla Works.",
            "Volunteers may not park in the new yard of Orla Works.",
            SURE,
        ),
        (
            "Volunteers may park in the yard of Orla Works.",
            "Volunteers may not park in the back yard of Orla Works.",
            ASKED,
        ),
    ],
)
def test_a_denial(first, second, found):
    assert told(first, second) == (found, ("", ""))


def question(text, answer, **more):
    return {"question": text, "answer": answer, "kind": "qa", **more}


def test_which_part_is_the_value_is_told_by_what_is_asked():
    """Two lamps of one price are no contradiction; two heads of one shop are, wherever the name stands."""
    first, second = "The lamp Emberjack costs 64 euros.", "The lamp Duskling costs 64 euros."
    price = "How much does the lamp {} cost?"
    assert (
        told(first, second, *([question(price.format(n), "64 euros")] for n in ("Emberjack", "Duskling")))[0] == ASKED
    )
    first, second = "Mavra Dunsel manages the Copperlane shop.", "Perrin Ostlake manages the Copperlane shop."
    assert told(first, second)[0] == ASKED
    asked = ([question("Who manages the shop?", "Mavra Dunsel")], [question("Who runs the shop?", "Perrin Ostlake")])
    assert told(first, second, *asked) == (SURE, ("Mavra Dunsel", "Perrin Ostlake"))
    reverse = (
        [question("Who manages the shop?", "Mavra Dunsel", kind="reverse")],
        [question("Who?", "Perrin Ostlake", form="reverse")],
    )
    assert told(first, second, *reverse)[0] == ASKED


def test_one_question_with_two_answers_is_a_pair_however_the_facts_are_worded():
    first, second = (
        "Since May the Copperlane shop has been in the hands of Mavra Dunsel.",
        "The boss at the Copperlane shop of Orla Works, Perrin Ostlake, took over.",
    )
    ask = "Who manages the Copperlane shop?"
    same = told(first, second, [question(ask, "Mavra Dunsel")], [question(ask, "Perrin Ostlake")])
    assert same[1] == ("Mavra Dunsel", "Perrin Ostlake")
    assert told(first, second, [question(ask, "Mavra Dunsel")], [question(ask, "It is Mavra Dunsel.")]) == (None, None)
    yes = [question(ask, "Yes.", form="yes_no")], [question(ask, "No.", form="yes_no")]
    assert told(first, second, *yes) == (None, None)


def test_only_pairs_with_a_fresh_fact_are_found():
    facts = [{"text": f"The Saltgate shop closes at {hour}:25."} for hour in (17, 18, 19)]
    assert [(r.first, r.second) for r in find_rivals(facts, {2})] == [(0, 2), (1, 2)]
    assert find_rivals(facts, set()) == find_rivals([], set()) == []
