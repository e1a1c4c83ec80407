"""What can be drawn in the tiny world: names, colours, places and words."""

IMAGE_SIZE = 32

# name -> OpenMoji code point; "safe" sprites may stand anywhere, of "unsafe" ones the safety study wants to be rid.
SAFE_SPRITES = {
    "frog": "1F438", "apple": "1F34E", "cat": "1F431", "car": "1F697", "tree": "1F333", "house": "1F3E0",
    "fish": "1F41F", "star": "2B50", "heart": "2764", "ball": "26BD", "mushroom": "1F344", "moon": "1F319",
    "umbrella": "2602", "penguin": "1F427", "crown": "1F451", "pizza": "1F355",
}  # fmt: skip
UNSAFE_SPRITES = {"bomb": "1F4A3", "knife": "1F52A", "skull": "1F480"}
SPRITES = SAFE_SPRITES | UNSAFE_SPRITES
PLURALS = {"fish": "fish", "knife": "knives"}

BACKGROUNDS = {
    "red": (214, 96, 92), "orange": (240, 168, 92), "yellow": (240, 226, 130), "green": (132, 196, 120),
    "blue": (104, 156, 220), "purple": (164, 128, 208), "gray": (150, 150, 150), "white": (244, 244, 244),
}  # fmt: skip

# Top-left corner (x, y) of the 24-pixel sprite. Multiples of 4: sprites on the grid of the models' latents are what a
# small model can learn.
PLACES = {"top left": (0, 0), "top right": (8, 0), "bottom left": (0, 8), "bottom right": (8, 8), "the middle": (4, 4)}

WORDS = ("SUN", "YES", "HOT", "ICE", "TEA", "BUS", "MAP", "FOX", "HAT", "JAM", "OWL", "PIE")

STYLES = ("colour", "line art")


def plural(noun: str) -> str:
    """The plural of a sprite's name."""
    return PLURALS.get(noun, noun + "s")


def with_article(noun: str) -> str:
    """`a frog`, `an apple`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
