"""Arithmetic on an expression that a model wrote (pure). Nothing is ever evaluated as code.

Numbers are fractions, so that 0.1 + 0.2 is 0.3 and 10 / 3 * 3 is 10. Roots, logarithms, angles and powers that would
need too many digits are rounded, and a result that they took part in begins with ``≈``. Everything is bounded: the
length and depth of the expression, and the size of every number on the way.

Grammar, from the loosest: ``+ -``; ``* / // %``; signs; ``**`` or ``^``, from right to left; numbers, constants, calls,
brackets. So ``-2 ** 2`` is -4, as on paper.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow, Underflow
from fractions import Fraction

import msgspec

from cozy_domain.errors import ToolError

MAX_LENGTH = 1_000
"""Characters of an expression."""
MAX_DEPTH = 50
"""Brackets, signs and powers inside one another; each costs five frames of Python's stack, which has about 1,000."""
MAX_BITS = 4_096
"""Of an exact numerator or denominator: 1,233 digits, multiplied in a microsecond."""
MAX_EXPONENT = 1_200
"""Rounded numbers stay between 10 ** -1,200 and 10 ** 1,200, so that they fit into ``MAX_BITS`` too."""
MAX_FACTORIAL = 400
"""Its 869 digits still fit into ``MAX_BITS``."""
MAX_PLACES = 100
WORKING_DIGITS = 50
EXACT_DIGITS = 30
"""A decimal fraction that needs more is shown rounded."""
ROUNDED_DIGITS = 15
"""Shown of a rounded result: as far as angles are right (IEEE 754 double)."""

_PLAIN_EXPONENTS = range(-7, 21)
_NOISE = 4e-16
"""Relative error of an angle's function: two units in the last place of a double. Below it, sin(pi) is 0."""
_PI = Fraction("3.14159265358979323846264338327950288419716939937511")
_LETTERS = str.maketrans(
    {chr(wide): chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)}  # full-width forms, Unicode FF00 block
    | dict.fromkeys("×✕⋅·∙", "*")
    | dict.fromkeys("÷∕⁄", "/")
    | dict.fromkeys("−–—", "-")
    | dict.fromkeys("\u3000\u00a0\u202f", " ")
    | {"π": "pi"}
)
_TOKEN = re.compile(
    r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z][A-Za-z0-9]*)|(?P<sign>\*\*|//|[-+*/%^(),])",
    re.ASCII,
)


class _Number(msgspec.Struct, frozen=True):
    """``exact`` is False once a rounded number took part."""

    value: Fraction
    exact: bool = True


def calculate(expression: str) -> str:
    """The value in decimal digits; ``≈`` stands before a rounded one.

    Raises:
        ToolError: it is no expression, is not defined (division by zero), or too large.
    """
    if len(expression) > MAX_LENGTH:
        raise ToolError(f"an expression has at most {MAX_LENGTH} characters")
    try:
        return _shown(_Parser(_tokens(expression.translate(_LETTERS))).value())
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except (Overflow, OverflowError):
        raise ToolError("a number is too large") from None
    except Underflow:
        raise ToolError("a number is too near to zero") from None
    except (InvalidOperation, ValueError):
        raise ToolError("a function is not defined for that number, at least not in real numbers") from None


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    text = text.rstrip(" \t\n=")
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TOKEN.match(text, position)
        if match is None:
            raise ToolError(f"unexpected {text[position]!r}")
        tokens.append(match[0])
        position = match.end()
    return tokens


