"""When a line of text was wrapped: what of paragraphs.py is told by one line and the next. tests/test_units.py has whole texts."""

from __future__ import annotations

import pytest

from data_processor.line_kinds import Line
from data_processor.paragraphs import is_full, read_blocks


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
