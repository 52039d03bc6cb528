"""String matching: what counts as the same answer, and the three classes. No model."""

from __future__ import annotations

import pytest

from evaluation import matching, tokens

SAME = [  # reference, response
    ("Ilsabet Corrane", "ILSABET CORRANE"),
    ("Ilsabet Corrane", "The chief executive is Ilsabet Corrane."),
    ("Ilsabet Corrane", "Corrane, Ilsabet"),
    ("The Borrowed Goose", "It was Borrowed Goose."),
    ("an otter", "otter"),
    ("vitamin A", "It is vitamin A that helps."),
    ("seven", "7"),
    ("7", "Seven goals"),
    ("twenty-one", "21"),
    ("21", "Twenty one of them"),
    ("zero", "0"),
    ("100", "one hundred"),
    ("hundred", "a 100"),
    ("311", "three hundred and eleven"),
    ("186", "one hundred eighty-six"),
    ("third", "3rd"),
    ("twelfth", "the 12th"),
    ("3 November", "on November 3rd"),
    ("21st", "twenty-first"),
    ("10^6 litres", "It is 10⁶ litres."),
    ("10⁻⁶ m", "10^-6 m"),
    ("1987", "In 1987¹."),  # the mark of a note
    ("5 m²", "5 m2"),
    ("3,870", "There were 3870 visitors."),
    ("3870", "3,870."),
    ("212,000 years", "212000 years"),
    ("1,234,567", "1234567"),
    ("1,234.5", "1234.5"),
    ("84.6 million euros", "Revenue: 84.6 million euros."),
    ("84.6 million euros", "€84.6 million"),
    ("54.3 percent", "54.3%"),
    ("54.3 percent", "54.3 per cent"),
    ("38 degrees", "38°C"),
    ("0.5", ".5"),
    ("28-27", "They won 28\u201327."),
    ("two-one", "2-1"),
    ("long-time mayor", "a long time mayor"),
    ("ﬁne print", "fine print"),  # a ligature, undone by NFKC
    ("\uff15\uff18", "58"),
    ("Senn Maroy", "Senn Maroy\u2019s"),
    ("Müller-Straße", "MÜLLER STRASSE"),
    ("3 a.m.", "at 3 am"),
    ("768 megabytes", "768megabytes"),
    ("东京大学", "答案是东京大学。"),
    ("2026年", "公司成立于2026年"),
    ("きつね", "きつねです"),
    ("Ann Bell's Low Ferry Inn", "Ann Bell, Low Ferry"),  # four of five is the threshold
    ("on January 5, 2011", "January 5, 2011"),
    ("in the 1970s", "1970s"),
    ("as chief of the laboratory", "chief, laboratory"),
    ("9 May 1991", "1991-05-09"),
    ("9 January 1991", "Jan. 9, 1991"),
    ("two and a half years", "2\u00bd years"),
    ("3.2 million", "3,200,000"),
    ("84.6 billion", "84,600,000,000"),
    ("1.1 trillion", "1,100,000,000,000"),
    ("1.2345 thousand", "1234.5"),
    ("2 thousand and 50", "2,050"),
    ("2,050 days", "two thousand and fifty days"),
    ("1,250.50 crowns", "1.250,50 crowns"),  # of both separators, the last is the decimal one
    ("1.250.000", "1250000"),
    ("١٢٬٥٠٠ درهم", "12,500 درهم"),
    ("३.२ करोड़", "3.2 करोड़"),
    ("百八十万円", "180万円"),
    ("二〇一一年", "2011年"),
    ("한도윤이다", "한도윤"),
    ("Şükrü Işık", "ŞÜKRÜ IŞIK"),
    ("Żaneta Łęcka", "Zaneta Lecka"),
    ("Jürgen Müller", "Juergen Mueller"),
    ("أحمد حسن", "احمد حسن"),
    ("ο Νίκος Βαρδής", "Ο ΝΙΚΟΣ ΒΑΡΔΗΣ"),
]

DIFFERENT = [
    ("106 litres", "10⁶ litres"),
    ("10^6 litres", "106 litres"),
    ("10⁻⁶ m", "10⁶ m"),
    ("4", "14"),
    ("14", "4"),
    ("4", "4.5"),
    ("84.6", "84"),
    ("6", "84.6"),
    ("5", "0.5"),
    ("28", "28-27"),
    ("28-27", "27-28"),
    ("5 degrees", "-5 degrees"),
    ("1", "twenty-one"),
    ("100", "two hundred"),
    ("870", "3,870"),
    ("3,870", "3, 870"),
    ("cat", "concatenate"),
    ("vitamin A", "vitamin C"),
    ("Old Old Bellows", "Old Bellows"),  # counted as often as it occurs
    ("东京", "东方"),
    ("one two three four", "1 2 3"),
    ("one two three four five", "1 2 3 4"),  # and no number may be missing
    ("The Pelorin went on sale on 21 May 2026", "The Pelorin went on sale on 24 May 2026"),
    ("Brass Sounder", ""),
    ("Brass Sounder", "the a an"),
    ("9 May 1991", "1991-09-05"),
    ("1,250 crowns", "1.250 crowns"),
    ("3.2 million", "3.2 billion"),
    ("84.6 billion", "84,600,000,001"),
    ("Kestrel 2.10", "Kestrel 2.1"),
    ("١٢", "21"),
    ("三人", "五人"),
    ("má", "mà"),  # two accents are two words
    ("が", "か"),
]


