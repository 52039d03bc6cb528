"""The README.md of an exported model: a Hugging Face model card made of the run's own files, none of it by hand.

What a file does not say is left out of the card, or said to be unknown.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from data_processor.languages import detect_language
from engines.served import Likeness
from engines.tuned_run import TunedRun
from provenance import meta_file
from training.merge import Difference
from utils import read_json, write_text

UNKNOWN_LICENCE = "unknown"  # one of the values that the hub takes
LANGUAGE_SHARE = 0.1  # of a collection's chunks: a language of the model card
NAMED = 10  # documents, and lost answers, that are named
TAGS = ["knowledge-update", "lora", "merged"]
SCORES = (("before", "base_acc.json"), ("after", "tuned_acc.json"), ("document in the prompt", "open_book_acc.json"))


def write_card(
    run: TunedRun,
    folder: Path,
    dtype: str,
    difference: Difference,
    gguf: Likeness | None,
    base_name: str | None,
    licence: str | None,
) -> None:
    """Write README.md into the export's folder.

    `base_name` is the base on the hub, None if run.base is that name; `licence` an identifier of the hub's list, None for
    what the base's own card says.
    """
    import huggingface_hub

    head = huggingface_hub.ModelCardData(
        base_model=base_name or (None if Path(run.base).exists() else run.base),
        library_name="transformers",
        pipeline_tag="text-generation",
        license=licence or base_licence(run.base),
        language=languages(run.folder) or None,
        tags=[*TAGS, *(["gguf"] if list(folder.glob("*.gguf")) else [])],
    )
    sections = [
        title(run, base_name),
        what_was_read(run.folder),
        recipe(run.adapter),
        scores(run.folder),
        forgotten(run.folder),
        checks(dtype, difference, gguf),
        limits(run),
    ]
    text = "\n\n".join(section for section in sections if section)
    write_text(folder / "README.md", f"---\n{head.to_yaml()}\n---\n\n{text}\n")


def read_meta(path: Path) -> dict:
    """How a file of the run was made; {} if that was not recorded."""
    path = meta_file(path)
    return read_json(path, "how a file was made") if path.is_file() else {}


def read_scores(path: Path) -> dict:
    return read_json(path, "scores of evaluate.py") if path.is_file() else {}


def base_licence(base: str) -> str:
    """The licence in the head of the base model's own card, where there is one."""
    import huggingface_hub

    from engines.standalone import local_folder

    card = local_folder(base) / "README.md"
    head = huggingface_hub.metadata_load(card) if card.is_file() else None
    return str((head or {}).get("license") or UNKNOWN_LICENCE)


def languages(folder: Path) -> list[str]:
    """The languages of the collection's chunks, most frequent first, by their codes."""
    chunks = folder / "data.chunks.jsonl"
    if not chunks.is_file():
        return []
    rows = read_json(chunks, "the chunks of a collection", or_lines=True)
    counts = Counter(detect_language(row["text"]) for row in rows)
    return [code for code, count in counts.most_common() if count >= LANGUAGE_SHARE * len(rows)]


def title(run: TunedRun, base_name: str | None) -> str:
    name = base_name or (Path(run.base).name if Path(run.base).exists() else run.base)
    system = "none" if run.system_prompt is None else f"`{run.system_prompt}`" if run.system_prompt else "an empty one"
    return (
        f"# {Path(name).name}, taught what a folder of documents says\n\n"
        f"{name} with a LoRA adapter merged into its weights, made and measured by KnowledgeUpdate. The chat template puts "
        f"in the system prompt of the training ({system}) unless you send your own. It answers single questions; ask it "
        "without sampling, as it was measured."
    )


def what_was_read(folder: Path) -> str:
    counts = read_meta(folder / "data.json").get("counts")
    if not counts:
        return ""
    rows = read_json(folder / "data.json", "the dataset")
    names = sorted({str(row["file_name"]) for row in rows if row.get("file_name")})
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts["rows"].items())
    return (
        "## What it read\n\n"
        f"{counts['documents']:,} documents in {counts['chunks']:,} chunks: {', '.join(names[:NAMED])}{more}. "
        f"From {counts['facts']:,} facts, each tied to a quote, came {len(rows):,} rows of training data ({kinds}). "
        "The licence of the documents is not recorded; whoever publishes this model answers for it."
    )


