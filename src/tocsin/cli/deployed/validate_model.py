"""Hold every file beside this one against the SHA-256 that deployment_manifest.json has of it.

Needs Python alone. Ends with 0 if all files are as they were packed, with 1 otherwise. Loads no model.
"""

import hashlib
import json
import sys
from pathlib import Path

MANIFEST = "deployment_manifest.json"


def problems(folder: Path) -> list[str]:
    """Everything that is not as it was packed, a line each."""
    wanted = json.loads((folder / MANIFEST).read_text("utf-8"))["file_integrity"]
    found = []
    for name in sorted(wanted):
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            found.append(f"{name}: not there")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != wanted[name]:
            found.append(f"{name}: other bytes than were packed")
    return found


if __name__ == "__main__":
    lines = problems(Path(__file__).resolve().parent)
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "Every file is as it was packed.\n")
    sys.exit(1 if lines else 0)
