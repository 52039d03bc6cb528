"""What was forgotten: verdicts compared, drift of a real adapter, and the harness where it is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from scripted import answer

from evaluation import accuracy, forgetting
from utils import InputError

KNOWN = [answer(n, f"ref{n}") for n in range(8)]
AFTER = [answer(n, f"ref{n}" if n < 5 else "no") for n in range(8)]


def verdicts(rows: list[dict]) -> list[dict]:
    return accuracy.judge_answers(rows, None)


def test_what_was_known_is_kept_or_lost():
    base = [answer(0, "no"), *KNOWN[1:]]
    found = forgetting.retention(AFTER, verdicts(AFTER), verdicts(base))
    assert (found["n"], found["known_before"], found["kept"], found["lost"], found["gained"]) == (8, 7, 4, 3, 1)
    assert found["kept_share"] == pytest.approx(4 / 7, abs=1e-4) and found["interval"][0] < 4 / 7 < found["interval"][1]
    assert [row["id"] for row in found["lost_answers"]] == ["q5", "q6", "q7"] and "tied" in found["words"]
    unscored = [{"verdict": "unscored"}, *verdicts(base)[1:]]
    assert forgetting.retention(AFTER, verdicts(AFTER), unscored)["n"] == 7


def test_refusals_of_what_cannot_be_known():
    asked = {"kind": "unknown"}
    sft = [
        answer(0, "I do not know.", **asked),
        answer(1, "It is not known.", **asked),
        answer(2, "I don't know."),
        answer(3, "x"),
    ]
    base = [answer(0, "Ann", **asked), answer(1, "It is unknown.", **asked), answer(2, "ref2"), answer(3, "x")]
    found = forgetting.refusals(sft, base)
    assert [found["unanswerable"][model]["refused"] for model in ("sft", "base")] == [2, 1]
    assert [found["answerable"][model]["refused"] for model in ("sft", "base")] == [1, 0]
    assert found["words"].startswith("1 refusals gained, 0 lost: tied")
    assert forgetting.refusals(KNOWN, KNOWN) is None


@pytest.fixture(scope="module")
def adapters(tmp_path_factory, model_path) -> dict:
    """Two adapters of the real model: one that changes nothing yet, and one that changes it at random."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapters")
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(model_path), LoraConfig(r=4, target_modules=["down_proj"])
    )
    model.save_pretrained(folder / "nothing")
    torch.manual_seed(0)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.25)
    model.save_pretrained(folder / "something")
    return {"nothing": str(folder / "nothing"), "something": str(folder / "something")}


def test_drift_of_a_real_adapter(model_path, adapters):
    prompts = forgetting.read_prompts(forgetting.NEUTRAL_PROMPTS)[:3]
    same = forgetting.drift(model_path, adapters["nothing"], prompts)
    assert (same["mean_kl"], same["top1_agreement"], same["prompts"]) == (0, 1, 3) and same["tokens"] > 60
    moved = forgetting.drift(model_path, adapters["something"], prompts)
    assert moved["mean_kl"] > 0.01 and moved["top1_agreement"] < 1 and moved["tokens"] == same["tokens"]


def test_a_drift_by_another_process_is_that_of_this_one(model_path, adapters):
    prompts = forgetting.read_prompts(forgetting.NEUTRAL_PROMPTS)[:2]
    asked = (adapters["something"], prompts, "Be brief.")
    assert forgetting.drift_in_child(model_path, *asked) == forgetting.drift(model_path, *asked)


def test_a_drift_that_fails_says_why_in_one_line(model_path, adapters, tmp_path):
    (tmp_path / "adapter_config.json").write_text((Path(adapters["nothing"]) / "adapter_config.json").read_text())
    (tmp_path / "adapter_model.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match=r"expected the drift of .*, found exit code 1 \(.*header.*\)") as raised:
        forgetting.drift_in_child(model_path, str(tmp_path), ["Hello"], None)
    assert "\n" not in str(raised.value)


def test_neutral_prompts_are_texts_that_training_does_not_use(tmp_path):
    prompts = forgetting.read_prompts(forgetting.NEUTRAL_PROMPTS)
    replayed = json.loads((forgetting.ROOT / "datasets" / "replay_prompts.json").read_text())
    assert len(prompts) >= 20 and not set(prompts) & set(replayed)
    (tmp_path / "p.json").write_text("[1]")
    with pytest.raises(InputError, match="expected a list of texts"):
        forgetting.read_prompts(tmp_path / "p.json")


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is not None, reason="lm-evaluation-harness is installed")
def test_without_the_harness_there_is_one_line_about_it():
    with pytest.raises(InputError, match=r'expected lm-evaluation-harness .* pip install "lm_eval\[hf\]"'):
        forgetting.require_lm_eval()


def test_the_harness_is_asked_for_both_models_and_its_file_is_read(tmp_path, monkeypatch):
    commands = []

    def runs(command):
        commands.append(command)
        folder = tmp_path / "lm_eval" / ("sft" if "peft=" in " ".join(command) else "base")
        folder.mkdir(parents=True)
        metrics = {"acc,none": 0.5, "acc_stderr,none": 0.1, "alias": "t", "sample_len": 6, "bad,none": float("nan")}
        (folder / "results_2026.json").write_text(json.dumps({"results": {"t": metrics}}))
        return 0, ""

    monkeypatch.setattr(forgetting, "run_child", runs)
    found = forgetting.lm_eval("t", "base-model", "lora", tmp_path, limit=5)
    assert found["sft"] == {"t": {"acc,none": 0.5, "acc_stderr,none": 0.1}} == found["base"]
    assert [command[command.index("--model_args") + 1].partition(",peft=")[0] for command in commands] == [
        "pretrained=base-model"
    ] * 2
    assert all(command[-2:] == ["--limit", "5"] and "-P" in command for command in commands)
