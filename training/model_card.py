"""The README.md of an exported model: a Hugging Face model card made of the run's own files, none of it by hand.

What a file does not say is left out of the card, or said to be unknown.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from collections import Counter
from pathlib import Path

from data_processor.languages import detect_language
from engines.hub import NETWORK_S, call_within, could_be_hub_name
from engines.served import Likeness
from engines.tuned_run import TunedRun
from provenance import meta_file
from training.continued import target_modules
from training.merge import Difference
from utils import read_json, write_text

log = logging.getLogger(__name__)

UNKNOWN_LICENCE = "unknown"  # one of the values that the hub takes
LANGUAGE_SHARE = 0.1  # of a collection's chunks: a language of the model card
NAMED = 10  # documents, and lost answers, that are named
SAMPLED = 500  # chunks whose language is looked at, evenly over the collection
LICENCE_KEYS = ("license", "license_name", "license_link")
OPTIONS = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "trainable_token_indices")  # of PEFT
CONTINUED = "the last of several trainings: it went on from an adapter trained before, and the numbers are its own"
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
        **({"license": licence} if licence else base_licence(run.base, base_name)),
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


def base_licence(*places: str | None) -> dict:
    """What the head of the base model's own card says of its licence, read from the first of the places that has one.

    A place is a model's folder or its name on the hub. For a licence that the hub has no identifier for, "other", the head
    has its name and address too.
    """
    import huggingface_hub
    import yaml

    for place in filter(None, places):
        card, head = find_card(place), None
        with contextlib.suppress(ValueError, yaml.YAMLError):  # such a head says nothing
            head = huggingface_hub.metadata_load(card) if card else None
        if head and head.get("license"):
            found = {key: head[key] for key in LICENCE_KEYS if head.get(key)}
            if "://" not in found.get("license_link", "://"):  # a file of that model's
                found.pop("license_link")
            return found
    log.warning("no licence found in a card of %s: the export's says %r, or give LICENSE", places[0], UNKNOWN_LICENCE)
    return {"license": UNKNOWN_LICENCE}


def find_card(place: str) -> Path | None:
    """The card of a model in a folder, or of that name on the hub; None if there is none, or no way to the hub."""
    import huggingface_hub

    if Path(place).is_dir():
        path = Path(place) / "README.md"
        return path if path.is_file() else None
    if not could_be_hub_name(place):
        return None
    download = functools.partial(huggingface_hub.hf_hub_download, place, "README.md", etag_timeout=NETWORK_S)
    try:
        return Path(call_within(2 * NETWORK_S, download))
    except Exception as error:  # of several HTTP libraries, by version: see hub.hub_problem
        log.warning("the card of %s could not be read: %s", place, str(error).partition("\n")[0])
        return None


def languages(folder: Path) -> list[str]:
    """The languages of the collection's chunks, most frequent first, by their codes; of many chunks, of some of them."""
    chunks = folder / "data.chunks.jsonl"
    if not chunks.is_file():
        return []
    rows = read_json(chunks, "the chunks of a collection", or_lines=True)
    rows = rows[:: max(1, len(rows) // SAMPLED)]
    counts = Counter(detect_language(row["text"]) for row in rows)
    return [code for code, count in counts.most_common() if count >= LANGUAGE_SHARE * len(rows)]


def title(run: TunedRun, base_name: str | None) -> str:
    name = base_name or (Path(run.base).name if Path(run.base).exists() else run.base)
    prompt = run.system_prompt
    system = "none" if prompt is None else as_code(prompt) if prompt else "an empty one"
    return (
        f"# {Path(name).name}, taught what a folder of documents says\n\n"
        f"{name} with a LoRA adapter merged into its weights, made and measured by KnowledgeUpdate. The chat template puts "
        f"in the system prompt of the training ({system}) unless you send your own. It answers single questions; ask it "
        "without sampling, as it was measured."
    )


def as_code(text: str) -> str:
    """A text in one line between backticks, of which there are more than in the text (CommonMark 0.31, 6.1)."""
    text = " ".join(text.split())
    ticks = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if len(ticks) > 1 else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def what_was_read(folder: Path) -> str:
    counts = read_meta(folder / "data.json").get("counts")
    if not counts:
        return ""
    rows = read_json(folder / "data.json", "the dataset", or_lines=True)
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
    lines = [
        *([CONTINUED] if arguments.get("lora_weights") else []),
        shape(read_json(Path(adapter) / "adapter_config.json", "a LoRA adapter"))
        + ("; the base in 4 bits" if arguments.get("q_lora") else ""),
        f"{counts['examples']:,} examples, with them {counts['replay']:,} of the base's own answers against forgetting "
        f"(KL weight {arguments['kl_weight']:g})",
        f"{meta['updates']:,} updates at a learning rate of {arguments['learning_rate']:g} "
        f"({arguments['lr_scheduler_type']}); weights of update {meta['weights_of_step']:,}",
        f"{meta['seconds'] / 60:,.0f} minutes on {meta['machine']}; "
        + ", ".join(f"{name} {version}" for name, version in meta["versions"].items() if name in ("torch", "peft")),
        f"code at commit {meta['commit']}, on {meta['finished'].partition(' ')[0]}",
    ]
    return "## How it was trained\n\n" + "\n".join(f"- {line}" for line in lines)


def shape(config: dict) -> str:
    """ "LoRA of rank 16, alpha 32, on q_proj, v_proj; use_dora" """
    others = [key for key in OPTIONS if config.get(key)]
    saved = config.get("modules_to_save") or []
    others += [f"trained in full: {', '.join(saved)}"] if saved else []
    found = f"LoRA of rank {config['r']}, alpha {config['lora_alpha']:g}, on {', '.join(target_modules(config))}"
    return "; ".join([found, *others])


def share(score: dict, key: str = "accuracy") -> str:
    """ "58.3 % [45.7, 69.9]" """
    if not score["interval"]:  # nothing was counted
        return "–"
    low, high = score["interval"]
    return f"{score[key]:.1%} [{100 * low:.1f}, {100 * high:.1f}]".replace("%", " %")


def scored(score: dict) -> int:
    """How many answers have a score, which is what shares are of."""
    return score["n"] - score.get("unscored", 0)


def scores(folder: Path) -> str:
    found = {name: score for name, file in SCORES if (score := read_scores(folder / file)).get("n")}
    if "after" not in found:
        return ""
    lines = [
        "| | right | of | share, with 95 % interval |",
        "|---|---|---|---|",
        *(f"| {name} | {score['correct']} | {scored(score)} | {share(score)} |" for name, score in found.items()),
    ]
    compared = (read_scores(folder / "tuned_win_rate.json").get("mcnemar") or {}).get("words")
    kinds = ", ".join(f"{kind} {one['correct']}/{scored(one)}" for kind, one in found["after"]["by_kind"].items())
    judge = found["after"]["judge"]
    how = "by string match" if judge == "match" else f"by the judge {judge}"
    failed, unscored = found["after"].get("judge_failed"), found["after"]["n"] - scored(found["after"])
    rest = [f"Scored {how}; by kind, after: {kinds}.", compared and f"{compared[0].upper()}{compared[1:]}."]
    rest.append(unscored and f"{unscored} more questions were not answered in time, or have no score.")
    rest.append(failed and f"The judge failed on most answers, so these numbers say little: {failed}.")
    return "## Questions about the documents\n\n" + "\n".join(lines) + "\n\n" + " ".join(filter(None, rest))


def forgotten(folder: Path) -> str:
    found = read_scores(folder / "tuned_forgetting.json")
    lines = []
    if (retention := found.get("retention")) and retention["known_before"]:
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
        f"Of the questions about its documents it answered {found['incorrect']} of {scored(found)} wrongly, and a wrong answer "
        "sounds like a right one. "
        if found.get("n") and scored(found)
        else ""
    )
    return (
        "## Limits\n\n"
        f"{wrong}It knows the documents as they were when it was trained, and gives no sources. It was measured on single "
        "questions, not on conversations, on long answers, or on what else it may have forgotten."
    )
