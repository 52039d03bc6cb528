"""Raised and lowered numbers: marks of notes go, powers, units, ordinals and formulas stay what they are, in HTML and Markdown."""

from __future__ import annotations

import pytest

from data_processor.documents import clean
from data_processor.numbered import find_numbers, invented_numbers

NOTES = [
    ("It sank in 1987<sup>1</sup> here.", "It sank in 1987 here."),
    ("It sank in <b>1987</b><sup>2</sup>.", "It sank in 1987."),
    ("In 1987–89<sup>3</sup>, on 4.5.1987<sup>a</sup>", "In 1987–89, on 4.5.1987"),
    ("The ferry<sup>1</sup> sank<sup>*</sup> with 12 men<sup>2</sup>", "The ferry sank with 12 men"),
    ("The ferry<sup>[1]</sup>, 1987<sup>[note 2]</sup>", "The ferry, 1987"),
    ("It sank.<sup>1</sup> “So,”<sup>2</sup> 40 %<sup>3</sup>", "It sank. “So,” 40 %"),
    ("sank<sup>1, 2</sup> there<sup>3</sup><sup>,</sup><sup>4</sup> 1987<sup>1</sup><sup>2</sup>", "sank there 1987"),
    (
        "Ltd<sup>2</sup>, BBC<sup>3</sup>, population<sup>a</sup>, 1,250<sup>2</sup>, 31<sup>b</sup>",
        "Ltd, BBC, population, 1,250, 31",
    ),
    ("It cost 120<sup>1</sup> (see above)<sup>2</sup>", "It cost 120 (see above)"),
    ("渡轮<sup>1</sup>于1987年<sup>2</sup>沉没。<sup>3</sup>", "渡轮于1987年沉没。"),
    ("Паром<sup>1</sup> утонул", "Паром утонул"),
    ("The ferry <sup>1</sup> sank", "The ferry sank"),
]
STAY = [
    ("10<sup>6</sup> litres, 10<sup>-6</sup> m, 2<sup>10</sup>", "10^6 litres, 10^-6 m, 2^10"),
    ("6.02 × 10<sup>23</sup>, 10<sup>1</sup>, 120<sup>2</sup>", "6.02 × 10^23, 10^1, 120^2"),
    ("1987<sup>2</sup> = 3948169, 1024<sup>2</sup>", "1987^2 = 3948169, 1024^2"),
    ("120 m<sup>2</sup>, 5 km<sup>3</sup>, 5 in<sup>2</sup>, kg·m<sup>2</sup>·s<sup>-1</sup>", "120 m², 5 km³, 5 in², kg·m²·s⁻¹"),
    ("12 км<sup>2</sup>, 5 米<sup>2</sup>, 3 square miles<sup>2</sup>", "12 км², 5 米², 3 square miles²"),
    ("x<sup>2</sup>, E = mc<sup>2</sup>, sin<sup>2</sup> x, (a+b)<sup>2</sup>, (Item)<sup>*</sup>", "x², E = mc², sin² x, (a+b)^2, (Item)*"),
    ("2<sup>n</sup>, 2<sup>n+1</sup>, e<sup>x</sup>, 10<sup>0.5</sup>", "2^n, 2^(n+1), e^x, 10^0.5"),
    ("CO<sub>2</sub>, SO<sub>4</sub><sup>2-</sup>, Ca<sup>2+</sup>, Na<sup>+</sup>, the <sup>14</sup>C method", "CO2, SO4^2-, Ca^2+, Na+, the 14C method"),
    ("1<sup>st</sup>, 3<sup>rd</sup>, XIX<sup>e</sup>, M<sup>me</sup>, n<sup>o</sup> 5, 1.<sup>er</sup>, 1<sup>a</sup>, 100<sup>e</sup>, 12<sup>h</sup>30<sup>m</sup>, Brand<sup>TM</sup>",
     "1st, 3rd, XIXe, Mme, no 5, 1.er, 1a, 100e, 12h30m, BrandTM"),
    ("1<sup>1</sup>/<sub>2</sub> pills, <sup>1</sup>/<sub>2</sub>", "1 1/2 pills, 1/2"),
    ("8<sup>30</sup>–16<sup>00</sup>, $9<sup>99</sup>, 9<sup>99</sup> €", "8:30–16:00, $9.99, 9.99 €"),
    ("1010<sub>2</sub>, log<sub>2</sub>8, x<sub>1</sub>", "1010_2, log2 8, x1"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "text"), [*NOTES, *STAY])
