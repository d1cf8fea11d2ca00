"""Training of what codes frames by the frames before them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import PartialState
from torch import nn

from vqcodec.codec.motion import SIDE, Reference
from vqcodec.codec.moving import FIRST, VECTORS, read_moving
from vqcodec.codec.refined import RefinedCodec
from vqcodec.coding.movingmodel import BLOCK, Past, displacement
from vqcodec.data.sources import find_sources
from vqcodec.errors import MediaError, TrainingError, UsageError
from vqcodec.files import joint
from vqcodec.media.image import Image
from vqcodec.metrics.basic import psnr
from vqcodec.modality import IMAGE, VIDEO
from vqcodec.models import moving
from vqcodec.models.fixedpoint import from_arrays
from vqcodec.models.moving import Coding, Moving, build_moving
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.pretrained import load_refiner
from vqcodec.train.config import split
from vqcodec.train.image.data import Pictures
from vqcodec.train.loop import Progress
from vqcodec.train.run import Ready, TrainingJob, claim, hold_out, train
from vqcodec.train.tasks import Evaluation, Loss, Tensors, codes_in_use
from vqcodec.train.video.groups import Groups, MovingData, check_video, read_clips, tried
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

MEASURED = (100, 400)  # rate weights
CLIPS, FRAMES = 12, 8  # that are measured at most: so many groups of so many frames


@dataclass
class Stream:
    """A group that is under way.

    Attributes:
        picture: (S, S, 3), its last frame as it was decoded.
        past: what is known of that.
        place: its group and its number there.
    """

    picture: "Pixels"
    past: Past
    place: tuple[int, int]

    def candidates(
        self, pixels: "Pixels", weight: float
    ) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        """Return codes of vectors for the next frame, and what they cost; see `tried`."""
        before = displacement(np.stack(self.past.vectors, -1), moving.VECTORS)
        return tried(Reference(self.picture), pixels, before, weight)


class Stills:
    """The codec of first frames, which stands still."""

    def __init__(self, codec: RefinedCodec) -> None:
        self._codec = codec

    def stream(self, pixels: "Pixels", weight: float) -> tuple[Stream, float]:
        """Return a group that begins with a frame, (S, S, 3), and the bits that this takes."""
        codec, weight = self._codec, FIRST * weight
        codes = codec.finish(codec.prepare(Image(pixels), 1.0), weight, tinted=False)
        bits = joint.bits(codes.grids, codec.rates.prior, codec.rates.condition(weight))
        picture = codec.decode(codes).pixels
        blocks, cells = Reference(picture).shape, codes.grids[-1].shape
        past = Past.begin(blocks, cells, len(codec.refinement.codebooks))
        return Stream(picture, past, (-1, 0)), sum(bits)


class MovingFrames:
    """Frames, each by the one before it as the network itself made it.

    Args:
        model: what is trained.
        groups: of frames to train on.
        held_out: (T, S, S, 3) each, frames to measure on.
        stills: codes the first frame of each group.
    """

    def __init__(
        self, model: Moving, groups: Groups, held_out: "list[Pixels]", stills: Stills
    ) -> None:
        self.model, self.groups, self.held_out, self._stills = model, groups, held_out, stills
        self._streams: dict[int, Stream] = {}  # by slot

    def batch(self, number: int) -> "dict[str, NDArray[np.generic]]":
        """Return training batch `number`; see `Groups.batch`."""
        return self.groups.batch(number)

    def quantizer(self) -> None:
        """Return None: codebooks begin as those of another codec, and no code starts anew."""
        return

    def loss(self, model: nn.Module, batch: Tensors) -> Loss:
        """Return the loss, and what codes cost.

        A group that is not under way yet, or was when a run broke off, begins with the frame
        before.
        """
        told = (batch[name].tolist() for name in ("slot", "group", "number", "weight"))
        streams = []
        for place, (slot, group, number, weight) in enumerate(zip(*told, strict=True)):
            stream = self._streams.get(slot)
            if stream is None or stream.place != (group, number - 1):
                before = batch["before"][place].movedim(0, -1).contiguous().cpu().numpy()
                stream, _ = self._stills.stream(before, weight)
                self._streams[slot] = stream
            stream.place = group, number
            streams.append(stream)
        x, weight = to_signal(batch["x"]), batch["weight"]
        coding = model(x, weight, batch["vectors"], batch["costs"], *_before(streams, x))
        terms = self.model.terms(x, coding, weight)
        _advance(streams, coding)
        values = batch["x"][0, 0].numel()  # pixels
        spent = {
            "bits_per_pixel": coding.bits.detach().mean() / values,
            "vector_bits_per_pixel": sum(v.bits.detach().sum() for v in coding.vectors)
            / (len(x) * values),
        }
        return Loss(terms.loss, {"reconstruction": terms.reconstruction, **spent})

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return PSNR (dB, mean over frames) and bits per pixel at some rate weights.

        Of the first frames of groups, too; bits are those of all maps under their priors.
        """
        assert isinstance(model, Moving)
        figures: dict[str, float] = {}
        sizes = (moving.VECTORS,) * 2 + model.quantizer.codebook_sizes
        histograms = tuple(np.zeros(size, np.int64) for size in sizes)
        shown: list[Pixels] = []
        for rate in MEASURED:
            begun = [self._stills.stream(clip[0], rate) for clip in self.held_out]
            streams, bits = [stream for stream, _ in begun], sum(spent for _, spent in begun)
            quality: list[float] = []
            for number in range(FRAMES):
                frames = [clip[number] for clip in self.held_out]
                if number:
                    coding = _coded(model, streams, frames, rate)
                    bits += float(coding.bits.sum())
                    every = zip(histograms, (*coding.vectors, *coding.codes), strict=True)
                    for histogram, own in every:
                        codes = own.indices.flatten().cpu().numpy()
                        histogram[:] += np.bincount(codes, minlength=len(histogram))
                made = [stream.picture for stream in streams]
                quality += [psnr(a, b) for a, b in zip(frames, made, strict=True)]
            shown = shown or [np.concatenate(row, 1) for row in (frames, made)]
            figures[f"psnr_at_{rate}"] = float(np.mean(np.minimum(quality, 100)))
            figures[f"bits_per_pixel_at_{rate}"] = bits / (len(quality) * made[0][..., 0].size)
        figures |= codes_in_use(histograms)
        return Evaluation(figures, histograms, np.concatenate(shown))


