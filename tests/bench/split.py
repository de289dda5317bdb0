"""Compares netc, `cp` and Keras at splitting a model file.

    python tests/bench/split.py [MODEL.keras] [--cut LAYER] [--runs 5] [--netc PATH]

Without a model, Keras makes a ResNet152 (243 MB). Run the script in an environment with keras and jax (`tests/run.sh
interop` makes one in tests/.venv), after `cargo build --release`. Each run copies the file, splits it with netc and
removes the results, so the file is in the page cache. Ratios are ratios of medians. Keras runs once, because it takes a
hundred times longer. Memory is the peak resident set of the process, as reported by the operating system.
"""

import argparse
import datetime
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time

KERAS_SPLIT = """
import os, sys
os.environ["KERAS_BACKEND"] = "jax"
import keras
path, cut, out = sys.argv[1:]
model = keras.models.load_model(path)
middle = model.get_layer(cut).output
first = keras.Model(model.inputs, middle)
second = keras.Model(middle, model.outputs)
first.save(os.path.join(out, "stage0.keras"))
second.save(os.path.join(out, "stage1.keras"))
"""

MAKE_MODEL = """
import os, sys
os.environ["KERAS_BACKEND"] = "jax"
import keras
keras.utils.set_random_seed(0)
keras.applications.ResNet152(weights=None).save(sys.argv[1])
"""


def measure(command):
    """Wall seconds and peak resident bytes of a command that must succeed."""
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.execvp(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{' '.join(command[:3])} ... failed")
    return seconds, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--cut", default="conv4_block20_out")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--netc", default="target/release/netc")
    parser.add_argument("--no-keras", action="store_true", help="do not run Keras")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        model = args.model
        if model is None:
            model = os.path.join(folder, "resnet152.keras")
            measure([sys.executable, "-c", MAKE_MODEL, model])
        copy, out = os.path.join(folder, "copy.keras"), os.path.join(folder, "out")
        split = [args.netc, model, "--pass", f"split={args.cut}", "-o", out]
        measure(["cp", model, copy])
        copies, splits = [], []
        for _ in range(args.runs):
            os.remove(copy)
            copies.append(measure(["cp", model, copy]))
            splits.append(measure(split))
            shutil.rmtree(out)
        seconds = {"cp": statistics.median(s for s, _ in copies), "netc": statistics.median(s for s, _ in splits)}
        memory = {"cp": max(m for _, m in copies), "netc": max(m for _, m in splits)}
        if not args.no_keras:
            os.makedirs(out)
            seconds["keras"], memory["keras"] = measure([sys.executable, "-c", KERAS_SPLIT, model, args.cut, out])

        size = os.path.getsize(model) / 1e6
        print(f"{datetime.date.today()}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
        print(f"split at {args.cut} of {size:.0f} MB, median of {args.runs}")
        print(f"{'':8}{'seconds':>10}{'ratio to cp':>14}{'peak MB':>10}")
        for name, value in seconds.items():
            print(f"{name:8}{value:10.3f}{value / seconds['cp']:14.2f}{memory[name] / 1e6:10.1f}")


if __name__ == "__main__":
    main()
