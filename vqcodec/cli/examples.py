"""Examples that stand at the end of each command's help."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "encode": (
        "vqcodec encode photo.png",
        "vqcodec encode photos -o codes --format vqc --quality 80",
        "vqcodec encode photo.jpg -o photo.vqc --target-bytes 2000",
        "vqcodec encode clip.mp4 -o clip.vqc --sound",
    ),
    "decode": (
        "vqcodec decode photo.npz -o back.png",
        "vqcodec decode codes -o back --format jpg",
        "vqcodec decode talk.vqc --decoder wavenet",
        "vqcodec decode clip.vqc -o clip.gif",
    ),
    "tokenize": (
        "vqcodec tokenize photos -o tokens",
        "vqcodec tokenize shards -o tokens --keep cls,txt --workers 8 --verify 16",
        "vqcodec tokenize recordings -o tokens --format parquet",
    ),
    "convert-voice": (
        "vqcodec convert-voice talk.wav --speaker hifi-92",
        "vqcodec convert-voice talk.wav --like me.wav --i-have-consent -o mine.wav",
    ),
    "speakers": ("vqcodec speakers", "vqcodec speakers --model speech-64x --json"),
    "repack": (
        "vqcodec repack photo.npz -o photo.vqc",
        "vqcodec repack codes -o small --format vqc",
    ),
    "sample": (
        "vqcodec sample -o grid.png -n 9 --seed 1",
        "vqcodec sample -o babble.wav --model speech-64x --seconds 5",
        "vqcodec sample -o walk.gif --model video-frames --actions forward*15",
    ),
    "complete": (
        "vqcodec complete photo.jpg",
        "vqcodec complete photo.jpg --keep 0.7 --temperature 0.9 -o rest.png",
    ),
    "imagine": (
        "vqcodec imagine clip.mp4 --actions forward*5,turn_left*5 --seed 1 -o out.gif",
        "vqcodec imagine clip.mp4 --frames 20 --given 6",
    ),
    "play": ("vqcodec play --start clip.mp4", "vqcodec play --model video-frames --port 8000"),
    "info": ("vqcodec info photo.vqc", "vqcodec info photo.vqc talk.npz --json"),
    "models": ("vqcodec models", "vqcodec models -v"),
    "inspect": (
        "vqcodec inspect photo.png -o codes.pdf",
        "vqcodec inspect photo.npz --codes csv",
        "vqcodec inspect photos --model image-f4 -o codebook.png",
    ),
    "demo": ("vqcodec demo -o demo", "vqcodec demo --model mine -o demo --force"),
    "export": (
        "vqcodec export runs/mine my-weights",
        "vqcodec export runs/prior my-weights -o weights --force",
        "vqcodec export --onnx image-f4 -o graphs",
    ),
    "evaluate": (
        "vqcodec evaluate photos -o report",
        "vqcodec evaluate photos -o report --against webp,avif --quality 100,80,60",
        "vqcodec evaluate recordings -o report --model speech-64x",
    ),
    "compare": (
        "vqcodec compare photo.png photo.decoded.png",
        "vqcodec compare report-a report-b --json",
    ),
    "benchmark": (
        "vqcodec benchmark photo.jpg --threads 1,2",
        "vqcodec benchmark --sizes 768x512 --growth growth.png",
    ),
    "train": (
        "vqcodec train image photos -o runs/mine --minutes 30",
        "vqcodec train --list-presets",
    ),
    "train image": (
        "vqcodec train image photos -o runs/mine --minutes 30",
        "vqcodec train image photos -o runs/wide --set model.quantizer.codebook_size=1024",
    ),
    "train speech": (
        "vqcodec train speech recordings -o runs/speech --minutes 60",
        "vqcodec train speech recordings -o runs/wavenet --stage decoder --codec speech-64x",
    ),
    "train video": (
        "vqcodec train video clips -o runs/clips --minutes 60",
        "vqcodec train video clips photos -o runs/more --from video",
    ),
    "train prior": (
        "vqcodec train prior photos -o runs/prior --codec image-f4",
        "vqcodec train prior photos -o runs/coding --preset prior-coding --minutes 20",
    ),
}


def epilog(command: str) -> str:
    """Return the end of a command's help; the first line keeps it from being wrapped."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in EXAMPLES[command])])
