"""Training is right by construction: what an update is, what is adapted, what is refused, what is said.

Tests with fault_1 to fault_10 in their names are about what the first system of this kind got wrong, numbered as in its
list of ten: python -m pytest -k fault_
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from test_chat_template import TURNS
from trainings import ON_CPU, apart, examples, lora, make_trainer, one_update, tiny_lora

from training.adapters import load_model
from training.arguments import LoraArguments, TrainingArguments, check_arguments
from training.batches import LengthBucketedSampler, PaddedCollator, PaddingFreeCollator, TokenBudgetBatches
from training.data import IGNORED, SupervisedDataset, preprocess
from training.loss import head_only_at, loss_per_token
from training.plan import Plan
from training.read_back import safe_save_model_for_hf_trainer
from training.reporting import set_up_reporting
from training.trainer import Trainer
from utils import InputError

ROOT = Path(__file__).resolve().parents[1]


def test_fault_7_padding_goes_as_far_as_the_longest_example_only(tokenizer):
    """Everything was padded to the maximum."""
    long, short = preprocess(TURNS, tokenizer, None, 512), preprocess(TURNS[:2], tokenizer, None, 512)
    batch = PaddedCollator(tokenizer.pad_token_id)([long, short])
    assert batch["input_ids"].shape == (2, len(long["input_ids"]))
    assert batch["tokens"] == len(long["input_ids"]) + len(short["input_ids"])
    assert (batch["labels"] == tokenizer.eos_token_id).sum() == 3  # all turn ends, though they look like padding


def test_the_loss_is_that_of_the_whole_sequence(tokenizer, engine):
    """Right padding, chosen columns and normalisation by tokens give what the plain formula gives; so without padding."""
    pair = [preprocess(TURNS, tokenizer, None, 512), preprocess(TURNS[:2], tokenizer, "", 512)]
    total, count, losses = 0.0, 0, []
    engine.model.set_attn_implementation("sdpa")
    with torch.inference_mode():
        for collator in (PaddedCollator(tokenizer.pad_token_id), PaddingFreeCollator(flash_attention=False)):
            batch = collator(pair)
            read = {name: batch[name] for name in ("input_ids", "position_ids") if name in batch}
            with head_only_at(engine.model, batch["positions"]):
                logits = engine.model(**read, use_cache=False).logits
            assert len(logits) == sum(label != IGNORED for example in pair for label in example["labels"])
            losses.append(loss_per_token(logits, batch["targets"]).item())
        for example in pair:
            logits = engine.model(torch.tensor([example["input_ids"]])).logits[0, :-1]
            targets = torch.tensor(example["labels"][1:])
            total += torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum").item()
            count += int((targets != IGNORED).sum())
    engine.model.set_attn_implementation("shared_prefix")
    assert losses == pytest.approx([total / count] * 2, rel=1e-4)


def test_an_update_does_not_depend_on_how_it_is_cut_into_batches(tiny_model_path, tokenizer, tmp_path):
    found = [
        one_update(make_trainer(tiny_model_path, tokenizer, tmp_path, per_device_train_batch_size=size,
                                gradient_accumulation_steps=8 // size, train_sampling_strategy="sequential"))
        for size in (8, 4, 2)
    ]  # fmt: skip
    for loss, step in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        assert apart(step, found[0][1]) < 1e-4


def test_batches_without_padding_and_by_tokens_give_the_same_update(tiny_model_path, tokenizer, tmp_path):
    common = dict(gradient_accumulation_steps=1, per_device_train_batch_size=8)
    expected = one_update(make_trainer(tiny_model_path, tokenizer, tmp_path, **common))
    flat = PaddingFreeCollator(flash_attention=False)
    for collator, options in (
        (flat, {}),
        (flat, {"max_tokens_per_batch": 100_000}),
        (None, {"max_tokens_per_batch": 100_000}),
    ):
        found = one_update(make_trainer(tiny_model_path, tokenizer, tmp_path, None, collator, **common, **options))
        assert found[0] == pytest.approx(expected[0], rel=1e-5)
        assert apart(found[1], expected[1]) < 1e-4


def test_kl_on_replayed_rows_is_that_of_the_formula(tiny_model_path, tokenizer, tmp_path):
    """KL(base || tuned) at the label positions of replayed rows only, by the disabled adapter, with its gradient."""
    model = tiny_lora(tiny_model_path)
    data = SupervisedDataset(examples(8), tokenizer, "", 512)
    total, count = 0.0, 0
    for number in range(8):
        example = data[number]
        ids, targets = torch.tensor([example["input_ids"]]), torch.tensor(example["labels"][1:])
        tuned = model(ids).logits[0, :-1].log_softmax(-1)
        with model.disable_adapter():
            base = model(ids).logits[0, :-1].log_softmax(-1).detach()
        trained = targets != IGNORED
        total = total - tuned[trained].gather(1, targets[trained][:, None]).sum()
        if number in (0, 4):  # as `examples` makes them
            total = total + 0.7 * (base.exp() * (base - tuned))[trained].sum()
        count += int(trained.sum())
    (total / count).backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
    for collator in (None, PaddingFreeCollator(flash_attention=False)):
        trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, None, collator, kl_weight=0.7,
                               gradient_accumulation_steps=2, per_device_train_batch_size=4)  # fmt: skip
        loss, step = one_update(trainer)
        assert loss == pytest.approx((total / count).item(), rel=1e-4)
        assert apart(step, -1e-2 * gradient) < 1e-4


def test_all_ranks_take_the_same_order_and_every_epoch_another():
    lengths = [n % 13 + 1 for n in range(100)]
    samplers = [LengthBucketedSampler(lengths, 4, seed=1) for _ in range(2)]
    orders = []
    for epoch in (0, 1, 2):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        orders.append(list(samplers[0]))
        torch.rand(5)  # what the rest of the program draws must not matter
        assert orders[-1] == list(samplers[1]) and sorted(orders[-1]) == list(range(100))
    assert orders[0] != orders[1] != orders[2]
    samplers[0].set_epoch(1)
    assert list(samplers[0]) == orders[1]


def test_the_updates_do_not_depend_on_how_many_ranks_there_are():
    data = SimpleNamespace(lengths=[n % 13 + 1 for n in range(500)])
    orders = []
    for size, accumulated, ranks in ((8, 1, 1), (4, 1, 2), (2, 2, 2)):
        arguments = SimpleNamespace(
            train_sampling_strategy="group_by_length", train_batch_size=size, gradient_accumulation_steps=accumulated,
            world_size=ranks, seed=1,
        )  # fmt: skip
        orders.append(list(Trainer._get_train_sampler(SimpleNamespace(args=arguments, train_dataset=data))))
    assert orders[0] == orders[1] == orders[2]


@pytest.mark.parametrize("padded", [True, False])
def test_batches_by_tokens_keep_their_bound_and_leave_nobody_out(padded):
    lengths = [(7 * n) % 50 + 1 for n in range(200)]
    ranks = [TokenBudgetBatches(lengths, 120, padded, 0, rank, 2) for rank in range(2)]
    taken = [batch for rank in ranks for batch in rank]
    assert {index for batch in taken for index in batch} == set(range(200)) and len(ranks[0]) == len(list(ranks[1]))
    for batch in taken:
        sizes = [lengths[index] for index in batch]
        assert (max(sizes) * len(sizes) if padded else sum(sizes)) <= 120
    assert sum(map(len, taken)) <= 200 + max(map(len, taken))


def test_faults_2_and_4_lora_sits_on_all_linear_layers_and_never_on_the_head(tiny_model_path):
    """q and v alone were adapted, with alpha at a quarter of the rank, and the head was trained."""
    model = tiny_lora(tiny_model_path)
    adapted = {name.split(".")[-4] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert model.peft_config["default"].lora_alpha == 8 and LoraArguments().lora_dropout == 0


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_base_in_4_bits_has_all_else_in_16_and_is_not_checkpointed_before_that_is_measured(
    tiny_model_path, checkpointing
):
    """Embeddings and head were float32, 2 GiB more for a 7B; the memory without checkpointing was measured with it."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    settings = SimpleNamespace(**{**vars(ON_CPU), "bf16": True, "gradient_checkpointing": checkpointing})
    model = load_model(tiny_model_path, lora(q_lora=True), settings)
    frozen = {parameter.dtype for parameter in model.parameters() if not parameter.requires_grad}
    assert frozen == {torch.uint8, torch.bfloat16} and not model.is_gradient_checkpointing
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lora_options": '{"use_dora": true, "use_rslora": true, "rank_pattern": {"q_proj": 2}}'},
        {"init_lora_weights": "pissa", "lora_target_modules": ["q_proj"]},
        {"lora_target_modules": ["q_proj"], "lora_options": '{"modules_to_save": ["lm_head"]}'},
    ],
    ids=["plain", "dora rslora", "pissa", "head in full"],
)
def test_fault_2_what_is_trained_is_saved_and_a_fresh_process_reads_it_back(
    tiny_model_path, tokenizer, tmp_path, options
):
    """The head was trained, then not saved."""
    transformers.set_seed(0)
    model = load_model(tiny_model_path, lora(**options), ON_CPU)
    initial = None
    if "init_lora_weights" in options:
        initial = str(tmp_path / "initial")
        model.peft_config["default"].init_lora_weights = True
        model.save_pretrained(initial)
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, model=model, max_steps=2)
    if "modules_to_save" in options.get("lora_options", ""):
        assert any("lm_head" in name and p.requires_grad for name, p in model.named_parameters())
    trainer.train()
    batch = trainer.data_collator([trainer.train_dataset[3]])
    assert safe_save_model_for_hf_trainer(trainer, str(tmp_path / "lora"), batch, initial) <= 1e-3


