"""The command ``prunescope``. A command imports what it needs when it runs, so that completion is fast."""

from contextlib import suppress
from pathlib import Path

import click

from prunescope import __version__, kinds
from prunescope.errors import InputError


class _Refusal(click.ClickException):
    """A user error, shown as one line without a traceback; exit status 1."""

    def show(self, file=None) -> None:
        click.echo(f"prunescope: {self.message}", file=file, err=True)


class _Program(click.Group):
    def invoke(self, context):
        try:
            return super().invoke(context)
        except InputError as error:
            raise _Refusal(str(error)) from None


COMPLETION = """\b
Tab completion: add this line to ~/.bashrc (for other shells: zsh_source, fish_source):
  eval "$(_PRUNESCOPE_COMPLETE=bash_source prunescope)"
"""


@click.group(
    "prunescope",
    cls=_Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"""\b
Example:
  prunescope layers torchvision/resnet18 --shape 3 32 32

{COMPLETION}""",
)
@click.version_option(__version__, prog_name="prunescope", message="%(prog)s %(version)s")
def main() -> None:
    """What does pruning change inside a network?"""


# --- kinds -----------------------------------------------------------------------------------------------


@main.command("kinds", epilog="\b\nExample:\n  prunescope kinds measure")
@click.argument("family", required=False, type=click.Choice(list(kinds.FAMILIES)))
def list_kinds(family: str | None) -> None:
    """List the kinds that an experiment can name, of one FAMILY or of all families."""
    for name in [family] if family else kinds.FAMILIES:
        lines = [[f"  {kind.form}", kind.summary] for kind in kinds.known(name).values()]
        if kinds.FAMILIES[name].files:
            lines.append([f"  {kinds.FILE}", "One in a file of your own project"])
        click.echo("\n".join([name, *_aligned(lines)]))


# --- layers ----------------------------------------------------------------------------------------------


def _complete_target(_context, _parameter, incomplete: str) -> list[str]:
    from prunescope.settings.load import configuration_of

    names = [kind.form for kind in kinds.known("network").values()]
    with suppress(InputError):
        names += configuration_of()["catalogue"].names()
    return [name for name in names if name.startswith(incomplete)]


@main.command(
    epilog="""\b
Examples:
  prunescope layers digits-lenet
  prunescope layers torchvision/resnet18 --shape 3 32 32
  prunescope layers torchvision/vit_b_16 --shape 3 32 32 -a image_size=32"""
)
@click.argument("target", shell_complete=_complete_target)
@click.option(
    "--shape",
    type=click.IntRange(min=1),
    nargs=3,
    metavar="C H W",
    help="Channels, height and width of an image.",
)
@click.option(
    "--classes",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Number of outputs of the network.",
)
@click.option(
    "-a",
    "--argument",
    "arguments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Argument of the network, as in network.arguments of an experiment; repeat for several.",
)
def layers(target: str, shape: tuple[int, int, int] | None, classes: int, arguments: tuple[str, ...]) -> None:
    """List the modules of a network, their outputs and weights.

    Shows each module's type, its output shape for one image, whether the output can be recorded, and how many
    weights can be pruned. TARGET is a network (with --shape) or an experiment in the working directory. For
    an experiment, * marks what activations.layers records and pruning.prunable prunes.
    """
    from prunescope.notebook.layers import layers_of_experiment, layers_of_network

    if shape:
        listed = layers_of_network(target, dict(map(_argument, arguments)), shape, classes)
    elif arguments:
        raise InputError(
            "--argument: only a network takes arguments, and a network needs --shape; remove --argument or "
            "add --shape"
        )
    else:
        listed = layers_of_experiment(target)
    for line in _aligned([list(listed[0]), *(row.values() for row in listed)]):
        click.echo(line)


def _argument(text: str) -> tuple[str, object]:
    import yaml

    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--argument {text}: must have the form KEY=VALUE")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"--argument {text}: the value is not valid YAML") from None


# --- receipts --------------------------------------------------------------------------------------------


@main.command(epilog="\b\nExample:\n  prunescope provenance digits-lenet > provenance.json")
@click.argument("experiment", shell_complete=_complete_target)
def provenance(experiment: str) -> None:
    """Print the receipts of all jobs behind the results of an EXPERIMENT, as JSON.

    Each has its rule, settings, digest of the code, versions, device, time, and the SHA-256 of every file
    that the job read and wrote. Run it in the folder that has results/.
    """
    import json

    from prunescope.plan import history

    click.echo(json.dumps(history.receipts(Path("results", experiment)), indent=2))


