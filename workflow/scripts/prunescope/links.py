"""HDF5 files must contain their own data: no links to other files or places."""

from pathlib import Path

import h5py

from prunescope.errors import InputError

REMEDY = "delete the file and run again"


def refuse_links(path: str | Path, file: h5py.File, remedy: str = REMEDY) -> None:
    """Refuse links, external storage and virtual data sets: such a file would read other files.

    Parameters
    ----------
    path : path
        Of the file, for the message.
    file : h5py.File
    remedy : str, optional
        What to do, for the message.

    Raises
    ------
    InputError
        With the name of the first such item.
    """
    seen, groups = set(), [file]
    while groups:
        group = groups.pop()
        if (place := h5py.h5o.get_info(group.id).addr) in seen:  # a group that contains itself
            continue
        seen.add(place)
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _refused(path, where, "a link", remedy)
            item = group[name]
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                raise _refused(path, where, "stored in another file", remedy)


def _refused(path: str | Path, where: str, what: str, remedy: str) -> InputError:
    return InputError(f"{path}: {where} is {what}, which is not allowed; {remedy}")
