"""Answers in English: the same in another form, and what takes back what it says. No model."""

from __future__ import annotations

import pytest

from evaluation import matching
from evaluation.tokens import FORMS, YEAR_FIRST, tokens

SAME = [  # question, reference, response
    # units and amounts
    ("How long is it?", "1.2 km", "It is 1,200 metres long."),
    ("How long is it?", "1.2 km", "It is 1.2 kilometers long."),
    ("How fast is it?", "120 km/h", "120 kilometres per hour"),
    ("How large is it?", "25 square metres", "25 sqm"),
    ("How large is it?", "25 m²", "25 square meters"),
    ("How hot is it?", "38 °C", "38 degrees Celsius"),
    ("How long does it take?", "two weeks", "14 days"),
    ("How long does it take?", "half an hour", "30 minutes"),
    ("What does it cost?", "€50", "50 EUR"),
    ("What does it cost?", "50 euros", "50 euro"),
    ("What was the revenue?", "£3bn", "3 billion pounds"),
    ("What was the revenue?", "$1.5 million", "$1.5M"),
    ("How many came?", "12 500", "12,500 people"),
    ("What share?", "half", "50%"),
    ("What share?", "three quarters of the members", "75% of the members"),
    ("Which century?", "19th century", "the nineteenth century"),
    ("How many?", "the twentieth", "20th"),
    # dates, times, ranges
    ("When?", "3 November 1998", "3.11.1998"),
    ("When?", "21 May 2026", "5/21/2026"),
    ("When?", "21/5/2026", "May 21, 2026"),
    ("When?", "3/5/2026", "On 3/5/2026."),
    ("When?", "4 May 2026", "2026/5/4"),
    ("When does it open?", "14:30", "at 2:30 p.m."),
    ("When does it open?", "9 am", "9:00"),
    ("When does it open?", "09:00", "9 a.m."),
    ("When does it open?", "9:30", "9:30 am"),
    ("When does it open?", "noon", "12 pm"),
    ("When does it close?", "12 am", "at midnight"),
    ("What are the hours?", "9 am to 5 pm", "9:00-17:00"),
    ("How many days?", "10\u201314 days", "between ten and fourteen days"),
    ("When did it last?", "1914-1918", "from 1914 to 1918"),
    ("What was the score?", "3-2", "They won three to two."),
    # names, versions, addresses
    ("Who wrote it?", "J. R. R. Bell", "JRR Bell"),
    ("Who wrote it?", "J.R.R. Bell", "J. R. R. Bell"),
    ("Who wrote it?", "Dr. Ann Bell", "Ann Bell"),
    ("Who wrote it?", "Ann F. Bell", "It was Ann Bell."),
    ("Who wrote it?", "Jürgen Müller", "Juergen Mueller"),
    ("Who wrote it?", "Juergen Mueller", "Jürgen Müller"),
    ("Which version?", "v3.11", "version 3.11"),
    ("What is the address?", "https://example.com/a", "example.com/a"),
    ("What is played?", "No. 5", "They play No. 5."),
    ("Which bands?", "Run DMC, Schooly D, N.W.A", "N.W.A., Run DMC and Schooly D"),
    # yes, no, not
    ("Is it open on Sundays?", "Yes", "It is open on Sundays."),
    ("Is it open on Sundays?", "No", "It isn't."),
    ("Is smoking banned?", "Yes", "Smoking is banned."),
    ("May dogs come?", "No, their claws would ruin the deck within a year.", "No, they may not."),
    ("May dogs come?", "No, their claws would ruin the deck within a year.", "Dogs are not allowed."),
    ("Is there an answer?", "No", "No, there is no information on it."),
    ("What is not covered?", "Glass damage is not covered.", "Glass damage isn't covered."),
    ("Who wrote it?", "Ann Bell", "Not Bob but Ann Bell wrote it."),
    ("What did they approve?", "the new bridge", "They approved the new bridge, not the tunnel."),
    ("Who wrote what?", "Ann wrote the book", "Ann, not Bob, wrote the book."),
    ("Who may not enter?", "children", "Not children."),
    ("How long?", "8 hours", "8 hours, or 33 percent of a day"),
    ("Is it 3 or 4?", "4", "3 or 4: it is 4"),
]
DIFFERENT = [
    ("How heavy is it?", "5 kg", "5 g"),
    ("How far is it?", "5 km", "5 miles"),
    ("How far is it?", "3 km", "It is 3 hours away."),
    ("How heavy is it?", "5 kg of sand", "5 kg"),
    ("What does it cost?", "$4m", "4 metres"),
    ("What does it cost?", "$12k", "$12"),
    ("What share?", "half", "a third"),
    ("When?", "3/5/2026", "5/3/2026"),
    ("When?", "3 May 2026", "3/5/2026"),  # or the fifth of March
    ("When does it open?", "9 am", "9 pm"),
    ("When does it open?", "noon", "midnight"),
    ("What was the score?", "3-2", "2 to 3"),
    ("Which version?", "2.3.1", "2.3.10"),
    ("Who wrote it?", "Ann Bell", "Tim Bell"),
    ("Who pays?", "the local council", "the county council"),
    ("Which cities?", "Berlin, Paris, Rome, Madrid and Oslo", "Berlin, Paris, Rome and Madrid"),
    ("Which cities?", "Berlin, Paris, Rome, Madrid, Oslo", "Berlin, Paris, Rome, Madrid"),
    # yes, no, not
    ("Is it open on Sundays?", "No", "Yes, there is no fee."),
    ("Is it open on Sundays?", "Yes", "Yes and no."),
    ("Is it open on Sundays?", "Yes", "The town was founded by monks long ago."),
    ("Is it open on Sundays?", "No", "I do not know."),
    ("Is it open on Sundays?", "Yes, from 10 am", "Yes, from 11 am."),
    ("Is smoking banned?", "Yes", "Smoking is not banned."),
    ("May dogs come?", "No, their claws would ruin the deck within a year.",
     "Yes, their claws would not ruin the deck within a year."),
    ("What is played?", "No. 5", "No."),
    ("Who wrote it?", "Ann Bell", "It was not Ann Bell."),
    ("Who wrote it?", "Ann Bell", "It wasn't Ann Bell."),
    ("Where is the data?", "The data is stored on the server.", "The data is never stored on the server."),
    ("What is covered?", "Glass damage is not covered by the policy.", "Glass damage is covered by the policy."),
    ("Who wrote it?", "Ann Bell", "It could be Ann Bell, or perhaps Bob Carr."),
    ("When was it built?", "1998", "in 1997 or 1998"),
    ("How many?", "7", "It may be 5, 6, 7 or 8."),
]  # fmt: skip


@pytest.mark.parametrize(("question", "reference", "response"), SAME)
def test_the_same(question, reference, response):
    assert matching.match(reference, response, question)


@pytest.mark.parametrize(("question", "reference", "response"), DIFFERENT)
def test_not_the_same(question, reference, response):
    assert not matching.match(reference, response, question)


def test_a_date_that_begins_with_the_year_is_read_in_any_language():
    assert matching.match("2019年4月1日", "2019/4/1", "設立はいつ？")
    assert matching.match("2019년 4월 1일", "2019-04-01", "설립일은 언제인가요?")
    assert not matching.match("2019年4月1日", "2019/1/4", "設立はいつ？")
    assert tokens("1.2019.4.1", YEAR_FIRST) == ["1.2019.4.1"]


def test_forms_are_read_after_the_words_for_numbers():
    assert tokens("From nine to 5 p.m. it can't open.", FORMS) == "from 9-17:00 it can not open".split()
