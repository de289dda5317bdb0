"""The manifests that netc writes are valid by `docs/reference/manifest.schema.json`."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest

from harness import SCALE, netc, split

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/reference/manifest.schema.json").read_text())
EXAMPLES = Path(__file__).parents[2] / "examples"
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

SPLITS = {
    "one tensor": ("zoo:tiny", "sum", ["--verify"]),
    "a branch, three stages": ("zoo:tiny", "conv,branch", []),
    "a shared layer": ("zoo:siamese", "tower_conv2@1", []),
    "shards": ("zoo:tiny", "sum", ["--format", "tfjs"]),
    "an input on both sides": (EXAMPLES / "mask_argument.nir", "embed", []),
    "a nested model": (EXAMPLES / "nested.nir", "backbone/conv2", []),
    "an unsupported layer": ("zoo:resnet152_scale", "res5b", ["--format", "h5"]),
    "a layer library": ("zoo:resnet152_scale", "res5b", ["--layers", SCALE]),
}


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", SPLITS)
def test_what_split_writes_is_valid(name, tmp_path):
    model, cuts, options = SPLITS[name]
    VALIDATOR.validate(split(model, cuts, tmp_path / "out", *options))


@pytest.mark.parametrize("name, field", [("shards", "shards"), ("a shared layer", "calls")])
def test_optional_fields_are_written(name, field, tmp_path):
    model, cuts, options = SPLITS[name]
    assert any(field in stage for stage in split(model, cuts, tmp_path / "out", *options)["stages"])


@pytest.mark.parametrize("break_it", [
    lambda m: m.pop("stages"),
    lambda m: m["stages"][0].update(checksum="md5:0"),
    lambda m: m["stages"][1]["inputs"][0].update(source={"stage": 0}),
    lambda m: m["stages"][0].update(color="red"),
])  # fmt: skip
def test_what_split_does_not_write_is_not_valid(break_it, tmp_path):
    manifest = copy.deepcopy(split("zoo:tiny", "sum", tmp_path / "out"))
    break_it(manifest)
    assert not VALIDATOR.is_valid(manifest)


def test_the_report_has_the_fields_of_the_manifest():
    report = json.loads(netc("zoo:tiny", "--pass", "split=sum", "--emit", "json").stdout)
    for key in ["notes", "remarks", "written"]:
        report.pop(key)
    VALIDATOR.validate(report)