def test_fault_2_an_adapter_that_was_not_saved_whole_is_an_error(tiny_model_path, tokenizer, tmp_path, monkeypatch):
    """Had it been noticed, nobody would have been told that it is saved."""
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path)
    save = trainer.save_model

    def forgetful(folder):
        save(folder)
        from safetensors.torch import load_file, save_file

        path = Path(folder) / "adapter_model.safetensors"
        tensors = load_file(path)
        tensors[next(iter(tensors))] *= 1.01
        save_file(tensors, path)

    monkeypatch.setattr(trainer, "save_model", forgetful)
    with pytest.raises(RuntimeError, match="with norm"):
        safe_save_model_for_hf_trainer(trainer, str(tmp_path), trainer.data_collator([trainer.train_dataset[0]]))


@pytest.mark.parametrize("block", ["scheduler", "optimizer"])
def test_fault_3_a_scheduler_or_optimizer_in_the_deepspeed_file_is_refused(tmp_path, tiny_model_path, block):
    """The DeepSpeed file's own scheduler silently replaced the cosine that was asked for."""
    path = tmp_path / "ds.json"
    path.write_text(json.dumps({block: {"type": "WarmupLR"}}))
    training = SimpleNamespace(
        deepspeed=str(path), world_size=1, n_gpu=0, kl_weight=0.0, distill_weight=0.0, resume_from_checkpoint=None
    )
    data = SimpleNamespace(replay_ratio=0.0)
    with pytest.raises(InputError, match=block):
        check_arguments(SimpleNamespace(model_name_or_path=tiny_model_path), data, lora(), training)


