"""The GPUs that this process may use: those assigned to it by CUDA_VISIBLE_DEVICES or Slurm that nobody else uses.

nvidia-smi is asked, which creates no CUDA context in this process; nothing is cached, as other processes come and go.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
from dataclasses import dataclass

import psutil

FIELDS = "index,uuid,name,memory.total,memory.used,mig.mode.current"
TIMEOUT_S = 120  # nvidia-smi wakes the driver, which takes half a minute on 8 GPUs without persistence mode
# A process with less does not even have a CUDA context (250 MiB or more): the MPS server, a monitor.
CONTEXT_BYTES = 256 << 20
# Memory that belongs to no listed process is a desktop's, or that of neighbours outside a container. vLLM takes 90 % of a
# GPU and does not start if more than the rest is in use.
UNLISTED_SHARE = 0.1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG device: a part that CUDA treats as one. `index` is its name in CUDA_VISIBLE_DEVICES."""

    index: str
    uuid: str
    name: str
    total_bytes: int
    free_bytes: int


def usable_gpus() -> list[Gpu]:
    """The GPUs this process may use, in CUDA's order; none without CUDA. Those in use by others are named in the log.

    CUDA_VISIBLE_DEVICES decides, or else what Slurm gave the job. Only memory of this process and its relatives counts
    as its own (own_processes). On a machine without nvidia-smi, all GPUs that CUDA sees are used.
    """
    import torch

    count = torch.cuda.device_count()
    if count == 0:
        return []
    listed = listed_gpus()
    if not listed:
        return torch_gpus(count)
    own, others = [], []
    processes = listed_processes()
    for gpu in visible_gpus(listed):
        used = bytes_used_by_others(gpu, processes.get(gpu.uuid, []))
        if used:
            others.append(f"{gpu.index} ({gpu.name}, {used / 2**30:.1f} GiB in use)")
        else:
            own.append(gpu)
    if others:
        log.warning("skipped, as other processes use them: GPU %s", ", GPU ".join(others))
    return own


def listed_gpus() -> list[Gpu]:
    """All that nvidia-smi lists; a GPU divided by MIG as its MIG devices. Empty if it cannot be asked."""
    rows = ask_nvidia_smi(f"--query-gpu={FIELDS}")
    gpus, divided = [], set()
    for index, uuid, name, total, used, mig in rows:
        if not (total.isdigit() and used.isdigit()) and mig != "Enabled":
            return []  # "[N/A]": memory that the GPU shares with the CPU
        if mig == "Enabled":
            divided.add(uuid)
        else:
            gpus.append(Gpu(index, uuid, name, int(total) << 20, (int(total) - int(used)) << 20))
    if len({gpu.name for gpu in gpus}) > 1:
        # CUDA orders different GPUs by speed, nvidia-smi by bus position: the UUID means the same to both
        gpus = [Gpu(gpu.uuid, gpu.uuid, gpu.name, gpu.total_bytes, gpu.free_bytes) for gpu in gpus]
    return gpus + (mig_devices(divided) if divided else [])


def mig_devices(divided: set[str]) -> list[Gpu]:
    """The MIG devices of the GPUs with these UUIDs, with the memory that their profile states (3g.40gb)."""
    devices, parent, model = [], "", ""
    for [line] in ask_nvidia_smi("-L"):
        uuid = re.search(r"\(UUID: ([^)]+)\)", line)
        profile = re.match(r"\s+MIG (\S*?(\d+)gb\S*)", line)
        if profile and uuid and parent in divided:
            size = int(profile[2]) << 30
            devices.append(Gpu(uuid[1], uuid[1], f"{model} MIG {profile[1]}", size, size))
        elif uuid and not profile:
            parent, model = uuid[1], re.sub(r"^GPU \d+: | \(UUID.*", "", line)
    return devices


