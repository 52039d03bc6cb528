"""The loss on numbers that can be followed by hand; tests/test_finetune.py has it of a whole model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from training.loss import head_only_at, loss_per_token, sums_by_row

CHANCES = torch.tensor([[0.5, 0.5], [0.8, 0.2], [0.9, 0.1]])  # of two words, at three places
TARGETS, REPLAYED = torch.tensor([0, 1, 0]), torch.tensor([1])
UNTRAINED = torch.tensor([[0.5, 0.5]]).log()
CROSS_ENTROPY = 2.407946  # -ln 0.5 - ln 0.2 - ln 0.9
KL = 0.223144  # 0.5 ln (0.5 / 0.8) + 0.5 ln (0.5 / 0.2); the other way round it is 0.192745


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_the_loss_is_cross_entropy_and_the_weighted_distance_to_the_untrained_model(weight):
    logits = CHANCES.log().requires_grad_()
    loss = loss_per_token(logits, TARGETS, 1, weight, REPLAYED, UNTRAINED)
    assert loss.item() == pytest.approx(CROSS_ENTROPY + weight * KL, rel=1e-5)
    loss.backward()
    drawn = torch.tensor([[0.0, 0.0], [0.3 * weight, -0.3 * weight], [0.0, 0.0]])  # tuned minus untrained
    expected = torch.tensor([[-0.5, 0.5], [0.8, -0.8], [-0.1, 0.1]]) + drawn
    assert torch.allclose(logits.grad, expected, atol=1e-6)


def test_without_a_weight_the_untrained_model_counts_for_nothing():
    found = loss_per_token(CHANCES.log(), TARGETS, 1, replayed=REPLAYED, base_logits=UNTRAINED)
    assert found.item() == pytest.approx(CROSS_ENTROPY, rel=1e-5)


def test_a_single_token_is_divided_by_one():
    assert loss_per_token(CHANCES[:1].log(), TARGETS[:1]).item() == pytest.approx(0.693147, rel=1e-5)


def test_nothing_is_added_where_nothing_is_replayed():
    assert loss_per_token(CHANCES.log(), TARGETS, 1, 2.5).item() == pytest.approx(CROSS_ENTROPY, rel=1e-5)


@pytest.mark.parametrize(("tokens", "share"), [(None, 3), (1, 1), (12, 12), (torch.tensor(6), 6)])
def test_the_loss_is_divided_by_the_tokens_of_the_whole_update(tokens, share):
    assert loss_per_token(CHANCES.log(), TARGETS, tokens).item() == pytest.approx(CROSS_ENTROPY / share, rel=1e-5)


def test_a_batch_without_a_trained_token_has_no_loss():
    assert loss_per_token(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)).item() == 0


def test_the_losses_of_an_example_are_summed_and_counted():
    found = sums_by_row(CHANCES.log(), TARGETS, torch.tensor([2, 0, 2]), 3)
    assert found.dtype == torch.float64
    expected = torch.tensor([[1.609438, 1], [0, 0], [0.798508, 2]], dtype=torch.float64)
    assert torch.allclose(found, expected, atol=1e-6)


def test_the_losses_are_summed_on_the_device_of_the_logits():
    """The device "meta" computes nothing but refuses what lies elsewhere, as a GPU does."""
    found = sums_by_row(*(tensor.to("meta") for tensor in (CHANCES, TARGETS, torch.tensor([2, 0, 2]))), 3)
    assert found.device.type == "meta"


def test_the_head_runs_at_the_chosen_places_only_and_afterwards_everywhere():
    head = torch.nn.Identity()
    model, states = SimpleNamespace(get_output_embeddings=lambda: head), torch.arange(12).view(2, 3, 2)
    with head_only_at(model, torch.tensor([1, 5])):
        assert head(states).tolist() == [[2, 3], [10, 11]]
    assert torch.equal(head(states), states)
    with pytest.raises(KeyboardInterrupt), head_only_at(model, torch.tensor([1])):
        raise KeyboardInterrupt
    assert torch.equal(head(states), states)
