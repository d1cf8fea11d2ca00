"""What every measure of quality has, whether it looks at pictures or listens to speech."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

Kind = TypeVar("Kind", bound="Measure")


@dataclass(frozen=True)
class Measure:
    """A measure of an original and of what a codec made of it.

    Attributes:
        key: its name in results.
        label: what tables and plots call it.
        unit: such as "dB", or nothing.
        digits: how many decimals are worth showing.
    """

    key: str
    label: str
    unit: str
    digits: int

    def source(self) -> str:
        """Return what computes it here, with its version; nothing where it is not installed."""
        return "vqcodec"

    def format(self, value: float, sign: bool = False) -> str:
        """Return a value with its unit."""
        return f"{value:{'+' if sign else ''}.{self.digits}f} {self.unit}".rstrip()


def versions(packages: tuple[str, ...]) -> str:
    """Return what computes a measure, with versions: nothing where a package is not installed."""
    try:
        return ", ".join(f"{package} {version(package)}" for package in packages) or "vqcodec"
    except PackageNotFoundError:
        return ""


def installed(metrics: tuple[Kind, ...], extra: str) -> tuple[list[Kind], list[str]]:
    """Return the measures that are installed, and of the others notes on what brings them."""
    found = [metric for metric in metrics if metric.source()]
    notes = [
        f"{metric.label} is left out: needs pip install 'vqcodec[{extra}]'"
        for metric in metrics
        if metric not in found
    ]
    return found, notes
