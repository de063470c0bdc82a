"""The documents: their names exist, their links lead somewhere, the walk of one pair calls down only, plain words stay."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

import insar_anomaly

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NEXT: set[str] = set()
"""Documents that the others may link to before they are there."""
ROOMS = sorted(module.name for module in pkgutil.iter_modules(insar_anomaly.__path__) if not module.name.startswith("_"))
MODULES = {one.name.rsplit(".", 1)[-1] for one in pkgutil.walk_packages(insar_anomaly.__path__, "insar_anomaly.")} | {
    *("calibrate", "distribution", "evaluate", "features", "licsar", "looks", "pretrain", "tasks", "trials", "insar_anomaly")
}
"""Last names of modules, those of earlier versions included: a dotted name that begins with one must exist."""
ENDINGS = (".csv", ".json", ".md", ".py", ".sqlite", ".toml")
WALK = ROOT / "docs" / "how-it-works.md"

RETIRED = [
    r"at once",
    r"(first|second|last|newest|quiet|fused|joint|more|all) looks?\b",
    r"looks? (at|again)\b(?! the data)",
    r"looked (at|again)",
    r"(?<!not )(?<![`\".])\btold\b(?![`\"\[:])",  # as the name of what became of a flag's notices it may stand
    r"cr(y|ies) wolf",
    r"\bwakes? (nobody|no one)",
    r"\bopens and commits",
    r"\brests? on\b",
    r"\bby hand\b",
    r"\bstands? for the flag",
]
"""Phrases that were replaced by plain words: a scoring is an assessment, since a look is something else in SAR."""


def text_of(file):
    return file.read_text(encoding="utf-8")


def resolved(dotted, below="insar_anomaly"):
    """What a dotted name names: a module, or something in one, a dataclass's field included."""
    words = [*below.split("."), *dotted.split(".")]
    for cut in range(len(words), 0, -1):
        try:
            found = import_module(".".join(words[:cut]))
        except ModuleNotFoundError:
            continue
        for word in words[cut:]:
            found = getattr(found, word, None) or vars(found).get("__dataclass_fields__", {})[word]
        return found
    raise LookupError(dotted)


def named(dotted, file):
    """True where a name in a docstring is one below `insar_anomaly`, below one of the file's own packages or in the file."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    for length in range(1, len(parts) + 1):
        try:
            resolved(dotted, ".".join(parts[:length]))
        except LookupError:
            continue
        return True
    return False


class Step(NamedTuple):
    """A row of the walk; `by` is the number of the step that calls it, None for a stage of the night."""

    number: int
    by: int | None
    room: str
    function: str


def walk():
    rows = re.findall(r"^\| (\d+) \| (\d*) ?\| `(\w+)` \| `([\w.]+)` \| \S.*\. \|$", text_of(WALK), re.M)
    return [Step(int(number), int(by) if by else None, room, function) for number, by, room, function in rows]


def layer_of(room):
    """The floor of a room in the import law, 0 for the top."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    [floor] = [n for n, layer in enumerate(layers) if f"insar_anomaly.{room}" in layer.split(" | ")]
    return floor


def test_the_walk_is_numbered_and_names_at_most_forty_functions_that_exist():
    steps = walk()
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert text_of(WALK).count("\n| ") == len(steps) + 2  # every row was read, but the head and its rule
    assert 30 <= len(steps) <= 40
    assert len({step.function for step in steps}) == len(steps)
    for step in steps:
        assert step.function.split(".")[0] == step.room
        assert callable(resolved(step.function)), step


def test_every_step_of_the_walk_is_called_from_its_own_room_or_from_one_above():
    steps = {step.number: step for step in walk()}
    for step in steps.values():
        if step.by is None:
            assert step.room == "pipeline"  # a stage of the night
            continue
        caller = steps[step.by]
        assert caller.number < step.number
        assert caller.room == step.room or layer_of(caller.room) < layer_of(step.room), (caller, step)


def test_the_module_of_every_caller_names_what_it_calls():
    steps = {step.number: step for step in walk()}
    for step in steps.values():
        if step.by is not None:
            source = inspect.getsource(sys.modules[resolved(steps[step.by].function).__module__])
            assert re.search(rf"\b{step.function.split('.')[-1]}\b", source), (steps[step.by], step)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_links_lead_to_files_that_exist(file):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(file)):
        if re.match(r"\w+:|#", target):
            continue
        place = (file.parent / target.split("#")[0]).resolve()
        assert place.exists() or str(place.relative_to(ROOT)) in NEXT, f"{file.relative_to(ROOT)} links to {target}"


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_names_of_modules_and_files_in_documents_are_those_of_today(file):
    rooms = "|".join(ROOMS)
    for quoted in re.findall(r"`([^`\n]+)`", text_of(file)):
        name = quoted.removeprefix("insar_anomaly.").removeprefix("insar_anomaly/")
        if re.fullmatch(rf"(({rooms})/)?[\w./]+\.(py|safetensors|toml)", name) and "/" in quoted:
            assert (ROOT / quoted).exists() or (ROOT / "insar_anomaly" / quoted).exists(), quoted
        elif re.fullmatch(r"[a-z_]\w*(\.\w+)+", quoted) and quoted.split(".")[0] in MODULES and not quoted.endswith(ENDINGS):
            assert resolved(name) is not None, quoted


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_python_lines_of_documents_run(file):
    for line in re.findall(r"^    python (-c .+)$", text_of(file), re.M):
        done = subprocess.run([sys.executable, *shlex.split(line)], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_retired_phrases_stay_away(file):
    words = " ".join(text_of(file).split())
    assert [found[0] for phrase in RETIRED for found in re.finditer(phrase, words, re.I)] == []


def test_docstrings_name_modules_of_today():
    wrong = []
    for file in sorted((ROOT / "insar_anomaly").rglob("*.py")):
        for name in re.findall(r"(?<!`)`([a-z_]\w*(?:\.\w+)+)`(?!`)", text_of(file)):
            if name.split(".")[0] in MODULES and not name.endswith(ENDINGS):
                wrong += [] if named(name.removeprefix("insar_anomaly."), file) else [f"{file.relative_to(ROOT)}: {name}"]
    assert wrong == []


STORED = {" looked at", "([0-9.e+-]+) cm(, first assessment| at once)?"}
"""Words of earlier versions that ledgers and figures still hold."""


def strings_of(file):
    """The text constants of a Python file that are sentences or parts of one, without its docstrings."""
    tree = ast.parse(text_of(file))
    bodies = [one.body for one in ast.walk(tree) if isinstance(getattr(one, "body", None), list)]
    said = {id(line.value) for body in bodies for line in body if isinstance(line, ast.Expr)}
    every = [one for one in ast.walk(tree) if isinstance(one, ast.Constant) and id(one) not in said]
    return [
        one.value for one in every if isinstance(one.value, str) and " " in one.value.strip() and one.value not in STORED
    ]


def test_retired_phrases_stay_out_of_what_people_read_of_the_program():
    files = [file for room in ("insar_anomaly", "flows") for file in sorted((ROOT / room).rglob("*.py"))]
    said = [text for file in files if "migrations" not in file.parts for text in strings_of(file)]
    said += [text_of(file) for kind in ("*.j2", "*.schema.json") for file in (ROOT / "insar_anomaly").rglob(kind)]
    phrase = re.compile("|".join(RETIRED), re.I)
    assert [text[:100] for text in said if phrase.search(" ".join(text.split()))] == []
