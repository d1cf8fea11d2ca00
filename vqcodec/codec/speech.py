"""Speech to `Codes` and back, with a trained model."""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch

from vqcodec.codec.base import BaseCodec
from vqcodec.codec.streaming import (
    HEAD,
    SAMPLE_RATE,
    Drawing,
    FastRenderer,
    Renderer,
    SpeechDecoder,
    SpeechEncoder,
    WaveNetRenderer,
    check_sizes,
)
from vqcodec.codec.target import Target
from vqcodec.errors import FormatError, MediaError, UsageError, WeightsError
from vqcodec.files.codes import Codes
from vqcodec.files.contents import MediaInfo
from vqcodec.files.header import Header
from vqcodec.files.stream import StreamFrames, StreamWriter
from vqcodec.media.audio import Audio
from vqcodec.media.resample import Resampler, resampled_length
from vqcodec.media.soundformats import LEAST_RATE, MOST_RATE, check_format
from vqcodec.models.conditioners.base import STEPS, quantize
from vqcodec.models.decoders.wavenet import WaveNet
from vqcodec.models.pretrained import load_decoder
from vqcodec.voice.level import gain_for
from vqcodec.voice.voiceshift import VoiceShifter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    Indices = NDArray[np.uint16]

BLOCK = 1 << 16  # samples of a sound in memory that are coded at a time

Report = Callable[[float], None]


