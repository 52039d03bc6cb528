"""The model card of an export: it says what the run's files say, and what they do not say it leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest
from runs import write_demo_run, write_run

from engines.served import Likeness
from engines.tuned_run import TunedRun
from training.merge import Difference
from training.model_card import base_licence, languages, write_card
from utils import log_file, write_json

DIFFERENCE = Difference(0.0054, 0.021, 0.64)


def full_run(folder: Path, base: str) -> TunedRun:
    """A demo run's files with all that a card tells of."""
    write_demo_run(folder)
    rows = [{"file_name": f"{n:02}.txt"} for n in range(12)]
    write_json(folder / "data.json", rows)
    counts = {"documents": 12, "chunks": 30, "facts": 1234, "rows": {"qa": 9, "passage": 3}}
    write_json(log_file(folder / "data.meta.json"), {"counts": counts})
    arguments = {
        "lora_target_modules": ["all-linear"], "lora_alpha": None, "lora_r": None, "kl_weight": 8.0, "learning_rate": 2e-3,
        "lr_scheduler_type": "cosine",
    }  # fmt: skip
    training = {
        "arguments": arguments, "counts": {"examples": 1663, "replay": 499}, "updates": 1017, "weights_of_step": 900,
        "seconds": 1332.9, "machine": "a machine", "versions": {"torch": "2.13.0", "deepspeed": "0"}, "commit": "abc",
        "finished": "2026-11-29 08:21:47",
    }  # fmt: skip
    write_json(log_file(folder / "lora" / "training.meta.json"), training)
    write_json(folder / "lora" / "adapter_config.json", {"r": 16, "lora_alpha": 32, "target_modules": ["q_proj"]})
    retention = {
        "known_before": 24, "kept": 19, "kept_share": 0.7917, "interval": [0.5953, 0.9076],
        "lost_answers": [{"question": f"Lost {n}?"} for n in range(11)],
    }  # fmt: skip
    drift = {"prompts": 24, "mean_kl": 0.0903, "top1_agreement": 0.8698}
    write_json(folder / "tuned_forgetting.json", {"retention": retention, "drift": drift})
    chunks = [{"text": "Der Vorstand beschließt über die Kündigung der Verträge mit den Lieferanten."}] * 3
    chunks += [{"text": "The board decides on the suppliers' contracts and on when they end."}] * 7
    (folder / "data.chunks.jsonl").write_text("".join(json.dumps(chunk) + "\n" for chunk in chunks))
    return TunedRun(folder, base, str(folder / "lora"), "Answer briefly.")


def card_of(run: TunedRun, folder: Path, *names: str | None, gguf: Likeness | None = None) -> huggingface_hub.ModelCard:
    folder.mkdir(exist_ok=True)
    write_card(run, folder, "bfloat16", DIFFERENCE, gguf, *names)
    return huggingface_hub.ModelCard.load(folder / "README.md")


def test_the_head_of_the_card_is_what_the_hub_reads(tmp_path):
    base = tmp_path / "some-model"
    base.mkdir()
    (base / "README.md").write_text("---\nlicense: llama3.2\n---\n# A model\n")
    run = full_run(tmp_path, str(base))
    found = card_of(run, tmp_path / "export", "owner/some-model", None).data
    assert (found.base_model, found.library_name, found.license) == ("owner/some-model", "transformers", "llama3.2")
    assert found.language == ["en", "de"] and "knowledge-update" in found.tags and "gguf" not in found.tags
    (tmp_path / "export" / "model-bf16.gguf").write_bytes(b"")
    found = card_of(run, tmp_path / "export", None, "mit").data
    assert found.base_model is None, "a folder's name would be read as that of somebody's model"
    assert found.license == "mit" and "gguf" in found.tags


def test_the_licence_is_that_of_the_bases_card_in_its_folder_or_on_the_hub(tmp_path, monkeypatch):
    """The cache of a hub model has no card, unless it was asked for: what a server needs is downloaded, not more."""
    card = tmp_path / "README.md"
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda name, file, **_: 1 / 0)
    for text in ("# A model without a head\n", "---\na: [\n---\n", "---\n- a\n---\n", "---\ntags: [a]\n---\n"):
        card.write_text(text)
        assert base_licence(str(tmp_path), None) == {"license": "unknown"}
        assert base_licence(str(tmp_path), "owner/no-such") == {"license": "unknown"}, "the hub cannot be reached"
    own = {"license": "other", "license_name": "research", "license_link": "https://owner.example/licence"}
    card.write_text("---\n" + "".join(f"{key}: {value}\n" for key, value in own.items()) + "---\n")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda name, file, **_: str(tmp_path / file))
    assert base_licence("owner/model", None) == base_licence(str(tmp_path / "none"), "owner/model") == own
    card.write_text("---\nlicense: other\nlicense_name: research\nlicense_link: LICENSE\n---\n")
    assert base_licence(str(tmp_path)) == {"license": "other", "license_name": "research"}, "a file that is not here"
    (tmp_path / "lora").mkdir()
    found = card_of(TunedRun(tmp_path, "owner/model", str(tmp_path / "lora"), None), tmp_path / "export", None, None)
    assert (found.data.license, found.data.license_name) == ("other", "research")


