"""The command line. Each command is a function of its words; ``main`` finds it and turns errors into exit statuses."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

import torch
from rich.console import Console

import nprnn
from nprnn.cli.analysing import command_analyse
from nprnn.cli.benching import command_bench
from nprnn.cli.common import any_text, console
from nprnn.cli.exploring import command_explore
from nprnn.cli.exporting import command_export
from nprnn.cli.features import command_features
from nprnn.cli.importing import command_import
from nprnn.cli.judging import command_eval
from nprnn.cli.looking import command_info, command_report, command_runs
from nprnn.cli.predicting import command_predict
from nprnn.cli.reproducing import command_reproduce
from nprnn.cli.sweeping import command_sweep
from nprnn.cli.training import command_train
from nprnn.errors import NprnnError, unknown
from nprnn.processes import Terminated, terminable

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": command_train,
    "sweep": command_sweep,
    "eval": command_eval,
    "predict": command_predict,
    "runs": command_runs,
    "report": command_report,
    "analyse": command_analyse,
    "reproduce": command_reproduce,
    "export": command_export,
    "features": command_features,
    "import": command_import,
    "explore": command_explore,
    "bench": command_bench,
    "info": command_info,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words after ``nprnn``; None takes the process's.

    Returns:
        The exit status: 0, 1 where members of a sweep failed, videos could not be read, runs could not be analysed or
        nobody reads what is printed any more, 2 for an error in what was asked or where nothing can be printed, 130
        after Ctrl-C, 143 after SIGTERM.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    threads = torch.get_num_threads()
    # The gradients of a contracting network decay into denormal numbers, which processors handle many times slower.
    torch.set_flush_denormal(True)
    try:
        with terminable(), any_text():
            status = _run(words)
            sys.stdout.flush()
            return status
    except NprnnError as error:
        if debug:
            raise
        return _refuse(str(error))
    except OSError as error:
        if debug:
            raise
        return _cannot_write(error)
    except (MemoryError, RuntimeError) as error:
        # torch's allocator for the CPU has no error of its own.
        if debug or not (isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)):
            raise
        return _refuse(f"not enough memory; choose smaller sizes, or fewer sequences ({error})")
    except KeyboardInterrupt as end:
        return 143 if isinstance(end, Terminated) else 130
    finally:
        # Whoever calls this from Python gets torch back as it was.
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        console.print(_help(), markup=False)
    elif words[0] == "--version":
        console.print(nprnn.__version__)
    elif words[0] in COMMANDS:
        return COMMANDS[words[0]](words[1:])
    else:
        raise unknown("command", words[0], COMMANDS)
    return 0


def _refuse(told: str) -> int:
    # Where not even that can be written, the exit status says it.
    with contextlib.suppress(OSError):
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"nprnn: error: {told}", markup=False)
    _let_go(sys.stderr)
    return 2


def _cannot_write(error: OSError) -> int:
    """Commands tell of the files they read and write by errors of their own: this is of what they print."""
    _let_go(sys.stdout)
    if isinstance(error, BrokenPipeError):
        # As rich ends then.
        return 1
    return _refuse(f"cannot read or write {error.filename or 'what is printed'}: {error.strerror or error}")


def _let_go(stream: TextIO) -> None:
    """Drop what cannot be written: the interpreter would try once more as it ends, and change the exit status."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _help() -> str:
    lines = [f"  nprnn {name:<8} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "nprnn: the ReLU recurrent network with a normalised positive-definite start.",
            "",
            *lines,
            "",
            "`nprnn COMMAND --help` tells more; `--debug` shows the traceback of an error.",
        ]
    )