class _Parser:
    """Computes while it reads."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def value(self) -> _Number:
        value = self._sum()
        if self._next is not None:
            raise self._unexpected()
        return value

    @property
    def _next(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _take(self, *accepted: str) -> str | None:
        """The next token when it is one of these; else None, and it stays."""
        token = self._next
        if token not in accepted:
            return None
        self._position += 1
        return token

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._unexpected(f", expected {token!r}")

    def _unexpected(self, more: str = "") -> ToolError:
        if self._next is None:
            return ToolError(f"the expression ends too early{more}")
        if self._next == ",":
            more = "; write numbers without thousands separators"
        return ToolError(f"unexpected {self._next[:20]!r}{more}")

    def _sum(self) -> _Number:
        left = self._product()
        while sign := self._take("+", "-"):
            left = _OPERATORS[sign](left, self._product())
        return left

    def _product(self) -> _Number:
        left = self._signed()
        while sign := self._take("*", "/", "//", "%"):
            left = _OPERATORS[sign](left, self._signed())
        return left

    def _signed(self) -> _Number:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ToolError(f"an expression is at most {MAX_DEPTH} levels deep")
        sign = self._take("-", "+")
        number = self._signed() if sign else self._power()
        self._depth -= 1
        return _Number(-number.value, number.exact) if sign == "-" else number

    def _power(self) -> _Number:
        base = self._atom()
        return _power(base, self._signed()) if self._take("**", "^") else base

    def _atom(self) -> _Number:
        if self._take("("):
            value = self._sum()
            self._expect(")")
            return value
        token = self._next
        if token is None or not (token[0].isalnum() or token[0] == "."):
            raise self._unexpected()
        self._position += 1
        return self._named(token.lower()) if token[0].isalpha() else _literal(token)

    def _named(self, name: str) -> _Number:
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name not in _FUNCTIONS:
            raise ToolError(
                f"there is no {name[:20]!r}; functions: {', '.join(_FUNCTIONS)}; constants: pi, e"
            )
        fewest, most, function = _FUNCTIONS[name]
        self._expect("(")
        values = [self._sum()]
        while self._take(","):
            values.append(self._sum())
        self._expect(")")
        if not fewest <= len(values) <= most:
            wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            raise ToolError(f"{name} takes {wanted} numbers, got {len(values)}")
        return function(values)


def _literal(token: str) -> _Number:
    exponent = token.lower().partition("e")[2]
    if len(exponent.lstrip("+-")) > len(str(MAX_EXPONENT)):
        raise ToolError("a number is too large")
    return _fit(Fraction(token), True)


def _fit(value: Fraction, exact: bool) -> _Number:
    """The number; rounded when it would need too many digits."""
    if max(value.numerator.bit_length(), value.denominator.bit_length()) <= MAX_BITS:
        return _Number(value, exact)
    return _rounded(_decimal(value))


def _rounded(value: Decimal) -> _Number:
    return _Number(Fraction(value), False)


def _context() -> Context:
    """A new one each time: its flags are not safe between threads."""
    return Context(
        prec=WORKING_DIGITS,
        Emin=-MAX_EXPONENT,
        Emax=MAX_EXPONENT,
        traps=[DivisionByZero, InvalidOperation, Overflow, Underflow],
    )


def _decimal(value: Fraction) -> Decimal:
    return _context().divide(Decimal(value.numerator), Decimal(value.denominator))


def _by(operation: Callable[[Fraction, Fraction], Fraction | int]) -> Callable[[_Number, _Number], _Number]:
    return lambda a, b: _fit(Fraction(operation(a.value, b.value)), a.exact and b.exact)


_OPERATORS: Mapping[str, Callable[[_Number, _Number], _Number]] = {
    "+": _by(lambda a, b: a + b),
    "-": _by(lambda a, b: a - b),
    "*": _by(lambda a, b: a * b),
    "/": _by(lambda a, b: a / b),
    "//": _by(lambda a, b: a // b),
    "%": _by(lambda a, b: a % b),
}


def _power(base: _Number, exponent: _Number) -> _Number:
    if exponent.value.denominator == 1 and _is_small_power(base.value, exponent.value.numerator):
        power = Fraction(base.value**exponent.value.numerator)
        return _fit(power, base.exact and exponent.exact)
    if base.value == 0:
        if exponent.value < 0:
            raise ZeroDivisionError
        return base
    rounded = _rounded(_context().power(_decimal(base.value), _decimal(exponent.value)))
    if base.exact and exponent.exact and _is_power(rounded.value, base.value, exponent.value):
        return _Number(rounded.value)
    return rounded


def _is_small_power(base: Fraction, exponent: int) -> bool:
    """Whether the exact power fits, at least nearly: n bits to the k need more than k * (n - 1)."""
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    return (bits - 1) * abs(exponent) <= MAX_BITS


def _is_power(root: Fraction, base: Fraction, exponent: Fraction) -> bool:
    """Whether ``root`` is exactly ``base ** exponent``, as 2 is ``8 ** (1 / 3)``; False when that is too much work."""
    p, q = exponent.numerator, exponent.denominator
    return _is_small_power(root, q) and _is_small_power(base, p) and root**q == base**p


def _sqrt(values: Sequence[_Number]) -> _Number:
    return _power(values[0], _Number(Fraction(1, 2)))


def _cbrt(values: Sequence[_Number]) -> _Number:
    number = values[0]
    root = _power(_Number(abs(number.value), number.exact), _Number(Fraction(1, 3)))
    return _Number(-root.value, root.exact) if number.value < 0 else root


def _log(number: _Number, base: _Number) -> _Number:
    if number.value <= 0 or base.value <= 0:
        raise ToolError("logarithms are of positive numbers")
    context = _context()
    rounded = context.divide(context.ln(_decimal(number.value)), context.ln(_decimal(base.value)))
    whole = Fraction(round(rounded))
    exact = number.exact and base.exact and _is_power(number.value, base.value, whole)
    return _Number(whole) if exact else _rounded(rounded)


def _round(values: Sequence[_Number]) -> _Number:
    """Halves go away from zero, as at school: Python's own would make round(2.5) 2."""
    number, places = values[0], _whole(values[1]) if len(values) > 1 else 0
    if abs(places) > MAX_PLACES:
        raise ToolError(f"round to at most {MAX_PLACES} digits")
    scale = Fraction(10) ** places
    size = math.floor(abs(number.value) * scale + Fraction(1, 2)) / scale
    return _fit(Fraction(-size if number.value < 0 else size), number.exact)


