"""The loss with an open-book teacher, on numbers that can be followed by hand; and what is kept of such a teacher."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from torch.nn.functional import cross_entropy

from training.batches import PaddedCollator, PaddingFreeCollator
from training.data import IGNORED
from training.distillation import LEAST_RIGHT, RECORD, TOP, Taught, distilled_cross_entropy, taught_inputs, to_records
from training.loss import loss_per_token

STUDENT = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.5, 0.2, 0.2, 0.1]])  # of four words, at two places
TARGETS = torch.tensor([3, 0])
# At the second place the teacher says word 0 with 0.6, word 2 with 0.3, and any other with 0.1.
TAUGHT = Taught(torch.tensor([1]), torch.tensor([[0, 2]]), torch.tensor([[0.6, 0.3, 0.1]]).log())
PLAIN = 1.386294  # ln 4, where there is no teacher
CROSS_ENTROPY = 0.693147  # -ln 0.5
KL = 0.121171  # 0.6 ln (0.6 / 0.5) + 0.3 ln (0.3 / 0.2) + 0.1 ln (0.1 / 0.3)


@pytest.mark.parametrize(("weight", "expected"), [(0.25, 0.550153), (0.5, 0.407159), (1.0, KL)])
def test_where_there_is_a_teacher_a_part_of_the_cross_entropy_gives_way_to_the_distance(weight, expected):
    found = distilled_cross_entropy(STUDENT.log(), TARGETS, weight, TAUGHT)
    assert found.item() == pytest.approx(PLAIN + expected, abs=2e-6)
    assert loss_per_token(STUDENT.log(), TARGETS, 4, distill_weight=weight, taught=TAUGHT).item() == pytest.approx(
        (PLAIN + expected) / 4, abs=1e-6
    )


def test_the_student_is_drawn_to_the_teacher_and_free_among_the_words_of_the_rest():
    logits = STUDENT.log().requires_grad_()
    distilled_cross_entropy(logits, TARGETS, 1.0, TAUGHT).backward()
    # Student minus teacher for words 0 and 2; the others have 0.3 together, should have 0.1, and keep their proportions.
    expected = torch.tensor([[0.25, 0.25, 0.25, -0.75], [-0.1, 0.133333, -0.1, 0.066667]])
    assert torch.allclose(logits.grad, expected, atol=1e-6)


def test_a_student_that_says_what_the_teacher_says_is_not_moved():
    logits = torch.tensor([[0.6, 0.04, 0.3, 0.06]]).log().requires_grad_()
    loss = distilled_cross_entropy(logits, TARGETS[1:], 1.0, TAUGHT._replace(places=torch.tensor([0])))
    loss.backward()
    assert abs(loss.item()) < 1e-6 and logits.grad.abs().max() < 1e-6


def test_without_a_weight_or_a_teacher_the_loss_is_cross_entropy_to_the_bit():
    logits = torch.randn(50, 300, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(50)
    expected = cross_entropy(logits, targets, reduction="sum") / 7
    taught = Taught(torch.arange(50), torch.arange(20).expand(50, 20), torch.full((50, 21), -math.log(21)))
    assert torch.equal(loss_per_token(logits, targets, 7, taught=taught), expected)
    assert torch.equal(loss_per_token(logits, targets, 7, distill_weight=0.5), expected)


def test_a_student_that_is_sure_of_the_teachers_words_has_a_finite_loss_and_gradient():
    logits = torch.tensor([[60.0, 0.0, 0.0, -60.0]], requires_grad=True)
    loss = distilled_cross_entropy(logits, TARGETS[1:], 0.5, TAUGHT._replace(places=torch.tensor([0])))
    loss.backward()
    assert math.isfinite(loss.item()) and torch.isfinite(logits.grad).all()
    assert logits.grad[0, 0] > 0, "surer than the teacher"


def known_logits() -> torch.Tensor:
    """(300, 40): of 40 words the first has half of the probability, each of the next 19 a fortieth, the rest the rest."""
    chances = torch.cat([torch.tensor([0.5]), torch.full((19,), 0.025), torch.full((20,), 0.00125)])
    return (chances.log() + 3.0).expand(300, 40)  # a constant does not matter


def test_the_twenty_likeliest_tokens_are_kept_and_all_others_as_one():
    records = to_records(known_logits(), torch.arange(300) % 40)
    assert records.dtype == RECORD and len(records) == 300 and TOP == 20 and RECORD.itemsize == 168
    for record in (records[0], records[299]):
        assert record["tokens"][0] == 0 and sorted(record["tokens"]) == list(range(20))
        assert numpy.exp(record["logprobs"]) == pytest.approx([0.5, *[0.025] * 19, 0.025], rel=1e-5)
    assert numpy.exp(records["right"][[0, 19, 39, 40, 299]]) == pytest.approx(
        [0.5, 0.025, 0.00125, 0.5, 0.025], rel=1e-5
    )


def test_a_vocabulary_that_is_ruled_out_gives_no_infinity():
    logits = torch.cat([torch.zeros(1, 20), torch.full((1, 5), -math.inf)], dim=1)
    record = to_records(logits, torch.tensor([0]))[0]
    assert numpy.isfinite(record["logprobs"]).all() and numpy.exp(record["logprobs"][-1]) == 0
    taught = Taught(
        *(torch.tensor(value) for value in ([0], [record["tokens"].tolist()], [record["logprobs"].tolist()]))
    )
    assert distilled_cross_entropy(torch.zeros(1, 25), torch.tensor([0]), 1.0, taught).item() == pytest.approx(
        math.log(25 / 20), rel=1e-5
    )


def records(*right: float) -> numpy.ndarray:
    """Records that can be told apart: their first token is their number."""
    made = numpy.zeros(len(right), RECORD)
    made["right"], made["tokens"][:, 0] = numpy.log(right), numpy.arange(len(right))
    return made


EXAMPLES = [
    {"input_ids": [1, 2, 3, 4], "labels": [IGNORED, 2, IGNORED, 4], "teacher": records(0.49, 0.9)},
    {"input_ids": [5, 6, 7], "labels": [IGNORED, 6, 7]},
    {"input_ids": [8, 9, 10, 11, 12], "labels": [IGNORED, IGNORED, 10, 11, 12], "teacher": records(0.5, 0.2, 1.0)},
]


@pytest.mark.parametrize("collator", [PaddedCollator(0), PaddingFreeCollator(flash_attention=False)])
def test_below_one_half_of_the_right_token_the_teacher_is_not_asked(collator):
    batch = collator(EXAMPLES)
    assert batch["targets"].tolist() == [2, 4, 6, 7, 10, 11, 12]
    assert batch["taught"].tolist() == [1, 4, 6], "of these 4, 10 and 12"
    assert batch["teacher_tokens"][:, 0].tolist() == [1, 0, 2] and batch["teacher_tokens"].dtype == torch.int64
    assert batch["teacher_logprobs"].shape == (3, 21)
    assert math.exp(LEAST_RIGHT) == pytest.approx(0.5)


def test_a_batch_without_a_teacher_has_nothing_of_one():
    assert "taught" not in PaddedCollator(0)(EXAMPLES[1:2])
    assert taught_inputs([EXAMPLES[1], {**EXAMPLES[0], "teacher": records(0.1, 0.2)}])["taught"].tolist() == []
