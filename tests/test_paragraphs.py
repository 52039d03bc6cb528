"""When a line of text was wrapped: what of paragraphs.py is told by one line and the next. tests/test_units.py has whole texts."""

from __future__ import annotations

import pytest

from data_processor.line_kinds import Line
from data_processor.paragraphs import counts_on, is_full, join_lines, read_blocks

WEIR = (
    "The weir at Orsden was built of oak by Ann Bell and her two\n"
    "sons of the old guild of the town and of the harbour of old\n"
)


@pytest.mark.parametrize(
    "line",
    [
        "- Oak.  Elm",
        "Ann: it is\tred",
        "  1) a | b",
        "# Oak-",
        "= Oak =",
        "",
        " ",
        "松  木 是。",
        "00:01 Ann: so",
        "a\x0bb\x85c",
    ],
)
def test_of_one_line_nothing_is_joined(line):
    """texts.py does not even try."""
    assert all(join_lines(line, read_blocks(line), language).text == line for language in ("en", "de", "zh"))


@pytest.mark.parametrize(
    ("above", "below", "width", "characters", "full"),
    [
        ("솔내 다리는", "1987년에 열렸다.", 19, 99, True),  # 11 columns, a space and 8
        ("솔내 다리는", "1987년에 열렸다.", 20, 99, False),
        ("The weir", "was built", 99, 11, True),
        ("The weir", "was built", 99, 12, False),
        ("青石镇建于", "元朝。", 99, 5, True),  # Chinese may be cut after each character
        ("青石镇建于", "元朝。", 11, 99, True),
        ("青石镇建于", "元朝。", 16, 6, False),
    ],
)
def test_a_line_is_full_in_columns_or_in_characters(above, below, width, characters, full):
    lines = (Line(0, len(text), text) for text in (above, below))
    assert is_full(*lines, width, characters) is full


def test_a_sentence_of_a_short_item_goes_on_in_the_next_line():
    blocks = read_blocks("- Ann paints the door\nand the gate.\n- Bob rows.\n")
    assert [[line.text for line in block.lines] for block in blocks] == [
        ["- Ann paints the door", "and the gate."],
        ["- Bob rows."],
    ]


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        (  # a new paragraph begins further in
            "The weir at Orsden was built of oak by Ann Bell and her\n    The mill was built of brick by Ida Marsh and her two\nsons.\n",
            [["The weir at Orsden was built of oak by Ann Bell and her"],
             ["The mill was built of brick by Ida Marsh and her two", "sons."]],
        ),
        (
            "The weir at Orsden was built of oak by Ann Bell and her\n two sons, of whom one, it is said, went to the sea.\n",
            [["The weir at Orsden was built of oak by Ann Bell and her", "two sons, of whom one, it is said, went to the sea."]],
        ),
        (
            "The weir at Orsden was built of oak by Ann Bell and by\nIda Marsh.\n",
            [["The weir at Orsden was built of oak by Ann Bell and by", "Ida Marsh."]],
        ),
        (  # the first line of a paragraph may be further in
            "    The mill of Ida Marsh is there,\n1931 it was built of bricks and of\n1932 of stone by Ann.\n",
            [["The mill of Ida Marsh is there,", "1931 it was built of bricks and of", "1932 of stone by Ann."]],
        ),
        (  # small letters alone make no sentence of a list
            "For the boat\nred paint\nbrass nails\nold rope\nand tar\n",
            [["For the boat"], ["red paint"], ["brass nails"], ["old rope"], ["and tar"]],
        ),
        (  # "etc." ends no paragraph before a small letter
            f"{WEIR}Orsden etc.\nand it was opened in May.\n",
            [[*WEIR.splitlines(), "Orsden etc.", "and it was opened in May."]],
        ),
        (f"{WEIR}Orsden for:\nthe fish and the boats.\n", [[*WEIR.splitlines(), "Orsden for:"], ["the fish and the boats."]]),
        (  # the lines of a cue, whether or not a sentence ends with the first
            "1\n00:01.000 --> 00:02.000\nIt is late.\nWe row\n\n2\n00:03.000 --> 00:04.000\nhome.\n\n3\n00:05.000 --> 00:06.000\nHere.\n",
            [["1"], ["00:01.000 --> 00:02.000"], ["It is late.", "We row", "home."], ["2"], ["00:03.000 --> 00:04.000"],
             ["3"], ["00:05.000 --> 00:06.000"], ["Here."]],
        ),
    ],
    ids=["an indented paragraph", "a space", "two lines", "an indented line", "a list", "a small letter", "a colon", "cues"],
)  # fmt: skip
def test_lines_of_one_block(text, blocks):
    assert [[line.text for line in block.lines] for block in read_blocks(text)] == blocks


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("1. Ann paints the door of the mill by the weir of\nOrsden town. She sings in\n2. Bob rows the boat.\n", ["item", "item"]),
        ("Rules\n1. No dogs may be brought into the mill\n", ["plain", "item"]),
        ("It was seen by all of Orsden on the\n1. Juni of that year\n", ["plain", "plain"]),  # a date
    ],
)  # fmt: skip
def test_a_number_at_the_beginning_of_a_line_marks_an_item_but_in_the_middle_of_a_sentence(text, kinds):
    assert [block.kind for block in read_blocks(text)] == kinds


def test_lines_of_chinese_with_rare_spaces_are_joined_without_one_where_they_are_full():
    text = "青石镇 在 山下 的 河 边 上 面 建 于 很 久 以\n前 的 元朝 时期 ， 有 一 座 桥 和 一 座 塔 。\n"
    assert join_lines(text, read_blocks(text), "zh").text == text.replace("以\n前", "以前")


