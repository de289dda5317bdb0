"""Converts a model of every layer class between all formats, and lets the frameworks judge: `matrix.py [fast]`.

1. tf.keras 2.15, Keras 3 and TensorFlow.js each make their models and record their outputs, in one process.
2. netc converts each model to every format, and cuts it after and before its middle layer.
3. Each framework loads the files that netc wrote for it, in one process, and compares the outputs.

A cell is *equal*, *refused* (netc exits with 1 and names the layer), or a *failure* (anything else). The script writes
`docs/reference/conversions.md` and `tests/.cache/matrix/summary.txt`, and exits with 1 if there is a failure. `fast` uses some of
the models and does not write the page. `NETC` is the command to test.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import matrix_page
from environments import CACHE, tf_keras

# The custom layers of the models.
CUSTOM = ("Affine", "Residual", "Twice", "TiedHead", "Halve", "SumCell", "Subclass")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FAST = "fast" in sys.argv
FOLDER = CACHE / ("matrix-fast" if FAST else "matrix")
NETC = os.environ.get("NETC", str(ROOT / "target/release/netc"))
TFJS_PACKAGES = [f"@tensorflow/tfjs-{part}@4.22.0" for part in ("core", "layers", "backend-cpu")]

# The largest difference, relative to the largest number, that counts as equal.
TOLERANCE = 1e-5
HALF_TOLERANCE = 4e-3


@dataclass(frozen=True)
class Target:
    """A format that netc writes: the file to load, and the options of netc. `judge` is the framework that loads it;
    without one, the framework that made the model. `maker` restricts the target to models of that framework."""

    file: str
    options: tuple = ()
    judge: str | None = None
    maker: str | None = None


TARGETS = {
    "keras": Target("to.keras", judge="k3"),
    "h5": Target("to.h5"),
    "tfjs": Target("to_tfjs/model.json", ("--format", "tfjs"), "tfjs"),
    "h5-keras2": Target("to_keras2.h5", ("--format", "h5-keras2"), "tf", "k3"),
}
VERSIONS = {"k3": "3.15", "tf": "2.15", "tfjs": "4.22"}


@dataclass(frozen=True)
class Source:
    """A form in which a framework saves models: the framework, the form, its files, and its name in tables."""

    framework: str
    form: str
    files: tuple
    name: str
    splits_to: str | None = None

    @property
    def maker(self):
        return "tf" if self.framework == "tfjs" else self.framework

    def values(self, place):
        return place / ("tfjs/values.json" if self.framework == "tfjs" else "values.json")

    def judge_of(self, target):
        """The framework that judges a file of this target. An `.h5` file is judged by the Keras that made the model."""
        return TARGETS[target].judge or self.maker


SOURCES = [
    Source("tf", "h5", ("m.h5",), "Keras 2 `.h5`", "h5"),
    Source("tf", "keras", ("m.keras",), "Keras 2 `.keras`", "keras"),
    Source("tf", "json-h5", ("m.legacy.json", "m.legacy.h5"), "Keras 2 JSON, `.h5`"),
    Source("tf", "json", ("m.json", "m.weights.h5"), "Keras 2 JSON, `.weights.h5`"),
    Source("k3", "keras", ("m.keras",), "Keras 3 `.keras`", "keras"),
    Source("k3", "h5", ("m.h5",), "Keras 3 `.h5`", "h5"),
    Source("k3", "json", ("m.json", "m.weights.h5"), "Keras 3 JSON, `.weights.h5`"),
    Source("tfjs", "converted", ("tfjs/model.json",), "TF.js, converted", "tfjs"),
    Source("tfjs", "saved", ("tfjs-saved/model.json",), "TF.js, saved", "tfjs"),
]


@dataclass
class Cell:
    """One conversion or split: the command of netc, and its outcome."""

    id: str
    source: Source
    target: str
    place: Path
    values: dict
    command: list
    output: Path
    verdict: str = ""
    reason: str = ""
    error: float = 0.0
    printed: str = field(default="", repr=False)

    @property
    def title(self):
        return f"{self.values['row']} {self.values['text']}: {self.source.name} -> {self.target}"


# Environments.


def frameworks():
    """The command for each framework."""
    packages = CACHE / "tfjs"
    if not (packages / "node_modules/@tensorflow/tfjs-backend-cpu").exists():
        packages.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", packages, *TFJS_PACKAGES], check=True)
    return {
        "tf": [tf_keras(), HERE / "matrix_keras.py"],
        "k3": [sys.executable, HERE / "matrix_keras.py"],
        "tfjs": ["node", HERE / "matrix_tfjs.mjs", packages],
    }


def call(command, *args):
    done = subprocess.run([*map(str, command), *map(str, args)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, [*command, *args]))}\n{done.stdout}\n{done.stderr[-4000:]}")
    print("  " + done.stdout.strip().splitlines()[-1], flush=True)


class Phase:
    """Prints how long a phase took."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.begin = time.time()

    def __exit__(self, *_):
        print(f"{self.name}: {time.time() - self.begin:.0f} s", flush=True)