def train_video(job: TrainingJob, on: str, start_from: str | None = None) -> Progress:
    """Train what codes frames by the frames before them, or continue the run in the job's folder.

    Args:
        job: what is asked; of its data, videos are learned, and photographs that a camera moves
            over.
        on: weights of the codec of first frames, whose transform, codebooks, network and prior it
            begins with.
        start_from: weights of the same kind to start from instead.

    Raises:
        TrainingError: no videos, other settings than the run in the folder has, or a failed run.
        UsageError: settings that do not fit.
    """
    data, loop_config = split(job.config, MovingData)
    torch.manual_seed(loop_config.seed)
    first = find_weights(on)
    first.check(IMAGE)
    if not first.refiner:
        raise UsageError(
            f"--on: '{first.name}' is no codec of first frames: they take one whose codes say what "
            "pictures lack, such as 'image'"
        )
    stills = RefinedCodec(first, job.device, "fp32")
    model = build_moving(job.config.get("model", {}))
    _begin(model, stills, start_from)

    sources, measured, passed = hold_out(job.data, job.held_out, check_video, VIDEO)
    claim(job, start_from=start_from, on=first.name, on_codebook_id=first.codebook_id.hex())
    photos = _photos(job, data) if data.camera else None
    clips, skipped = read_clips(sources, data)
    some = np.linspace(0, len(measured) - 1, min(len(measured), CLIPS)).round().astype(int)
    others, unread = read_clips([measured[i] for i in some], data)
    skipped += unread
    if not clips or not others:
        raise TrainingError(f"no video can be learned from; the first: {skipped[0]}")
    held_out = [_middle(clip, data.crop_size) for clip in others]
    config = model.rates.config
    groups = Groups(
        clips,
        photos,
        data,
        loop_config.batch_size,
        (config.least, config.most),
        loop_config.seed,
        PartialState().num_processes,
    )
    task = MovingFrames(model, groups, held_out, Stills(stills))
    if photos is None:  # else some of what was passed over are photographs
        skipped = passed + skipped
    return train(job, loop_config, Ready(task, len(clips), len(held_out), skipped, "videos"))


