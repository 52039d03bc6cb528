"""Learning rate, rank and size of an update, as the model and the data have them recommended."""

from __future__ import annotations

import pytest

from training.recommended import recommended_learning_rate, recommended_rank, update_tokens


def test_learning_rate_and_rank_follow_model_and_data():
    assert recommended_learning_rate(576) == 1.3e-3 and recommended_learning_rate(3584) == 3.2e-4
    assert [recommended_rank(facts) for facts in (1, 1000, 1001, 50_000, 10**9)] == [16, 16, 32, 64, 256]


@pytest.mark.parametrize(
    ("tokens", "rate"), [(500, 4.2e-4), (16384, 4.2e-4), (32768, 5.9e-4), (65536, 8.4e-4), (10**6, 8.4e-4)]
)
def test_larger_updates_take_a_higher_rate_up_to_twice_it_and_smaller_ones_no_lower(tokens, rate):
    assert recommended_learning_rate(2500, tokens) == rate
    assert recommended_learning_rate(2000) == 5e-4


def test_the_rank_doubles_with_every_ten_times_as_many_facts():
    assert [recommended_rank(facts) for facts in (0, 1000, 1001, 10_000, 10_001, 10**7, 10**8)] == [
        16,
        16,
        32,
        32,
        64,
        256,
        256,
    ]


def test_an_update_has_so_many_tokens_that_a_training_has_some_hundreds():
    """128 examples an update on 8 GPUs left a handful of a small dataset."""
    for tokens, epochs in ((5e5, 3), (3e6, 3), (8e6, 2)):
        updates = tokens * epochs / update_tokens(tokens, epochs, "cuda")
        assert 200 <= updates <= 1000
    assert update_tokens(1000, 1, "cuda") == 2048, "fewer keep a GPU waiting"
    assert update_tokens(1e9, 3, "cuda") == 65536, "more are learnt from no better"
    assert update_tokens(1000, 1, "cpu") == 512
