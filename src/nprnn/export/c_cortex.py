"""The C files on a microcontroller: flash and RAM on a Cortex-M4, and check.c run on an emulated one."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from nprnn.export.c_building import ran
from nprnn.export.c_source import CHECK, FOLDER, MODEL

COMPILER = "arm-none-eabi-gcc"
EMULATOR = "qemu-system-arm"
_CPU = ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")
_FLAGS = (*_CPU, "-std=c99", "-Os", "-ffunction-sections", "-fdata-sections")
_LINK: tuple[str | Path, ...] = (
    "-nostartfiles",
    "-Wl,--gc-sections",
    "-T",
    FOLDER / "cortex_m.ld",
    FOLDER / "cortex_m.c",
)


def on_cortex_m4(folder: Path) -> dict[str, Any]:
    """Build for a Cortex-M4 and run on an emulated one, as far as this machine can.

    Args:
        folder: with the files.

    Returns:
        ``flash`` and ``ram`` in bytes, of a program with one stream without its stack; ``model``, the bytes of
        text, data and bss of the network's part of it; ``stack``, what its functions take of that together; ``check``,
        what check.c said under emulation. ``absent`` tells what could not be done.
    """
    if shutil.which(COMPILER) is None:
        return {"absent": f"{COMPILER} is not installed: flash and RAM of a Cortex-M4 were not measured"}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        model, device, check = place / "model.o", place / "device.elf", place / "check.elf"
        common: list[str | Path] = [COMPILER, *_FLAGS, f"-I{folder}"]
        commands = (
            [*common, "-Wall", "-Wextra", "-fstack-usage", "-c", folder / MODEL, "-o", model],
            [*common, *_LINK, "--specs=nosys.specs", FOLDER / "device.c", model, "-lm", "-o", device],
        )
        for command in commands:
            status, said = ran(command)
            if status:
                return {"absent": f"{COMPILER} could not build the files: {said[:2000]}"}
        text, data, bss = _sizes(device)
        frames = re.findall(r"\t(\d+)\t", (place / "model.su").read_text())
        found: dict[str, Any] = {
            "cpu": "cortex-m4",
            "compiler": ran([COMPILER, "--version"])[1].partition("\n")[0],
            "flash": text + data,
            "ram": data + bss,
            "model": dict(zip(("text", "data", "bss"), _sizes(model), strict=True)),
            "stack": sum(map(int, frames)),
        }
        if shutil.which(EMULATOR) is None:
            return {**found, "absent": f"{EMULATOR} is not installed: check.c was not run on an emulated Cortex-M4"}
        command = [*common, *_LINK, "-DSEMIHOSTING", "--specs=rdimon.specs", folder / CHECK, model, "-lm", "-o", check]
        status, said = ran(command)
        if status == 0:
            machine = ["-M", "mps2-an386", "-semihosting-config", "enable=on,target=native", "-nographic"]
            status, said = ran([EMULATOR, *machine, "-monitor", "none", "-serial", "none", "-kernel", check])
        return {**found, "check": said[:2000], "passed": status == 0}


def _sizes(path: Path) -> tuple[int, int, int]:
    """Bytes of text, data and bss."""
    said = ran([COMPILER.replace("gcc", "size"), path])[1].splitlines()[1].split()
    return int(said[0]), int(said[1]), int(said[2])
