"""A figure of codes and phones: both over time, and how often each code goes with each phone."""

from typing import TYPE_CHECKING, Any

from vqcodec.evaluate.phones.phones import PAUSE, PhoneTable
from vqcodec.figures.canvas import BODY, GREY, SMALL, TITLE, Page
from vqcodec.figures.panels import palette
from vqcodec.figures.spectrogram import COLOURS, spectrogram
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WIDTH, MARGIN = 1720, 50
INNER = WIDTH - 2 * MARGIN
SECONDS = 2.0  # of a recording that are drawn
MARKED, RIGHT, WRONG = "#e4e7ec", (11, 110, 79), (178, 58, 72)
CELL = 22  # pixels, the height of a phone's row in the table


def draw(
    tree: dict[str, Any],
    table: PhoneTable,
    samples: "NDArray[np.float32]",
    codes: "NDArray[np.uint16]",
    phones: list[str],
) -> Page:
    """Draw the figures of `evaluate_phones`.

    Args:
        tree: the figures.
        table: of codes and phones on train.
        samples: a recording of test, (T,) at 16 kHz.
        codes: its codes.
        phones: the phone at each.
    """
    page = Page(WIDTH)
    page.text(MARGIN, MARGIN, f"Phones in the codes of {tree['model']}", TITLE, weight="bold")
    y = page.paragraph(MARGIN, MARGIN + 1.5 * TITLE, INNER, summary(tree)) + 20
    y = _track(page, y, table, samples, codes, phones, tree["indices_per_second"]) + 40
    _table(page, y, table)
    return page


def summary(tree: dict[str, Any]) -> str:
    """Return the figures in sentences."""
    parts = []
    for key, words in (("with_pauses", "phones and pauses"), ("without_pauses", "phones alone")):
        if key in tree:
            found = tree[key]
            parts.append(
                f"{words}: {100 * found['accuracy']:.1f} % right, by shuffled codes "
                f"{100 * found['chance']:.1f} %"
            )
    text = (
        f"Each of {tree['codebook_size']} codes, {tree['indices_per_second']:g} a second, stands "
        f"for the phone that it most often goes with on train. On test, {'; '.join(parts)}."
    )
    if "speaker_probe" in tree:
        found = tree["speaker_probe"]
        text += (
            f" A linear classifier names the speaker, one of {tree['speakers']}, from how often "
            f"each code occurs: {100 * found['accuracy']:.1f} % right, by chance "
            f"{100 * found['chance']:.1f} %."
        )
    return text


def _track(
    page: Page,
    y: float,
    table: PhoneTable,
    samples: "NDArray[np.float32]",
    codes: "NDArray[np.uint16]",
    phones: list[str],
    rate: float,
) -> float:
    import numpy as np

    text = (
        "A recording of test: its spectrogram, 0 to 8 kHz; the phones that were marked; below, the "
        "phone that each code stands for, green where it is right; and the code's number, upwards."
    )
    y = page.heading(MARGIN, y, INNER, "Codes and phones over time", text)
    cells = min(len(codes), round(SECONDS * rate))
    kept = samples[: round(cells * RATE / rate)]
    page.picture(MARGIN, y, spectrogram(kept, (220, INNER)))
    y += 224
    side = INNER / cells
    guessed = [table.phones[i] for i in table.likeliest[codes[:cells]]]
    for start, end in _runs(phones[:cells]):
        page.box(MARGIN + start * side, y, (end - start) * side, 26, fill=MARKED, edge="white")
        _name(page, y, phones[start], MARGIN + start * side, (end - start) * side, "black")
    at = np.arange(INNER) * cells // INNER
    right = np.array([p == g for p, g in zip(phones, guessed, strict=False)])
    shown = np.where(right[at, None], np.array(RIGHT), np.array(WRONG)).astype(np.uint8)
    page.picture(MARGIN, y + 30, np.repeat(shown[None], 26, axis=0), frame=False)
    for start, end in _runs(guessed):
        _name(page, y + 30, guessed[start], MARGIN + start * side, (end - start) * side, "white")
    y += 64
    height = 120
    level = (height - 3) * (1 - codes[:cells] / len(table.counts))
    inside = np.abs(np.arange(height)[:, None] - 1 - level[at].round()) <= 1
    page.picture(MARGIN, y, np.where(inside[..., None], 0, 255).repeat(3, 2).astype(np.uint8))
    return y + height


def _name(page: Page, y: float, name: str, x: float, width: float, ink: str) -> None:
    """Write a phone's name in the middle of its box, where it fits."""
    if width > SMALL:
        page.text(x + width / 2, y + 13, name, SMALL, ink, ha="center", va="center")


def _table(page: Page, y: float, table: PhoneTable) -> None:
    """Draw how often each code goes with each phone, as shades; codes in the order of theirs."""
    import numpy as np

    shares = table.counts / np.maximum(table.counts.sum(1, keepdims=True), 1)
    seen = table.counts.sum(1) > 0
    common = np.argsort(-table.counts.sum(0), kind="stable")
    common = np.array(sorted(common, key=lambda i: table.phones[i] != PAUSE))  # the pause first
    place = np.argsort(common)
    order = np.lexsort((-shares.max(1), place[table.likeliest], ~seen))[: int(seen.sum())]
    text = (
        f"One column for each of {len(order)} codes that occur on train, one row for each phone, "
        "the commonest first: of all that a code stands for, the share of the phone, black to "
        "white."
    )
    y = page.heading(MARGIN, y, INNER, "What each code stands for", text)
    left, width = MARGIN + 50, INNER - 50
    shade = palette(COLOURS, 256)[(255 * shares[order][:, common].T).round().astype(int)]
    columns = np.arange(width) * len(order) // width
    page.picture(left, y, np.repeat(shade[:, columns], CELL, axis=0))
    for row, phone in enumerate(common):
        top = y + (row + 0.5) * CELL
        page.text(left - 8, top, table.phones[phone], BODY, GREY, ha="right", va="center")


def _runs(names: list[str]) -> list[tuple[int, int]]:
    """Return the start and end of each stretch of one name, nameless ones left out."""
    edges = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1]), len(names)]
    return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b and names[a]]
