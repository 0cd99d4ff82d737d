"""Vega, which vl-convert brings, without a browser and the network; and the SVG text that it draws."""

import json
import re
import resource

import altair as alt
import vl_convert

from prunescope.errors import InputError

VERSION = alt.SCHEMA_VERSION.removeprefix("v").rsplit(".", 1)[0]
# Address space in bytes that the JavaScript engine reserves; it does not use it as memory.
ADDRESS_SPACE = 68 * 10**9
# Parts of Vega's SVG that are invisible, repeat defaults, name the font of the page, or describe single marks
# (the whole image has a description).
NOT_SEEN = re.compile(
    r'<path[^>]* display="none"/>|<path[^>]* d="M0,0h0v0h0Z"[^>]*/>|<path[^>]* opacity="0"[^>]*/>|'
    r'<text[^>]* opacity="0"[^>]*>[^<]*</text>|'
    r' role="[^"]*"| aria-[a-z]+="[^"]*"| opacity="1"| font-weight="normal"| font-family="[^"]*"'
)


def check_address_space() -> None:
    """Raise an InputError where the JavaScript engine would end the process: a limited address space."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < ADDRESS_SPACE:
        raise InputError(
            f"ulimit -v allows {limit // 10**9} GB of address space, but the JavaScript engine that draws "
            f"charts reserves {ADDRESS_SPACE // 10**9} GB; remove the limit (ulimit -v unlimited)"
        )


def compiled(spec: dict) -> dict:
    """Return the Vega specification of a Vega-Lite one."""
    return json.loads(json.dumps(vl_convert.vegalite_to_vega(spec, vl_version=VERSION)))


def cleaned(svg: str, name: str, decimals: int) -> str:
    """Return an SVG file without `NOT_SEEN`, its coordinates rounded, its ids starting with its name."""
    return _rounded(_numbered(NOT_SEEN.sub("", svg), name), decimals)


def _numbered(svg: str, prefix: str) -> str:
    """Give the ids of an SVG file names of its own: Vega counts them across all drawings of the process."""
    for number, known in enumerate(re.findall(r' id="([^"]+)"', svg)):
        new = f"{prefix}-{number}"
        svg = svg.replace(f' id="{known}"', f' id="{new}"').replace(f"url(#{known})", f"url(#{new})")
    return svg


def _rounded(svg: str, decimals: int) -> str:
    """Round the coordinates of an SVG file."""

    def shorter(match: re.Match) -> str:
        return re.sub(r"-?\d+\.\d+(?:e-?\d+)?", lambda number: _short(float(number[0]), decimals), match[0])

    return re.sub(r' (?:d="[^"]*"|transform="[^"]*"|[xy]\d?="[^"]*")', shorter, svg)


def _short(number: float, decimals: int) -> str:
    text = f"{number:.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
