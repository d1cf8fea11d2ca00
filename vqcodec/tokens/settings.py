"""How the shards of a folder are made."""

from dataclasses import dataclass
from typing import Any

from vqcodec.codec.engines import choose_engine
from vqcodec.modality import Modality
from vqcodec.weights import Weights


@dataclass(frozen=True)
class Settings:
    """What the bytes of all shards of a folder follow from, beside the input.

    Attributes:
        modality: what is coded: ``image``, ``audio``.
        model: published name of the weights.
        codebook_id: in hexadecimal digits.
        codebook_sizes: K of each index map.
        axes: of the maps.
        engine: what computes, see `codec.engines.choose_engine`.
        precision: ``fp32`` or ``bf16``; in another one, or by another engine, some indices differ.
        format: of the shards.
        shard_size: loose files in a shard.
        keep: extensions that are copied.
        vqc: whether range-coded bytes are added.
        loose: digest of the names of loose files.
    """

    modality: str
    model: str
    codebook_id: str
    codebook_sizes: tuple[int, ...]
    axes: str
    engine: str
    precision: str
    format: str
    shard_size: int
    keep: tuple[str, ...]
    vqc: bool
    loose: str


def choose_settings(
    weights: Weights,
    modality: Modality,
    device: str,
    precision: str,
    engine: str,
    known: Settings | None = None,
    **told: Any,
) -> Settings:
    """Return how to make shards.

    Args:
        weights: of the model.
        modality: what it codes.
        device: see `codec.device.choose_device`.
        precision: see `codec.device.choose_bf16`.
        engine: see `choose_engine`.
        known: how those are made that are there, with which ``auto`` agrees: on another machine it
            would mean something else.
        told: what else there is in `Settings`.
    """
    if known is not None:
        precision = known.precision if precision == "auto" else precision
        engine = known.engine if engine == "auto" else engine
    engine = choose_engine(weights, engine, device, precision, None)
    if precision == "auto":
        precision = "fp32"
        if engine == "torch":
            from vqcodec.codec.device import choose_bf16, choose_device

            precision = "bf16" if choose_bf16("auto", choose_device(device)) else "fp32"
    return Settings(
        modality=modality.name,
        model=weights.name,
        codebook_id=weights.codebook_id.hex(),
        codebook_sizes=weights.codebook_sizes,
        axes=modality.axes,
        engine=engine,
        precision=precision,
        **told,
    )
