"""A finished run, as far as asking its model again needs it: the base, the adapter, and what inference.py was answered.

run = read_run("output/run")
asked = run.questions()            # with both answers; run.max_new_tokens is how long they could get
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engines.adapter import require_adapter, trained_system_prompt
from engines.hub import require_model
from engines.vllm_lora import adapter_config
from provenance import meta_file
from utils import InputError, read_json, require_file

ADAPTER, BASE_ANSWERS, TUNED_ANSWERS = "lora", "base.json", "tuned.json"
REMEDY = "give the OUT of shells/run_all.sh or quickstart.sh, as in OUT=output/quickstart"


@dataclass(frozen=True)
class Asked:
    """A question of the run, and inference.py's answers to it without and with the adapter."""

    question: str
    base: str
    tuned: str

    @property
    def telling(self) -> bool:
        """Whether the answer shows which of the two models gave it."""
        return self.base.strip() != self.tuned.strip()


@dataclass(frozen=True)
class TunedRun:
    """`folder` is the OUT of run_all.py; `base` a model's folder or hub name, `adapter` the folder of its LoRA adapter."""

    folder: Path
    base: str
    adapter: str
    system_prompt: str | None  # of the training, and of every question

    @property
    def max_new_tokens(self) -> int:
        """Tokens that an answer of inference.py could have; a longer one was cut there."""
        path = meta_file(self.folder / TUNED_ANSWERS)
        return read_json(path, "how the answers were made", "run inference.py again")["arguments"]["max_new_tokens"]

    def questions(self) -> list[Asked]:
        """The questions that both models answered, in the order of the file.

        InputError if a text stood in their prompts, which nobody sends to a server, or if no answer tells the models apart.
        """
        base, tuned = (
            read_json(self.folder / name, "the answers of inference.py", REMEDY)
            for name in (BASE_ANSWERS, TUNED_ANSWERS)
        )
        arguments = read_json(meta_file(self.folder / TUNED_ANSWERS), "how the answers were made")["arguments"]
        if arguments.get("rag") or arguments.get("open_book"):
            raise InputError(
                f"expected answers from memory in {self.folder / TUNED_ANSWERS}, found that text of the documents was in "
                "the prompts: run inference.py without --rag and --open_book"
            )
        untuned = {row["question"]: row for row in base}
        pairs = [(untuned[row["question"]], row) for row in tuned if row["question"] in untuned]
        asked = [
            Asked(after["question"], before["response"], after["response"])
            for before, after in pairs
            if not before.get("error") and not after.get("error")
        ]
        if not any(one.telling for one in asked):
            raise InputError(
                f"expected questions that {BASE_ANSWERS} and {TUNED_ANSWERS} in {self.folder} answer differently, found "
                f"none of {len(asked)}: nothing there tells the tuned model from its base; train longer, or ask about the "
                "documents"
            )
        return asked


def read_run(folder: str | Path, model: str | None = None) -> TunedRun:
    """The run in a folder, its base and its adapter checked; `model` is where the base is, if it has moved."""
    folder = Path(folder)
    adapter = str(folder / ADAPTER)
    require_file(folder / ADAPTER / "adapter_config.json", "the adapter of a finished run", REMEDY)
    base = model or adapter_config(adapter)["base_model_name_or_path"]
    require_model(base)
    require_adapter(adapter, base)
    return TunedRun(folder, base, adapter, trained_system_prompt(adapter))
