"""Writes first inputs for the fuzz targets of texts, taken from the tests' archives and graphs, and for that of .npz files.

    python fuzz/make_corpus.py TESTS OUT
"""

import hashlib
import io
import json
import pathlib
import re
import sys
import zipfile

CONFIGS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"


def strings(value, key):
    """All texts under `key`, anywhere in the JSON value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key and isinstance(inner, str):
                yield inner
            yield from strings(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)


def npy(dtype, shape, data, fortran=False, version=1):
    header = repr({"descr": dtype, "fortran_order": fortran, "shape": shape}).encode()
    length = 2 if version == 1 else 4
    header += b" " * (-(len(header) + 9 + length) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(length, "little") + header + data


def npz(arrays, method):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=name == "wide") as entry:
                entry.write(array)
    return out.getvalue()


def main():
    tests, out = map(pathlib.Path, sys.argv[1:])

    def write(target, data):
        folder = out / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)

    for path in sorted((tests / "fixtures" / "pt2").rglob("*.pt2")):
        with zipfile.ZipFile(path) as archive:
            root = archive.namelist()[0].split("/")[0]
            texts = [archive.read(f"{root}/{name}") for name in ("models/model.json", *CONFIGS)]
        model = json.loads(texts[0])
        for node in model["graph_module"]["graph"]["nodes"]:
            node["metadata"] = {}
        write("program", b"\0".join([json.dumps(model).encode(), *texts[1:]]))
        for text in strings(model, "expr_str"):
            write("sympy", text.encode())
        if model["guards_code"]:
            write("guards", "\n".join(model["guards_code"]).encode())
    for path in sorted((tests / "golden").rglob("*.ir")):
        for graph in re.split(r"^// (?:----|=>)$", path.read_text(), flags=re.MULTILINE):
            write("ir_text", graph.encode())
            for size in re.findall(r"(?:dim\(|dims\[)([^\])]+)", graph):
                write("dim", size.encode())
    for text in "min(s0, 4) * (s1 - 1) // 2", "-s0 % 3 + max(1, s1)", "s0**2 - 2**s1":
        write("dim", text.encode())
    arrays = {"x": npy("<f4", (2, 3), bytes(24)), "ids": npy("<i8", (1, 2), bytes(16), version=2),
              "wide": npy("|b1", (), b"\1"), "t": npy("<f2", (2, 2), bytes(8), fortran=True), "e": npy("|V2", (0, 4), b"")}
    for array in arrays.values():
        write("npz", array)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        write("npz", npz(arrays, method))
        write("npz", npz({"x": arrays["x"]}, method))
    for head in "Add Mul Pow Mod FloorDiv CleanDiv Max Min PowByNatural IntTrueDiv PythonMod".split():
        write("sympy", f"{head}(Symbol('s0', positive=True, integer=True), Integer(2))".encode())
    write("sympy", b"Mul(Rational(1, 2), Identity(ModularIndexing(Symbol('s0'), Integer(4), Integer(8))))")
    write("guards", b"2 <= L['x'].size()[0] <= 64 and not L['n'] == 4\n(L['y']['a'].size()[1] // 2) % 3 == 0")
    write("guards", b"max(1, L['z'][0].size()[2]) + 2*L['n']**2 - min(L['n'], 7) != -3")


if __name__ == "__main__":
    main()
