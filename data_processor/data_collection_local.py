"""Make a dataset from a folder of texts with a local LLM.

In:  --data_path, a folder of .txt, .md, .html, .pdf or .docx files.
Out: --json_save_dir, a list of {"id", "conversations", "fact", "file_name", "kind", "role", "theme", "fact_id", "source"}.

    python data_processor/data_collection_local.py --model_name_or_path models/SmolLM2-135M-Instruct --guard words \\
        --data_path demo/documents --json_save_dir output/data.json
    python data_processor/data_collection_local.py --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path my_texts \\
        --engine vllm --tensor_parallel_size 2
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from budget.watching import watched_clock
from data_processor.arguments import CollectionArguments, check_arguments, dataset_path
from data_processor.collection import collect
from engines.arguments import EngineArguments
from engines.hub import require_model
from engines.load import load_engine
from utils import parse_arguments, run_script


@dataclass
class Arguments(EngineArguments, CollectionArguments):
    model_name_or_path: str = field(
        default="models/SmolLM2-135M-Instruct", metadata={"help": "A model folder, or a name on the Hugging Face hub."}
    )


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    documents = check_arguments(arguments)
    require_model(arguments.model_name_or_path)
    with watched_clock(arguments, "collection", dataset_path(arguments.json_save_dir).parent) as clock:
        engine = load_engine(arguments.model_name_or_path, arguments)
        collect(engine, arguments.tokenizer or engine.tokenizer, documents, arguments, clock)


if __name__ == "__main__":
    run_script(main)
