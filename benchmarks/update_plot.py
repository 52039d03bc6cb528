"""The picture of results/update.json: five days, each way to go on a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

COLOURS = {"anew": "#1b6ca8", "onward": "#c4622d", "beside": "#6b8f3c"}


def draw(results: dict, path: Path) -> None:
    """Draw what is right and what has gone but is still said, by day, and what each day's training cost, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.8), layout="constrained")
    axes = figure.subplots(1, 4)
    panels: tuple[tuple[str, Callable[[dict], float | None]], ...] = (
        ("facts of day 1 still right, %", lambda day: share(day["day1_right"], day["day1_asked"])),
        ("all facts right, %", lambda day: share(day["right"], day["asked"])),
        ("old value still said, % of the known", said_of_the_gone),
        ("minutes of training", lambda day: day["training_seconds"] / 60),
    )
    for axis, (title, value) in zip(axes, panels, strict=True):
        for way, one in results["ways"].items():
            points = [(day["day"], value(day)) for day in one["days"]]
            points = [(day, height) for day, height in points if height is not None]
            axis.plot(*zip(*points, strict=True) if points else ((), ()), "o-", color=COLOURS[way], label=way)
        axis.set(title=title, xlabel="day", ylim=(0, None), xticks=range(1, 6))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLOURS))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def said_of_the_gone(day: dict) -> float | None:
    """Of the facts that went on this day and were said right before it, those whose old value is still said."""
    went = [count for what, count in day["gone"].items() if what != "earlier"]
    return share(sum(one["still_said"] for one in went), sum(one["known"] for one in went))


def share(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None