# 1. The models.


def make_models(run):
    """Makes the models, unless the existing ones were made by the same scripts."""
    scripts = [HERE / name for name in ("matrix_models.py", "matrix_keras.py", "matrix_tfjs.mjs")]
    stamp = hashlib.sha256(b"".join(script.read_bytes() for script in scripts)).hexdigest()
    if (FOLDER / "stamp").exists() and (FOLDER / "stamp").read_text() == stamp:
        shutil.rmtree(FOLDER / "out", ignore_errors=True)
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: call(run[name], "make", FOLDER / name, *(["fast"] if FAST else [])), ["tf", "k3"]))
    call(run["tfjs"], "make", FOLDER / "tf")
    (FOLDER / "stamp").write_text(stamp)


def places(framework):
    return sorted(path.parent for path in (FOLDER / framework).glob("*/values.json"))


# 2. netc.


def cells():
    """All conversions and all splits of the models that could be made."""
    conversions, splits = [], []
    for source in SOURCES:
        made = places(source.maker)
        saved = [place for place in made if all((place / name).exists() for name in source.files)]
        if 4 * len(saved) < len(made):
            sys.exit(f"{source.name}: {len(saved)} of {len(made)} models were saved; see log.json in {FOLDER / source.maker}")
        for place in saved:
            files = [place / name for name in source.files]
            values = json.loads(source.values(place).read_text())
            # TensorFlow.js does not save an input that no layer reads.
            if source.form == "saved" and values["row"] == "input that no layer reads":
                continue
            given = [str(files[0])] + [word for weights in files[1:] for word in ("--weights", str(weights))]
            for target in (name for name, it in TARGETS.items() if it.maker in (None, source.maker)):
                conversions.append(conversion(source, target, place, values, given))
            if source.splits_to:
                for cut in ("after", "before"):
                    splits.append(split(source, cut, place, values, given))
    return conversions, splits


def conversion(source, target, place, values, given):
    folder = FOLDER / "out" / f"{source.framework}-{source.form}" / place.name
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / TARGETS[target].file
    written = str(output.parent if output.name == "model.json" else output)
    command = [*given, *TARGETS[target].options, "-o", written]
    return Cell(f"{folder.parent.name}/{place.name}/{target}", source, target, place, values, command, output)


def split(source, cut, place, values, given):
    folder = FOLDER / "out" / f"{source.framework}-{source.form}" / place.name / cut
    name = f"before:{values['cut']}" if cut == "before" else values["cut"]
    command = [*given, "--pass", f"split={name}", "--format", source.splits_to, "-o", str(folder)]
    return Cell(f"{folder.parent.parent.name}/{place.name}/{cut}", source, cut, place, values, command, folder / "manifest.json")


