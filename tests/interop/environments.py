"""Virtual environments with older frameworks, each created once in `tests/.cache`."""

import fcntl
import subprocess
import venv
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache"


def environment(name, requirements, extra=()):
    """The Python of the environment, which is created if needed. Safe to call from several processes at once."""
    folder = CACHE / name
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            venv.create(folder, with_pip=True, clear=True)
            pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "-r", HERE / requirements], check=True)
            if extra:
                subprocess.run([*pip, "--no-deps", *extra], check=True)
            (folder / "ready").touch()
    return folder / "bin/python"


def tf_keras():
    """The Python of TensorFlow 2.15.1, whose Keras is the last before Keras 3, with the converter to TensorFlow.js."""
    return environment("tf-2.15", "requirements-tf215.txt", ["tensorflowjs==4.22.0"])
