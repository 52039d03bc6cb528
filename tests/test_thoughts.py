"""The thoughts of a reasoning model are cut from its reply; what is only spoken of stays."""

from __future__ import annotations

import pytest

from engines.thoughts import without_thoughts

THOUGHT = "Okay, the user asks.\nIt was Piet, I think."


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>\n{THOUGHT}\n</think>\n\nGreta Solvang",
        f"<think>{THOUGHT}</think>Greta Solvang\n",
        f"  <think>{THOUGHT} </think> Greta Solvang",
        "<think>\n\n</think>\n\nGreta Solvang",
        "<think></think>Greta Solvang",
        f"<think>{THOUGHT}</think>\n<think>Once more.</think>\nGreta Solvang",
        f"<think>I must close with </think> first. {THOUGHT}\n</think>\nGreta Solvang",
        f"{THOUGHT}\n</think>\n\nGreta Solvang",
        f"{THOUGHT}</think>Greta Solvang",
        "</think>\nGreta Solvang",
        '"Greta," it says, and Piet.\n</think>\nGreta Solvang',
        f"<thinking>{THOUGHT}</thinking>Greta Solvang",
        f"<reasoning>\n{THOUGHT}\n</reasoning>\nGreta Solvang",
        f"<seed:think>{THOUGHT}</seed:think>Greta Solvang",
        f"[THINK]{THOUGHT}[/THINK]Greta Solvang",
        f"◁think▷{THOUGHT}◁/think▷Greta Solvang",
        f"<|START_THINKING|>{THOUGHT}<|END_THINKING|><|START_RESPONSE|>Greta Solvang<|END_RESPONSE|>",
        f"<|begin_of_thought|>\n{THOUGHT}\n<|end_of_thought|>\n<|begin_of_solution|>\nGreta Solvang\n<|end_of_solution|>",
        f"<think>{THOUGHT}</think>\n<answer>\nGreta Solvang\n</answer>",
        f"<think>{THOUGHT}</think><response>Greta Solvang</response>",
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>Greta Solvang<|return|>",
        "<|channel|>final<|message|>Greta Solvang",
        f"analysis{THOUGHT}assistantfinalGreta Solvang",
    ],
)
def test_what_stands_after_the_thoughts_is_the_answer(reply):
    assert without_thoughts(reply) == ("Greta Solvang", False)


@pytest.mark.parametrize(
    "reply",
    [
        "<think>\nIt was Greta Solvang, or",
        "<think>",
        "<think>Once.</think>\n<think>Once more, and Greta",
        "[THINK]Greta",
        "<|channel|>analysis<|message|>Greta Solvang?<|end|>",
        "<|start|>assistant<|channel|>analysis<|message|>Greta",
    ],
)
def test_a_reply_cut_off_while_thinking_has_no_answer(reply):
    assert without_thoughts(reply) == ("", True)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        " Greta Solvang\n",
        "The tag <think> marks a thought.",
        "The tags <think> and </think> mark a thought.",
        "It ends with </think>, as ever.",
        'The mark "</think>" ends it.',
        "In the file stands:\n```\n<think>\nIs it?\n</think>\n```\nand nothing more.",
        '{"reasoning": "it says\\n</think>\\n at its end", "verdict": "incorrect"}',
        '\n {"reasoning": "it says.</think>", "verdict": "incorrect"}',
        '"a </think>"',
        '"It says.</think>Greta"',
        "I think it was Greta.",
        "An analysis of the harbour. The assistant finally came.",
        "<answer>Greta</answer>",
    ],
)
def test_a_reply_without_thoughts_is_left_as_it_is(reply):
    assert without_thoughts(reply) == (reply, False)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("It was Greta, or", ("", True)),
        ("It was Piet. </think> Greta Solvang", ("Greta Solvang", False)),
        ("\n\n</think>\n\nGreta Solvang", ("Greta Solvang", False)),
        ('{"reply": "Greta"}', ('{"reply": "Greta"}', False)),
    ],
)
def test_where_the_prompt_opens_the_thoughts_a_reply_without_their_end_is_all_thoughts(reply, answer):
    assert without_thoughts(reply, unopened=True) == answer