def convert(cell):
    try:
        done = subprocess.run([NETC, *cell.command], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        cell.verdict, cell.reason = "failure", "netc takes more than 60 s"
        return
    cell.printed = done.stdout + done.stderr
    if done.returncode == 0:
        return
    message = next((line for line in done.stderr.splitlines() if line.startswith("error")), done.stderr.strip())
    cell.reason = message.removeprefix("error: ")
    if done.returncode != 1:
        cell.verdict, cell.reason = "failure", f"netc exits with {done.returncode}: {cell.reason}"
    elif cell.target not in TARGETS and "nothing is computed before" in cell.reason:
        cell.verdict = "none"
    elif re.search(CLAIMS_OF_DAMAGE, cell.reason):
        cell.verdict, cell.reason = "failure", f"the framework loads the file, but netc does not: {cell.reason}"
    elif not names_subject(cell):
        cell.verdict, cell.reason = "failure", f"refused without naming the layer: {cell.reason}"
    else:
        cell.verdict = "refused"


# The framework loads every file, so no weight is missing.
CLAIMS_OF_DAMAGE = r"is missing|which does not match|expected one of|do not fit layer"


def names_subject(cell):
    """Whether the reason names the layer under test, a layer in it, or its class."""
    said = set(re.findall(r"[\w.]+", re.sub(r"^pass `[^`]*`: ", "", cell.reason)))
    layers = {name: kind for name, kind in cell.values["layers"].items() if not auxiliary(name, kind, cell)}
    subjects = {word for name in layers for word in re.findall(r"[\w.]+", name)} | {*layers.values(), cell.values["class"]}
    return bool(said & (subjects | set(re.findall(r"[\w.]+", cell.values["text"]))))


def auxiliary(name, kind, cell):
    """Whether the layer only surrounds the layer under test."""
    if cell.values["kind"] != "features":
        return re.fullmatch(r"pre_\w|post\d|[xyz]|words|tokens", name) is not None
    return kind == "InputLayer" or name in ("first", "out") and cell.values["row"] not in ABOUT_DENSE


ABOUT_DENSE = ("weights tied through a configuration", "int8", "low-rank adapters", "`Sequential`", "custom activation")


# 3. The judges.


def judge(run, judged):
    """Lets each framework judge its files. Files with the same bytes and the same expected values are judged once."""
    by_framework = defaultdict(lambda: defaultdict(list))
    for cell in judged:
        target = cell.target if cell.target in TARGETS else cell.source.splits_to
        key = f"{cell.source.values(cell.place).relative_to(FOLDER)} {contents(cell)}"
        by_framework[cell.source.judge_of(target)][key].append(cell)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda item: ask(run, *item), sorted(by_framework.items(), key=lambda item: -len(item[1]))))


def contents(cell):
    """A checksum of what the framework reads: of the file, or of all files in its folder."""
    if cell.output.suffix == ".keras":
        with zipfile.ZipFile(cell.output) as archive:
            parts = {name: archive.read(name) for name in archive.namelist() if name != "metadata.json"}
        # Shared object ids matter only if a configuration holds a layer.
        if "tied" not in cell.values["row"]:
            parts["config.json"] = json.dumps(without_ids(json.loads(parts["config.json"])), sort_keys=True).encode()
        return hashlib.sha256(b"".join(parts.values())).hexdigest()
    files = [cell.output] if cell.output.suffix == ".h5" else sorted(p for p in cell.output.parent.rglob("*") if p.is_file())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def without_ids(config):
    if isinstance(config, dict):
        return {key: without_ids(value) for key, value in config.items() if key != "shared_object_id"}
    return [without_ids(item) for item in config] if isinstance(config, list) else config