def test_the_shipped_deepspeed_files_leave_optimizer_and_schedule_to_the_arguments():
    files = sorted((ROOT / "ds_configs").glob("*.json"))
    assert [file.name for file in files] == ["zero1.json", "zero2.json", "zero2_offload.json", "zero3.json"]
    for file in files:
        assert not {"optimizer", "scheduler"} & set(json.loads(file.read_text()))


def test_fault_4_the_plan_counts_updates_and_exposures():
    """A global batch of 1024 left a handful of updates."""
    facts = dict(
        examples=1000, facts=100, replayed=0, held_out=0, tokens=50_000, trained_tokens=9000, epochs=3.0, learning_rate=1e-3,
        rank=16, trainable_parameters=5, parameters=10**8, processes=1, device="cpu", precision="float32", layout="sdpa",
        peak_flops=1e11,
    )  # fmt: skip
    few, many = Plan(**facts, updates=3, examples_per_update=1024), Plan(**facts, updates=375, examples_per_update=8)
    assert many.exposures_per_fact == 30 and many.expected_minutes > 0
    assert "few updates" in few.lines()[-1] and "few updates" not in many.lines()[-1]
    assert TrainingArguments(
        output_dir="x", use_cpu=True
    ).counts_tokens  # tests/test_recommended.py: some hundreds of updates


def test_fault_10_a_key_is_in_no_file_and_no_log(tmp_path, monkeypatch, caplog):
    """A key was committed in a shell script."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.setenv(name, "")  # put back afterwards
    monkeypatch.setattr("budget.wandb_run.wandb_server", lambda: "https://wandb.example")
    monkeypatch.setattr("budget.wandb_run.wandb_problem", lambda server, key: None)
    training = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, use_wandb=True, key="very-secret")
    with caplog.at_level(logging.DEBUG):
        set_up_reporting(training)
    assert os.environ["WANDB_API_KEY"] == "very-secret", "wandb has it"
    (tmp_path / "training_args.bin").write_bytes(pickle.dumps(training))  # as every checkpoint has them
    assert b"very-secret" not in (tmp_path / "training_args.bin").read_bytes()
    assert "very-secret" not in caplog.text + training.to_json_string() + str(training) + str(asdict(training))
    scripts = [*(ROOT / "shells").glob("*.sh"), ROOT / ".ci" / "run"]
    assert len(scripts) > 5
    for script in scripts:
        given = re.findall(r"(?i)key[= ]+[\"']?(?=([\w-]+))", script.read_text())
        assert not [word for word in given if re.search(r"\d", word) or len(word) > 20], script.name
