"""LoRA with A fixed to directions that new rows use and general answers do not."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_adapters import saved  # noqa: F401
from test_distributed import arguments, data, finish, start  # noqa: F401
from trainings import ON_CPU, lora
from trainings import examples as make_examples

from training import null_space
from training.adapters import NULL_SPACE, load_model
from training.arguments import DataArguments, LoraArguments, ModelArguments, TrainingArguments, check_arguments
from training.data import SupervisedDataset
from training.moments import ENERGY, EPSILON, ROUNDING, Moments, batches, directions, lots, measure
from training.null_space import FILE, A, aim, find_directions, some
from utils import InputError

WIDTH, RANK, ROOM = 24, 4, 1 << 30
EXAMPLES = make_examples(8)  # every fourth of them replayed
SEQUENCES = [[1, 2, 3], [4, 5, 6, 7, 8], [9]]


def moments(x: torch.Tensor) -> Moments:
    return Moments(x.T @ x, [x.square().sum(-1)])


def test_directions_are_those_that_new_rows_use_and_general_answers_do_not():
    torch.manual_seed(0)
    new, general = torch.randn(400, WIDTH), torch.randn(800, WIDTH)
    general[:, :RANK] *= 0.01  # what only the new rows use
    a = directions(moments(new), moments(general), RANK)
    assert a.shape == (RANK, WIDTH) and a.dtype == torch.float32
    energy = (new @ a.T).square().mean(0)
    assert (general @ a.T).square().mean() < 0.01 * energy.mean()
    assert energy == pytest.approx(ENERGY * new.square().sum(-1).median().item() / (3 * WIDTH), rel=0.01)
    assert torch.linalg.matrix_rank(a) == RANK


def test_without_a_difference_they_are_any_and_no_number_is_lost():
    torch.manual_seed(0)
    same = torch.randn(5, WIDTH)  # fewer tokens than dimensions
    a = directions(moments(same), moments(same), RANK)
    assert torch.isfinite(a).all() and torch.linalg.matrix_rank(a) == RANK


@pytest.mark.parametrize("many", [torch.zeros(400, WIDTH), torch.randn(2, WIDTH).repeat(200, 1)], ids=["dead", "two"])
def test_a_layer_whose_inputs_have_fewer_directions_than_the_rank_gets_none(many):
    """So have those of the first layer, if the rows have few different tokens; A was not a number there, or huge."""
    assert directions(moments(many), moments(torch.randn(800, WIDTH)), RANK) is None


def test_they_are_the_generalised_eigenvectors_with_the_largest_values():
    torch.manual_seed(0)
    new = torch.randn(4000, WIDTH) * torch.logspace(1, -1, WIDTH)
    general = torch.randn(4000, WIDTH) @ torch.randn(WIDTH, WIDTH)
    a = directions(moments(new), moments(general), RANK).double()
    n, g = ((x.T @ x / 4000).double() for x in (new, general))
    g.diagonal().mul_(1 + ROUNDING).add_(EPSILON * g.diagonal().median())
    values = torch.linalg.eigvals(torch.linalg.solve(g, n)).real.sort(descending=True).values[:RANK]
    found = torch.linalg.eigvals(torch.linalg.solve(a @ g @ a.T, a @ n @ a.T)).real.sort(descending=True).values
    assert found.tolist() == pytest.approx(values.tolist(), rel=1e-3)


def test_a_token_of_a_thousand_times_the_others_size_does_not_set_the_size_of_all():
    """Such activations stand at the first token of most models (Sun et al. 2024, arXiv 2402.17762)."""
    torch.manual_seed(0)
    new, general = torch.randn(400, WIDTH), torch.randn(800, WIDTH)
    plain = directions(moments(new), moments(general), RANK)
    new[0, -1] = general[0, -1] = 1000.0
    massive = directions(moments(new), moments(general), RANK)
    assert massive.norm() == pytest.approx(plain.norm().item(), rel=0.5)


def test_two_inputs_that_are_large_together_leave_the_moments_invertible():
    """So a training of the demo model ended: in float32 such a sum has eigenvalues below zero."""
    torch.manual_seed(0)
    new, general = torch.randn(400, WIDTH), torch.randn(800, WIDTH)
    large = 3000 * torch.randn(800, 1)
    general[:, :3] = large * torch.tensor([1.0, -1.0, 1.0])
    assert torch.linalg.eigvalsh((general.T @ general).double())[0] < 0
    assert torch.isfinite(directions(moments(new), moments(general), RANK)).all()


@pytest.mark.parametrize("kind", ["dense", "experts"])
def test_the_moments_are_those_of_the_tokens_and_layers_that_read_one_tensor_share_them(saved, kind):  # noqa: F811
    model = load_model(saved(kind), lora(), ON_CPU).eval()
    layers = {name: layer for lot in lots(model, ROOM) for name, layer in lot.items()}
    found, owners = measure(model, layers, SEQUENCES)
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    for name, layer in layers.items():
        layer.register_forward_pre_hook(lambda _, x, name=name: seen[name].append(x[0].flatten(0, -2)))
    with torch.no_grad():
        for ids in SEQUENCES:
            model(input_ids=torch.tensor([ids]))
    for name in layers:
        x = torch.cat(seen[name])
        assert torch.allclose(found[owners[name]].product, x.T @ x, atol=1e-4)
        assert found[owners[name]].tokens() == len(x) == 9
    attention = [name for name in layers if name.endswith(("q_proj", "k_proj", "v_proj"))]
    assert {owners[name] for name in attention} == {name for name in attention if name.endswith("q_proj")}


def test_layers_are_measured_in_as_many_passes_as_the_memory_asks_for_and_none_runs_further(saved):  # noqa: F811
    model = load_model(saved("dense"), lora(lora_target_modules=["q_proj", "lm_head"]), ON_CPU).eval()
    (together,) = lots(model, ROOM)
    one_by_one = list(lots(model, 1))
    assert [list(lot) for lot in one_by_one] == [[name] for name in together]
    assert all(name.endswith("q_proj") for name in together), "the head reads one token"
    above = []
    model.get_output_embeddings().register_forward_pre_hook(lambda *_: above.append(1))
    parts = [measure(model, lot, SEQUENCES)[0] for lot in one_by_one]
    assert not above
    whole, _ = measure(model, together, SEQUENCES)
    for part in parts:
        for name, moments in part.items():
            assert torch.allclose(moments.product, whole[name].product)


def test_a_batch_has_sequences_of_about_one_length_and_no_padding():
    sequences = [[n] * n for n in (200, 1, 190, 3000, 7, 5000, 195)]
    taken = [ids.tolist() for ids in batches(sequences)]
    assert sorted(row[0] for batch in taken for row in batch) == sorted(ids[0] for ids in sequences)
    assert [190, 190, 190] in [[len(row) for row in batch] for batch in taken]
    assert all(len(batch) == 1 or len(batch) * len(batch[0]) <= 4096 for batch in taken)


def test_what_is_read_is_drawn_over_all_rows_and_bounded(monkeypatch):
    monkeypatch.setattr(null_space, "TOKENS", 200)
    rows = [{"input_ids": [n] * 10} for n in range(100)]
    last = list(range(20, 100))
    drawn = some(rows, last, seed=1)
    assert len(drawn) == 20 and drawn == some(rows, last, seed=1)
    assert all(20 <= ids[0] < 100 for ids in drawn) and len({ids[0] for ids in drawn}) == 20
    assert len(some(rows, last[:5], seed=1)) == 5


class Child:
    """What asks for directions, seen in place of its process."""

    def __init__(self, code: int):
        self.code, self.asked = code, []

    def __call__(self, command, env):
        request = json.loads(Path(command[-1]).read_text())
        self.asked.append(request)
        if not self.code:
            save_file({f"layer{A}": torch.zeros(1)}, request["path"], metadata={"of": request["identity"]})
        return self.code


@pytest.fixture
def find(tiny_model_path, tokenizer, tmp_path, monkeypatch):
    """find_directions in a folder, with a Child."""

    def of(child: Child, given=None, resume: str | None = None, deepspeed: str | None = None, **changed) -> list[str]:
        monkeypatch.setattr(null_space, "wait_for_child", child)
        training = SimpleNamespace(output_dir=tmp_path, device=torch.device("cpu"), seed=1, deepspeed=deepspeed)
        rows = SupervisedDataset(given or EXAMPLES, tokenizer, "", 512)
        asked = lora(**{"init_lora_weights": NULL_SPACE, **changed})
        return find_directions(tiny_model_path, asked, training, rows, resume)

    return of


def test_rows_that_are_replayed_are_general_wherever_they_stand(find, tmp_path):
    """What a day knows already is among its rows, as replayed ones."""
    child = Child(0)
    assert find(child) == ["layer"] == find(child)
    (request,) = child.asked  # the second time the file is there
    assert (len(request["new"]), len(request["general"])) == (6, 2)
    assert find(child, lora_r=8) == ["layer"] and len(child.asked) == 2
    (tmp_path / FILE).write_bytes(b"half")
    assert find(child) == ["layer"] and len(child.asked) == 3


def test_a_training_that_is_resumed_has_the_directions_it_began_with(find, tmp_path):
    """DeepSpeed's checkpoints are without what is not trained, so that B would meet another A."""
    child = Child(0)
    find(child)
    assert find(child, lora_dropout=0.1) == ["layer"] and len(child.asked) == 2
    assert find(child, lora_dropout=0.2, resume="checkpoint-5") == ["layer"] and len(child.asked) == 2
    (tmp_path / FILE).unlink()
    with pytest.raises(InputError, match="expected the directions of this training"):
        find(child, resume="checkpoint-5", deepspeed="ds_configs/zero3.json")
    assert find(child, resume="checkpoint-5") == ["layer"] and len(child.asked) == 3, "A is in its checkpoint"