class SpeechCodec(BaseCodec):
    """Turns speech into indices and back, whole or as it comes.

    Inside, it is at 16 kHz, its channels apart, at the level of the training data.
    """

    modality, axes, what = "audio", "ct", "speech"

    def encode(self, audio: Audio, *, report: Report | None = None) -> Codes:
        """Return the codes of sound of any length, rate and number of channels.

        Args:
            audio: the sound.
            report: called with the fraction done, for progress bars.
        """
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
        grid, name = np.concatenate(parts, axis=1), self.weights.name
        identity = self.weights.codebook_id
        return Codes((grid,), self.codebook_sizes, "ct", name, identity, encoder.media)

    def decode(
        self,
        codes: Codes,
        *,
        sample_rate: int | None = None,
        drawing: Drawing | None = None,
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
        rate = sample_rate or codes.media.sample_rate
        return Audio(np.concatenate(blocks, axis=1), rate)

    def decoded(
        self,
        codes: Codes,
        *,
        sample_rate: int | None = None,
        drawing: Drawing | None = None,
        report: Report | None = None,
    ) -> "Iterator[Samples]":
        """Yield the sound of `decode` block by block, (channels, n)."""
        decoder = self.check(codes, sample_rate, drawing)
        (grid,) = codes.grids
        cells = grid.shape[1]
        for start in range(0, cells, decoder.step):
            yield decoder.feed(grid[:, start : start + decoder.step])
            if report:
                report(min(1.0, (start + decoder.step) / cells))
        yield decoder.finish(codes.media)

    def check(
        self, codes: Codes, sample_rate: int | None = None, drawing: Drawing | None = None
    ) -> SpeechDecoder:
        """Return what decodes codes; raise what `decode` would."""
        self.check_codebook(codes.axes, codes.model, codes.codebook_id)
        decoder = self.decoder(codes.media, sample_rate, drawing)
        check_sizes(codes.media)
        channels, samples = codes.media.coded_size
        shape = (channels, -(-samples // self.stride))
        if codes.codebook_sizes != self.codebook_sizes or codes.grids[0].shape != shape:
            raise FormatError(f"the index map does not fit {samples:,} samples")
        return decoder

    def encode_stream(
        self, blocks: "Iterable[Samples]", channels: int, sample_rate: int, file: BinaryIO
    ) -> tuple[MediaInfo, int]:
        """Code sound as it comes, and write it as a stream to `file`.

        Args:
            blocks: the sound, (channels, n) float32 in [-1, 1] each.
            channels: how many.
            sample_rate: in Hz.
            file: what to write to; it need not seek.

        Returns:
            What is known of the sound at its end, and the number of bytes written.
        """
        encoder = self.encoder(channels, sample_rate)
        writer = None
        for indices in encoder.run(blocks):
            if writer is None and encoder.media is not None:
                writer = StreamWriter(file, self._header(encoder.media))
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
        drawing: Drawing | None = None,
    ) -> "Iterator[Samples]":
        """Yield the sound of a stream as it comes, (channels, n); errors are those of `decode`."""
        header = frames.header
        self.check_codebook(header.axes, header.model, header.codebook_id)
        wanted = self._header(frames.media)
        if (header.codebook_sizes, header.strides) != (wanted.codebook_sizes, wanted.strides):
            raise FormatError("the indices are not such as these weights make")
        decoder = self.decoder(frames.media, sample_rate, drawing, threads=1)
        for indices in frames:
            yield decoder.feed(indices)
        yield decoder.finish(frames.media)

    def convert(
        self,
        blocks: "Iterable[Samples]",
        channels: int,
        sample_rate: int,
        target: Target,
        *,
        drawing: Drawing | None = None,
    ) -> "Iterator[Samples]":
        """Yield sound as another speaker says it, as it comes and as long, (channels, n).

        Codes carry pitch, so that it is brought to the speaker's before; and some timbre, of which
        a vector tells decoders little, so that the speaker's is given to what was decoded.

        Args:
            blocks: the sound, (channels, n) float32 in [-1, 1] each.
            channels: how many.
            sample_rate: in Hz.
            target: who shall speak.
            drawing: draw it with the weights' WaveNet.

        Raises:
            WeightsError: there is no WaveNet.
            FormatError: the target is one for other weights.
        """
        check_format(channels, sample_rate, "the sound")
        inside = Resampler(channels, sample_rate, SAMPLE_RATE)
        outside = Resampler(channels, SAMPLE_RATE, sample_rate)
        taken = 0

        def heard() -> "Iterator[Samples]":
            nonlocal taken
            for block in blocks:
                taken += block.shape[1]
                yield inside.feed(block)
            yield inside.finish(resampled_length(taken, sample_rate, SAMPLE_RATE))

        said = heard()
        if target.pitch is not None:
            said = VoiceShifter(channels, target.pitch).run(said)
        said = self._said_by(target.vector, said, channels, drawing)
        if target.timbre is not None:
            said = VoiceShifter(channels, None, target.timbre).run(said)
        for block in said:
            yield outside.feed(block)
        yield outside.finish(taken)

    def _said_by(
        self,
        speaker: bytes,
        blocks: "Iterable[Samples]",
        channels: int,
        drawing: Drawing | None,
    ) -> "Iterator[Samples]":
        """Yield sound at 16 kHz, coded and decoded with the vector of a speaker."""
        encoder = self.encoder(channels, SAMPLE_RATE)
        decoder = None
        for indices in encoder.run(blocks):
            if decoder is None and encoder.media is not None:
                media = replace(encoder.media, speaker=speaker)
                decoder = self.decoder(media, drawing=drawing)
            if decoder is not None and indices.size:
                yield decoder.feed(indices)
        assert decoder is not None and encoder.media is not None
        yield decoder.finish(encoder.media)

    def encoder(self, channels: int, sample_rate: int) -> SpeechEncoder:
        """Return what codes one recording, of this rate in Hz, as it comes."""
        return SpeechEncoder(self, channels, sample_rate)

    def decoder(
        self,
        media: MediaInfo,
        sample_rate: int | None = None,
        drawing: Drawing | None = None,
        threads: int | None = None,
    ) -> SpeechDecoder:
        """Return what decodes one recording as its indices come.

        Args:
            media: what its codes tell of it; the lengths may be unknown.
            sample_rate: of what comes out, in Hz; the original's by default.
            drawing: draw with the WaveNet; by default the fast decoder is taken.
            threads: windows that a WaveNet draws at once on a CPU, all of which must have come;
                by default as many as torch uses.

        Raises:
            FormatError: `media` tells what cannot be.
            WeightsError: there is no WaveNet.
        """
        try:
            check_format(media.size[0], media.sample_rate, "the sound")
        except MediaError as error:
            raise FormatError(str(error)) from None
        if sample_rate is not None and not LEAST_RATE <= sample_rate <= MOST_RATE:
            raise UsageError(f"a rate of {sample_rate} Hz; must be {LEAST_RATE} to {MOST_RATE}")
        cond = self.condition(media.speaker)
        renderer: Renderer = FastRenderer(self, cond)
        if drawing is not None:
            renderer = WaveNetRenderer(
                self,
                self._wavenet,
                cond,
                seed=drawing.seed,
                temperature=drawing.temperature,
                threads=threads or torch.get_num_threads(),
            )
        return SpeechDecoder(renderer, self.stride, media, sample_rate)

    @torch.inference_mode()
    def encode_rows(self, samples: "Samples") -> "Indices":
        """Return the indices, (B, n), of samples, (B, n * stride), at 16 kHz."""
        x = torch.from_numpy(np.ascontiguousarray(samples))[:, None].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            (indices,) = self.model.encode(x)
        return indices.to("cpu", torch.int32).numpy().astype(np.uint16)

    @torch.inference_mode()
    def decode_rows(self, indices: "Indices", cond: torch.Tensor | None) -> "Samples":
        """Return the samples, (B, n * stride), at 16 kHz, of indices, (B, n), and a (S,) `cond`."""
        grid = torch.from_numpy(indices.astype(np.int64)).to(self.device)
        if cond is not None:
            cond = cond.expand(len(grid), -1)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            x = self.model.decode((grid,), cond)
        samples: Samples = x[:, 0].float().cpu().numpy()
        return samples

    @torch.inference_mode()
    def measure_speaker(self, samples: "Samples") -> bytes:
        """Return the speaker vector, as files keep it, of samples, (T,), at 16 kHz."""
        if self.model.speaker is None:
            return b""
        x = torch.from_numpy(np.ascontiguousarray(samples))[None, None].to(self.device)
        return quantize(self.model.speaker(x))[0].cpu().numpy().tobytes()

    def condition(self, speaker: bytes) -> torch.Tensor | None:
        """Return the (S,) vector for decoders of one that a file keeps; None if they know none.

        Raises:
            FormatError: it is one for other weights.
        """
        if self.model.speaker is None:
            return None
        if len(speaker) != self.model.speaker.dim:
            raise FormatError(
                f"holds a speaker vector of {len(speaker)} numbers; the weights "
                f"'{self.weights.name}' need one of {self.model.speaker.dim}"
            )
        vector = torch.from_numpy(np.frombuffer(speaker, np.int8).astype(np.float32))
        return (vector / STEPS).to(self.device)

    def speaker_of(self, recordings: "Iterable[Samples]") -> bytes:
        """Return the vector, as files keep it, of who speaks in all of some recordings.

        Args:
            recordings: (T,) at 16 kHz each, not silent; of each the beginning counts.

        Raises:
            WeightsError: the model takes no speaker.
        """
        if self.model.speaker is None:
            raise WeightsError(f"the weights '{self.weights.name}' take no speaker")
        vectors = []
        for samples in recordings:
            head = samples[:HEAD]
            head = head * np.float32(10 ** (gain_for(head[None]) / 20))
            vectors.append(np.frombuffer(self.measure_speaker(head.clip(-1, 1)), np.int8))
        return np.round(np.mean(vectors, 0)).astype(np.int8).tobytes()

    @functools.cached_property
    def _wavenet(self) -> WaveNet:
        return load_decoder(self.weights).to(self.device)

    def _header(self, media: MediaInfo) -> Header:
        """Return the header of a stream, which does not know its length."""
        unknown = (media.size[0], 0)
        media = replace(media, size=unknown, coded_size=unknown)
        name, identity = self.weights.name, self.weights.codebook_id
        sizes, strides = self.codebook_sizes, ((self.stride,),)
        return Header("ct", name, identity, sizes, strides, media, stream=True)
