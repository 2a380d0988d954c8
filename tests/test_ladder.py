"""The ladder of the design: imports go down only. Read from the sources, so a lazy import counts too."""

import ast
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

import pytest

import wgan

PACKAGE = Path(wgan.__file__).parent

LEVELS = {
    **dict.fromkeys(["errors"], -2),  # below everything: even the mathematics refuses bad input
    **dict.fromkeys(["core"], -1),
    **dict.fromkeys(["losses", "lipschitz", "labels", "latents"], 0),
    **dict.fromkeys(["certificates"], 0.3),  # proofs about critics, those of lipschitz/ included
    **dict.fromkeys(["wasserstein"], 0.6),  # brackets by certified critics
    **dict.fromkeys(["networks", "data", "metrics", "monitors", "runs", "images", "demo"], 1),
    **dict.fromkeys(["training", "sampling", "critics", "artifact", "image_requests", "diagnosis"], 2),
    **dict.fromkeys(["generation"], 2.5),  # an exported generator has the directions of its run
    **dict.fromkeys(["cli"], 4),
    **dict.fromkeys(["", "__main__"], 5),  # the package's front and its command may import anything
}
OTHERS = 3  # whatever a user does with a run: evaluation, report, recovery, deploy, serving, ...

# What ends up in a serving image: no training, no metrics, no data.
LEAN = {"sampling", "critics", "artifact", "networks", "runs", "image_requests", "demo", "serving"}
NOT_LEAN = {"training", "metrics", "data"}

MACHINE = ("wgan.core.files", "wgan.core.devices")
"""The machine's side of the ground, for which mathematics has no use."""

FORBIDDEN = {"torchvision", "pickle"}

OTHER_PROGRAMS = {"wgan.deploy.artifact_folder", "wgan.deploy.targets.*"}
"""Modules that name the options of other programs, such as pip and tritonserver."""

Sources = Mapping[str, str]
Graph = dict[str, set[str]]