@pytest.mark.parametrize("changed", [{"use_lora": False}, {"init_lora_weights": "true"}], ids=str)
def test_nothing_is_looked_for_where_another_a_is_asked_for(find, changed):
    child = Child(0)
    assert find(child, **changed) == [] and not child.asked


def test_what_cannot_be_is_said(find, tiny_model_path, tmp_path):
    with pytest.raises(InputError, match=r"expected directions for LoRA from .*, found exit code 1"):
        find(Child(1))
    with pytest.raises(InputError, match=r"expected replayed answers .*, found none"):
        find(Child(0), [row for row in EXAMPLES if row["kind"] != "replay"])
    given = (ModelArguments(tiny_model_path), DataArguments("data.json", replay_ratio=0.0))
    arguments = LoraArguments(init_lora_weights=NULL_SPACE), TrainingArguments(str(tmp_path), use_cpu=True)
    with pytest.raises(InputError, match="replay_ratio above 0 with --init_lora_weights null_space"):
        check_arguments(*given, *arguments)


def test_a_stays_as_it_is_where_the_adapter_is_switched_off_and_on(saved, tmp_path):  # noqa: F811
    """As for each step's distance from the base: A was trained from the second step on, and a recomputed layer was another."""
    model = load_model(saved("dense"), lora(), ON_CPU)
    names = [name for name, layer in model.named_modules() if hasattr(layer, "lora_A") and "layers.0" in name]
    wanted = {name + A: torch.full_like(model.get_parameter(name + A), 0.5) for name in names}
    save_file(wanted, tmp_path / FILE)
    aim(model, names, str(tmp_path))
    with model.disable_adapter():
        pass
    model.gradient_checkpointing_enable()
    model.train()
    model(input_ids=torch.arange(8)[None]).logits.sum().backward()
    for name, parameter in model.named_parameters():
        if name.endswith(A):
            assert parameter.requires_grad == (name not in wanted) and parameter.equal(wanted.get(name, parameter))
            assert name not in wanted or parameter.grad is None


