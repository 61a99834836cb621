"""JSON files that are whole or not there."""

import json
import os


def write_json(path: str | os.PathLike, content: object) -> None:
    """Writes a file under a temporary name, then renames it; makes the folder if it is missing."""
    path = os.fspath(path)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(f"{path}.writing", "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
    os.replace(f"{path}.writing", path)
