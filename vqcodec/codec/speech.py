"""Speech to `Codes` and back, with a trained model."""

import functools
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from vqcodec.codec.base import BaseCodec, Report
from vqcodec.codec.engine import Engine
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.streaming import (
    FastRenderer,
    Renderer,
    SpeechDecoder,
    SpeechEncoder,
    check_sizes,
)
from vqcodec.codingpriors import find_coding_priors
from vqcodec.errors import FormatError, MediaError, UsageError, VqcodecError, WeightsError
from vqcodec.files.codes import Codes
from vqcodec.files.contents import AudioInfo
from vqcodec.files.header import Header
from vqcodec.files.stream import StreamFrames, StreamWriter
from vqcodec.media.audio import Audio
from vqcodec.media.soundfiles import open_sound
from vqcodec.media.soundformats import MAX_RATE, MIN_RATE, check_format
from vqcodec.modality import AUDIO
from vqcodec.weights import VOICE_DECODER, Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    Indices = NDArray[np.uint16]

BLOCK = 1 << 16  # samples of a sound in memory that are coded at a time


class SpeechCodec(BaseCodec):
    """Turns speech into indices and back, whole or as it comes.

    Inside, it is at 16 kHz, its channels apart, at the level of the training data.
    """

    modality, pixels = AUDIO, False

    def __init__(
        self,
        weights: Weights,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
        work: int | None = None,
    ) -> None:
        """Load the model of `weights`; see `SpeechCodec.load` for the arguments."""
        super().__init__(weights, device, precision, engine, work)
        if len({spec.stride for spec in self.maps}) > 1:
            raise WeightsError(f"{weights.folder}: codes sound in maps of several rates")

    def with_codebooks(self, number: int) -> "SpeechCodec":
        """Return this codec for codes of the first so many codebooks, of weights that have several.

        It shares the engine. What is decoded may be of any number.

        Raises:
            UsageError: the weights have not so many.
        """
        if number == self.weights.number:
            return self
        codec = self.turned_into(type(self))  # a copy by `copy` would load the model again
        codec.weights = self.weights.with_codebooks(number)
        return codec

    def encode(self, audio: "Audio | str | Path", *, report: Report | None = None) -> Codes:
        """Return the codes of sound of any length, rate and number of channels.

        Args:
            audio: the sound, or the path of a file of it.
            report: called with the fraction done, for progress bars.
        """
        audio = Audio.of(audio)
        channels, total = audio.size

        def blocks() -> "Iterator[Samples]":
            for done, block in enumerate(audio.blocks(BLOCK)):
                yield block
                if report:
                    report(min(1.0, (done + 1) * BLOCK / total))

        return self.encode_blocks(blocks(), channels, audio.sample_rate)

    def encode_blocks(self, blocks: "Iterable[Samples]", channels: int, sample_rate: int) -> Codes:
        """Return the codes of sound that comes in blocks, (channels, n) float32 in [-1, 1]."""
        encoder = self.encoder(channels, sample_rate)
        parts = list(encoder.run(blocks))
        assert encoder.media is not None
        grids, name = tuple(np.concatenate(parts, axis=2)), self.weights.name
        identity = self.weights.codebook_id
        return Codes(grids, self.codebook_sizes, AUDIO.axes, name, identity, encoder.media)

    def encode_files(self, files: Iterable[tuple[str, bytes]]) -> Iterator[Codes | VqcodecError]:
        """See `BaseCodec.encode_files`; recordings are decoded block by block."""
        for name, data in files:
            try:
                with open_sound(io.BytesIO(data), name) as sound:
                    yield self.encode_blocks(sound.blocks(), sound.channels, sound.sample_rate)
            except VqcodecError as error:
                yield error

    def decode(
        self,
        codes: Codes,
        *,
        sample_rate: int | None = None,
        drawing: SamplingParams | None = None,
        report: Report | None = None,
    ) -> Audio:
        """Return the sound that codes stand for, of just as many samples as the original had.

        Args:
            codes: of sound.
            sample_rate: in Hz; the original's by default.
            drawing: draw it with the weights' WaveNet; by default the fast decoder makes it.
            report: called with the fraction done.

        Raises:
            WeightsError: the codes were made with another codebook, or there is no WaveNet.
            FormatError: the codes are not those of a sound as they claim.
        """
        blocks = list(self.decoded(codes, sample_rate=sample_rate, drawing=drawing, report=report))
        rate = sample_rate or codes.audio.sample_rate
        return Audio(np.concatenate(blocks, axis=1), rate)

    def decoded(
        self,
        codes: Codes,
        *,
        sample_rate: int | None = None,
        drawing: SamplingParams | None = None,
        report: Report | None = None,
    ) -> "Iterator[Samples]":
        """Yield the sound of `decode` block by block, (channels, n)."""
        decoder = self.check(codes, sample_rate, drawing)
        grids = np.stack(codes.grids)
        cells = grids.shape[2]
        for start in range(0, cells, decoder.step):
            yield decoder.feed(grids[..., start : start + decoder.step])
            if report:
                report(min(1.0, (start + decoder.step) / cells))
        yield decoder.finish(codes.audio)

    def check(
        self, codes: Codes, sample_rate: int | None = None, drawing: SamplingParams | None = None
    ) -> SpeechDecoder:
        """Return what decodes codes; raise what `decode` would."""
        codec = self._that_made(codes.axes, codes.model, codes.codebook_id)
        if len(codes.grids) < len(codec.maps):  # files may be cut, and decoded, after any of them
            codec = codec.with_codebooks(len(codes.grids))
        decoder = codec.decoder(codes.audio, sample_rate, drawing)
        check_sizes(codes.audio)
        channels, samples = codes.media.coded_size
        shapes = [spec.shape((channels, samples)) for spec in codec.maps]
        if codes.codebook_sizes != codec.codebook_sizes or [g.shape for g in codes.grids] != shapes:
            raise FormatError(f"the index map does not fit {samples:,} samples")
        return decoder

    def encode_stream(
        self,
        blocks: "Iterable[Samples]",
        channels: int,
        sample_rate: int,
        file: BinaryIO,
        *,
        prior: bool = True,
    ) -> tuple[AudioInfo, int]:
        """Code sound as it comes, and write it as a stream to `file`.

        Args:
            blocks: the sound, (channels, n) float32 in [-1, 1] each.
            channels: how many.
            sample_rate: in Hz.
            file: what to write to; it need not seek.
            prior: range-code it with the coding priors of the weights, where there are some.

        Returns:
            What is known of the sound at its end, and the number of bytes written.
        """
        encoder = self.encoder(channels, sample_rate)
        found = find_coding_priors(self.weights.name, self.weights.codebook_id) if prior else ()
        priors = found if isinstance(found, tuple) else ()
        writer = None
        for indices in encoder.run(blocks):
            if writer is None and encoder.media is not None:
                header = self._header(encoder.media, [p.identity for p in priors])
                writer = StreamWriter(file, header, priors)
            if writer is not None and indices.size:
                writer.write(indices)
        assert writer is not None and encoder.media is not None
        writer.finish(encoder.media.size[1], encoder.media.coded_size[1])
        return encoder.media, writer.size

    def decode_stream(
        self,
        frames: StreamFrames,
        *,
        sample_rate: int | None = None,
        drawing: SamplingParams | None = None,
    ) -> "Iterator[Samples]":
        """Yield the sound of a stream as it comes, (channels, n); errors are those of `decode`."""
        header = frames.header
        codec = self._that_made(header.axes, header.model, header.codebook_id)
        wanted = codec._header(frames.media)
        if header.maps != wanted.maps:
            raise FormatError("the indices are not such as these weights make")
        decoder = codec.decoder(frames.media, sample_rate, drawing, threads=1)
        for indices in frames:
            yield decoder.feed(indices)
        yield decoder.finish(frames.media)

    @functools.cached_property
    def voice_engine(self) -> Engine:
        """What decodes codes with the vector of another speaker than spoke.

        Weights may have a decoder for it; else it is the codec's own engine.
        """
        files = self.weights.config.get("files")
        known = isinstance(files, dict) and VOICE_DECODER in files
        return self.engine.for_voices() if known else self.engine

    def encoder(self, channels: int, sample_rate: int) -> SpeechEncoder:
        """Return what codes one recording, of this rate in Hz, as it comes."""
        return SpeechEncoder(self.engine, channels, sample_rate, len(self.maps))

    def decoder(
        self,
        media: AudioInfo,
        sample_rate: int | None = None,
        drawing: SamplingParams | None = None,
        threads: int | None = None,
        engine: Engine | None = None,
    ) -> SpeechDecoder:
        """Return what decodes one recording as its indices come.

        Args:
            media: what its codes tell of it; the lengths may be unknown.
            sample_rate: of what comes out, in Hz; the original's by default.
            drawing: draw with the WaveNet; by default the fast decoder is taken.
            threads: windows that a WaveNet draws at once on a CPU, all of which must have come;
                by default as many as torch uses.
            engine: another one than the codec's, see `voice_engine`.

        Raises:
            FormatError: `media` tells what cannot be.
            WeightsError: there is no WaveNet.
        """
        try:
            check_format(media.size[0], media.sample_rate, "the sound")
        except MediaError as error:
            raise FormatError(str(error)) from None
        if sample_rate is not None and not MIN_RATE <= sample_rate <= MAX_RATE:
            raise UsageError(f"a rate of {sample_rate} Hz; must be {MIN_RATE} to {MAX_RATE}")
        cond = self.engine.condition(media.speaker)
        renderer: Renderer = FastRenderer(engine or self.engine, cond)
        if drawing is not None:
            from vqcodec.codec.wavenet import WaveNetRenderer

            renderer = WaveNetRenderer(self.torch_engine, cond, drawing, threads)
        return SpeechDecoder(renderer, len(self.maps), self.stride, media, sample_rate)

    def _that_made(self, axes: str, model: str, codebook_id: bytes) -> "SpeechCodec":
        """Return this codec for the number of codebooks that codes are of.

        Args, errors: those of `check_codebook`.
        """
        weights = self.weights.of_codes(codebook_id)
        codec = self if weights is None else self.with_codebooks(len(weights.codebook_sizes))
        codec.check_codebook(axes, model, codebook_id)
        return codec

    def _header(self, media: AudioInfo, prior_ids: Sequence[bytes] = ()) -> Header:
        """Return the header of a stream, which does not know its length."""
        unknown = (media.size[0], 0)
        media = replace(media, size=unknown, coded_size=unknown)
        name, identity = self.weights.name, self.weights.codebook_id
        packed = (None,) * (len(self.maps) - len(prior_ids))
        held = (*prior_ids, *packed)
        return Header(AUDIO.axes, name, identity, self.maps, media, held, stream=True)
