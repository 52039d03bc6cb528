"""An adapter is used with the base it was trained on, whatever its folder is called, and with no other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save_file

from engines.adapter import require_adapter, require_adapter_weights, weights_fingerprint
from utils import InputError

SHAPES = {"head": (30, 8), "layers.0.q": (40, 40), "layers.0.norm": (8,)}


def save_model(folder: Path, changed: str = "", files: int = 1) -> str:
    """A model of three tensors, one of them `changed` in its middle, in one file or in several with an index."""
    folder.mkdir(parents=True)
    tensors = {name: numpy.arange(numpy.prod(shape), dtype="float32").reshape(shape) for name, shape in SHAPES.items()}
    if changed:
        values = tensors[changed].reshape(-1)
        values[len(values) // 2] += 1
    if files == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return str(folder)
    index = {name: f"part-{number}.safetensors" for number, name in enumerate(tensors)}
    for name, file in index.items():
        save_file({name: tensors[name]}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    save_file({"other": tensors["head"]}, folder / "consolidated.safetensors")
    return str(folder)


def save_adapter(folder: Path, base: str, fingerprint: str | None = None) -> str:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    if fingerprint:
        settings = {"system_prompt": None, "base_weights": fingerprint}
        (folder / "knowledge_update.json").write_text(json.dumps(settings))
    return str(folder)


def test_the_same_weights_are_known_in_other_folders_and_files_and_others_are_not(tmp_path):
    first = weights_fingerprint(save_model(tmp_path / "a"))
    assert len(first) == 32
    assert weights_fingerprint(save_model(tmp_path / "copy")) == first
    assert weights_fingerprint(save_model(tmp_path / "parts", files=3)) == first
    (tmp_path / "parts" / "consolidated.safetensors").unlink()
    (tmp_path / "parts" / "model.safetensors.index.json").rename(tmp_path / "no_index")
    weights_fingerprint.cache_clear()
    assert weights_fingerprint(str(tmp_path / "parts")) == first
    others = [weights_fingerprint(save_model(tmp_path / name, changed=name)) for name in SHAPES]
    assert len({first, *others}) == 4
    (tmp_path / "empty").mkdir()
    assert weights_fingerprint(str(tmp_path / "empty")) is None


def test_a_file_that_holds_no_weights_is_named(tmp_path):
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(InputError, match="found no safetensors: copy or download it again"):
        weights_fingerprint(str(tmp_path))


def test_a_torn_index_or_record_is_named(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text("{")
    with pytest.raises(InputError, match=r"^expected a model's index as JSON at .*index\.json, found"):
        weights_fingerprint(str(tmp_path))
    adapter = save_adapter(tmp_path / "lora", "models/Small-1B")
    (tmp_path / "lora" / "knowledge_update.json").write_text("{")
    with pytest.raises(
        InputError, match=r"^expected the adapter's settings as JSON at .*knowledge_update\.json, found"
    ):
        require_adapter(adapter, "models/Small-1B")


def test_a_base_under_another_name_is_known_by_its_weights(tmp_path):
    base = save_model(tmp_path / "a" / "demo")
    adapter = save_adapter(tmp_path / "lora", base, weights_fingerprint(base))
    require_adapter(adapter, save_model(tmp_path / "copies" / "of_the_demo"))
    earlier = save_adapter(tmp_path / "earlier", base)  # no record, but the base is where it was
    require_adapter(earlier, str(tmp_path / "copies" / "of_the_demo"))
    with pytest.raises(InputError, match="trained on other weights"):
        require_adapter(earlier, save_model(tmp_path / "other", changed="head"))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="give its own base model; if they are the same"):
        require_adapter(earlier, str(tmp_path / "nothing"))  # whose weights are not known


def test_another_base_of_the_same_name_is_refused_with_the_way_past(tmp_path):
    base, other = save_model(tmp_path / "a" / "demo"), save_model(tmp_path / "b" / "demo", changed="layers.0.q")
    adapter = save_adapter(tmp_path / "lora", base, weights_fingerprint(base))
    with pytest.raises(InputError) as error:
        require_adapter(adapter, other)
    assert str(error.value) == (
        f"expected an adapter for {other}, found one for {base} in {adapter}, trained on other weights: give its own base "
        f"model; to use it all the same, write {other} as base_model_name_or_path into its adapter_config.json and remove "
        '"base_weights" from its knowledge_update.json'
    )
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": other}))
    (tmp_path / "lora" / "knowledge_update.json").write_text('{"system_prompt": null}')
    require_adapter(adapter, other)


@pytest.mark.parametrize("base", ["/elsewhere/Small-1B", "Small-1B", "some/Small-1B"])
def test_an_adapter_whose_base_is_not_there_is_known_by_the_last_part_of_its_name(tmp_path, base):
    adapter = save_adapter(tmp_path / "lora", base)
    require_adapter(adapter, "models/Small-1B")
    with pytest.raises(InputError) as error:
        require_adapter(adapter, "models/Other-1B")
    assert str(error.value) == (
        f"expected an adapter for models/Other-1B, found one for {base} in {adapter}: give its own base model; if they are "
        "the same, write models/Other-1B as base_model_name_or_path into its adapter_config.json"
    )


def test_a_folder_without_an_adapter_or_with_one_of_nothing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"^expected a LoRA adapter at .*, found nothing: give the --output_dir of"):
        require_adapter(str(tmp_path), "models/Small-1B")
    for content in ({}, {"base_model_name_or_path": None}):
        (tmp_path / "adapter_config.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match="found one for  in"):
            require_adapter(str(tmp_path), "models/Small-1B")


def test_weights_that_were_cut_short_are_named_as_such_and_not_as_another_models(tmp_path):
    base = save_model(tmp_path / "a" / "demo")
    adapter = save_adapter(tmp_path / "lora", base, weights_fingerprint(base))
    copy = Path(save_model(tmp_path / "copy")) / "model.safetensors"
    copy.write_bytes(copy.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"bytes of weights in .*copy/model\.safetensors, found .*: it was cut short"):
        require_adapter(adapter, str(copy.parent))


def test_an_adapter_without_its_weights_or_with_a_part_of_them_is_refused(tmp_path):
    """As where a training is still running, or a copy of its folder was cut short."""
    with pytest.raises(
        InputError, match=r"expected the weights of an adapter at .*, found nothing: train it to its end"
    ):
        require_adapter_weights(str(tmp_path))
    file = tmp_path / "adapter_model.safetensors"
    save_file({"a": numpy.zeros((40, 40), dtype="float32")}, file)
    require_adapter_weights(str(tmp_path))
    whole = file.read_bytes()
    for part, said in (
        (whole[:-1], "found 6,4.* it was cut short"),
        (whole[:20], "found no safetensors"),
        (b"", "an empty file"),
    ):
        file.write_bytes(part)
        with pytest.raises(InputError, match=said):
            require_adapter_weights(str(tmp_path))
    file.rename(tmp_path / "adapter_model.bin")  # as PEFT once wrote them: torch reads those
    require_adapter_weights(str(tmp_path))
