"""What the Trainer of ours does beside the loss: batches without a mask, faults that are named, validation, saving."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
import transformers
from safetensors.torch import load_file
from test_chat_template import TURNS
from trainings import examples, make_trainer, tiny_lora

from training.batches import PaddedCollator, TokenBudgetBatches
from training.data import IGNORED, SupervisedDataset, preprocess
from training.layout import choose_attention
from training.trainer import Trainer, weight_count
from utils import InputError


def test_padding_is_on_the_right_and_no_mask_is_passed(tiny_model_path, tokenizer, tmp_path):
    """A mask led to cuDNN's attention, whose gradients are not numbers for some lengths on an H100 (pytorch#196678)."""
    long, short = preprocess(TURNS, tokenizer, None, 512), preprocess(TURNS[:2], tokenizer, None, 512)
    batch = PaddedCollator(tokenizer.pad_token_id)([long, short])
    assert batch["input_ids"][1, : len(short["input_ids"])].tolist() == short["input_ids"]
    assert (batch["labels"][1, len(short["input_ids"]) :] == IGNORED).all()
    model, passed = tiny_lora(tiny_model_path), []
    model.get_decoder().register_forward_pre_hook(lambda _, given, options: passed.append(options), with_kwargs=True)
    masks = []
    attention = model.get_decoder().layers[0].self_attn
    attention.register_forward_pre_hook(
        lambda _, given, options: masks.append(options["attention_mask"]), with_kwargs=True
    )
    make_trainer(
        tiny_model_path, tokenizer, tmp_path, model=model, kl_weight=1.0, per_device_train_batch_size=8
    ).train()
    assert len(passed) == 2, "the training's pass, and that of the untrained model over the replayed rows"
    assert all(options.get("attention_mask") is None and options.get("position_ids") is None for options in passed)
    assert masks == [None, None], "transformers makes none by itself either: the kernel is told that it is causal"


def test_cudnn_attention_is_off_in_training(monkeypatch):
    said = []
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", said.append)
    for kind in ("cpu", "cuda"):
        choose_attention(
            SimpleNamespace(attention=None, padding_free=None, device=torch.device(kind), bf16=False, fp16=False)
        )
    assert said == [False]


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_a_number_stops_the_run_and_names_step_and_rows(tiny_model_path, tokenizer, tmp_path, where):
    """transformers puts the mean of the losses before in its place, and goes on with weights that are no numbers."""
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, max_steps=3, per_device_train_batch_size=1,
                           gradient_accumulation_steps=2, train_sampling_strategy="sequential")  # fmt: skip
    assert not trainer.args.logging_nan_inf_filter
    head, calls = trainer.model.get_output_embeddings(), []

    def spoil(_, given, logits):
        calls.append(1)
        if len(calls) == 4:  # the second batch of the second update: example 3
            if where == "loss":
                return logits * float("nan")
            logits.register_hook(lambda gradient: gradient * float("inf"))
        return logits

    head.register_forward_hook(spoil)
    with pytest.raises(InputError) as caught:
        trainer.train()
    rows = "in a batch of 3:" if where == "loss" else "in a batch of 2, 3:"
    assert "at step 2" in str(caught.value) and rows in str(caught.value)
    assert trainer.state.global_step == 1 and all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_in_float16_a_gradient_that_overflows_is_left_to_the_scaler_of_deepspeed_too(
    tiny_model_path, tokenizer, tmp_path
):
    """DeepSpeed says so by an infinite norm, skips the update and halves its scale, as it does at most starts."""
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path)
    trainer.args.fp16 = True
    trainer._update_losses = [(torch.tensor([0]), torch.tensor(1.0))]
    assert trainer._get_grad_norm(trainer.model, float("inf")) == float("inf")
    trainer._update_losses = [(torch.tensor([0]), torch.tensor(float("nan")))]
    with pytest.raises(InputError, match="finite loss"):
        trainer._get_grad_norm(trainer.model, float("inf"))


def held_out(trainer, tokenizer, count: int):
    trainer.eval_dataset = SupervisedDataset(examples(count), tokenizer, "", 512)
    return trainer.eval_dataset


def test_the_validation_loss_is_that_of_a_trained_token_however_it_is_cut(tiny_model_path, tokenizer, tmp_path):
    """The mean of the batches' means counted a short answer like a long one, and on two ranks came out as half."""
    found = []
    for size in (1, 3, 8):
        trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, per_device_eval_batch_size=size)
        data = held_out(trainer, tokenizer, 7)
        found.append(trainer.evaluate()["eval_loss"])
    total, count = 0.0, 0
    with torch.no_grad():
        for example in (data[n] for n in range(7)):
            logits = trainer.model(torch.tensor([example["input_ids"]])).logits[0, :-1]
            targets = torch.tensor(example["labels"][1:])
            total += torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum").item()
            count += int((targets != IGNORED).sum())
    assert found == pytest.approx([total / count] * 3, rel=1e-5)


@pytest.mark.parametrize(("kl_weight", "heaviest"), [(2.0, "replay"), (0.0, "long answer")])
def test_memory_is_measured_on_the_batch_with_most_logits_not_on_the_longest(
    tiny_model_path, tokenizer, tmp_path, kl_weight, heaviest
):
    """Logits over the vocabulary are most of a token's memory, and a long question has few; KL has them twice."""

    def row(kind: str, words: int, answer: int) -> dict:
        turns = {"user": "word " * words, "assistant": "word " * answer}
        messages = [{"role": role, "content": text.strip()} for role, text in turns.items()]
        return {"id": f"{kind}", "messages": messages, "kind": kind}

    kinds = [row("long question", 200, 2), row("long answer", 60, 40), row("replay", 8, 14), row("short", 2, 1)]
    rows = [{**one, "id": f"{one['kind']} {n}"} for one in kinds for n in range(4)]
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, data=rows, kl_weight=kl_weight)
    batch = trainer.heaviest_batch(300)
    kinds_in_batch = Counter(trainer.train_dataset.name(int(index)).rpartition(" ")[0] for index in batch["index"])
    assert kinds_in_batch.most_common(1)[0][0] == heaviest