def ask(run, framework, groups):
    """Lets a framework judge one file of each group, unless an earlier run has judged it."""
    jobs_file, new_file, known_file = (FOLDER / f"{name}-{framework}.json" for name in ("jobs", "new-verdicts", "verdicts"))
    known = json.loads(known_file.read_text()) if known_file.exists() else {}
    asked = [(key, cells[0]) for key, cells in groups.items() if key not in known]
    if asked:
        jobs = [{"id": key, "file": str(cell.output), "values": str(cell.source.values(cell.place))} for key, cell in asked]
        jobs_file.write_text(json.dumps(jobs))
        call(run[framework], "judge", jobs_file, new_file)
        known |= json.loads(new_file.read_text())
        known_file.write_text(json.dumps(known))
    for key, cells in groups.items():
        for cell in cells:
            decide(cell, known[key])


def decide(cell, verdict):
    tolerance = HALF_TOLERANCE if "float16" in cell.values["text"] else TOLERANCE
    lost = cell.values["losses"] - verdict.get("losses", cell.values["losses"])
    cell.error = verdict.get("error", 0.0)
    cell.verdict = "failure"
    if "requires TensorFlow" in verdict.get("refuses", ""):
        cell.verdict, cell.reason = "none", "cannot be judged: the layer needs TensorFlow next to Keras 3"
    elif cell.target == "tfjs" and re.match(rf"Unknown layer: (matrix>)?({'|'.join(CUSTOM)})\b", verdict.get("refuses", "")):
        cell.verdict, cell.reason = "none", "cannot be judged: the layer is not registered in TensorFlow.js"
    elif "data type 'string' not understood" in verdict.get("refuses", ""):
        cell.verdict, cell.reason = "none", "cannot be judged: JAX has no strings"
    elif "refuses" in verdict:
        cell.reason = f"does not load: {verdict['refuses']}"
    elif "differs" in verdict:
        cell.reason = f"gives {verdict['differs']}"
    elif cell.error > tolerance:
        cell.reason = f"computes something else (by {cell.error:.0e} of the largest number)"
    elif verdict["structure"] != cell.values["structure"] and cell.target != "tfjs" and "note" not in cell.printed:
        cell.reason = f"returns its outputs as {verdict['structure']} instead of {cell.values['structure']} without a note"
    elif lost > 0 and "loss" not in cell.printed:
        cell.reason = f"lost {lost} of its losses without a note"
    else:
        cell.verdict = "equal"


# The results.


def normal(cell):
    """The reason without the names of this model."""
    text = re.sub(r"cannot (read|write) `[^`]*/?([^`/]*)`: ", "", cell.reason).replace(str(FOLDER), "")
    text = re.sub(r"^pass `[^`]*`: |cannot write the model `\w+`: |stage \d: ", "", text)
    if cell.verdict == "failure":
        text = coarse(text)
    names, classes = {}, set(cell.values["layers"].values())
    for path in cell.values["layers"]:
        names[path] = names[path.split("/")[-1]] = "LAYER"
    text = re.sub(r"`([^`]+)`", lambda m: f"`{names.get(m[1]) or ('CLASS' if m[1] in classes else m[1])}`", text)
    text = re.sub(r"(no layer|no activation|weights of a) `[\w.]+`", r"\1 `CLASS`", text)
    text = re.sub(r"does not compute `\w+` with its `\w+`", "does not compute `CLASS` with its `OPTION`", text)
    text = re.sub(r"the call at \S+:", "the call at LAYER:", text)
    text = re.sub(r"severs a mask: .*", "severs a mask", re.sub(r"the cut `[^`]*`", "the cut", text))
    text = re.sub(r"another layer has a `[^`]*`", "another layer has a `NAME`", text)
    text = re.sub(r"%[\w./]+", "%VALUE", text)
    return re.sub(r"(?<!Keras )\b\d+(\.\d+)?\b", "N", text)