def trained(tiny_model_path, data, out: Path, *more, processes: int = 1) -> str:  # noqa: F811
    command = arguments(tiny_model_path, data, out, "--replay_ratio", "0.34", "--init_lora_weights", NULL_SPACE, *more)
    return finish(start(processes, command))


@pytest.fixture(scope="module")
def single(tiny_model_path, data, tmp_path_factory) -> Path:  # noqa: F811
    out = tmp_path_factory.mktemp("single")
    trained(tiny_model_path, data, out, "--per_device_train_batch_size", 8)
    return out


def test_b_alone_is_trained_and_the_adapter_is_an_ordinary_one(single, tiny_model_path):
    adapter = load_file(single / "adapter_model.safetensors")
    ordinary = load_model(tiny_model_path, lora(lora_r=4), ON_CPU)
    assert {name.replace(".default", "") for name, _ in ordinary.named_parameters() if "lora_" in name} == set(adapter)
    assert all(tensor.any() for tensor in adapter.values())
    assert json.loads((single / "adapter_config.json").read_text())["init_lora_weights"] is True
    q, k = (next(adapter[name] for name in adapter if f"{one}_proj.lora_A" in name) for one in "qk")
    assert torch.equal(q, k), "they read the same, so their directions are the same"
    plan = json.loads((single / "train_log.json").read_text())["plan"]
    assert plan["trainable_parameters"] == sum(t.numel() for name, t in adapter.items() if "lora_B" in name)
    assert not (single / FILE).exists()


def test_another_training_from_the_same_rows_has_the_same_directions(single, tiny_model_path, data, tmp_path):  # noqa: F811
    trained(tiny_model_path, data, tmp_path, "--per_device_train_batch_size", 8)
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (single, tmp_path))
    assert max((one[name] - other[name]).abs().max().item() for name in one) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("config", [None, "zero2", "zero3"], ids=str)
def test_two_ranks_give_the_adapter_of_one(config, single, tiny_model_path, data, tmp_path):  # noqa: F811
    more = ["--per_device_train_batch_size", 4, *(["--deepspeed", f"ds_configs/{config}.json"] if config else [])]
    trained(tiny_model_path, data, tmp_path, *more, processes=2)
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (single, tmp_path))
    assert one.keys() == other.keys()
    assert max((one[name] - other[name]).abs().max().item() for name in one) < 1e-4
