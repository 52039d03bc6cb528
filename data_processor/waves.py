"""A collection by batches: each run gets as far as the answers take it, and asks for the next wave of them.

`--batch submit` sends the wave to a server, `--batch collect` fetches its answers and goes on, `--batch files` writes the
wave to a file and reads the answers from another. With all answers there, each of them writes the dataset.
"""

from __future__ import annotations

import logging
from pathlib import Path

from budget.clock import Clock
from data_processor.arguments import CollectionArguments, dataset_path
from data_processor.collection import collect
from data_processor.documents import Document
from engines.batch import BatchEngine
from engines.batch_files import ANSWER_FORMS, answers_file, next_wave, request_files, wave_number
from engines.batch_server import BatchServer
from engines.chat import WaveWaiting
from engines.load import load_api_engine
from utils import AnswersAwaited, InputError, MostlyFailed, log_file

HOURS_A_WAVE = 24  # that the Batch API takes at most

log = logging.getLogger(__name__)


def check_batch_arguments(arguments: CollectionArguments) -> None:
    for name in ("time_budget", "until", "dry_run", "ray_address"):
        if getattr(arguments, name):
            raise InputError(
                f"expected no --{name} with --batch, whose answers come when they come, found one: remove either"
            )


def collect_in_waves(tokenizer: str, documents: list[Document], arguments, clock: Clock) -> None:
    """Collect as far as there are answers. AnswersAwaited, which says how to go on, if more are needed for the dataset."""
    path = dataset_path(arguments.json_save_dir)
    folder, server, running = path.with_suffix(".batch"), None, {}
    if arguments.batch != "files":
        server = BatchServer(arguments, log_file(path.with_suffix(".batches.jsonl")))
    if arguments.batch == "collect":
        open_files = [one for one in request_files(folder) if not answers_file(one).exists()]
        running = {one: server.fetch(one) for one in open_files}
    engine = BatchEngine(arguments.api_model, folder)
    steps, failure = None, None
    try:
        collect(engine, tokenizer, documents, arguments, clock)
    except WaveWaiting as waiting:
        steps = waiting.args
    except (InputError, MostlyFailed) as error:
        if not engine.failed:
            raise
        failure = error
    if failed := engine.describe_failed():
        log.warning("%s; they are in the next wave again", failed)
    if arguments.batch == "files":
        said = write_files(engine)
    elif arguments.batch == "submit":
        said = submit(engine, server, arguments)
    else:
        said = describe_progress(engine, running)
    if steps is not None:
        waves = arguments.method.WAVES[arguments.verify]
        raise AnswersAwaited(f"{said}. {describe_waves_left(waves, steps, arguments.batch != 'files')}")
    if said:
        log.info("for what failed, %s", said)
    if failure:
        raise failure


def write_files(engine: BatchEngine) -> str:
    """Write what is not written yet; returns where the answers are expected, or ""."""
    engine.write_wave()
    files = engine.open_files()
    expected = ", ".join(f"{answers_file(one)} (to {one.name})" for one in files)
    return f"expected answers in {expected}: {ANSWER_FORMS}; then run this again" if files else ""


def submit(engine: BatchEngine, server: BatchServer, arguments) -> str:
    """Send what is not sent yet; returns what is under way, or ""."""
    if engine.unwritten:
        learn_dialect(engine, arguments)
        engine.write_wave()
    batches = [f"{server.submit(one)} ({one.name})" for one in engine.open_files()]
    return f"submitted {', '.join(batches)}: run --batch collect in up to {HOURS_A_WAVE} hours" if batches else ""


def learn_dialect(engine: BatchEngine, arguments) -> None:
    """Ask one request for JSON and one for text at once: a wrong key, model or parameter then costs seconds, not a day."""
    live = load_api_engine(arguments)
    live.dialect, live.thinking_tokens = engine.dialect, engine.thinking_tokens
    for one in {one.schema is None: one for one in reversed(engine.unwritten.values())}.values():
        sampling = {"temperature": one.temperature, "seed": one.seed}
        live.chat([one.messages], max_new_tokens=one.max_new_tokens, schemas=one.schema, **sampling)
    engine.dialect, engine.thinking_tokens = live.dialect, live.thinking_tokens


def describe_progress(engine: BatchEngine, running: dict[Path, str | None]) -> str:
    """How far the batches are that this run needs (`running`, by file of requests), and what is to be submitted."""
    sent = {one: how_far for one in engine.open_files() if (how_far := running.get(one))}
    unsent = [key for key in engine.needed if engine.open.get(key) not in sent]
    said = [f"{one.name}: {how_far}; run --batch collect again" for one, how_far in sent.items()]
    if unsent:
        wave = min(
            (wave_number(engine.open[key]) for key in unsent if key in engine.open), default=next_wave(engine.folder)
        )
        said.append(f"wave {wave} is waiting ({len(unsent)} requests): run --batch submit")
    return ", ".join(said)


def describe_waves_left(waves: tuple[tuple[str, ...], ...], steps: tuple[str, ...], at_a_server: bool) -> str:
    """How many waves can still follow the one in which these steps are asked, and how long they may take."""
    left = len(waves) - 1 - min((number for number, names in enumerate(waves) if set(names) & set(steps)), default=0)
    hours = f" ({left * HOURS_A_WAVE} hours at {HOURS_A_WAVE} a wave)" if at_a_server else ""
    return f"At most {left} more {'wave follows' if left == 1 else 'waves follow'} it{hours}"