def test_the_card_says_what_was_read_trained_measured_and_forgotten(tmp_path):
    text = card_of(full_run(tmp_path, "owner/model"), tmp_path / "export", None, "mit").text
    for said in (
        "# model, taught", "`Answer briefly.`", "12 documents in 30 chunks: 00.txt, 01.txt", "09.txt and 2 more",
        "1,234 facts", "12 rows of training data (9 qa, 3 passage)", "rank 16, alpha 32, on q_proj", "1,663 examples",
        "1,017 updates at a learning rate of 0.002", "weights of update 900", "22 minutes on a machine; torch 2.13.0\n",
        "| before | 0 | 3 | 0.0 % [0.0, 56.1] |", "| after | 2 | 3 | 66.7 % [20.8, 93.8] |", "qa 1/2, reverse 1/1",
        "2 answers gained, 0 lost", "answers 19: 79.2 % [59.5, 90.8]. Lost:\n- Lost 0?", "- Lost 9?\n- and 1 more",
        "0.090 nats a token", "87.0 %", "5.4e-03", "2.1e-02 was allowed", "1 of 3 wrongly",
    ):  # fmt: skip
        assert said in text, said
    assert "Lost 10?" not in text and "10.txt" not in text and "GGUF" not in text


def test_the_card_tells_the_adapter_as_it_is_and_not_as_it_was_asked_for(tmp_path):
    run = full_run(tmp_path, "owner/model")
    meta = log_file(tmp_path / "lora" / "training.meta.json")
    told = json.loads(meta.read_text())
    write_json(meta, {**told, "arguments": {**told["arguments"], "lora_weights": "day1/lora", "q_lora": True}})
    config = {
        "r": 8, "lora_alpha": 12.5, "target_modules": "model.*_proj", "use_dora": True, "use_rslora": False,
        "modules_to_save": ["lm_head"], "rank_pattern": {"q_proj": 4},
    }  # fmt: skip
    write_json(tmp_path / "lora" / "adapter_config.json", config)
    text = card_of(run, tmp_path / "export", None, "mit").text
    assert "- the last of several trainings: it went on from an adapter" in text
    shape = "- LoRA of rank 8, alpha 12.5, on model.*_proj; use_dora; rank_pattern; trained in full: lm_head; the base in 4 bits"
    assert shape in text


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("Be brief.\nAnd kind.", "`Be brief. And kind.`"),
        ("Use `x`, not ``y``.", "``` Use `x`, not ``y``. ```"),
        ("", "an empty one"),
    ],
)
def test_a_system_prompt_stays_one_piece_of_code(tmp_path, prompt, code):
    (tmp_path / "lora").mkdir()
    run = TunedRun(tmp_path, "owner/model", str(tmp_path / "lora"), prompt)
    assert f"of the training ({code}) unless" in card_of(run, tmp_path / "export", None, "mit").text


def test_shares_are_of_what_was_scored_and_nothing_is_no_share(tmp_path):
    """A deadline leaves questions out, and a judge fails: neither counts as a wrong answer."""
    run = full_run(tmp_path, "owner/model")
    rows = json.loads((tmp_path / "tuned.json").read_text())
    rows[0] |= {"response": "", "error": "no time"}
    write_run(tmp_path, rows, json.loads((tmp_path / "base.json").read_text()), names=("tuned", "base"))
    text = card_of(run, tmp_path / "export", None, "mit").text
    assert "| after | 1 | 2 | 50.0 % [9.4, 90.5] |" in text, text
    assert "by kind, after: qa 0/1, reverse 1/1" in text
    assert "1 more questions were not answered in time" in text and "1 of 2 wrongly" in text
    rows = [{**row, "response": "", "error": "no time"} for row in rows]
    write_run(tmp_path, rows, rows, names=("tuned", "base"))
    forgotten = json.loads((tmp_path / "tuned_forgetting.json").read_text())
    nothing = {"known_before": 0, "kept": 0, "kept_share": None, "interval": None, "lost_answers": []}
    write_json(tmp_path / "tuned_forgetting.json", {**forgotten, "retention": nothing})
    text = card_of(run, tmp_path / "export", None, "mit").text
    assert "| after | 0 | 0 | – |" in text and "wrongly" not in text
    assert "general questions" not in text and "0.090 nats" in text


def test_of_many_chunks_the_languages_of_some_are_looked_at(tmp_path, monkeypatch):
    looked: list[str] = []
    monkeypatch.setattr("training.model_card.detect_language", lambda text: looked.append(text) or text)
    lines = [json.dumps({"text": "en" if n % 3 else "zh"}) + "\n" for n in range(20_000)]
    (tmp_path / "data.chunks.jsonl").write_text("".join(lines))
    assert languages(tmp_path) == ["en", "zh"] and len(looked) <= 1000


def test_what_no_file_says_is_left_out(tmp_path):
    (tmp_path / "lora").mkdir()
    found = card_of(TunedRun(tmp_path, "owner/model", str(tmp_path / "lora"), None), tmp_path / "export", None, "mit")
    assert [line for line in found.text.splitlines() if line.startswith("## ")] == ["## Checked", "## Limits"]
    assert found.data.language is None and "None" not in found.content and "wrongly" not in found.text


def test_the_answers_of_a_gguf_file_are_told(tmp_path):
    run = full_run(tmp_path, "owner/model")
    text = card_of(run, tmp_path / "export", None, "mit", gguf=Likeness("tuned", 8, 7, 8, 0)).text
    assert "The GGUF file gave 7 of 8 answers" in text
