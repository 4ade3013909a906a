"""The pages run: what they tell a reader to type works, and prints what they say it prints.

A page's blocks run in order in one empty folder. `yaml` under a line with a file name becomes that file; `python` is
run; in `console` and `sh` a line after `$ ` is a command (without any `$ `, every line is), ended by `# exits 1` where
it is to fail, and the lines under it must be in its output, `...` standing for anything. `text` is only shown.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = [path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if path.exists()]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
LONGEST_COMMAND_S = 300
TAGS = {"python", "console", "sh", "yaml", "text", "json", "toml", "csv", "conf", "mermaid"}

FENCE = re.compile(r"^(?P<indent> *)```(?P<tag>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
FILE_NAME = re.compile(r"`(?P<name>[\w-]+(?:/[\w-]+)*\.ya?ml)`")
EXITS = re.compile(r"\s+# exits (?P<code>\d+)$")

# Installing, cloning and testing are shown, never run from a test; these are the forms that they may take.
INSTALLS = re.compile(
    r"(sudo )?(\S*/)?(make|git|pip|apt-get|pytest|cd|python3? -m (venv|pip|pytest)|source|\.|\.ci/run)\b"
)
MAKES = re.compile(r"make(?: (?P<target>[a-z]+))?(?: [A-Z]+=\S+)?")
PIPS = re.compile(r"(?:\S*/)?(?:python3? -m )?pip install (?:-e )?[\"']?(?:\.|tocsin)(?:\[(?P<extras>[\w,]+)\])?[\"']?")
TESTS = re.compile(r"(?:\S*/)?(?:python3? -m )?pytest(?: (?P<path>[\w/.]+))?")
OTHERS = re.compile(
    r"git clone \S+|cd tocsin|python3 -m venv \.venv|(\.|source) \.venv/bin/activate"
    r"|(sudo )?apt-get install python3-venv|\.ci/run"
)


class Block(NamedTuple):
    tag: str
    text: str
    line_above: str


class Command(NamedTuple):
    text: str
    exits: int
    prints: list[str]


def blocks(page: str) -> Iterator[Block]:
    for fence in FENCE.finditer(page):
        line_above = page[: fence.start()].rstrip().rpartition("\n")[2]
        yield Block(fence["tag"], textwrap.dedent(fence["text"]), line_above)


def commands(block: Block) -> Iterator[Command]:
    lines = re.sub(r"\\\n\s*", "", block.text).splitlines()
    if not any(line.startswith("$ ") for line in lines):
        lines = [f"$ {line}" for line in lines if line.strip() and not line.startswith("#")]
    while lines:
        typed = lines.pop(0)
        assert typed.startswith("$ "), f"a block must begin with a command: {typed}"
        prints = []
        while lines and not lines[0].startswith("$ "):
            prints.append(lines.pop(0).strip())
        ending = EXITS.search(typed)
        yield Command(EXITS.sub("", typed)[2:], int(ending["code"]) if ending else 0, [line for line in prints if line])


def is_only_shown(command: str) -> bool:
    """Whether a command is one of those that are not run; a form that nobody knows is an error of the page."""
    if not INSTALLS.match(command):
        return False
    if made := MAKES.fullmatch(command):
        assert re.search(rf"^{made['target'] or 'help'}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    elif installed := PIPS.fullmatch(command):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert set((installed["extras"] or "all").split(",")) <= project["optional-dependencies"].keys()
    elif tested := TESTS.fullmatch(command):
        assert (ROOT / (tested["path"] or "tests")).exists()
    else:
        assert OTHERS.fullmatch(command), f"a command that is neither run nor known: {command}"
    return True


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    bin_folder = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([bin_folder, os.environ.get("PATH", "")]),
        "HOME": str(folder),
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }
    return subprocess.run(
        arguments, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, timeout=LONGEST_COMMAND_S,
    )  # fmt: skip


def check_command(command: Command, folder: Path) -> None:
    done = run(["bash", "-c", command.text], folder)
    assert done.returncode == command.exits, f"$ {command.text}\nexits {done.returncode}:\n{done.stdout}"
    printed = [line.strip() for line in done.stdout.splitlines()]
    for wanted in command.prints:
        form = re.compile(".*".join(re.escape(part) for part in wanted.split("...")))
        assert any(form.fullmatch(line) for line in printed), f"$ {command.text}\nno line {wanted!r} in:\n{done.stdout}"


def check_page(page: str, folder: Path) -> None:
    (folder / ".venv").symlink_to(sys.prefix)
    for block in blocks(page):
        assert block.tag in TAGS, f"a block needs one of the tags {sorted(TAGS)}:\n{block.text}"
        if block.tag == "yaml":
            yaml.safe_load(block.text)
            if named := FILE_NAME.search(block.line_above):
                path = folder / named["name"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
        elif block.tag == "python":
            done = run([sys.executable, "-W", "error", "-c", block.text], folder)
            assert done.returncode == 0, f"{block.text}\n{done.stdout}"
        elif block.tag in {"console", "sh"}:
            for command in commands(block):
                if not is_only_shown(command.text):
                    check_command(command, folder)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_does_what_it_says(path: Path, tmp_path: Path, need: Callable[[bool, str], None]) -> None:
    page = path.read_text(encoding="utf-8")
    if any("TOCSIN_DATA" in block.text for block in blocks(page)):
        need("TOCSIN_DATA" in os.environ, "TOCSIN_DATA does not name the folder of real data")
    check_page(page, tmp_path)


def test_files_commands_and_scripts_share_one_folder(tmp_path: Path) -> None:
    page = """
Write `settings/edge.yaml`:
```yaml
name: edge
```
```console
$ cat settings/edge.yaml; echo took 3 s \\
    in all
name: edge
took ... in all
$ false # exits 1
$ make test
```
1. Then
   ```python
   import pathlib
   pathlib.Path("made").write_text("by a script")
   ```
```sh
grep script made
```
"""
    check_page(page, tmp_path)
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "block",
    [
        "```console\n$ false\n```",
        "```console\n$ true # exits 1\n```",
        "```console\n$ echo one\ntwo\n```",
        "```console\n$ pip install surprise\n```",
        "```console\n$ make nothing\n```",
        "```python\nraise SystemExit(3)\n```",
        "```\nwithout a tag\n```",
    ],
)
def test_a_page_that_lies_is_caught(block: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        check_page(block, tmp_path)