def visible_gpus(listed: list[Gpu]) -> list[Gpu]:
    """The GPUs of `listed` that the environment names, by its names and in its order; all if it names none.

    CUDA ends the list at the first name that it does not know. A GPU may be named by its number, its UUID, or the beginning
    of its UUID. SLURM_JOB_GPUS and SLURM_STEP_GPUS are numbers on the whole node (sbatch(1), srun(1)): if Slurm shows a job
    only its own GPUs, all of these are used.
    """
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None and "SLURM_JOB_ID" in os.environ:
        names = os.environ.get("GPU_DEVICE_ORDINAL")
        whole_node = os.environ.get("SLURM_STEP_GPUS") or os.environ.get("SLURM_JOB_GPUS")
        if names is None and whole_node and len(whole_node.split(",")) < len(listed):
            names = whole_node
    if names is None:
        return listed
    visible = []
    for name in map(str.strip, names.split(",")):
        gpu = next((gpu for position, gpu in enumerate(listed) if is_named(name, position, gpu)), None)
        if gpu is None:
            break
        visible.append(Gpu(name, gpu.uuid, gpu.name, gpu.total_bytes, gpu.free_bytes))
    return visible


def is_named(name: str, position: int, gpu: Gpu) -> bool:
    """Whether `name`, from CUDA_VISIBLE_DEVICES, means the GPU that nvidia-smi lists at `position`."""
    if name.isdigit():
        return int(name) == position
    return bool(name) and gpu.uuid.startswith(name)


def listed_processes() -> dict[str, list[tuple[int, int]]]:
    """For each UUID, the processes that compute on it: (process id, bytes)."""
    processes: dict[str, list[tuple[int, int]]] = {}
    for uuid, process, used in ask_nvidia_smi("--query-compute-apps=gpu_uuid,pid,used_memory"):
        processes.setdefault(uuid, []).append((int(process), int(used) << 20 if used.isdigit() else 0))
    return processes


def bytes_used_by_others(gpu: Gpu, processes: list[tuple[int, int]]) -> int:
    """The bytes that others use on a GPU; 0 if it counts as free."""
    own = own_processes()
    others = sum(used for process, used in processes if process not in own)
    unlisted = gpu.total_bytes - gpu.free_bytes - sum(used for _, used in processes)
    if others >= CONTEXT_BYTES or unlisted > UNLISTED_SHARE * gpu.total_bytes:
        return others + max(0, unlisted)
    return 0


def own_processes() -> set[int]:
    """This process, its descendants, its ancestors, and if torchrun is among them, the other ranks of its training."""
    me = psutil.Process()
    family = {me, *me.parents(), *me.children(recursive=True)}
    for ancestor in me.parents():
        if any(word.endswith(("torch.distributed.run", "torchrun")) for word in command_line(ancestor)):
            family.update(ancestor.children(recursive=True))
    return {process.pid for process in family}


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def ask_nvidia_smi(option: str) -> list[list[str]]:
    """The answer of nvidia-smi: the rows for a query, split into fields, otherwise its lines; none if it is missing or fails.

    Lines with another number of fields are left out: warnings, such as that a GPU's infoROM is corrupted.
    """
    is_query = option.startswith("--query")
    output_format = ["--format=csv,noheader,nounits"] if is_query else []
    try:
        result = subprocess.run(
            ["nvidia-smi", option, *output_format], capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired):
        return []
    lines = result.stdout.splitlines() if result.returncode == 0 else []
    rows = [line.split(", ") if is_query else [line] for line in lines]
    return [row for row in rows if len(row) == (option.count(",") + 1 if is_query else 1)]


def torch_gpus(count: int) -> list[Gpu]:
    """All GPUs that CUDA sees. This initialises CUDA, but takes no memory."""
    import torch

    names = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = names.split(",") if names else [str(number) for number in range(count)]
    properties = [torch.cuda.get_device_properties(number) for number in range(count)]
    return [
        Gpu(name.strip(), f"GPU-{gpu.uuid}", gpu.name, gpu.total_memory, gpu.total_memory)
        for name, gpu in zip(names, properties, strict=False)
    ]


def torch_device_index(gpu: Gpu) -> int:
    """The number N of the GPU as cuda:N in this process. This initialises CUDA."""
    import torch

    numbers = range(torch.cuda.device_count())
    return next((n for n in numbers if str(torch.cuda.get_device_properties(n).uuid) in gpu.uuid), 0)
