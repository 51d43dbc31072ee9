"""What `pip install .` gives."""

import ast
import json
import zipfile

from conftest import ROOT

MODEL = ROOT / "tests" / "fixtures" / "pt2" / "2.15.0" / "mlp.pt2"

SCRIPT = """
import json, pathlib, torch
import headrace as hr

model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.GELU(), torch.nn.Linear(32, 4)).eval()
x = torch.randn(3, 16)
module = hr.compile(model, arg_inputs=[x], device="cpu")
with torch.no_grad():
    difference = (module(x) - model(x)).abs().max().item()
mapped = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}
found = lambda name: sorted(path for path in mapped if pathlib.Path(path).name.startswith(name))
print(json.dumps({"difference": difference, "package": hr.__file__, "threads": found("libgomp"),
                  "headrace": found("libheadrace"), "onednn": found("libdnnl")}))
"""


def test_the_wheel_holds_the_package_its_libraries_its_types_and_the_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        stub = archive.read("headrace/_core.pyi").decode()
    python = {f"headrace/{path.relative_to(ROOT / 'python' / 'headrace')}"
              for path in (ROOT / "python" / "headrace").rglob("*.py")}
    assert python | {"headrace/py.typed"} <= names
    libraries = {name for name in names if ".so" in name and "_cuda" not in name}
    (extension,) = (name for name in libraries if name.startswith("headrace/_core."))
    assert libraries == {extension, "headrace/libheadrace.so.0", "headrace/libheadrace_runtime.so.0"}
    assert any(name.endswith(".data/scripts/headrace") for name in names)
    declared = {node.name for node in ast.parse(stub).body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    assert {"Engine", "compile_archive", "version"} <= declared


def test_an_installed_wheel_compiles_and_runs_on_pytorchs_threads(environment, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    got = json.loads(environment.run("python", "script.py", cwd=tmp_path))
    assert got["difference"] < 1e-5
    assert got["package"].startswith(str(environment.folder))
    assert len(got["threads"]) == 1, "two OpenMP libraries in one process wait on each other"
    assert got["headrace"] and all(path.startswith(str(environment.folder)) for path in got["headrace"])
    assert len(got["onednn"]) == 1


def test_an_installed_wheel_brings_the_command(environment, tmp_path):
    environment.run("headrace", "compile", MODEL, "-o", "mlp.engine", cwd=tmp_path)
    report = json.loads(environment.run("headrace", "run", "mlp.engine", "--random", "1", "--json", cwd=tmp_path))
    assert report