def test_a_cue_in_mid_sentence_does_not_go_on_behind_other_text():
    text = "1\n00:01.000 --> 00:02.000\nWe row\n\nA remark of hers.\n\n2\n00:03.000 --> 00:04.000\nhome.\n"
    cues = [[line.text for line in block.lines] for block in read_blocks(text) if block.kind == "cue"]
    assert cues == [["We row"], ["home."]]


@pytest.mark.parametrize(("count", "blocks"), [(3, [3]), (4, [1] * 4), (5, [1] * 5)])
def test_four_lines_that_all_begin_with_a_capital_are_verses(count, blocks):
    verses = [
        "The lamp went slowly round above the harbour wall",
        "And all the stars of night were company to me now",
        "The boats came in before the rain began to fall so",
        "Of all the wind I only ever heard the roaring sea",
        "And all the wind and all the rain were out for me",
    ]
    found = read_blocks("\n".join(verses[:count]))
    assert [len(block.lines) for block in found] == blocks


def test_a_hyphen_at_the_end_of_a_line_stays_where_the_text_has_it_elsewhere():
    lines = "It was the well-\nknown weir of Orsden by which all of the har-\nbour was held.\n"
    text = f"The well-known weir stood.\n\n{lines}"
    joined = "It was the well-known weir of Orsden by which all of the harbour was held.\n"
    assert join_lines(text, read_blocks(text), "en").text == f"The well-known weir stood.\n\n{joined}"


@pytest.mark.parametrize(("count", "width", "joined"), [(4, 41, True), (4, 40, False), (4, 30, False), (3, 40, True)])
def test_four_lines_much_narrower_than_the_text_are_no_paragraph_for_their_equal_length_alone(count, width, joined):
    """The text is 50 columns wide, and these lines begin neither with capitals nor with small letters."""
    text = "the weir at Orsden and the mill were built of ".ljust(50, "o")
    lines = ["1987 stones ".ljust(width, "o")] * count
    blocks = read_blocks("\n".join([text, text, text, "", *lines]))
    assert [len(block.lines) for block in blocks] == [3, *([count] if joined else [1] * count)]


def paragraphs(text: str) -> list[str]:
    return [" ".join(line.text for line in block.lines) for block in read_blocks(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Effective from: 1 March 2026            Replaces: version 3.1 of\n"
        "                                        15 January 2024\nOwner: the people team of the company in Leeds\n",
        "                                         Corrin, 3 May 2024\nThe council of Corrin has met on the day before\n",
    ],
)
def test_a_line_that_is_set_to_the_right_does_not_go_on_at_the_left(text):
    assert paragraphs(text)[-1] == text.split("\n")[-2]


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("Beschluss: Der Auftrag für das Dach der Halle wird an die Fa.", "Zimmerei Burger, Elzach, zum Preis von 412 Euro vergeben."),
        ("Die Halle wurde im Sommer von dem Baumeister und Zimmerer Dr.", "Ernst Lind aus Elzach gebaut."),
        ("The hall was built in the summer of that long year by Mr.", "Ernst Lind of Elzach."),
        ("Das gilt für alle Häuser in der Gemeinde nach der Vorschrift §", "36 des Gesetzes."),
    ],
)  # fmt: skip
def test_a_line_that_ends_with_what_goes_before_a_name_or_a_number_goes_on(above, below):
    assert paragraphs(f"{above}\n{below}\n") == [f"{above} {below}"]


def test_a_line_that_ends_with_a_stop_of_its_own_does_not_go_on():
    assert len(paragraphs("The hall was built by the town.\nIt is of oak.\nIt is old.\n")) == 3


CLAUSE = "2.4 No leave is given in August to the staff of the dock. Section"


@pytest.mark.parametrize(
    "text",
    [
        f"{CLAUSE}\n4.2 remains unaffected.",
        f"{CLAUSE}\n2.5 remains unaffected.",  # as small letters tell
        f"{CLAUSE}\n9.1 Paragraph 3 holds.",  # as a number tells that does not come next
        f"2.3 It is so.\n{CLAUSE}\n4.2 remains as it is, and nobody may ever change that but for\n2.1 which may be changed by the board of the company alone.",
        "3. Die Frist zur Abgabe aller Anträge endet im Jahr darauf am\n10. desselben Monats.",
    ],
)
def test_a_number_that_a_wrapped_sentence_points_to_begins_no_item(text):
    last = [line for line in text.split("\n") if not line.startswith("2.3")]
    assert paragraphs(text)[-1] == " ".join(last)


@pytest.mark.parametrize(
    "text",
    [
        f"{CLAUSE} two\n2.5 The board of the company may give leave to its own members at",
        "10. the weir of Orsden, which is of oak\n9. the mill of Corrin, which is of brick",
        "1. Ann Bell, who built the weir of oak\n2. iron for the gate of the old harbour",
        "1. Ann Bell.\n7. the mill of Corrin, which is of brick",
        "1.2 Ann Bell built the weir of oak, and\n1.3 Ida Marsh built the mill of brick",
    ],
)
def test_numbers_of_a_list_begin_items(text):
    assert paragraphs(text) == text.split("\n")


def test_what_may_come_after_a_number():
    after = [(2, 5), (2, 4, 1), (2, 4, 1, 1), (3,), (3, 1)]
    assert all(counts_on((2, 4), other) for other in after)
    assert not any(
        counts_on((2, 4), other) for other in [(2, 4), (2, 3), (2, 6), (4, 2), (2,), (1,), (2, 5, 2), (2, 4, 2)]
    )
