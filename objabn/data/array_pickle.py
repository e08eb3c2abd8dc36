"""Pickles of plain containers, numbers and NumPy arrays, read without running anything that is in them."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class PickledType:
    """Stands for `numpy.dtype` while a pickle is read."""

    def __init__(self, code: str, *_: Any) -> None:
        self.type = np.dtype(code)
        if self.type.kind not in "biuf":
            raise pickle.UnpicklingError(f"it holds an array of type {code}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.type = self.type.newbyteorder(state[1])


class PickledArray:
    """Stands for `numpy.ndarray` while a pickle is read: made first, filled later."""

    values: NDArray[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, data = state
        self.values = from_buffer(data, kind, shape, "F" if is_fortran else "C")


def from_buffer(data: bytes | str, kind: PickledType, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    """Return an array of these bytes, which pickles of Python 2, or for it, have as text."""
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, kind.type).reshape(shape, order=order)


NAMES: dict[str, Callable[..., Any]] = {
    "ndarray": PickledArray,
    "dtype": PickledType,
    "_reconstruct": lambda *_: PickledArray(),
    "_frombuffer": from_buffer,
    "scalar": lambda kind, data: from_buffer(data, kind, (), "C").item(),
    "encode": lambda text, _: text,
}
"""What pickles of arrays name, and what is called in its place: NumPy itself sees nothing but numbers."""
MODULES = ("numpy", "_codecs", *(f"numpy.{core}.{name}" for core in ("core", "_core") for name in ("multiarray", "numeric")))


class ArrayUnpickler(pickle.Unpickler):
    """Refuses every name but those of arrays, so that no pickle can call anything else."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Return what stands for a name."""
        if module_name not in MODULES or global_name not in NAMES:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, which no array needs")
        return NAMES[global_name]


def read_array_pickle(path: Path) -> Any:
    """Read a pickle of Python 2 or 3; a ValueError where it is damaged or holds anything but containers, numbers and arrays."""
    try:
        with path.open("rb") as file:
            return filled(ArrayUnpickler(file, encoding="latin1").load())
    except OSError:
        raise
    except Exception as error:  # a damaged pickle may raise any
        raise ValueError(f"{path} is not a pickle of plain arrays: {error}; such a file is not opened, as it could run programs.") from None


def filled(value: Any) -> Any:
    """Return a value with arrays in the place of what stood for them."""
    if isinstance(value, dict):
        return {key: filled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item) for item in value]
    return value.values if isinstance(value, PickledArray) else value
