"""The modules that travel with an artifact are all that they import, and need no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import wgan
from wgan.deploy.targets.bundled import LEAN, copy_package

PACKAGE = Path(wgan.__file__).parent


def imported(name: str) -> set[str]:
    """Files of the package that a module imports."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / name).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wgan."):
            path = node.module.removeprefix("wgan.").replace(".", "/")
            found.add(f"{path}.py" if (PACKAGE / f"{path}.py").exists() else f"{path}/__init__.py")
    return found


def test_every_module_that_a_bundled_one_imports_is_bundled():
    needed = set().union(*(imported(name) for name in LEAN if name != "__init__.py"))
    assert needed <= set(LEAN)


def test_bundled_modules_run_without_torch(tmp_path):
    copy_package(tmp_path)
    code = "import sys; import wgan.artifact, wgan.image_requests; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