def coarse(text):
    """A failure without the details that frameworks add to their messages."""
    text = re.sub(r"\x1b\[\d+m", "", text)
    text = re.sub(r"gives shapes .*", "gives tensors of another shape", text)
    text = re.sub(r"gives types .*", "gives tensors of another type", text)
    text = re.sub(r"computes something else .*", "computes something else", text)
    text = re.sub(r"returns its outputs as list instead of \[.*\]", "returns its outputs as a list instead of a dictionary", text)
    text = re.sub(r"(the weight )`[^`]*`( is missing)", r"\1`WEIGHT`\2", re.sub(r"they do not fit layer.*", "`--weights` do not fit the layer", text))
    text = re.sub(r"could not be deserialized properly.*Exception encountered: ", "", text)
    text = re.sub(r"Exception encountered when calling layer .\S+. \(type (\w+)\)\..*", r"a call of \1 fails", text)
    text = re.sub(r"'.*?'|\"[^\"]*\"|<.*?>|\{.*|\[.*?\]", "_", text)
    text = re.split(r" Call arguments| \.\.\. |\. Please|\. Example| Inputs received|\. Expected| This may be|: \d of", text)[0]
    return text[:160]


def summary(conversions, splits):
    out = []
    for title, group in (("conversions", conversions), ("splits", splits)):
        counts = Counter(cell.verdict for cell in group)
        out.append(f"{title}: {len(group)} cells, {counts['equal']} equal, {counts['refused']} refused, {counts['failure']} failures")
        largest = max((cell.error for cell in group if cell.verdict == "equal" and "float16" not in cell.values["text"]), default=0)
        out.append(f"  equal bit for bit: {sum(c.verdict == 'equal' and c.error == 0 for c in group)}; largest difference {largest:.1e}")
        table = defaultdict(Counter)
        for cell in group:
            table[f"{cell.source.name} -> {cell.target}"][cell.verdict] += 1
        out += [f"  {pair:45} {c['equal']:4} equal {c['refused']:4} refused {c['failure']:4} failures" for pair, c in table.items()]
    for verdict in ("refused", "failure"):
        groups = defaultdict(list)
        for cell in conversions + splits:
            if cell.verdict == verdict:
                groups[normal(cell)].append(cell)
        out += ["", f"{verdict}, by reason:"]
        for reason, found in sorted(groups.items(), key=lambda item: -len(item[1])):
            rows = Counter(cell.values["row"] for cell in found)
            pairs = Counter(f"{cell.source.name} -> {cell.target}" for cell in found)
            out.append(f"{len(found):5}  {reason}")
            out.append(f"         rows: {', '.join(rows)}")
            out.append(f"         from: {', '.join(pairs)}")
    out += ["", "every failure:"]
    out += [f"{cell.title}: {cell.reason}" for cell in conversions + splits if cell.verdict == "failure"]
    out += ["", "every refusal:"]
    out += [f"{cell.title}: {cell.reason}" for cell in conversions + splits if cell.verdict == "refused"]
    return "\n".join(out) + "\n"


def main():
    with Phase("environments"):
        run = frameworks()
    with Phase("models"):
        make_models(run)
    conversions, splits = cells()
    with Phase(f"netc, {len(conversions) + len(splits)} times"), ThreadPoolExecutor(2) as pool:
        list(pool.map(convert, conversions + splits))
    with Phase("judges"):
        judge(run, [cell for cell in conversions + splits if not cell.verdict])
    conversions, splits = ([cell for cell in group if cell.verdict != "none"] for group in (conversions, splits))
    text = summary(conversions, splits)
    (FOLDER / "summary.txt").write_text(text)
    if not FAST:
        models = len({cell.place for cell in conversions})
        written = matrix_page.page(conversions, splits, VERSIONS, models, TOLERANCE, normal)
        (ROOT / "docs/reference/conversions.md").write_text(written)
    print(text.split("\nrefused, by reason:")[0])
    return any(cell.verdict == "failure" for cell in conversions + splits)


if __name__ == "__main__":
    sys.exit(main())
