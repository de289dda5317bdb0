"""Renders `docs/reference/conversions.md` from the cells of `matrix.py`."""

from collections import Counter, defaultdict

KINDS = {"layers": "Layers", "operations": "Operations", "features": "Models"}
FRAMEWORKS = {"tf": "Keras 2", "k3": "Keras 3", "tfjs": "TensorFlow.js"}

INTRODUCTION = """# Conversions

How netc converts and cuts each kind of layer. A row is one or more layer classes, operations or kinds of models; a
column is a kind of file that netc reads.

| sign | meaning |
|---|---|
| `=` | The framework of the new file loads it and computes the same: no number differs by more than {tolerance} of the largest. |
| a letter | netc rejects the model, for the reason [below](#reasons). |
| `!` and a number | A [bug](#failures): the new file does not load or computes something else, or netc gives a wrong reason. |
| `-` | The framework does not have the layer, or cannot load its own file of it. |

If the models of a row differ, the row has all their signs: `=a` means that netc converts some and rejects others.

Keras {k3} judges `.keras` files and TensorFlow.js {tfjs} judges files for TensorFlow.js. The version of Keras that made
the model judges `.h5` files: Keras {k3} or tf.keras {tf}. A layers-model of TensorFlow.js counts as a model of Keras 2.
*Converted* means written by `tensorflowjs_converter`, *saved* means saved by TensorFlow.js itself.

`bash tests/run.sh matrix` writes this page. It makes {models} models with random weights in the frameworks, converts and
cuts each with netc, loads the results in the frameworks, and compares what they compute in inference.
"""


def page(conversions, splits, versions, models, tolerance, normal):
    reasons = Letters(conversions + splits, normal)
    out = [INTRODUCTION.format(tolerance=f"{tolerance:.0e}".replace("e-0", "e-"), models=models, **versions)]
    out += ["## Totals\n", totals(conversions, splits)]
    for framework, name in FRAMEWORKS.items():
        chosen = [cell for cell in conversions if cell.source.framework == framework]
        out.append(f"## From {name}\n")
        targets = {"keras": "`.keras`", "h5": "`.h5`", "tfjs": "TensorFlow.js"}
        if framework == "k3":
            targets["h5-keras2"] = "`.h5` of Keras 2 (`--format h5-keras2`)"
        out.append(f"The signs are for conversion to {', '.join(targets.values())}.\n")
        out += tables(chosen, tuple(targets), reasons)
    out.append("## Cuts\n")
    out.append("The two signs are for a cut after the layer and a cut before it. The stages have the format of the file.\n")
    for framework, name in FRAMEWORKS.items():
        out.append(f"### Cuts of {name}\n")
        out += tables([cell for cell in splits if cell.source.framework == framework], ("after", "before"), reasons, "####")
    out += ["## Reasons\n", "netc's messages, with `LAYER` and `CLASS` for the name and class of the layer.\n", reasons.refusals()]
    out += ["## Failures\n", reasons.failures() or "None.\n"]
    return "\n".join(out)


class Letters:
    """A letter for each reason of a rejection, a number for each kind of failure; the most frequent first."""

    def __init__(self, cells, normal):
        self.normal = normal
        self.counts = {v: Counter(normal(c) for c in cells if c.verdict == v) for v in ("refused", "failure")}
        ordered = {v: sorted(found, key=lambda text: (-found[text], text)) for v, found in self.counts.items()}
        self.signs = {("refused", text): letters(i) for i, text in enumerate(ordered["refused"])}
        self.signs |= {("failure", text): f"!{i + 1}" for i, text in enumerate(ordered["failure"])}
        self.cells = cells

    def sign(self, cell):
        return "=" if cell.verdict == "equal" else self.signs[cell.verdict, self.normal(cell)]

    def refusals(self):
        return table(["", "times", "reason"], [[f"{sign}", str(self.counts[v][t]), escaped(t)] for (v, t), sign in self.signs.items() if v == "refused"])

    def failures(self):
        rows = defaultdict(Counter)
        for cell in self.cells:
            if cell.verdict == "failure":
                rows[self.normal(cell)][cell.values["row"]] += 1
        found = [[sign, str(self.counts[v][t]), escaped(t), ", ".join(rows[t])] for (v, t), sign in self.signs.items() if v == "failure"]
        return table(["", "times", "what happens", "rows"], found) if found else ""


def letters(number):
    """a to z, then aa, ab, ..."""
    return (letters(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def escaped(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def totals(conversions, splits):
    rows = []
    for name, cells in (("conversions", conversions), ("cuts", splits)):
        counts = Counter(cell.verdict for cell in cells)
        rows.append([name, *(str(counts[verdict]) for verdict in ("equal", "refused", "failure"))])
    return table(["", "equal", "refused", "failures"], rows)


def tables(cells, targets, reasons, level="###"):
    """A table for each kind of row; rows with the same signs are merged."""
    out = []
    sources = list(dict.fromkeys(cell.source.name for cell in cells))
    for kind, title in KINDS.items():
        rows = defaultdict(lambda: defaultdict(dict))
        for cell in cells:
            if cell.values["kind"] == kind:
                signs = rows[cell.values["row"]][cell.source.name].setdefault(cell.target, [])
                signs.append(reasons.sign(cell))
        grouped = defaultdict(list)
        for row, found in rows.items():
            grouped[tuple(" ".join(together(found[s].get(t)) for t in targets) for s in sources)].append(row)
        if grouped:
            lines = [[", ".join(names), *(f"`{sign}`" for sign in signs)] for signs, names in grouped.items()]
            out += [f"{level} {title}\n", table([title.lower(), *sources], lines)]
    return out


def together(signs):
    """The merged signs of several models; `=` comes first."""
    return "".join(sorted(set(signs or "-"), key=lambda s: (s != "=", s.startswith("!"), s)))


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