def test_validation_asks_liger_kernels_for_logits(tiny_model_path, tokenizer, tmp_path):
    """transformers passes skip_logits where these kernels are on, and a model without labels cannot do without logits."""
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path)
    held_out(trainer, tokenizer, 3)
    passed = []
    trainer.model.register_forward_pre_hook(lambda _, given, options: passed.append(options), with_kwargs=True)
    trainer.args.use_liger_kernel = True
    assert trainer.evaluate()["eval_loss"] > 0
    assert passed and not any("skip_logits" in options for options in passed)


def test_the_adapter_alone_is_saved_under_deepspeed_too(tiny_model_path, tokenizer, tmp_path, monkeypatch):
    """ZeRO-1 and -2 put the whole base into each rank's memory before they took the adapter out of it."""
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path)
    monkeypatch.setattr(trainer, "is_deepspeed_enabled", True)
    monkeypatch.setattr(trainer.accelerator, "get_state_dict", lambda *_: pytest.fail("the whole model is copied"))
    trainer.save_model(str(tmp_path / "lora"))  # before train(), as a time budget measures it: there is no engine yet
    tensors = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    assert len(tensors) == 2 * 7 * 3 and all("lora_" in name for name in tensors)
    assert (tmp_path / "lora" / "tokenizer.json").is_file()


def test_a_micro_batch_counts_no_parameters(tiny_model_path, tokenizer, tmp_path, monkeypatch):
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path)
    monkeypatch.setattr(transformers.PreTrainedModel, "num_parameters", lambda *_, **__: pytest.fail("counted anew"))
    trainer.train()
    assert trainer.state.total_flos == 4 * trainer.parameter_count * trainer.token_counts["padded"]


def test_packed_weights_count_as_what_they_stand_for():
    packed = torch.nn.Parameter(torch.zeros(8, 1, dtype=torch.uint8), requires_grad=False)
    packed.quant_state = SimpleNamespace(shape=torch.Size([4, 4]))
    assert weight_count(packed) == 16 and weight_count(torch.nn.Parameter(torch.zeros(3, 2))) == 6


def test_batches_of_like_length_have_little_padding():
    """At most 3 % with batches of 8k tokens, of the lengths that questions and passages have."""
    generator = torch.Generator().manual_seed(0)
    lengths = (40 + 60 * torch.rand(4000, generator=generator) ** 4 * 10).int().tolist()
    for by_length, most in ((True, 0.03), (False, 1.0)):
        batches = TokenBudgetBatches(lengths, 8192, True, 0, by_length=by_length).batches
        padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
        share = 1 - sum(lengths) / padded
        assert share <= most
    assert share > 0.3, "by chance, it is another matter"


@pytest.mark.parametrize(("strategy", "sorted_"), [("group_by_length", True), ("random", False)])
def test_a_ranks_batches_by_tokens_are_its_part_of_what_the_arguments_say(strategy, sorted_):
    arguments = SimpleNamespace(
        train_sampling_strategy=strategy, seed=3, process_index=1, world_size=2, dataloader_num_workers=0,
        dataloader_pin_memory=False, max_tokens_per_batch=40,
    )  # fmt: skip
    data = SimpleNamespace(lengths=[n % 13 + 1 for n in range(60)])
    trainer = SimpleNamespace(args=arguments, train_dataset=data, data_collator=PaddedCollator(0), sampler=None)
    Trainer.get_train_dataloader(trainer)
    expected = TokenBudgetBatches(
        data.lengths, max_tokens=40, padded=True, seed=3, rank=1, world_size=2, by_length=sorted_
    )
    assert list(trainer.sampler) == list(expected)


@pytest.mark.parametrize("options", [{}, {"max_tokens_per_batch": 100}], ids=["by examples", "by tokens"])
def test_a_resumed_training_takes_the_batches_that_the_whole_one_would(tokenizer, tmp_path, options):
    """In the second epoch, which has an order of its own, of which the part that was trained is passed over."""
    sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)

    def trained(resume: str | None) -> list[list[int]]:
        transformers.set_seed(0)
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(tokenizer), **sizes))
        trainer = make_trainer(None, tokenizer, tmp_path, model=model, **options, max_steps=12, save_steps=7,
                               save_strategy="steps", per_device_train_batch_size=2, lr_scheduler_type="linear")  # fmt: skip
        taken, loss = [], trainer.compute_loss
        trainer.compute_loss = lambda model, inputs, **more: (
            taken.append(inputs["index"].tolist()) or loss(model, inputs, **more)
        )
        trainer.train(resume_from_checkpoint=resume)
        assert trainer.optimizer.param_groups[0]["lr"] == 0, "the schedule ends with the last update"
        return taken

    whole = trained(None)
    epochs = [whole[start : start + 4] for start in (0, 4, 8)]
    assert all(sorted(row for batch in epoch for row in batch) == list(range(8)) for epoch in epochs)
    assert len(whole) == 12 and epochs[0] != epochs[1] != epochs[2]
    assert trained(str(tmp_path / "checkpoint-7")) == whole[7:]
