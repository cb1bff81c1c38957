"""The scalar SQL that is supported: tables from sqlglot's nodes to polars expressions.

`SCALARS` is all of them; a module holds those of one kind: `literals`, `numbers`, `conditions`,
`strings` (and lists), `patterns`, `casts`, `times`. To add a function, add an entry to its kind's
table, its name to `FUNCTIONS` in `language/sql/expressions.py`, and a case beside DuckDB to
`tests/language/sql/test_compiler.py` or `test_types.py`.

The results are DuckDB's, nulls and three-valued logic included, but for these, all decided so that
no event can stop a fold and no NaN leaves as a number:

- Division and `%` by zero, roots and logarithms outside their domain, integer overflow, casts that
  fail: null (DuckDB gives NaN or infinity, or stops).
- A product of aggregates of integers is a double.
- Decimal literals are doubles but beside a decimal field; DuckDB calculates with exact decimals
  among literals and integers.
- The difference of two timestamps is a number of seconds (`times`).
- `upper` maps as Unicode says, where one letter may become two ('ß' → 'SS'). `lower` and `ilike`
  map letter by letter, as DuckDB does; letters newer than its Unicode are mapped here alone.
- Float `%` loses its digits when the quotient exceeds 2^53.
- Regular expressions are the Rust crate's where DuckDB has RE2; `patterns` says what is the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from agent.language.sql.expressions import Entry
from agent.language.sql.scalars.casts import CASTS
from agent.language.sql.scalars.conditions import CONDITIONS
from agent.language.sql.scalars.literals import LITERALS
from agent.language.sql.scalars.numbers import NUMBERS
from agent.language.sql.scalars.patterns import PATTERNS
from agent.language.sql.scalars.strings import STRINGS
from agent.language.sql.scalars.times import TIMES

SCALARS: Mapping[type[exp.Expression], Entry] = {
    **LITERALS,
    **NUMBERS,
    **CONDITIONS,
    **STRINGS,
    **PATTERNS,
    **CASTS,
    **TIMES,
}
