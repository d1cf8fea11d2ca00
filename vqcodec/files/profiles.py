"""What files of well-known weights need not tell: format version 4 names it all by one number.

A profile never changes, and its number is never given to another one. Weights that come out with
another coding prior get a new profile, and files of the old one are read for ever.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.maps import Maps, MapSpec

if TYPE_CHECKING:
    from vqcodec.files.contents import Contents


@dataclass(frozen=True)
class Profile:
    """Of a file whose maps are all range-coded.

    Attributes:
        number: from 1 to 255, which files carry.
        axes: those of `Contents`, as is `model`.
        model: see there.
        codebook_ids: four bytes for each number of maps, or the same for all.
        maps: K and strides of each map; files may have the first of them alone.
        prior_ids: of each map, the coding prior that it is range-coded with.
        joint: the maps are range-coded together, by one prior.
    """

    number: int
    axes: str
    model: str
    codebook_ids: tuple[str, ...]
    maps: Maps
    prior_ids: tuple[str, ...]
    joint: bool = False

    def codebook_id(self, number: int) -> bytes:
        """Return the codebook id of files of so many maps."""
        return bytes.fromhex(self.codebook_ids[min(number, len(self.codebook_ids)) - 1])

    def priors(self, number: int) -> tuple[bytes, ...]:
        """Return the ids of the coding priors of so many maps."""
        return tuple(map(bytes.fromhex, self.prior_ids[:number]))


PROFILES = (
    Profile(
        1,
        "hw",
        "image",
        ("85478888",),
        (MapSpec(512, (4, 4)), *(MapSpec(256, (4, 4)),) * 4),
        ("4cbf92d3",) * 5,
        joint=True,
    ),
    Profile(2, "hw", "image-f4", ("04260068",), (MapSpec(512, (4, 4)),), ("175e90ba",)),
    Profile(3, "ct", "speech-64x", ("f1937f1a",), (MapSpec(512, (1, 64)),), ("2e42e05d",)),
    Profile(
        4,
        "ct",
        "speech-64x-residual",
        ("f1937f1a", "984ed606", "d11abadc", "f9e03f0e"),
        (MapSpec(512, (1, 64)),) * 4,
        ("2e42e05d", "9d3b6ebf", "b7584f4d", "da50e1c8"),
    ),
)


def profile_of(
    codes: "Contents", prior_ids: tuple[bytes | None, ...], *, joint: bool
) -> Profile | None:
    """Return the profile of codes that are coded with these priors; None where there is none."""
    number, size = len(codes.grids), codes.media.coded_size
    shapes = [grid.shape for grid in codes.grids]
    for profile in PROFILES:
        maps = profile.maps[:number]
        if (
            (codes.axes, codes.model, joint) == (profile.axes, profile.model, profile.joint)
            and codes.codebook_sizes == tuple(spec.codebook_size for spec in maps)
            and shapes == [spec.shape(size) for spec in maps]
            and codes.codebook_id == profile.codebook_id(number)
            and prior_ids == profile.priors(number)
        ):
            return profile
    return None


def profile_numbered(number: int) -> Profile | None:
    """Return the profile of a number; None where there is none yet."""
    return next((profile for profile in PROFILES if profile.number == number), None)
