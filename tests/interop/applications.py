"""Every network of keras.applications, split and run by netc and by Keras.

It writes the table of docs/reference/applications.md.

    NETC=target/release/netc python tests/interop/applications.py [--check] [NAME...]

Run it in the environment of `tests/run.sh interop`. Without names it measures all networks, which takes half an hour
and up to 8 GB; with names it updates their rows only. `--check` writes nothing.

Each network has random weights, and batch statistics away from their defaults. It is cut twice near the middle: where
one tensor crosses, and inside a branch. The stages must load in Keras, compose to the whole, and be bit-equal to it in
netc.
"""

import argparse
import datetime
import gc
import inspect
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import keras

import harness

PAGE = Path(__file__).parents[2] / "docs/reference/applications.md"
HEAD = """# Networks of keras.applications

Every network of `keras.applications`, with random weights, through netc. `tests/interop/applications.py` saves each with
Keras, cuts it in the middle (at a place where one tensor crosses, and inside a branch), loads the stages in Keras, composes
them, and runs the model with both. It writes this page.

| column | meaning |
| --- | --- |
| *cuts* | places where one tensor crosses (`netc cuts`) |
| *split* | seconds of `netc model.keras --pass split=... -o out/`, cut inside a branch if there is one |
| *error* | the largest difference between an output of netc and of Keras, relative to the largest output |
| *run* | seconds of the whole command `netc run` on one image, including reading the file |
| *Keras, first* | seconds of loading the file and of the first prediction, not counting Python's startup |
| *Keras, second* | seconds of a second prediction |

The stages compute, bit for bit, what the whole computes. Each time is from a single run on a machine that
was also doing other work, so compare times within a row, not between rows.

"""
COLUMNS = ["network", "parameters", "core ops", "cuts", "split", "error", "run", "Keras, first", "Keras, second", "measured"]


def names():
    """The constructors of keras.applications."""
    found = [n for n, f in vars(keras.applications).items() if inspect.isfunction(f) and n[0].isupper()]
    return sorted(found)


def timed(action):
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def cuts_of(path):
    """A cut in the middle where one tensor crosses, a cut inside a branch or None, and the number of cuts of the first
    kind."""
    cuts = [cut["name"] for cut in json.loads(harness.netc("cuts", path, "--json").stdout)]
    layers = [layer["name"] for layer in json.loads(harness.netc("inspect", path, "--json").stdout)["layers"]]
    middle = len(layers) // 2
    inside = [layer for layer in layers[1 : layers.index(cuts[-1])] if layer not in cuts]
    inside.sort(key=lambda name: abs(layers.index(name) - middle))
    return cuts[len(cuts) // 2], inside[0] if inside else None, len(cuts)


def measure(name, folder):
    """The table row of a network."""
    path = folder / f"{name}.keras"
    harness.save(harness.build_application(name), path)
    gc.collect()

    def first():
        model = harness.load(path)
        return model, harness.run(model, values.values())

    model = harness.load(path)
    values = harness.inputs_of(model, batch=1, extent=224)
    parameters = model.count_params()
    del model
    loading, (model, expected) = timed(first)
    second, _ = timed(lambda: harness.run(model, values.values()))
    del model
    running, found = timed(lambda: harness.netc_run(path, values, folder))
    error = harness.assert_close(found, expected, 1e-4)

    cut, inside, count = cuts_of(path)
    for place in filter(None, [cut, inside]):
        splitting, _ = timed(lambda: harness.split(path, place, folder / "out"))
        harness.assert_close(harness.run_chain(folder / "out", values), expected, 1e-4)
        assert "bit for bit" in harness.netc("diff", path, folder / "out" / "manifest.json").stdout
        shutil.rmtree(folder / "out")
    lowered = harness.netc(path, "--pass", "lower", "--emit", "ir").stdout
    ops = sum(line.startswith("  %") for line in lowered.splitlines())
    path.unlink()
    today = datetime.date.today().isoformat()
    seconds = [f"{s:.2f}" for s in (splitting, running, loading, second)]
    return [name, f"{parameters:,}", f"{ops:,}", str(count), seconds[0], f"{error:.1e}", *seconds[1:], today]


def rows_of_page():
    rows = [line.strip("| \n").split(" | ") for line in PAGE.read_text().splitlines()] if PAGE.exists() else []
    return {row[0]: row for row in rows if len(row) == len(COLUMNS) and row[0] in names()}


def write_page(rows):
    line = lambda cells: f"| {' | '.join(cells)} |\n"
    table = line(COLUMNS) + line(["---"] + ["--:"] * (len(COLUMNS) - 2) + ["---"])
    machine = f"\n{os.cpu_count()} cores ({platform.machine()}), Keras {keras.__version__} on JAX.\n"
    PAGE.write_text(HEAD + table + "".join(line(rows[name]) for name in sorted(rows)) + machine)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("name", nargs="*")
    args = parser.parse_args()
    failed = []
    for name in args.name or names():
        with tempfile.TemporaryDirectory() as folder:
            try:
                row = measure(name, Path(folder))
            except AssertionError as wrong:
                failed.append(name)
                print(f"{name}: {str(wrong)[-600:]}", flush=True)
                continue
        print(" | ".join(row), flush=True)
        if not args.check:
            write_page({**rows_of_page(), name: row})
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
