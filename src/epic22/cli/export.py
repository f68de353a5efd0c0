"""`epic22 export`: a network as a file for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from epic22 import bootstrap
from epic22.cli.terminal import print_line
from epic22.config import Settings


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A task, whose champion is meant, or task@version.")],
    to: Annotated[str, typer.Option(help="onnx: the graph that serves; keras: a .keras file, for TensorFlow, JAX and PyTorch.")],
    output: Annotated[Path | None, typer.Option(help="The file; TASK-VERSION in this folder otherwise.")] = None,
    member: Annotated[str | None, typer.Option(help="Of a forecast by several networks: the family of the one meant.")] = None,
) -> None:
    """Write the network of MODEL as a file for other programs, and what its inputs and outputs mean beside it.

    epic22 export churn --to onnx

    The file is told of once a new process has read it and given the model's golden rows their scores. A network alone can be
    exported. TorchScript is not written: its archive holds pickles.
    """
    written = bootstrap.export_model(bootstrap.assemble(Settings.read()), model, to, output, member)
    version, network = written.model, written.network
    print_line(f"{version.task} version {version.version} ({version.family}): {written.path}", "bold green")
    print_line(f"What its inputs and outputs mean: {written.description_path}")
    print_line(
        f"Read again by a new process: {network.golden_rows} golden rows within {network.largest_difference:.1g} of the model's "
        "scores."
    )
