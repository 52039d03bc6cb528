"""A folder that was written beside an earlier one takes its place: until it has the name, both are on the disk."""

import shutil
from pathlib import Path


def put_in_place(new: Path, folder: Path) -> None:
    """Rename a folder to a name that may be taken; what had it is removed once the new one is there."""
    earlier = new.with_name(f".{folder.name}.earlier")
    shutil.rmtree(earlier, ignore_errors=True)
    if folder.exists():
        folder.rename(earlier)
    new.rename(folder)
    shutil.rmtree(earlier, ignore_errors=True)