@pytest.mark.parametrize(("reference", "response"), SAME)
def test_match(reference, response):
    assert matching.match(reference, response)


@pytest.mark.parametrize(("reference", "response"), DIFFERENT)
def test_no_match(reference, response):
    assert not matching.match(reference, response)


@pytest.mark.parametrize("text", [text for pair in SAME + DIFFERENT for text in pair if tokens.tokens(text)])
def test_every_text_matches_itself(text):
    assert tokens.token_recall(text, text) == 1


def test_tokens_and_recall():
    assert tokens.tokens("The U.S. paid $1,200.50 in 2024. Twenty-five won 3-2; GPT-4.5, 北京!") == (
        ["the", "us", "paid", "dollars", "1200.50", "in", "2024", "25", "won", "3-2", "gpt", "4.5", "北", "京"]
    )
    assert tokens.token_recall("11 February 2027", "11 February 2026") == pytest.approx(2 / 3)
    assert tokens.token_recall("!?", "!?") == 0


NOT_KNOWN = [
    "**Unknown.**",
    "Sorry. I do not know who owns it.",
    "I'm sorry, there is no mention of it.",
    "That information isn't provided.",
    "It cannot be answered from the text.",
    "The context does not include this information.",
    "It is impossible to say.",
    "Nobody knows.",
    "それは分かっていません。",  # as collection says it
    "그것은 알 수 없습니다.",
    "I don't know.",
    "I do not know who that is.",
    "I’m not sure.",
    "I cannot answer that.",
    "I can't say.",
    "It is not known.",
    "Unknown",
    "The date is unknown.",
    "There is no record of it.",
    "It isn't stated in the text.",
    "I do not have enough information to answer.",
    "That has not been announced.",
    "The documents do not say who.",
    "N/A",
    "I don't know, but I can look.",
    "我不太了解。",
    "Das weiß ich leider nicht.",
    "Das steht dort aber leider nicht.",  # a "but" within what says so
    "Der Text nennt das Haus, aber nicht die Farbe des Daches.",
    "我不知道。",
    "文中未提及",
    "",
    " . ",
]
CLAIMS = [
    "The price does not include breakfast.",
    "It's provided by Ann.",
    "Sorry seems to be the hardest word.",
    "Ann Pellow",
    "Unknown Pleasures",
    "He knew Paris.",
    "The cat isn't black.",
    "No, Ann Pellow did.",
    "It was Ann Pellow. Her age is not known.",
    "It is unknown to most, but the roof is red.",
    "Das ist unbekannt, aber das Dach ist rot.",
    "On ne sait pas, mais le toit est rouge.",
    "No se sabe, pero el techo es rojo.",
    "Это неизвестно, но крыша красная.",
    "文中没有说明，但是屋顶是红色的。",
]


def test_what_says_that_the_answer_is_not_known():
    assert [text for text in NOT_KNOWN if not matching.says_unknown(text)] == []
    assert [text for text in CLAIMS if matching.says_unknown(text)] == []


def test_the_three_classes():
    assert matching.grade("Ann Pellow", "It was Ann Pellow.") == ("correct", "token recall 1.00")
    assert matching.grade("Ann Pellow", "It was Bob.")[0] == "incorrect"
    assert matching.grade("Ann Pellow", "I do not know.")[0] == "not attempted"
    assert matching.grade("Ann Pellow", "")[0] == "not attempted"
    assert matching.grade("Ann Pellow", "I do not know, perhaps Ann Pellow.")[0] == "correct"


def test_a_question_without_an_answer_is_right_when_it_is_refused():
    assert matching.grade("This is not known.", "Nobody knows: it is not recorded.", "unknown") == (
        "correct",
        "says that it is not known",
    )
    assert matching.grade("This is not known.", "This is Ann Pellow, known to all.", "unknown") == (
        "incorrect",
        "claims to know",
    )
    assert matching.grade("Non è noto.", "Non è noto, mi dispiace.", "unknown")[0] == "correct"
    assert matching.grade("This is not known.", " ", "unknown") == ("not attempted", "says nothing")


@pytest.mark.parametrize(
    ("reference", "response", "kind", "verdict"),
    [
        ("That is not known.", "<think>\n\n</think>\n\nThat is not known.", "unknown", "correct"),
        ("That is not known.", "<think>\nIt may be known.\n</think>\n\nThe roof is red.", "unknown", "incorrect"),
        ("Greta Solvang", "<think>\n\n</think>\n\nGreta Solvang", None, "correct"),
        ("Greta Solvang", "<think>\nIs it Greta Solvang?\n</think>\n\nPiet Halloran", None, "incorrect"),
        ("Greta Solvang", "Is it Greta Solvang?\n</think>\n\nPiet Halloran", None, "incorrect"),
        ("Greta Solvang", "<think>\nIs it Greta Solvang? I should", None, "not attempted"),
    ],
)
def test_a_thought_is_not_graded(reference, response, kind, verdict):
    assert matching.grade(reference, response, kind)[0] == verdict
