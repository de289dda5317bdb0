"""netc computes what Keras computes for the networks of keras.applications, and their files round-trip."""

import gc
import re

import jax
import pytest

import harness
from graph import Graph
from harness import assert_close, assert_round_trip, inputs_of, load, netc, netc_run, run

# A layer near the middle to cut at, in some networks inside a branch.
MIDDLE = {
    "InceptionV3": "mixed5",
    "ResNet50": "conv4_block1_1_conv",
    "ResNet152": "conv4_block18_out",
    "ResNet50V2": "conv3_block4_out",
    "MobileNetV2": "block_7_depthwise",
    "DenseNet121": "conv4_block12_concat",
    "VGG16": "block4_pool",
    "Xception": "block7_sepconv2",
    "EfficientNetB0": "block4b_add",
    "ConvNeXtTiny": "convnext_tiny_stage_2_block_4_pointwise_conv_1",
    "InceptionResNetV2": "block17_10_mixed",
}


@pytest.fixture(autouse=True)
def free_memory():
    yield
    gc.collect()


def names_in(model):
    """The layers and their weights. Models around a layer, and the numbers of unnamed weights, are left out: Keras
    makes them up when it loads a file."""
    own = lambda weight: re.sub(r"/variable_\d+$", "/variable", "/".join(weight.path.split("/")[-2:]))
    return [(x.name, [own(w) for w in x.weights]) for x in model.layers]


@pytest.mark.parametrize("name", MIDDLE)
def test_application(name, tmp_path, record_property):
    model = harness.build_application(name)
    path = harness.save(model, tmp_path / f"{name}.keras")
    values = inputs_of(model, batch=1)
    expected = run(model, values.values())
    cut, names = MIDDLE[name], names_in(model)
    part = Graph(model)
    tensors = len({made for made in part.crossing(part.first_part(cut)) if made[0] in part.calls})
    del model, part

    worst = assert_close(netc_run(path, values, tmp_path), expected, 1e-4)
    record_property("error", worst)
    print(f"{name}: {worst:.2e}")

    again = assert_round_trip(path, tmp_path)
    assert names_in(load(again)) == names
    again.unlink()

    manifest = harness.split(path, cut, tmp_path)
    assert sum("stage" in i["source"] for i in manifest["stages"][1]["inputs"]) == tensors
    assert_close(harness.run_chain(tmp_path, values), expected)
    assert "bit for bit" in netc("diff", path, tmp_path / "manifest.json").stdout
