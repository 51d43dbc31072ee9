#!/usr/bin/env python3
"""Checks the Markdown pages: relative links lead to files, and paths named in `code` exist."""

import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
FOLDERS = ("src/", "include/", "tests/", "tools/", "docs/", "examples/", "cmake/", "fuzz/", "python/", ".ci/")
PATH = re.compile(r"[\w./-]+")


def problems_of(page: pathlib.Path, root: pathlib.Path) -> list[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found = []
    for target in LINK.findall(text):
        file = target.split("#")[0]
        if file and "://" not in file and not file.startswith("mailto:") and not (page.parent / file).exists():
            found.append(f"{page.relative_to(root)}: the link to {target} leads nowhere")
    for name in CODE.findall(text):
        if name.startswith(FOLDERS) and PATH.fullmatch(name) and not (root / name).exists():
            found.append(f"{page.relative_to(root)}: there is no {name}")
    return found


def check(root: pathlib.Path) -> list[str]:
    pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return [problem for page in pages if page.exists() for problem in problems_of(page, root)]


def self_test() -> int:
    cases = [
        ("[a](docs/b.md)", 0), ("[a](docs/none.md)", 1), ("[a](docs/b.md#part)", 0), ("[a](#part)", 0),
        ("[a](https://example.org/none)", 0), ("`src/a.h`", 0), ("`src/none.h`", 1), ("`src/<name>.h`", 0),
        ("`none.h`", 0), ("```\n`src/none.h`\n```", 0),
    ]
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in ("docs/b.md", "src/a.h"):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text("")
        for text, count in cases:
            (root / "README.md").write_text(text)
            if len(check(root)) != count:
                print(f"self-test: {text!r} must give {count} problems, gave {check(root)}")
                failures += 1
    print(f"self-test: {len(cases)} cases, {failures} failures")
    return 1 if failures else 0


def main() -> int:
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    problems = check(ROOT)
    print("\n".join(problems) if problems else "docs: all links and named files exist")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