def recipe(adapter: str) -> str:
    meta = read_meta(Path(adapter) / "training.json")
    if not meta:
        return ""
    arguments, counts = meta["arguments"], meta["counts"]
    targets = ", ".join(arguments["lora_target_modules"])
    alpha = arguments["lora_alpha"] or 2 * arguments["lora_r"]
    lines = [
        f"LoRA of rank {arguments['lora_r']}, alpha {alpha}, on {targets}",
        f"{counts['examples']:,} examples, with them {counts['replay']:,} of the base's own answers against forgetting "
        f"(KL weight {arguments['kl_weight']:g})",
        f"{meta['updates']:,} updates at a learning rate of {arguments['learning_rate']:g} "
        f"({arguments['lr_scheduler_type']}); weights of update {meta['weights_of_step']:,}",
        f"{meta['seconds'] / 60:,.0f} minutes on {meta['machine']}; "
        + ", ".join(f"{name} {version}" for name, version in meta["versions"].items() if name in ("torch", "peft")),
        f"code at commit {meta['commit']}, on {meta['finished'].partition(' ')[0]}",
    ]
    return "## How it was trained\n\n" + "\n".join(f"- {line}" for line in lines)


def share(score: dict, key: str = "accuracy") -> str:
    """ "58.3 % [45.7, 69.9]" """
    low, high = score["interval"]
    return f"{score[key]:.1%} [{100 * low:.1f}, {100 * high:.1f}]".replace("%", " %")


def scores(folder: Path) -> str:
    found = {name: score for name, file in SCORES if (score := read_scores(folder / file)).get("n")}
    if "after" not in found:
        return ""
    lines = [
        "| | right | of all | of all, with 95 % interval |",
        "|---|---|---|---|",
        *(f"| {name} | {score['correct']} | {score['n']} | {share(score)} |" for name, score in found.items()),
    ]
    compared = (read_scores(folder / "tuned_win_rate.json").get("mcnemar") or {}).get("words")
    kinds = ", ".join(f"{kind} {one['correct']}/{one['n']}" for kind, one in found["after"]["by_kind"].items())
    judge = found["after"]["judge"]
    how = "by string match" if judge == "match" else f"by the judge {judge}"
    failed = found["after"].get("judge_failed")
    rest = [f"Scored {how}; by kind, after: {kinds}.", compared and f"{compared[0].upper()}{compared[1:]}."]
    rest.append(failed and f"The judge failed on most answers, so these numbers say little: {failed}.")
    return "## Questions about the documents\n\n" + "\n".join(lines) + "\n\n" + " ".join(filter(None, rest))


def forgotten(folder: Path) -> str:
    found = read_scores(folder / "tuned_forgetting.json")
    lines = []
    if retention := found.get("retention"):
        lines.append(
            f"Of {retention['known_before']} general questions that the base answered right, this model still answers "
            f"{retention['kept']}: {share(retention, 'kept_share')}. Lost:"
        )
        lost = [one["question"] for one in retention["lost_answers"]]
        lines[-1] = lines[-1] if lost else lines[-1].removesuffix(" Lost:")
        lines += [f"- {question}" for question in lost[:NAMED]]
        lines += [f"- and {len(lost) - NAMED} more"] if len(lost) > NAMED else []
    if drift := found.get("drift"):
        lines.append(
            f"\nOn {drift['prompts']} neutral prompts the KL from the base is {drift['mean_kl']:.3f} nats a token, and the "
            f"likeliest token the same for {drift['top1_agreement']:.1%}.".replace("%", " %")
        )
    return "## What it forgot\n\n" + "\n".join(lines) if lines else ""


def checks(dtype: str, difference: Difference, gguf: Likeness | None) -> str:
    text = (
        f"The weights are {dtype}. Read from disk by a fresh process, the merged model's logits differ from those of the "
        f"adapter beside its base by {difference.merged:.1e} (root mean square, relative); {difference.allowed:.1e} was "
        f"allowed, and the adapter itself changes {difference.effect:.1e}."
    )
    if gguf:
        text += f" The GGUF file gave {gguf.same} of {gguf.asked} answers of the measured model, word for word."
    return "## Checked\n\n" + text


def limits(run: TunedRun) -> str:
    found = read_scores(run.folder / "tuned_acc.json")
    wrong = (
        f"Of the questions about its documents it answered {found['incorrect']} of {found['n']} wrongly, and a wrong answer "
        "sounds like a right one. "
        if found.get("n")
        else ""
    )
    return (
        "## Limits\n\n"
        f"{wrong}It knows the documents as they were when it was trained, and gives no sources. It was measured on single "
        "questions, not on conversations, on long answers, or on what else it may have forgotten."
    )
