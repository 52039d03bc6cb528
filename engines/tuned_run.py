"""A finished run, as far as asking its model again needs it: the base, the adapter, and what inference.py was answered.

run = read_run("output/run")
asked = run.questions()            # with both answers; run.max_new_tokens is how long they could get
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engines.adapter import require_adapter, require_adapter_weights, trained_system_prompt
from engines.hub import require_model
from provenance import meta_file
from utils import InputError, read_json

ADAPTER, BASE_ANSWERS, TUNED_ANSWERS = "lora", "base.json", "tuned.json"
TRAINING = Path(ADAPTER) / "training.json"  # of which only the meta file is written
REMEDY = "give the OUT of shells/run_all.sh or quickstart.sh, as in OUT=output/quickstart"
ASK = f"run inference.py with --output_path {TUNED_ANSWERS} and --also_base {BASE_ANSWERS} of this folder"


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
        return self._how_asked()["arguments"]["max_new_tokens"]

    def _how_asked(self) -> dict:
        return read_json(meta_file(self.folder / TUNED_ANSWERS), "how the answers were made", ASK)

    def questions(self) -> list[Asked]:
        """The questions that both models answered, in the order of the file.

        InputError if another prompt was asked than a client's question, if the adapter is a later one, or if no answer tells
        the models apart.
        """
        base, tuned = (read_answers(self.folder / name) for name in (BASE_ANSWERS, TUNED_ANSWERS))
        self._require_asked_as_served()
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

    def _require_asked_as_served(self) -> None:
        how, answers = self._how_asked(), self.folder / TUNED_ANSWERS
        if how["arguments"].get("rag") or how["arguments"].get("open_book"):
            raise InputError(
                f"expected answers from memory in {answers}, found that text of the documents was in the prompts: run "
                "inference.py without --rag and --open_book"
            )
        if how.get("system_prompt", self.system_prompt) != self.system_prompt:
            raise InputError(
                f"expected answers under the system prompt of the training ({self.system_prompt!r}) in {answers}, found "
                f"{how['system_prompt']!r}: run inference.py without --system_prompt"
            )
        training = meta_file(self.folder / TRAINING)
        trained = read_json(training, "how the adapter was made").get("finished") if training.is_file() else None
        if trained and trained > how.get("finished", trained):
            raise InputError(
                f"expected answers of the adapter in {self.adapter}, which was trained until {trained}, found older ones in "
                f"{answers}, of {how['finished']}: {ASK}, then evaluate.py"
            )


def read_answers(path: Path) -> list[dict]:
    """The answers of inference.py in a file; InputError if it has something else."""
    rows = read_json(path, "the answers of inference.py", ASK)
    for row in rows if isinstance(rows, list) else [rows]:
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("question", "response")):
            raise InputError(
                f'expected a list of answers with "question" and "response" in {path}, found {str(row)[:80]}: {ASK}'
            )
    return rows


def read_run(folder: str | Path, model: str | None = None) -> TunedRun:
    """The run in a folder, its base and its adapter checked; `model` is where the base is, if it has moved."""
    folder = Path(folder)
    adapter = str(folder / ADAPTER)
    config = Path(adapter) / "adapter_config.json"
    recorded = read_json(config, "the adapter of a finished run", REMEDY).get("base_model_name_or_path")
    base = model or recorded
    if not base:
        raise InputError(f"expected the name of the base model in {config}, found none: say where it is with MODEL")
    try:
        require_model(base, f"the base model of {adapter}")
    except InputError as error:
        raise error if model else InputError(f"{error}; if it has moved, say where with MODEL") from None
    require_adapter(adapter, base)
    require_adapter_weights(adapter)
    return TunedRun(folder, base, adapter, trained_system_prompt(adapter))
