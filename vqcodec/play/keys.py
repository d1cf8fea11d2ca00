"""Which key stands for which action: arrows where its name tells a direction, else its number."""

from vqcodec.errors import UsageError

DIRECTIONS = {
    "ArrowUp": ("forward", "forwards", "up", "north"),
    "ArrowDown": ("backward", "backwards", "back", "down", "south"),
    "ArrowLeft": ("left", "west"),
    "ArrowRight": ("right", "east"),
}
SHIFT = "Shift+"
MOST = 9  # actions, for there are as many figures


def keys_of(actions: tuple[str, ...]) -> dict[str, str]:
    """Return the key of each action, in their order.

    Of two that go one way the first has the arrow, and the second the arrow with Shift.

    Raises:
        UsageError: there are too many.
    """
    if len(actions) > MOST:
        raise UsageError(f"there are {len(actions)} actions, and keys for {MOST}")
    found: dict[str, str] = {}
    for number, action in enumerate(actions, 1):
        words = set(action.lower().replace("-", "_").split("_"))
        arrows = [arrow for arrow, names in DIRECTIONS.items() if words & set(names)]
        keys = [prefix + arrow for prefix in ("", SHIFT) for arrow in arrows]
        found[action] = next((k for k in keys if k not in found.values()), str(number))
    return found
