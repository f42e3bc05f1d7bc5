"""The compiled loops of reading and encoding. Needs numba, the extra `fast`.

Everything here has a plain path elsewhere that gives the same result, or the same error.
"""

import numpy as np

from pmf.process.numba_cache import compiled

SKIP, INTEGER, DECIMAL = 0, 1, 2  # what a column of the text is read as
NOT_PLAIN, ROUNDED = -1, -2  # in place of a number of lines

LINE_END, RETURN, QUOTE, MINUS, POINT, ZERO = (np.uint64(ord(c)) for c in '\n\r"-.0')
ONE, TEN = np.uint64(1), np.uint64(10)
MOST_DIGITS = np.uint64(15)  # of a mantissa: below 2^53, so that one division rounds correctly
# An exact power of ten as divisor gives the double nearest to the decimal (Clinger 1990).
TENS = np.array([10.0**k for k in range(16)])


@compiled(nogil=True)
def count_lines(text, size):
    """Line ends among the first `size` bytes."""
    lines = 0
    for j in range(size):
        lines += text[j] == LINE_END
    return lines


@compiled(nogil=True)
def parse_lines(text, size, separator, kinds, integers, decimals, tens):
    """Fill `integers` (a row per column, int64) and `decimals` (floats) from whole lines of `text`.

    The last of the `size` bytes is a line end: nothing else keeps the loops within `text`.

    The number of lines, `ROUNDED` where `decimals` do not hold all numbers as float64 would, or
    `NOT_PLAIN` at the first byte outside the grammar: as many fields as
    `kinds`, integers of at most 15 digits without plus or leading zero, decimals likewise with an
    optional point, no quote, no blank, no byte above 127.
    """
    at, stop = np.uint64(0), np.uint64(size)  # unsigned: no test for an index from the end
    last = len(kinds) - 1
    line = rounded = 0
    while at < stop:
        if line == integers.shape[1]:  # the file has changed since its lines were counted
            return NOT_PLAIN
        k = 0
        for column in range(last + 1):
            kind = kinds[column]
            if kind == INTEGER:
                at, integers[k, line], is_plain = _integer(text, at)
                k += 1
            elif kind == DECIMAL:
                at, value, is_plain = _decimal(text, at, tens)
                decimals[line] = value
                rounded += np.float64(decimals[line]) != value
            else:
                at, is_plain = _skipped(text, at, separator)
            if not is_plain:
                return NOT_PLAIN
            if column == last:
                if text[at] == RETURN:
                    at += ONE
                if text[at] != LINE_END:
                    return NOT_PLAIN
            elif text[at] != separator:
                return NOT_PLAIN
            at += ONE
        line += 1
    return ROUNDED if rounded else line


@compiled(nogil=True, forceinline=True)
def _skipped(text, at, separator):
    """The end of a field that is not read, and whether it is plain."""
    while text[at] - ZERO < TEN:
        at += ONE
    while text[at] != separator and text[at] != LINE_END and text[at] != RETURN:
        if text[at] == QUOTE or text[at] > 127:
            return at, False
        at += ONE
    return at, True


@compiled(nogil=True, forceinline=True)
def _integer(text, at):
    """The end of an integer, the integer, and whether it is plain."""
    negative = text[at] == MINUS
    if negative:
        at += ONE
    end, number = _digits(text, at, np.uint64(0))
    value = -np.int64(number) if negative else np.int64(number)
    return end, value, _is_whole(text, at, end) and (number > 0 or not negative)


@compiled(nogil=True, forceinline=True)
def _decimal(text, at, tens):
    """The end of a decimal, the float64 nearest to it, and whether it is plain."""
    negative = text[at] == MINUS
    if negative:
        at += ONE
    end, number = _digits(text, at, np.uint64(0))
    if not _is_whole(text, at, end):
        return end, 0.0, False
    places = np.uint64(0)
    if text[end] == POINT:
        begin = end + ONE
        digits = end - at
        end, number = _digits(text, begin, number)
        places = end - begin
        if places == 0 or digits + places > MOST_DIGITS:
            return end, 0.0, False
    value = np.float64(number) / tens[places]
    return end, -value if negative else value, number > 0 or not negative


@compiled(nogil=True, forceinline=True)
def _digits(text, at, number):
    """The end of a run of digits, and `number` with them behind it."""
    digit = text[at] - ZERO  # below "0" it wraps around
    while digit < TEN:
        number = number * TEN + digit
        at += ONE
        digit = text[at] - ZERO
    return at, number


@compiled(nogil=True, forceinline=True)
def _is_whole(text, begin, end):
    """Whether digits are there, not too many, and no leading zero."""
    digits = end - begin
    return digits - ONE <= MOST_DIGITS - ONE and (digits == ONE or text[begin] != ZERO)


@compiled(nogil=True)
def code_integers(ids, low, codes, code_of, values):
    """Codes in order of first appearance, and `values` they stand for; how many there are.

    `code_of` has a place for each integer from `low` on, all -1 at first.
    """
    count = 0
    for j in range(len(ids)):
        place = ids[j] - low
        code = code_of[place]
        if code < 0:
            code = count
            code_of[place] = code
            values[count] = ids[j]
            count += 1
        codes[j] = code
    return count


@compiled(nogil=True)
def repeats_in_runs(user, item, last_user):
    """Whether an item repeats within a run of one user; -1 where a user has several runs.

    Codes in order of first appearance never fall while each user's rows stand together.
    `last_user` has a place for each item, all -1 at first.
    """
    previous = 0
    for j in range(len(user)):
        if user[j] < previous:
            return -1
        previous = user[j]
        if last_user[item[j]] == previous:
            return 1
        last_user[item[j]] = previous
    return 0
