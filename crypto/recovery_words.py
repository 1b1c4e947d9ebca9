"""Twenty-four words for 256 bits, after BIP-39: what people write down, and a checksum against slips of the pen.

The words carry the key itself; nothing is stretched, for nothing is guessed. The list is bip39_english.txt, with its
source and licence beside it. docs/protocol.md, "Recovery".
"""

from functools import cache
from importlib.resources import files
from typing import Final

from . import limits
from .errors import InvalidEncoding
from .primitives import sha256

__all__ = ["key_of_words", "word_list", "words_of_key"]

_BITS_A_WORD: Final = 11
_LIST_SHA256: Final = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"


@cache
def word_list() -> tuple[str, ...]:
    """The 2,048 English words of BIP-39; raises InvalidEncoding if the file is not the one of the specification."""
    text = files(__package__).joinpath("bip39_english.txt").read_bytes()
    if sha256(text).hex() != _LIST_SHA256:
        raise InvalidEncoding("bip39_english.txt is not the word list of BIP-39")
    return tuple(text.decode("ascii").split())


@cache
def _index_of() -> dict[str, int]:
    return {word: index for index, word in enumerate(word_list())}


def words_of_key(key: bytes) -> tuple[str, ...]:
    """24 words: the key's 256 bits and the first 8 of its SHA-256, eleven bits a word."""
    if len(key) != limits.RECOVERY_KEY_BYTES:
        raise InvalidEncoding(f"a recovery key has {limits.RECOVERY_KEY_BYTES} bytes")
    number = int.from_bytes(key + sha256(key)[:1], "big")
    shifts = range(_BITS_A_WORD * (limits.RECOVERY_WORDS - 1), -1, -_BITS_A_WORD)
    words = word_list()
    return tuple(words[number >> shift & 2**_BITS_A_WORD - 1] for shift in shifts)


def key_of_words(typed: str) -> bytes:
    """The 32 B key of 24 words, in any case and spacing.

    Raises InvalidEncoding: says which word is not in the list, or that the checksum fails, and never shows a word.
    """
    words = typed.lower().split()
    if len(words) != limits.RECOVERY_WORDS:
        raise InvalidEncoding(f"{limits.RECOVERY_WORDS} words are needed, not {len(words)}")
    number, index_of = 0, _index_of()
    for place, word in enumerate(words, 1):
        if (index := index_of.get(word)) is None:
            raise InvalidEncoding(f"word {place} is not in the list")
        number = number << _BITS_A_WORD | index
    data = number.to_bytes(limits.RECOVERY_KEY_BYTES + 1, "big")
    key, checksum = data[:-1], data[-1:]
    if sha256(key)[:1] != checksum:
        raise InvalidEncoding("the words are all in the list, but one of them is wrong: the checksum fails")
    return key