@main.command(epilog="\b\nExample:\n  prunescope accept digits-lenet --code")
@click.argument("experiment", shell_complete=_complete_target)
@click.option("--code", is_flag=True, help="Accept results of an older version of the code.")
def accept(experiment: str, code: bool) -> None:
    """Keep results of an EXPERIMENT that would be recomputed only because the code has changed.

    Their receipts keep the digest of the code that computed them, and name the accepted one. Results with
    other settings, inputs or data are never accepted. Run it in the folder of the workflow.
    """
    import os
    import subprocess
    import sys
    from importlib.util import find_spec

    from prunescope import identity
    from prunescope.plan.history import ACCEPT

    if not code:
        raise click.UsageError("only results of older code can be accepted; add --code")
    if not find_spec("snakemake"):
        raise InputError("Snakemake is not installed; run pip install 'prunescope[workflow]'")
    if not Path("workflow/Snakefile").exists() and not Path("Snakefile").exists():
        raise InputError("no Snakefile here; run this in the folder of the workflow")
    receipts = map(identity.read, Path("results", experiment, identity.FOLDER).glob("*.json"))
    names = sorted({name for receipt in receipts if receipt for name in receipt["outputs"]})
    if not names:
        raise InputError(f"results/{experiment}: no receipts; there is nothing to accept")
    targets = [f"results/{experiment}/{name}" for name in names]
    options = ["snakemake", "--dry-run", "--quiet", "all", "--cores", "1", "--"]
    command = [sys.executable, "-m", *options, *targets]
    environment = {**os.environ, ACCEPT: "code"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("prunescope: ")]
    accepted = [line for line in lines if line.startswith("prunescope: accepted ")]
    if done.returncode:
        reasons = [line for line in lines if line not in accepted] or done.stderr.split("\n")
        raise InputError([line for line in reasons if line.strip()][-1].removeprefix("prunescope: "))
    click.echo("\n".join([*accepted, f"accepted: {len(accepted)}"]))


# --- compare ---------------------------------------------------------------------------------------------


def _complete_measure(_context, _parameter, incomplete: str) -> list[str]:
    return [name for name in kinds.known("measure") if name.startswith(incomplete)]


@main.command(
    epilog="""\b
Examples:
  prunescope compare a.npy b.npy -m cca -m cka
  prunescope compare runs/dense runs/pruned runs/other -o similarity.parquet
  prunescope compare runs/dense runs/pruned --report comparison.html"""
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="A B [MORE]...")
@click.option(
    "-m",
    "--measure",
    "measures",
    multiple=True,
    shell_complete=_complete_measure,
    help="Measure to compute; repeat for several. Default: the default measures of experiments.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write all columns to this .parquet or .csv file instead of printing the table.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Write an interactive page to this .html file: a heatmap of the layers of the folders.",
)
def compare(
    paths: tuple[Path, ...], measures: tuple[str, ...], output: Path | None, report: Path | None
) -> None:
    """Compare files or folders of activations.

    Two .npy files hold matrices of shapes (n, p) and (n, q); row i of both is the same example. Two or more
    folders or .h5 files hold a matrix for each layer and an id for each row (see docs/data.md); all pairs are
    compared.
    """
    if len(paths) < 2:
        raise click.UsageError("give at least two files or folders")
    if output and output.suffix not in (".parquet", ".csv"):
        raise InputError(f"--output {output}: must end in .parquet or .csv")
    if report and report.suffix != ".html":
        raise InputError(f"--report {report}: must end in .html")
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: No such file or folder; correct the path")
    folders = {path: path.is_dir() or path.suffix == ".h5" for path in paths}
    if all(folders.values()):
        from prunescope.notebook.folders import compare_folders

        table = compare_folders(paths, measures or None)
        shown = _without_repetition(table, paths)
    elif any(folders.values()):
        file, folder = (next(path for path in paths if folders[path] == wanted) for wanted in (False, True))
        raise InputError(f"{file} and {folder}: a file and a folder; give only files or only folders")
    elif report:
        raise InputError(f"--report {report}: shows layers, and a .npy file has none; give folders")
    elif len(paths) > 2:
        raise InputError(f"{paths[2]}: only two .npy files can be compared at a time; use folders for more")
    else:
        from prunescope.activations.folder import read_npy
        from prunescope.notebook.arrays import compare_named

        a, b = paths
        arrays = {f"{a}": read_npy(a), f"{b}" if a != b else f"{b} (again)": read_npy(b)}
        table = shown = compare_named(arrays, measures or None)
    if report:
        from prunescope.report import recorded

        recorded.write_report(table, report, networks=list(map(str, paths)))
    if output:
        _write(table, output)
    elif not report:
        click.echo(shown.to_string(index=False, float_format="{:.6g}".format))


def _write(table, path: Path) -> None:
    from prunescope import files

    if path.suffix == ".csv":
        files.write_csv(path, table.to_dict("records"))
    else:
        files.write_parquet(path, table)


def _without_repetition(table, paths: tuple[Path, ...]):
    """Return what is printed of a comparison of folders: each pair once, with the names of the folders."""
    columns = ["layer_a", "measure", "value", "chance", "n", "images", "rank_a", "rank_b", "status"]
    rows = table[table["round_a"] < table["round_b"]].sort_values(["round_a", "round_b"], kind="stable")
    shown = rows[columns].rename(columns={"layer_a": "layer"})
    if len(paths) > 2:
        for index, side in enumerate("ab"):
            shown.insert(index, side, [str(paths[round]) for round in rows[f"round_{side}"]])
    return shown


def _aligned(rows) -> list[str]:
    """Write rows of text in columns."""
    rows = [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