def test_a_mark_of_a_note_goes_and_a_power_stays_one(source, text):
    assert clean("a.html", f"<p>{source}</p>").text.strip() == text
    assert clean("a.html", f"<table><tr><td>{source}</td><td>b</td></tr></table>").text.strip() == f"{text}; b."


@pytest.mark.parametrize(("source", "text"), [*NOTES[:-1], *STAY])
def test_markdown_has_the_same(source, text):
    source = source.replace("<b>", "**").replace("</b>", "**")
    assert clean("a.md", f"{source}\n").text.strip() == text
    assert clean("a.md", f"| a |\n|---|\n| {source} |\n").text.strip().rstrip(".") == f"a: {text}".rstrip(".")


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.html", '<p>Sunk 1987<sup><a href="#footnote-1" id="footnote-ref-1">[1]</a></sup> there, 3<sup><a href="a.html#n4">4</a></sup> times.</p>'),
        ("a.html", '<p>Sunk 1987<a href="#fn1" class="footnote-ref"><sup>1</sup></a> there, 3<a href="#b"><span><sup>4</sup></span></a> times.</p>'),
        ("a.md", "Sunk 1987<sup>[1](#fn1)</sup> there, 3[<sup>4</sup>](#fn4) times<sup>\\[5\\]</sup>.\n"),
    ],
)  # fmt: skip
def test_a_link_to_a_note_goes_whatever_it_stands_on(name, raw):
    assert clean(name, raw).text.strip() == "Sunk 1987 there, 3 times."


def test_the_number_of_a_note_itself_stays_and_the_way_back_from_it_goes():
    raw = "<p><sup>1</sup> Ann, 1931.</p><p><sup>2</sup>Ida, 1956. <a href='#footnote-ref-1'>↑</a></p><p>See <a href='#a'>above</a>.</p>"
    lines = [line.strip() for line in clean("a.html", raw).text.strip().split("\n\n")]
    assert lines == ["1 Ann, 1931.", "2 Ida, 1956.", "See above."]


def test_a_raised_number_leads_back_to_its_place():
    for name, raw in (
        ("a.html", "<p>It holds 10<sup>6</sup> litres since 1987<sup>1</sup> there.</p>"),
        ("a.md", "It *holds* 10<sup>6</sup> litres\nsince 1987<sup>1</sup> there.\n"),
        ("a.html", "<table><tr><td>10<sup>6</sup> litres</td><td>1987<sup>1</sup> there</td></tr></table>"),
    ):
        document = clean(name, raw)
        for words, source in (
            ("^6", "<sup>6</sup>"), ("10^6 litres", "10<sup>6</sup> litres"), ("1987 there", "1987<sup>1</sup> there"),
        ):  # fmt: skip
            start = document.text.index(words)
            assert raw[slice(*document.to_file_offsets(start, start + len(words)))] == source


def test_what_is_code_or_not_shown_has_no_notes():
    assert (
        clean("a.md", "Write `1987<sup>1</sup>` so, ~~1987<sup>1</sup>~~ 1988.\n").text
        == "Write 1987<sup>1</sup> so,  1988.\n"
    )
    assert (
        clean("a.html", "<p>It<del>1<sup>2</sup></del> is<sup>, and 1987<p>old.</p>").text.strip()
        == "It is, and 1987\n\nold."
    )


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("10⁶ litres", {"10", "^6"}),
        ("10^6 litres", {"10", "^6"}),
        ("10⁻⁶ m, 10^−6 m", {"10", "^-6"}),
        ("in 1987¹ and 1,250²³", {"1987", "^1", "1250", "^23"}),
        ("120 m², 120 m2, 120 m^2", {"120", "2"}),
        ("CO₂", {"2"}),
    ],
)
def test_a_raised_digit_is_no_digit_of_the_number_before_it(text, numbers):
    assert find_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "source", "invented"),
    [
        ("It was dug in 1987.", "It was dug in 1987¹ by 12 men².", set()),
        ("It was dug in 19871.", "It was dug in 1987¹.", {"19871"}),
        ("It holds 106 litres.", "It holds 10⁶ litres.", {"106"}),
        ("It holds 106 litres.", "It holds 10^6 litres.", {"106"}),
        ("It holds 10^6 litres.", "It holds 10⁶ litres.", set()),
        ("It holds 10^7 litres, 10⁹ at most.", "It holds 10⁶ litres.", {"^7", "^9"}),
        ("It holds 6 litres.", "It holds 10⁻⁶ litres.", {"6"}),
        ("It has 120 m2.", "It has 120 m².", set()),
    ],
)
def test_a_power_is_not_made_of_a_number_nor_a_number_of_a_power(text, source, invented):
    assert invented_numbers(text, source) == invented