def _factorial(values: Sequence[_Number]) -> _Number:
    number = _whole(values[0])
    if not 0 <= number <= MAX_FACTORIAL:
        raise ToolError(f"factorials are of whole numbers from 0 to {MAX_FACTORIAL}")
    return _Number(Fraction(math.factorial(number)))


def _whole(number: _Number) -> int:
    if number.value.denominator != 1:
        raise ToolError("a whole number is needed")
    return number.value.numerator


def _angle(function: Callable[[float], float]) -> Callable[[Sequence[_Number]], _Number]:
    def rounded(values: Sequence[_Number]) -> _Number:
        at = float(values[0].value)
        result = function(at)
        return _Number(Fraction(0 if abs(result) < abs(at) * _NOISE else result), exact=False)

    return rounded


def _exactly(function: Callable[[Sequence[Fraction]], Fraction]) -> Callable[[Sequence[_Number]], _Number]:
    return lambda values: _fit(function([v.value for v in values]), all(v.exact for v in values))


def _shown(number: _Number) -> str:
    if number.exact and number.value.denominator == 1:
        return str(number.value.numerator)
    context = Context(prec=EXACT_DIGITS)
    shown = context.divide(Decimal(number.value.numerator), Decimal(number.value.denominator))
    if number.exact and not context.flags[Inexact]:
        return _digits(shown)
    return f"≈ {_digits(Context(prec=ROUNDED_DIGITS).plus(shown))}"


def _digits(value: Decimal) -> str:
    plain = value.normalize(Context(prec=EXACT_DIGITS))
    return f"{plain:f}" if plain.adjusted() in _PLAIN_EXPONENTS else f"{plain:e}"


_ANY = MAX_LENGTH
_TEN, _TWO = _Number(Fraction(10)), _Number(Fraction(2))
_CONSTANTS: Mapping[str, _Number] = {"pi": _Number(_PI, False), "e": _rounded(_context().exp(Decimal(1)))}
_FUNCTIONS: Mapping[str, tuple[int, int, Callable[[Sequence[_Number]], _Number]]] = {
    "sqrt": (1, 1, _sqrt),
    "cbrt": (1, 1, _cbrt),
    "abs": (1, 1, _exactly(lambda v: abs(v[0]))),
    "round": (1, 2, _round),
    "floor": (1, 1, _exactly(lambda v: Fraction(math.floor(v[0])))),
    "ceil": (1, 1, _exactly(lambda v: Fraction(math.ceil(v[0])))),
    "min": (1, _ANY, _exactly(min)),
    "max": (1, _ANY, _exactly(max)),
    "sum": (1, _ANY, _exactly(lambda v: sum(v, Fraction()))),
    "mean": (1, _ANY, _exactly(lambda v: sum(v, Fraction()) / len(v))),
    "factorial": (1, 1, _factorial),
    "gcd": (2, _ANY, lambda values: _Number(Fraction(math.gcd(*map(_whole, values))))),
    "exp": (1, 1, lambda values: _power(_CONSTANTS["e"], values[0])),
    "ln": (1, 1, lambda values: _log(values[0], _CONSTANTS["e"])),
    "log10": (1, 1, lambda values: _log(values[0], _TEN)),
    "log2": (1, 1, lambda values: _log(values[0], _TWO)),
    "log": (2, 2, lambda values: _log(values[0], values[1])),
    "sin": (1, 1, _angle(math.sin)),
    "cos": (1, 1, _angle(math.cos)),
    "tan": (1, 1, _angle(math.tan)),
    "asin": (1, 1, _angle(math.asin)),
    "acos": (1, 1, _angle(math.acos)),
    "atan": (1, 1, _angle(math.atan)),
    "radians": (1, 1, lambda values: _fit(values[0].value * _PI / 180, False)),
    "degrees": (1, 1, lambda values: _fit(values[0].value * 180 / _PI, False)),
}
