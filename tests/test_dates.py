"""When a document was written, as it says so itself, in several languages and places."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from conftest import ROOT

from days.dates import dated, dates_in

FIFTH = date(2027, 3, 5)


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("Minutes of the meeting of 5 March 2027", "en"), ("As of March 5th, 2027", "en"), ("Friday, 5 Mar 2027", "en"),
        ("Version 2027-03-05", "en"), ("Stand: 5. März 2027", "de"), ("Stand: 05.03.2027", "de"),
        ("Procès-verbal du 5 mars 2027", "fr"), ("Réunion du 05/03/2027", "fr"), ("Acta de 5 de marzo de 2027", "es"),
        ("Verbale del 5 marzo 2027", "it"), ("Протокол от 5 марта 2027 года", "ru"), ("会议纪要 2027年3月5日", "zh"),
        ("議事録 2027年3月5日", "ja"), ("회의록 2027년 3월 5일", "ko"),
    ],
)  # fmt: skip
def test_a_title_gives_the_date(line, language):
    assert dated("text.txt", f"\n{line}\n\nMore.", language) == FIFTH


@pytest.mark.parametrize(
    "name",
    (
        "minutes_2027-03-05.txt",
        "20270305 minutes.md",
        "2027_03_05.txt",
        "old/2027.03.05/x_2027.03.05.pdf",
        "minutes_5_March_2027.txt",
    ),
)
def test_a_file_name_gives_the_date(name):
    assert dated(name, "The shop opens at nine.", "en") == FIFTH


def test_front_matter_goes_first_then_the_name_then_the_title():
    title = "Minutes of 7 March 2027"
    assert dated("a_2027-03-06.md", title, "en", {"date": FIFTH}) == FIFTH
    assert dated("a_2027-03-06.md", title, "en", {"created": "2027-03-01", "updated": "5 March 2027"}) == FIFTH
    assert dated("a.md", title, "en", {"date": datetime(2027, 3, 5, 8, 30)}) == FIFTH
    assert dated("a_2027-03-06.md", title, "en", {"author": "Orla Venn"}) == date(2027, 3, 6)
    assert dated("a.md", title, "en") == date(2027, 3, 7)


@pytest.mark.parametrize(
    "text",
    [
        "The bridge was opened on 5 March 2027.",  # what it tells of, not when it was written
        "Minutes of March 2027",
        "Minutes of 5 March",
        "Timetable from 5 March 2027 to 6 May 2027",
        "A\nB\nC\nD\nE\nMinutes of 5 March 2027",  # not at the beginning
        "Plan 2027-02-30",
        "Order 120270305",
        "",
    ],
)
def test_what_gives_no_date(text):
    assert dated("plan.txt", text, "en") is None


def test_english_leaves_open_which_number_is_the_day():
    assert dates_in("Updated 3/5/2027", "en") == set()
    assert dates_in("Updated 25/3/2027", "en") == {date(2027, 3, 25)}
    assert dates_in("Updated 3/25/2027", "en") == {date(2027, 3, 25)}
    assert dates_in("Stand 5.3.2027", "de") == {FIFTH}


def test_the_files_of_the_demo():
    found = {
        path.name: dated(path.name, path.read_text(encoding="utf-8"), "en") for path in (ROOT / "demo/days/5").iterdir()
    }
    assert found == {
        "supplier_contracts.txt": date(2027, 3, 12), "mossbell_sheet.txt": date(2027, 3, 12), "opening_hours.txt": date(2027, 3, 10),
        "notice_2027-03-11.txt": date(2027, 3, 11), "staff.txt": date(2027, 3, 12), "news_2027-03-09.txt": date(2027, 3, 9),
        "leave_policy.txt": date(2027, 3, 8), "minutes_2027-03-05.txt": date(2027, 3, 5),
    }  # fmt: skip
