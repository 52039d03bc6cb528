"""What was forgotten: verdicts compared, drift of a real adapter, and the harness where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
from argparse import Namespace
from pathlib import Path

import pytest
from conftest import save_random_adapter
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
    assert [row["id"] for row in found["lost_answers"]] == ["q5", "q6", "q7"] and "no significant difference" in found[
        "words"
    ]
    assert (found["p"], found["words"]) == (
        0.625,
        "1 answer gained, 3 lost: no significant difference (exact McNemar, p = 0.625)",
    )
    assert found["lost_answers"][0] == {
        "id": "q5", "question": "Question 5?", "reference": "ref5", "response": "no",
    }  # fmt: skip
    unscored = [{"verdict": "unscored"}, *verdicts(base)[1:]]
    assert forgetting.retention(AFTER, verdicts(AFTER), unscored)["n"] == 7


def test_a_base_model_that_knew_nothing_had_nothing_to_lose():
    nothing = [answer(n, "no") for n in range(8)]
    found = forgetting.retention(AFTER, verdicts(AFTER), verdicts(nothing))
    assert (found["known_before"], found["kept"], found["lost"], found["gained"]) == (0, 0, 0, 5)
    assert (found["kept_share"], found["interval"], found["lost_answers"]) == (None, None, [])


def test_what_is_said_of_answers_is_of_those_that_are_there():
    rows = {"sft": AFTER, "base": KNOWN}
    assert forgetting.measure_answers(rows, {what: verdicts(found) for what, found in rows.items()}) == {}
    unknown = {"sft": [answer(0, "I do not know.", kind="unknown")], "base": [answer(0, "Ann", kind="unknown")]}
    rows = {**unknown, "retention_sft": AFTER, "retention_base": KNOWN}
    found = forgetting.measure_answers(rows, {what: verdicts(found) for what, found in rows.items()})
    assert list(found) == ["retention", "refusals"]
    assert (
        found["refusals"]["words"] == "1 refusal gained, 0 lost: no significant difference (exact McNemar, p = 1.000)"
    )
    assert (found["retention"]["kept"], found["retention"]["lost"], found["retention"]["gained"]) == (5, 3, 0)


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
    assert found["unanswerable"]["sft"] == {"n": 2, "refused": 2, "interval": [0.3424, 1.0]}
    assert found["answerable"]["base"] == {"n": 2, "refused": 0, "interval": [0.0, 0.6576]}
    assert found["words"] == "1 refusal gained, 0 lost: no significant difference (exact McNemar, p = 1.000)"
    assert forgetting.refusals(base, sft)["words"].startswith("0 refusals gained, 1 lost: no significant difference")
    not_asked = [answer(4, "", error="no time", **asked), answer(5, "", error="no time")]
    assert forgetting.refusals([*sft, *not_asked], [*base, *not_asked]) == found
    silent = [answer(4, " ", **asked)]
    assert forgetting.refusals([*sft, *silent], [*base, *silent])["unanswerable"]["sft"]["refused"] == 2
    japanese = [{**answer(0, "それは分かっていません。", **asked), "reference": "私には分かりません。"}]
    italian = [{**answer(0, "Non è noto.", **asked), "reference": "Non è noto."}]
    assert [forgetting.refusals(x, x)["unanswerable"]["sft"]["refused"] for x in (japanese, italian)] == [1, 1]
    many = [answer(n, "I do not know.", **asked) for n in range(6)]
    said = forgetting.refusals([answer(n, "Ann", **asked) for n in range(6)], many)["words"]
    assert said == "0 refusals gained, 6 lost: the tuned model is worse (exact McNemar, p = 0.031)"
    assert forgetting.refusals(KNOWN, KNOWN) is None


def asked_of(tmp_path, **changes) -> Namespace:
    (tmp_path / "p.json").write_text(json.dumps(["one", "two", "three"]))
    given = {"model_name_or_path": "base", "lora_weights": str(tmp_path), "neutral_prompts": tmp_path / "p.json",
             "limit": None, "system_prompt": None, "lm_eval": None, "data_path": str(tmp_path)}  # fmt: skip
    return Namespace(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "prompts", "system_prompt"),
    [
        ({}, ["one", "two", "three"], "As it was trained."),
        ({"limit": 2}, ["one", "two"], "As it was trained."),
        ({"system_prompt": "Another."}, ["one", "two", "three"], "Another."),
        ({"system_prompt": ""}, ["one", "two", "three"], ""),
    ],
)
def test_the_drift_is_asked_for_as_the_adapter_was_trained(tmp_path, monkeypatch, changes, prompts, system_prompt):
    (tmp_path / "knowledge_update.json").write_text(json.dumps({"system_prompt": "As it was trained."}))
    monkeypatch.setattr(forgetting, "drift_in_child", lambda *asked: asked)
    measures = forgetting.model_measurements(asked_of(tmp_path, **changes))
    assert list(measures) == ["drift"]
    assert measures["drift"]() == ("base", str(tmp_path), prompts, system_prompt)


def test_models_are_measured_where_there_is_an_adapter_and_by_the_harness_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(forgetting, "lm_eval", lambda *asked: asked)
    assert forgetting.model_measurements(asked_of(tmp_path, lora_weights=None, lm_eval="t")) == {}
    measures = forgetting.model_measurements(asked_of(tmp_path, lm_eval="t", limit=2, system_prompt=""))
    assert list(measures) == ["drift", "lm_eval"]
    assert measures["lm_eval"]() == ("t", "base", str(tmp_path), tmp_path, 2)


@pytest.mark.parametrize(
    ("printed", "last"), [("", "no output"), ("one\n two \n\n", "two"), ("\n \n", "no output"), ("one", "one")]
)
def test_the_last_line_that_says_something(printed, last):
    assert forgetting.last_line(printed) == last


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


def test_the_drift_is_the_divergence_from_the_base_at_each_token(tiny_model_path, tmp_path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    save_random_adapter(tiny_model_path, tmp_path, 4)
    prompts = ["Hello", "Write a long and cheerful sentence about the sea, please."]
    found = forgetting.drift(tiny_model_path, str(tmp_path), prompts, "Be brief.")

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_path)
    base = AutoModelForCausalLM.from_pretrained(tiny_model_path, dtype=torch.float32)
    written, kl, same = [], [], []
    for prompt in prompts:
        chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        written.append((ids["input_ids"].shape[1], base.generate(**ids, max_new_tokens=48, do_sample=False)))
    with torch.inference_mode():
        before = [base(ids).logits[0, start - 1 : -1].log_softmax(-1) for start, ids in written]
        tuned = PeftModel.from_pretrained(base, str(tmp_path))
        after = [tuned(ids).logits[0, start - 1 : -1].log_softmax(-1) for start, ids in written]
    for p, q in zip(before, after, strict=True):
        kl += (p.exp() * (p - q)).sum(-1).tolist()
        same += (p.argmax(-1) == q.argmax(-1)).tolist()
    assert (found["prompts"], found["tokens"]) == (2, 96) and len(kl) == 96
    assert found["mean_kl"] == pytest.approx(sum(kl) / 96, rel=0.01) and found["mean_kl"] > 0.1
    assert found["top1_agreement"] == pytest.approx(sum(same) / 96, abs=0.02)


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
    replayed = json.loads((forgetting.ROOT / "training" / "replay_prompts.json").read_text())
    assert len(prompts) >= 20 and not set(prompts) & set(replayed)


@pytest.mark.parametrize("content", ["[1]", "[]", '["a", ""]', '{"a": "b"}', '"text"', '["a", null]'])
def test_what_are_no_prompts(tmp_path, content):
    (tmp_path / "p.json").write_text(content)
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
        folder.mkdir(parents=True, exist_ok=True)
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
    assert [command[command.index("--tasks") + 1] for command in commands] == ["t", "t"]
    assert ["peft=" in " ".join(command) for command in commands] == [False, True]  # the base, then with the adapter
    forgetting.lm_eval("t", "base-model", "lora", tmp_path)
    assert not any("--limit" in command for command in commands[2:])


@pytest.mark.parametrize(("code", "files"), [(1, ["results_1.json"]), (0, [])])
def test_a_harness_that_failed_or_wrote_nothing_is_one_line(tmp_path, monkeypatch, code, files):
    for name in files:
        (tmp_path / name).write_text('{"results": {}}')
    monkeypatch.setattr(forgetting, "run_child", lambda command: (code, "lots\nno such task\n"))
    with pytest.raises(
        InputError, match=rf"expected results of lm_eval for t, found exit code {code} \(no such task\)"
    ):
        forgetting.harness("t", "pretrained=m", tmp_path, None)


def test_the_newest_results_of_the_harness_count(tmp_path, monkeypatch):
    for age, (name, value) in enumerate((("results_b.json", 2), ("results_a.json", 1))):
        (tmp_path / name).write_text(json.dumps({"results": {"t": {"acc,none": value}}}))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    monkeypatch.setattr(forgetting, "run_child", lambda command: (0, ""))
    assert forgetting.harness("t", "pretrained=m", tmp_path, None) == {"t": {"acc,none": 2}}