def _begin(model: Moving, stills: RefinedCodec, start_from: str | None) -> None:
    """Begin with what the codec of first frames knows, or go on from weights.

    Raises:
        UsageError: they are built otherwise, or stand on another codec.
    """
    on = stills.weights
    if model.network.config.stride * BLOCK != SIDE:
        raise UsageError(f"model.refiner.stride must be {SIDE // BLOCK}")
    weights, refinement, prior = on, stills.refinement, stills.rates.prior
    if start_from is not None:
        weights = find_weights(start_from)
        weights.check(VIDEO)
        if not weights.refiner or weights.modality == on.modality:
            raise UsageError(f"--from: '{weights.name}' codes no frames by those before them")
        base, own, refinement = read_moving(weights)
        prior = own.lattice
        if base.codebook_id != on.codebook_id:
            raise UsageError(f"--from: '{weights.name}' does not stand on '{on.name}'")
    try:
        model.resume(
            load_refiner(weights).state_dict(),
            torch.from_numpy(refinement.analysis),
            torch.from_numpy(np.stack(refinement.codebooks)),
            torch.from_numpy(refinement.usual),
            from_arrays(prior.arrays),
            refinement.rates.curvature,
        )
    except UsageError:
        raise UsageError(f"'{weights.name}' is built otherwise than the preset says") from None


def _photos(job: TrainingJob, data: MovingData) -> Pictures | None:
    """Return the photographs among the data of a job, if there are any."""
    try:
        found = find_sources(job.data, IMAGE)
    except MediaError:
        return None
    return Pictures(found, data.picture_side, data.crop_size)


def _coded(model: Moving, streams: list[Stream], frames: "list[Pixels]", rate: float) -> Coding:
    """Code the next frames of groups, (S, S, 3) each, with a rate weight, and go on with them."""
    device = model.analysis.device
    both = zip(streams, frames, strict=True)
    candidates = [stream.candidates(frame, VECTORS * rate) for stream, frame in both]
    parts = zip(*candidates, strict=True)
    vectors, costs = (torch.from_numpy(np.stack(part)).to(device) for part in parts)
    x = _signal(frames, device)
    weight = torch.full((len(streams),), float(rate), device=device)
    coding: Coding = model(x, weight, vectors, costs, *_before(streams, x))
    _advance(streams, coding)
    return coding


def _signal(pictures: "list[Pixels]", device: torch.device) -> torch.Tensor:
    """Return pictures, (S, S, 3) each, as networks take them."""
    return to_signal(torch.from_numpy(np.stack(pictures)).movedim(-1, 1).to(device))


def _middle(clip: "Pixels", side: int) -> "Pixels":
    """Return frames of the middle of a clip, and of the middle of each."""
    start = max(0, (len(clip) - FRAMES) // 2)
    top, left = ((n - side) // 2 for n in clip.shape[1:3])
    numbers = np.minimum(np.arange(start, start + FRAMES), len(clip) - 1)
    return clip[numbers, top : top + side, left : left + side]


def _before(streams: list[Stream], x: torch.Tensor) -> "tuple[list[Past], moving.Move]":
    """Return what is known of the frames before, and what moves them; see `Moving.forward`."""
    references = [Reference(stream.picture) for stream in streams]

    def move(rows: "NDArray[np.uint16]", columns: "NDArray[np.uint16]") -> torch.Tensor:
        codes = np.stack([rows, columns], -1)
        pairs = zip(references, displacement(codes, moving.VECTORS), strict=True)
        return _signal([reference.moved(vectors) for reference, vectors in pairs], x.device)

    return [stream.past for stream in streams], move


def _advance(streams: list[Stream], coding: Coding) -> None:
    """Go on with frames as they were coded."""
    pictures = coding.pixels.movedim(1, -1).contiguous().cpu().numpy()
    for stream, picture, past in zip(streams, pictures, coding.pasts, strict=True):
        stream.picture, stream.past = picture, past
