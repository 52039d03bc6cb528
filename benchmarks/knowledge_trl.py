"""A peer of benchmarks/knowledge.py: TRL's trainers with their defaults, under a deadline, in a Python that has TRL.

"sft": SFTTrainer on the rows as prompt and completion. "text": SFTTrainer on the documents as plain text, every token
trained. "sdft": trl.experimental.sdft on the questions, with the passage and the right answer before the teacher.
On a CPU without units for bfloat16, TRL's default, it runs in float32, as finetune.py does.

    PYTHON_WITH_TRL benchmarks/knowledge_trl.py REQUEST.json     # knowledge_runs.py writes the request

    PYTHON_WITH_TRL: pip install torch==2.13.0 transformers==5.19.0 peft==0.21.2 accelerate==1.15.0 trl==1.16.0 datasets
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

STARTED = time.monotonic()
SAVING_SECONDS = 2.0  # kept back from the deadline


def read_rows(request: dict) -> list[dict]:
    """The rows that the trainer is given, in TRL's forms."""
    if request["trainer"] == "text":
        paths = sorted(Path(request["texts"]).glob("*.txt"))
        names = request["documents"] or [path.name for path in paths]
        return [{"text": path.read_text(encoding="utf-8")} for path in paths if path.name in names]
    data = Path(request["data_path"])
    lines = data.with_suffix(".chunks.jsonl").read_text(encoding="utf-8").splitlines()
    chunks = {one["id"]: one["text"] for one in map(json.loads, lines)}
    rows = []
    for row in json.loads(data.read_text(encoding="utf-8")):
        question, answer = (turn["value"] for turn in row["conversations"])
        prompt = [{"role": "user", "content": question}]
        passage = chunks.get(f"{row['file_name']}#{row['source'].get('chunk')}", "")
        if request["trainer"] == "sft":
            rows.append({"prompt": prompt, "completion": [{"role": "assistant", "content": answer}]})
        elif row["kind"] != "passage" and passage:
            rows.append({"prompt": prompt, "privileged_context": f"{passage}\n\nThe right answer is: {answer}"})
    return rows


def make_deadline(seconds: float | None):
    """A Trainer callback that ends the training when `seconds` since the start of this process are over."""
    import transformers

    class Deadline(transformers.TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            self.began = time.monotonic()

        def on_step_end(self, args, state, control, **_):
            now = time.monotonic()
            update = now - self.began  # the next takes about as long
            if seconds is not None and now - STARTED + update + SAVING_SECONDS > seconds:
                control.should_training_stop = True

    return Deadline()


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import torch
    import transformers
    from datasets import Dataset
    from peft import LoraConfig

    from training.precision import cpu_prefers_bfloat16

    if request["trainer"] == "sdft":
        from trl.experimental.sdft import SDFTConfig as Config
        from trl.experimental.sdft import SDFTTrainer as Trainer
    else:
        from trl import SFTConfig as Config
        from trl import SFTTrainer as Trainer

    on_cpu, bf16 = not torch.cuda.is_available(), torch.cuda.is_available() or cpu_prefers_bfloat16()
    transformers.set_seed(request["seed"])
    name = request["model_name_or_path"]
    trainer = Trainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(name, dtype="bfloat16" if bf16 else "float32"),
        args=Config(
            output_dir=request["output_dir"],
            seed=request["seed"],
            save_strategy="no",
            report_to="none",
            use_cpu=on_cpu,
            bf16=bf16,
            **request["options"],
        ),
        train_dataset=Dataset.from_list(read_rows(request)),
        processing_class=transformers.AutoTokenizer.from_pretrained(name),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **request["lora"]),
        callbacks=[make_deadline(request["seconds"])],
    )
    trainer.train()
    trainer.save_model()


if __name__ == "__main__":
    main()
