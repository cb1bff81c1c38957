"""Hints for SQL and PromQL that rules do not support: what to write instead.

By the name of a function, the type of a node of sqlglot's tree, or the name of a clause.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

_TIME = (
    "a field of `type: timestamp` or `date` has parts (`hour(x)`, `extract(dow from x)`), "
    "`date_trunc('day', x)` and differences in seconds: `delivered_at - ordered_at`"
)
_NESTED = "name the nested value in the contract: `fields: {name: {path: a.b, type: string}}`"
_PART = "write `substring(s, 1, 2)`, `left(s, 2)`, `right(s, 2)` or `split_part(s, '-', 1)`"
_PATTERN = "write `regexp_matches(s, '^ab')`, `like 'ab%'` or `contains(s, 'ab')`"
_PLACE = "write `strpos(s, 'ab')`: 1 is the first character, 0 is nowhere"
_QUANTILE = "write `quantile(x, 0.95)`, one of the values, or `quantile_cont(x, 0.95)`, between two"
_DISTINCT = "write `count(distinct x)`"
_TEXTS = (
    "a KPI's value is a number: `count(distinct x)` counts the values, `by: [x]` splits by them"
)
_TOP = (
    "a KPI's value is a number: `by: [x]` counts each value; the share of the largest is a KPI "
    "over that one: `from: [n]`, `by: []`, `value: max(n) / sum(n)`"
)
_PAST = (
    "`first(x)` and `last(x)` go by event time; a rule looks at the windows before: "
    "`when: change('1 day') < -20%`"
)
_BITS = "let the event have each flag as a boolean field"
LOGIC = f"between conditions, write `and`, `or`; of numbers, {_BITS}"
_SHARE = "write `count_if(x) / count(*)`, the share of events of which it is true"
_RATE = (
    "a KPI aggregates the events of a window, not samples of a counter: `count(*)` is the increase,"
    " `count(*) / 300` the rate per second in a window of 5m"
)
_DELTA = (
    "`max(x) - min(x)` is the range in a window; a rule compares windows: "
    "`when: change('previous') > 20%`"
)
_RISES = "write `rising(4)` or `declining(4)`, over the last four windows, or `trend('8 weeks')`"
_ODD = "write `anomaly() > 4`, unlike its past, or `deviation_from_group > 3`, unlike other series"
_ROLLING = (
    "windows of a KPI may overlap: `window: 7d every 1d`; a rule compares with the past by "
    "`change('1 week')`, `trend('8 weeks')` and `anomaly()`"
)
_AHEAD = "write `breach_in('3 days')`, or `pace:` for the total of a period"
_CASE = "write `case x when 1 then 'a' else 'b' end`"
_NEVER_SAME = "a KPI's value depends on its events only, so that it can be computed again"

FUNCTIONS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "age", "date_add", "date_sub", "make_date", "strptime", "time_bucket", "to_timestamp",
            "to_date", "unix_timestamp", "timestampdiff", "dateadd",
        ),
        _TIME,
    ),
    **dict.fromkeys(
        (
            "now", "today", "current_date", "current_time", "current_timestamp", "getdate",
            "localtime", "localtimestamp", "sysdate", "random", "rand", "uuid", "gen_random_uuid",
        ),
        _NEVER_SAME,
    ),
    **dict.fromkeys(
        (
            "json_extract", "json_extract_string", "json_extract_path", "json_extract_path_text",
            "json_value", "json_extract_scalar", "get_json_object", "jsonextractstring",
            "struct_extract",
        ),
        _NESTED,
    ),
    **dict.fromkeys(("mid", "split", "string_split", "str_split"), _PART),
    **dict.fromkeys(("glob", "regexp", "rlike", "regex_match", "similar"), _PATTERN),
    **dict.fromkeys(("position", "indexof"), _PLACE),
    **dict.fromkeys(
        (
            "percentile", "approx_percentile",
            "percentile_approx", "approx_quantile", "approx_quantiles", "p50", "p90", "p95", "p99",
            "histogram_quantile", "quantile_over_time",
        ),
        _QUANTILE,
    ),
    **dict.fromkeys(("count_distinct", "uniq", "uniqexact", "hll"), _DISTINCT),
    **dict.fromkeys(("array_agg", "group_concat", "list", "listagg", "string_agg"), _TEXTS),
    **dict.fromkeys(("approx_top_k", "histogram", "topk"), _TOP),
    "var": "write `variance(x)` or `var_pop(x)`",
    "std": "write `stddev(x)` or `stddev_pop(x)`",
    **dict.fromkeys(
        (
            "first_value", "lag", "last_value", "lead", "nth_value", "any",
        ),
        _PAST,
    ),
    **dict.fromkeys(
        ("increasing", "growing", "decreasing", "falling", "dropping", "monotonic"), _RISES
    ),
    **dict.fromkeys(("zscore", "z_score", "outlier", "anomaly_score", "deviation"), _ODD),
    **dict.fromkeys(
        ("moving_average", "moving_avg", "rolling_avg", "rolling", "ema", "avg_over_time"), _ROLLING
    ),
    **dict.fromkeys(("forecast", "predict", "predict_linear", "projection"), _AHEAD),
    **dict.fromkeys(("every", "some"), _SHARE),
    **dict.fromkeys(("rate", "irate", "increase"), _RATE),
    **dict.fromkeys(("delta", "idelta", "deriv", "derivative"), _DELTA),
    **dict.fromkeys(("decode", "switch", "multiif"), _CASE),
    "product": "write `exp(sum(ln(x)))`, of numbers above 0",
    **dict.fromkeys(("geomean", "geometric_mean"), "write `exp(avg(ln(x)))`, of numbers above 0"),
    **dict.fromkeys(("wavg", "avg_weighted"), "write `weighted_avg(x, weight)`"),
    **dict.fromkeys(("bit_and", "bit_or", "bit_count", "bitand"), _BITS),
    "average": "write `avg(x)`",
    "mean": "write `avg(x)`",
    "total": "write `sum(x)`",
    "sumif": "write `sum(x) filter (where …)`",
    "sum_if": "write `sum(x) filter (where …)`",
    "averageif": "write `avg(x) filter (where …)`",
    "avg_if": "write `avg(x) filter (where …)`",
    "avgif": "write `avg(x) filter (where …)`",
    "iff": "write `if(condition, then, else)`",
    "isnull": "write `x is null`",
    "zeroifnull": "write `coalesce(x, 0)`",
    "safe_divide": "write `a / b`: it is no value where b is 0",
    "divide": "write `a / b`: it is no value where b is 0",
    "to_number": "write `cast(x as double)`",
    "tofloat64": "write `cast(x as double)`",
    "to_char": "write `cast(x as varchar)`",
    "tostring": "write `cast(x as varchar)`",
    "suffix": "write `ends_with(s, 'ab')`",
    "prefix": "write `starts_with(s, 'ab')`",
}  # fmt: skip
"""By the name of a function, in lower case."""

NODES: Mapping[type[exp.Expression], str] = {
    exp.Subquery: "a KPI reads one event type; put KPIs together with `from: [a, b]`",
    exp.Select: "write the expression only, without SELECT",
    exp.Window: "a KPI has its own windows: `window: 5m every 1m`",
    exp.WithinGroup: _QUANTILE,
    exp.ApproxQuantile: _QUANTILE,
    exp.Order: "`first` and `last` go by event time",
    exp.IgnoreNulls: "write `first(x)` or `last(x)`: they leave out nulls",
    exp.Pow: "write `power(x, y)`",
    exp.IntDiv: "write `floor(x / y)`",
    exp.Distinct: "count, sum and avg take `distinct`: `count(distinct x)`",
    exp.Alias: "leave out the name; the KPI has one",
    exp.Array: "fields are single values, of the type that the contract says",
    exp.ArrayOverlaps: "write `a and b`",
    exp.Bracket: _NESTED,
    exp.JSONExtract: _NESTED,
    exp.JSONExtractScalar: _NESTED,
    exp.RegexpLike: _PATTERN,
    exp.SimilarTo: _PATTERN,
    exp.Glob: _PATTERN,
    exp.Extract: _TIME,
    exp.Interval: _TIME,
    exp.Is: "write `s = 'a'`: `is` goes with null, true and false",
    exp.CurrentDate: _NEVER_SAME,
    exp.CurrentTimestamp: _NEVER_SAME,
    exp.BitwiseAnd: LOGIC,
    exp.BitwiseOr: LOGIC,
    exp.BitwiseXor: _BITS,
    exp.BitwiseNot: _BITS,
    exp.BitwiseLeftShift: _BITS,
    exp.BitwiseRightShift: _BITS,
}
"""By the type of a node."""

CLAUSES: Mapping[str, str] = {
    "where": "write it as the KPI's `where:`, or after an aggregate: `sum(x) filter (where …)`",
    "group": "write it as the KPI's `by: [region]`",
    "from": "the KPI's `from:` names its event",
    "having": "write it as a rule over the KPI: `when: value > …`",
    "distinct": "write `count(distinct x)`",
    "order": "`first` and `last` go by event time",
    "limit": "a KPI has one value for each window and series",
    "joins": "a KPI reads one event type; put KPIs together with `from: [a, b]`",
}
"""By the part of a query that has no place in an expression."""

CHARACTERS: Mapping[str, str] = {
    "≤": "write `<=`", "≥": "write `>=`", "≠": "write `<>`", "−": "write `-`", "–": "write `-`",
    "×": "write `*`", "÷": "write `/`",
    **dict.fromkeys("‘’‚“”„«»", "strings are written 'like this'"),
}  # fmt: skip
"""By a character that SQL does not have."""

TOKENS: Mapping[str, str] = {
    "%": "percentages are for the conditions of rules: write `0.05`, or `100 * a / b`",
    "for": "how long it must hold is a field of the rule: `for: 10m`",
    "where": "write `sum(x) filter (where …)`, or the KPI's `where:`",
}
"""By a word that is not expected where it is."""

OF_TIMES = ("change", "trend", "burn_rate", "breach_in")
"""The functions whose first argument is a time, in quotes."""