def sources(package: Path) -> Sources:
    """The text of each module by its dotted name; a package's is that of its __init__."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        found[".".join(parts)] = path.read_text(encoding="utf-8")
    return found


def imports(module: str, text: str) -> Iterator[str]:
    """Dotted names of all that a module imports, at its top or within a function, by statement or by call."""
    folder = module.split(".")[:-1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            words = (word.value for word in node.args if isinstance(word, ast.Constant))
            yield from (word for word in words if isinstance(word, str))


def import_graph(files: Sources) -> Graph:
    return {module: set(imports(module, text)) for module, text in files.items()}


def part(dotted: str, parts: set[str]) -> str:
    """Which part of wgan a dotted name belongs to; the front, "", if it names something defined there."""
    name = [*dotted.split("."), ""][1]
    return name if name in parts else ""


def level(name: str) -> int:
    return LEVELS.get(name, OTHERS)


def may_import(importer: str, imported: str) -> bool:
    """Whether one part may import another, different one."""
    if importer in LEAN and imported in NOT_LEAN:
        return False
    return level(imported) < level(importer)


def violations(graph: Graph) -> list[str]:
    """Every import that breaks a rule, as ``importer -> imported``."""
    parts = {module.split(".")[1] for module in graph} - {"__init__"}
    broken = []
    for module, names in graph.items():
        importer = part(module, parts)
        for name in sorted(names):
            root = name.split(".")[0]
            imported = part(name, parts)
            climbs = root == "wgan" and imported != importer and not may_import(importer, imported)
            climbs |= level(importer) < 1 and importer != "core" and name.startswith(MACHINE)
            if climbs or root in FORBIDDEN:
                broken.append(f"{module} -> {name}")
    return broken


def options_named(files: Sources) -> list[str]:
    """Every string below the command line that names an option, docstrings included."""
    parts = {module.split(".")[1] for module in files} - {"__init__"}
    return [
        f"{module}: {node.value}"
        for module, text in files.items()
        if level(part(module, parts)) < LEVELS["cli"]
        and not any(fnmatch(module, pattern) for pattern in OTHER_PROGRAMS)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search(r"(?<![\w-])--[a-z]", node.value)
    ]


# ---------------------------------------------------------------------------------- the package


@pytest.mark.slow
def test_imports_go_down_only():
    assert violations(import_graph(sources(PACKAGE))) == []


@pytest.mark.slow
def test_only_the_command_line_names_its_options():
    assert options_named(sources(PACKAGE)) == []


@pytest.mark.slow
def test_the_walk_sees_the_whole_package():
    graph = import_graph(sources(PACKAGE))
    assert len(graph) == sum(1 for _ in PACKAGE.rglob("*.py"))
    assert "wgan.lipschitz.constraint.Constraint" in graph["wgan.lipschitz.penalties"]
    assert "wgan.losses.Loss" in graph["wgan.training.settings"]


@pytest.mark.slow
def test_every_import_of_our_own_leads_to_a_module():
    files = sources(PACKAGE)
    modules = {module.removesuffix(".__init__") for module in files}
    for module, names in import_graph(files).items():
        own = {name for name in names if name.split(".")[0] == "wgan"}
        lost = {name for name in own if name not in modules and name.rpartition(".")[0] not in modules}
        assert not lost, module


# ---------------------------------------------------------------------------------- the checker

SOUND: Sources = {
    "wgan.__init__": "from wgan.training import Trainer\nfrom wgan import losses\n",
    "wgan.__main__": "from wgan.cli import main\n",
    "wgan.errors": "import sys\n",
    "wgan.core.files": "from wgan.errors import StorageError\n",
    "wgan.losses": "import torch\nfrom wgan.errors import InputError\n",
    "wgan.lipschitz.__init__": "from wgan.lipschitz.penalties import R1\nfrom .scores import score\n",
    "wgan.lipschitz.penalties": "from wgan.lipschitz.scores import score\n",
    "wgan.lipschitz.scores": "",
    "wgan.networks": "",
    "wgan.runs": "from wgan.core.files import write_atomically\n",
    "wgan.data": "",
    "wgan.metrics": "from wgan import losses\n",
    "wgan.training.__init__": "from wgan import data, runs\nfrom ..networks import build\n",
    "wgan.sampling": "from wgan.networks import build\nfrom wgan.runs import load\n",
    "wgan.evaluation": "from wgan.sampling import Sampler\nimport wgan.metrics as m\nimport wgan.data\n",
    "wgan.deploy.export": "from wgan.sampling import Sampler\n",
    "wgan.cli.__init__": "def main():\n    from wgan.cli.train import train\n",
    "wgan.cli.train": "import wgan.training\nimport wgan.evaluation\n",
}


def test_a_sound_package_passes():
    assert violations(import_graph(SOUND)) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("wgan.losses", "from wgan.networks import build"),  # up
        ("wgan.losses", "def late():\n    from wgan.training import Trainer"),  # up, within a function
        ("wgan.lipschitz.scores", "from wgan.losses import gap"),  # sideways
        ("wgan.lipschitz.scores", "from ..losses import gap"),  # sideways, relative
        ("wgan.errors", "import wgan.losses"),  # the floor stands on nothing
        ("wgan.metrics", "from wgan import data"),  # sideways, the part named after import
        ("wgan.metrics", "import wgan.data as d"),
        ("wgan.training.__init__", "from wgan.sampling import Sampler"),
        ("wgan.deploy.export", "from wgan.evaluation import evaluate"),  # sideways at the users' level
        ("wgan.deploy.export", "import importlib\nimportlib.import_module('wgan.evaluation')"),
        ("wgan.evaluation", "from wgan.cli.train import train"),
        ("wgan.cli.train", "from wgan import __version__"),  # the front is above all
        ("wgan.cli.train", "import wgan"),
        (
            "wgan.training.__init__",
            "from wgan.wasserstein.auditing import audit",
        ),  # sideways at the engine's level
        ("wgan.sampling", "from wgan.training import Trainer"),  # a serving image stays lean
        ("wgan.sampling", "if True:\n    from wgan.data import open"),
        ("wgan.sampling", "from wgan.metrics import fid"),
        ("wgan.networks", "from wgan.data import Source"),
        ("wgan.runs", "from wgan.training import State"),
        ("wgan.losses", "from wgan.core.files import write_atomically"),
        ("wgan.data", "import torchvision.datasets"),
        ("wgan.data", "def load():\n    from pickle import loads"),
        ("wgan.__init__", "import pickle"),
    ],
)
def test_a_planted_violation_is_found(module: str, line: str):
    planted = {**SOUND, module: f"{SOUND[module]}{line}\n"}
    (found,) = violations(import_graph(planted))
    assert found.startswith(f"{module} -> ")


@pytest.mark.parametrize(
    "line",
    [
        'raise ValueError("leave out --conditional")',
        'def fit():\n    """Train as long as --steps says."""',
        'raise ValueError(f"give {name}, or --no-heal")',
    ],
)
def test_an_option_named_below_the_command_line_is_found(line: str):
    assert len(options_named({**SOUND, "wgan.data": line})) == 1
    assert options_named({**SOUND, "wgan.cli.train": line, "wgan.deploy.targets.web": line}) == []
    assert options_named({**SOUND, "wgan.data": "x = 'a -- b, a--b and ---'"}) == []
