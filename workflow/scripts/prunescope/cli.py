"""The command ``prunescope``."""

import argparse
import sys

from prunescope import __version__, kinds
from prunescope.errors import InputError

DESCRIPTION = "What does pruning change inside a network?"
EXAMPLE = """\
example:
  prunescope kinds measure      list the measures that an experiment can ask for
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str, optional
        The command line without the command itself; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        Exit status: 0, or 1 after an error, which is printed as one line to stderr.

    Raises
    ------
    SystemExit
        After ``--help`` and ``--version``, and for a command line that cannot be parsed (status 2).
    """
    parser = argparse.ArgumentParser(
        "prunescope",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"prunescope {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = commands.add_parser("kinds", help="list what can be named in an experiment")
    listing.add_argument(
        "family",
        nargs="?",
        choices=kinds.FAMILIES,
        metavar="FAMILY",
        help=f"one of {', '.join(kinds.FAMILIES)}; all of them by default",
    )
    listing.set_defaults(run=lambda options: list_kinds(options.family))
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except InputError as error:
        print(f"prunescope: {error}", file=sys.stderr)
        return 1
    return 0


def list_kinds(family: str | None = None) -> None:
    """Print the kinds of one family, or of all: how each is written in an experiment, and its summary.

    Parameters
    ----------
    family : str, optional
        A key of `prunescope.kinds.FAMILIES`.

    Raises
    ------
    InputError
        When the library's files cannot be read as kinds.
    """
    for name in [family] if family else kinds.FAMILIES:
        known = kinds.known(name).values()
        width = max((len(kind.form) for kind in known), default=0)
        print(name)
        for kind in known:
            print(f"  {kind.form:{width}}  {kind.summary}".rstrip())
