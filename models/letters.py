"""Small letters, as both databases have them."""


def small_letters(text: str) -> str:
    """The text in small letters, one for one as PostgreSQL has it; a letter whose small form is two stays."""
    if text.isascii():
        return text.lower()
    pairs = zip(text, map(str.lower, text), strict=True)
    return "".join(small if len(small) == 1 else sign for sign, small in pairs)
