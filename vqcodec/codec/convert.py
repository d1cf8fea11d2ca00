"""Speech as somebody else says it: made of codecs, which know nothing of it.

Sound is brought to the rate of the codecs, coded, decoded with the vector of another speaker, and
brought to the rate that it had; codes are decoded at the rate of the codecs, so that nothing is
resampled on the way. Codes carry pitch and timbre, of which a vector tells decoders little: pitch
and mean timbre are brought to the speaker's before, and what was decoded takes on their sounds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vqcodec.codec.engine import Engine
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.speech import SpeechCodec
from vqcodec.errors import WeightsError
from vqcodec.files.codes import Codes
from vqcodec.media.resample import Resampler, resampled_length
from vqcodec.media.soundformats import check_format
from vqcodec.voice.frames import HEAD, RATE
from vqcodec.voice.level import gain_for
from vqcodec.voice.named import find_voice, timbre_of
from vqcodec.voice.pitch import median_pitch, pitch
from vqcodec.voice.timbre import FAR, NEAR, Timbre
from vqcodec.voice.voiceshift import VoiceShifter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Target:
    """A voice to convert to.

    Attributes:
        vector: for the decoder, as code files keep it.
        pitch: the median in Hz; None to leave that of the sound as it is.
        timbre: the sounds of the voice; None to leave those as they are.
    """

    vector: bytes
    pitch: float | None = None
    timbre: Timbre | None = None

    @property
    def needs_sound(self) -> bool:
        """Whether codes must be decoded and made anew: they carry pitch and timbre."""
        return self.pitch is not None or self.timbre is not None


def named(codec: SpeechCodec, name: str) -> Target:
    """Return a speaker that the weights of a codec name.

    Raises:
        UsageError: there is none of this name.
        WeightsError: the weights name no speakers, or are damaged.
    """
    voice = find_voice(codec.weights, name)
    return Target(voice.vector, voice.pitch, timbre_of(codec.weights, name))


def heard(codec: SpeechCodec, pieces: "Iterable[Samples]") -> Target:
    """Return whoever speaks in pieces of a recording, (T,) each at 16 kHz, none of them silent."""
    pieces = list(pieces)
    voiced = median_pitch(np.concatenate([pitch(piece) for piece in pieces]))
    try:
        timbre = Timbre.heard(pieces)
    except ValueError:
        timbre = None
    return Target(speaker_of(codec, pieces), voiced, timbre)


def speaker_of(codec: SpeechCodec, recordings: "Iterable[Samples]") -> bytes:
    """Return the vector, as files keep it, of who speaks in all of some recordings.

    Args:
        codec: measures it.
        recordings: (T,) at 16 kHz each, not silent; of each the beginning counts.

    Raises:
        WeightsError: the model takes no speaker.
    """
    if not codec.engine.speaker_size:
        raise WeightsError(f"the weights '{codec.weights.name}' take no speaker")
    vectors = []
    for samples in recordings:
        head = samples[:HEAD]
        head = head * np.float32(10 ** (gain_for(head[None]) / 20))
        vectors.append(np.frombuffer(codec.engine.measure_speaker(head.clip(-1, 1)), np.int8))
    return np.round(np.mean(vectors, 0)).astype(np.int8).tobytes()


def with_all_codebooks(codec: SpeechCodec) -> SpeechCodec:
    """Return what voices are converted by: that asks for words, and not for few bits."""
    return codec.with_codebooks(max(1, len(codec.weights.codebook_ids)))


def convert(
    codec: SpeechCodec,
    blocks: "Iterable[Samples]",
    channels: int,
    sample_rate: int,
    target: Target,
    *,
    drawing: SamplingParams | None = None,
) -> "Iterator[Samples]":
    """Yield sound as another speaker says it, as it comes and as long, (channels, n).

    Args:
        codec: converts.
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
    inside = Resampler(channels, sample_rate, RATE)
    outside = Resampler(channels, RATE, sample_rate)
    taken = 0

    def resampled() -> "Iterator[Samples]":
        nonlocal taken
        for block in blocks:
            taken += block.shape[1]
            yield inside.feed(block)
        yield inside.finish(resampled_length(taken, sample_rate, RATE))

    for block in _converted(codec, resampled(), channels, target, drawing):
        yield outside.feed(block)
    yield outside.finish(taken)


def convert_codes(
    codec: SpeechCodec,
    codes: Codes,
    own: SpeechCodec,
    target: Target,
    *,
    drawing: SamplingParams | None = None,
) -> "Iterator[Samples]":
    """Yield what codes say as another speaker says it, at the rate and the length that it had.

    Args:
        codec: converts.
        codes: of sound.
        own: the codec that made them.
        target: who shall speak.
        drawing: draw it with the weights' WaveNet.

    Raises:
        WeightsError: the codes were made with another codebook than `own`'s, or there is no
            WaveNet.
        FormatError: the codes are not those of a sound as they claim, or the target is one for
            other weights.
    """
    (channels, length), rate = codes.media.size, codes.audio.sample_rate
    blocks = own.decoded(codes, sample_rate=RATE)
    outside = Resampler(channels, RATE, rate)
    for block in _converted(codec, blocks, channels, target, drawing):
        yield outside.feed(block)
    yield outside.finish(length)


def _converted(
    codec: SpeechCodec,
    blocks: "Iterable[Samples]",
    channels: int,
    target: Target,
    drawing: SamplingParams | None,
) -> "Iterator[Samples]":
    """Yield sound at 16 kHz as another speaker says it."""
    engine = codec.voice_engine if drawing is None else codec.engine
    reach = FAR if engine is codec.engine else NEAR
    if target.needs_sound:
        shifter = VoiceShifter(channels, target.pitch, target.timbre, coarsely=True, reach=reach)
        blocks = shifter.run(blocks)
    said = _said_by(codec, engine, blocks, channels, target.vector, drawing)
    if target.timbre is not None:
        said = VoiceShifter(channels, None, target.timbre, reach=reach).run(said)
    return said


def _said_by(
    codec: SpeechCodec,
    engine: Engine,
    blocks: "Iterable[Samples]",
    channels: int,
    speaker: bytes,
    drawing: SamplingParams | None,
) -> "Iterator[Samples]":
    """Yield sound at 16 kHz, coded and decoded with the vector of a speaker."""
    codec = with_all_codebooks(codec)
    encoder = codec.encoder(channels, RATE)
    decoder = None
    for indices in encoder.run(blocks):
        if decoder is None and encoder.media is not None:
            media = replace(encoder.media, speaker=speaker)
            decoder = codec.decoder(media, drawing=drawing, engine=engine)
        if decoder is not None and indices.size:
            yield decoder.feed(indices)
    assert decoder is not None and encoder.media is not None
    yield decoder.finish(encoder.media)
