"""Models in every form of an export, with static and dynamic sizes, in f32 and bf16, as docs/models.md has them."""

from pathlib import Path

import accuracy
import pytest
import zoo

FORMS = ["raw", "core", "kept"]


def rows_of(name: str, dtype: str, folder: Path, forms: list[str] = FORMS, shapes: tuple[str, ...] = ("static", "dynamic")):
    rows = list(accuracy.measure(name, dtype, forms, list(shapes), "cpu", folder))
    for row in rows:
        assert row["ok"], f"{row['form']}, {row['shapes']}: {accuracy.describe(row)}"
        assert row["warnings"] == []
    return rows


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("name", ["mlp", "resnet_small", "vit_small", "bert_small", "llama_small"])
def test_every_form_gives_what_pytorch_gives(cpu, tmp_path, name, dtype):
    rows = rows_of(name, dtype, tmp_path)
    if name == "mlp":  # decomposed, hardswish and softplus stay in small ops
        return
    for shapes in ("static", "dynamic"):  # the passes find in small ops what was whole before
        steps = {row["form"]: row["steps"] for row in rows if row["shapes"] == shapes}
        assert len(set(steps.values())) == 1, f"{shapes}: {steps}"


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_minilm_with_its_real_weights_gives_what_pytorch_gives(cpu, tmp_path, dtype):
    rows_of("minilm", dtype, tmp_path, ["kept"], ("dynamic",))


def test_every_model_of_the_zoo_is_on_the_page():
    page = (Path(zoo.__file__).resolve().parents[2] / "docs" / "models.md").read_text()
    for name, entry in zoo.ZOO.items():
        assert page.count(f"\n| `{name}` |") == len(entry.dtypes), name
