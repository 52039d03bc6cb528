"""Facts that are held out whole: how many, and with which others."""

from __future__ import annotations

import pytest

from data_processor.chunking import Chunk
from data_processor.pairs import Fact
from data_processor.split import group_by_sentence, hold_out_facts


def test_a_quarter_of_the_test_questions_are_of_facts_held_out_whole():
    chunk = Chunk("a.txt", 0, 0, 400, "".join(map(chr, range(0x4E00, 0x4E00 + 400))), "")
    facts = [Fact(f"fact {n}", chunk, n, n + 1, "Hexley") for n in range(400)]
    assert len(hold_out_facts(facts, 0.2, seed=0)) == 20 and len(hold_out_facts(facts, 0.4, seed=0)) == 40
    assert hold_out_facts(facts, 0.2, seed=0) == hold_out_facts(facts, 0.2, seed=0)
    assert hold_out_facts(facts, 0.2, seed=0) != hold_out_facts(facts, 0.2, seed=1)
    assert hold_out_facts(facts, 0.0, seed=0) == set()


def test_of_a_document_of_one_sentence_something_is_left_to_train():
    chunk = Chunk("a.txt", 0, 0, 9, "abcdefghi", "")
    one, two = Fact("fact", chunk, 0, 4, "Hexley"), Fact("fact", chunk, 5, 9, "Hexley")
    assert hold_out_facts([one], 0.1, seed=0) == hold_out_facts([one, one], 0.1, seed=0) == set()
    assert len(hold_out_facts([one, two], 1.0, seed=0)) == 1
    assert hold_out_facts([one], 0.1, seed=0, facts_before=100, held_before=2) == {0}, "there is something already"


def test_in_parts_the_share_of_facts_held_out_is_of_all_so_far():
    chunk = Chunk("a.txt", 0, 0, 400, "".join(map(chr, range(0x4E00, 0x4E00 + 400))), "")
    facts = [Fact(f"fact {n}", chunk, n, n + 1, "Hexley") for n in range(400)]
    held, counts = 0, []
    for start in range(0, 400, 10):  # a twentieth of 10 facts is half a fact
        held += len(hold_out_facts(facts[start : start + 10], 0.2, 0, start, held))
        counts.append(held)
    assert counts == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10] + [11 + n // 2 for n in range(20)]
    drawn = [hold_out_facts(facts[:100], 0.04, 0, before, 0.01 * before) for before in (0, 100, 200, 300)]
    assert len(set(map(frozenset, drawn))) > 1, "not at the same place in every part"


def test_sentences_at_the_same_place_of_two_files_are_two():
    chunks = [Chunk(name, 0, 0, 4, "same", "") for name in ("a.txt", "b.txt")]
    facts = [Fact("fact", chunk, 0, 4, "Hexley") for chunk in chunks for _ in range(2)]
    assert hold_out_facts(facts, 1.0, seed=0) in ({0, 1}, {2, 3})


def test_facts_of_one_sentence_are_held_out_together():
    chunk = Chunk("a.txt", 0, 0, 20, "abcdefghijklmnopqrst", "")
    facts = [Fact(f"fact {n}", chunk, n // 2, n // 2 + 1, "Hexley") for n in range(40)]
    held = hold_out_facts(facts, 0.4, seed=0)
    assert len(held) == 4 and all(n ^ 1 in held for n in held)


@pytest.mark.parametrize(
    ("quotes", "together"),
    [
        (["a 0 4", "a 4 8"], [[0], [1]]),  # one ends where the other begins
        (["a 0 5", "a 4 8"], [[0, 1]]),
        (["a 0 9", "a 1 2", "a 6 7"], [[0, 1, 2]]),  # two within one
        (["a 0 9", "a 1 2", "a 8 12", "a 11 13", "a 13 15"], [[0, 1, 2, 3], [4]]),
        (["a 6 9", "a 0 3", "b 0 9", "a 2 7"], [[0, 1, 3], [2]]),
        (["A 0 4", "a 2 6"], [[0], [1]]),
        (["a 0 4", "a 6 8", "a 12 14 7 9", "a 3 4"], [[0, 3], [1, 2]]),  # in any of its quotes
        (["a 20 22", "b 20 22", "a 40 42", "a 21 23"], [[0, 2, 3], [1]]),  # said twice in a file: at 20 and at 40
        ([], []),
    ],
)
def test_facts_with_a_part_of_their_quotes_in_common_are_one_group(quotes, together):
    letters = [chr(0x4E00 + n) for n in range(60)]
    text = "".join(letters[:40] + letters[20:40])
    facts = []
    for number, quote in enumerate(quotes):
        name, start, end, *second = quote.split()
        chunk = Chunk(f"{name}.txt", 0, 0, len(text), text, "")
        more = [tuple(map(int, second))] if second else []
        facts.append(Fact(f"fact {number}", chunk, int(start), int(end), "Hexley", more=tuple(more)))
    assert group_by_sentence(facts) == together


@pytest.mark.parametrize("ratio", [0.2, 0.4, 1.0])
def test_facts_that_share_a_sentence_in_any_of_their_quotes_are_held_out_together(ratio):
    """Also where one rests on two sentences and the other on the second of them, read in the overlap of two chunks."""
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 80)))
    first, second = Chunk("a.txt", 0, 0, 80, text, ""), Chunk("a.txt", 1, 1, 80, text[1:], "")
    facts = []
    for n in range(0, 80, 8):
        facts.append(Fact(f"two {n}", first, n, n + 2, "Hexley", more=((n + 4, n + 5),)))
        facts.append(Fact(f"second {n}", second, n, n + 1, "Hexley"))
        facts.append(Fact(f"third {n}", first, n + 6, n + 7, "Hexley", more=((n + 4, n + 6),)))
        facts.append(Fact(f"other {n}", Chunk("b.txt", 0, 0, 80, text[::-1], ""), n, n + 1, "Hexley"))
    held = hold_out_facts(facts, ratio, seed=0)
    assert held and {n % 4 for n in held} >= {0, 1, 2} and all(n // 4 * 4 + 2 in held for n in held if n % 4 < 3)
    assert all({n, n + 1, n + 2} <= held or not {n, n + 1, n + 2} & held for n in range(0, 40, 4))
