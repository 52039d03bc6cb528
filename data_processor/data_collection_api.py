"""Make a dataset from a folder of .txt files with an OpenAI-compatible API.

In and out: as data_collection_local.py. The key comes from the environment variable --api_key_env names.

    export OPENAI_API_KEY=...
    python data_processor/data_collection_api.py --api_model gpt-4o-mini --tokenizer models/SmolLM2-135M-Instruct \\
        --data_path my_texts --json_save_dir output/data.json
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_processor.collection import CollectionArguments, check_arguments, collect
from engines import ApiArguments, load_api_engine
from utils import parse_arguments, require_model, run


@dataclass
class Arguments(ApiArguments, CollectionArguments):
    tokenizer: str = field(
        default="models/SmolLM2-135M-Instruct",
        metadata={"help": "Whose tokens --chunk_size_by_token counts: the model that will learn."},
    )


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    documents = check_arguments(arguments)
    require_model(arguments.tokenizer, "a tokenizer")

    engine = load_api_engine(arguments)

    from transformers import AutoTokenizer

    collect(engine, AutoTokenizer.from_pretrained(arguments.tokenizer), documents, arguments)


if __name__ == "__main__":
    run(main)
