"""A build backend (PEP 517) that sleeps."""

import os
import subprocess
import zipfile


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    work()
    name = f"{NAME}-1-py3-none-any.whl"
    info = f"{NAME}-1.dist-info"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr(f"{NAME}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name


NAME = "slow"


def work():
    # A program of its own, so that a story can find it and end it.
    subprocess.run(["sleep", os.environ.get("SLOW_SECONDS", "8")])
