"""The arithmetic of `rowhash`, compiled: a value's two lanes in one pass, where NumPy takes a pass a step.

Sums and results are given to be filled in: arrays (n,) of 64 bits, two of each.
"""

import numpy as np

from epic22.core.compilation import compile_kernel
from epic22.core.tables.rowhash import FIRST, SECOND

SHIFT = np.uint64(33)
BYTE_BITS, WORD_BYTES, ALL_BITS = np.uint64(8), 8, np.uint64(0xFFFFFFFFFFFFFFFF)


@compile_kernel
def mix_bits(value):  # type: ignore[no-untyped-def]  # pragma: no cover
    """A value mixed as `rowhash._mix_bits` does."""
    value = (value ^ (value >> SHIFT)) * FIRST
    value = (value ^ (value >> SHIFT)) * SECOND
    return value ^ (value >> SHIFT)


@compile_kernel
def add_numbers(bits, present, lanes, seeds, sums):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add the hashes of values of 64 bits to the sums; `present` (n,) says which are there, and is empty where all are."""
    first, second = sums
    for row in range(len(bits)):
        if len(present) and not present[row]:
            continue
        first[row] += mix_bits(mix_bits(bits[row] + lanes[0]) ^ seeds[0])
        second[row] += mix_bits(mix_bits(bits[row] + lanes[1]) ^ seeds[1])


@compile_kernel
def add_texts(words, offsets, present, lanes, seeds, sums):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add the hashes of texts to the sums: `words` of eight bytes begin at each byte, value i lies from offset i to the next."""
    first, second = sums
    for row in range(len(offsets) - 1):
        if len(present) and not present[row]:
            continue
        begin, end = offsets[row], offsets[row + 1]
        a, b = mix_bits(np.uint64(end - begin) + lanes[0]), mix_bits(np.uint64(end - begin) + lanes[1])
        for at in range(begin, end, WORD_BYTES):
            word = words[at]
            if end - at < WORD_BYTES:
                word &= ALL_BITS >> (BYTE_BITS * np.uint64(WORD_BYTES - (end - at)))
            a, b = mix_bits(a ^ word) + lanes[0], mix_bits(b ^ word) + lanes[0]
        first[row] += mix_bits(a ^ seeds[0])
        second[row] += mix_bits(b ^ seeds[1])


@compile_kernel
def mix_sums(ids, rest, known_at, hashes):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill in one lane of `hashes` (4, n), in the order of `RowHashes`, from one lane of the sums of key, others, `known_at`."""
    for row in range(len(ids)):
        hashes[0, row] = mix_bits(ids[row])
        hashes[1, row] = mix_bits(ids[row] + known_at[row])
        hashes[2, row] = mix_bits(ids[row] + rest[row])
        hashes[3, row] = mix_bits(ids[row] + rest[row] + known_at[row])
