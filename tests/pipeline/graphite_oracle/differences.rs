//! Where our dialect differs from graphite-web's on purpose.

/// A difference, as the README's table has it.
pub(super) struct Difference {
    pub(super) what: &'static str,
    pub(super) theirs: &'static str,
    pub(super) ours: &'static str,
    /// Targets that show it: each has to differ in one of its windows at least. With ` @ ` and a part of
    /// the window behind it, only in windows that have that part.
    pub(super) shown_by: &'static [&'static str],
}

pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        what: "more values than `maxDataPoints`",
        theirs: "their mean; the first values are dropped so that buckets stay in place, and a bucket may last 7 minutes",
        ours: "their sum, for these are counts; no value is dropped, and buckets last 1, 2, 3, 5, 10, 15 minutes and so on. \
               `consolidateBy` says otherwise in both",
        shown_by: &["shop.item.sold @ both=yes", "sumSeries(shop.cart.*) @ both=yes"],
    },
    Difference {
        what: "series of different steps in one function",
        theirs: "the mean of what falls into the common step",
        ours: "the sum, as above",
        shown_by: &[
            r#"sumSeries(summarize(shop.item.sold,"5min"),summarize(shop.cart.added,"10min"))"#,
            r#"averageSeries(hosts.a.requests,summarize(hosts.b.requests,"3min","avg"))"#,
            r#"divideSeries(summarize(shop.item.sold,"10min"),shop.cart.added)"#,
        ],
    },
    Difference {
        what: "`summarize` to less than a minute",
        theirs: "nulls between the values",
        ours: "400",
        shown_by: &[r#"summarize(shop.item.sold,"30s")"#],
    },
    Difference {
        what: "`timeSlice`",
        theirs: "counts from `from`, which is up to a step before the first value: the slice comes late",
        ours: "by the values' own times",
        shown_by: &[
            r#"timeSlice(shop.item.sold,"<3600>","<7200>")"#,
            r#"timeSlice(shop.cart.*,"<600>",endSliceAt="<1200>")"#,
        ],
    },
    Difference {
        what: "series as a keyword argument, `seriesList=…`",
        theirs: "no series",
        ours: "as without the keyword",
        shown_by: &["scale(seriesList=shop.item.sold,factor=2)"],
    },
    Difference {
        what: "what does not parse, as an open bracket or something behind the last one",
        theirs: "left out, often with all before it: an answer without series, or of another target",
        ours: "400, with the place",
        shown_by: &[
            "sumSeries(shop.cart.*",
            r#"alias(shop.item.sold,"open"#,
            "shop.item.sold)",
            "scale(,2)",
        ],
    },
    Difference {
        what: "a regular expression or a window that is none, text where a target should be",
        theirs: "500",
        ours: "400; regular expressions are those of Rust's `regex`, without look-around, so that none takes long",
        shown_by: &[
            r#"movingAverage(shop.item.sold,"x")"#,
            r#"aliasSub(shop.item.sold,"(","x")"#,
            r#"grep(shop.item.sold,"[")"#,
            r#""shop.item.sold""#,
        ],
    },
    Difference {
        what: "`from` after `until`",
        theirs: "exchanged",
        ours: "400",
        shown_by: &["shop.item.sold @ from=<3600> until=<0>"],
    },
];

/// Functions of graphite-web that ours has not, with the reason.
pub(super) const NOT_TAKEN: &[(&str, &[&str])] = &[
    (
        "a forecast by seasons takes weeks of every name; `timeShift` compares with them",
        &[
            "holtWintersAberration",
            "holtWintersConfidenceArea",
            "holtWintersConfidenceBands",
            "holtWintersForecast",
        ],
    ),
    (
        "they make targets out of the names they find; `groupByNodes`, `asPercent` with nodes and `divideSeriesLists` do what \
         they are mostly used for",
        &[
            "aliasQuery",
            "applyByNode",
            "map",
            "mapSeries",
            "reduce",
            "reduceSeries",
            "useSeriesAbove",
        ],
    ),
    (
        "no counts go in: they draw test patterns, or the time",
        &[
            "identity",
            "randomWalk",
            "randomWalkFunction",
            "sin",
            "sinFunction",
            "time",
            "timeFunction",
        ],
    ),
    (
        "they say how graphite-web's own pictures are drawn, or mark instants in them: Grafana has settings and annotations for that",
        &["areaBetween", "cactiStyle", "events", "stacked", "verticalLine"],
    ),
    ("nothing of counts needs them", &["logit", "powSeries", "sigmoid"]),
];

/// The README's tables of differences.
pub(super) fn tables() -> String {
    let row = |d: &Difference| format!("| {} | {} | {} |\n", d.what, d.theirs, d.ours);
    let rows: String = DIFFERENCES.iter().map(row).collect();
    let left_out = |(reason, names): &(&str, &[&str])| format!("| `{}` | {reason} |\n", names.join("` `"));
    let not_taken: String = NOT_TAKEN.iter().map(left_out).collect();
    format!(
        "| | graphite-web | here |\n|---|---|---|\n{rows}\n| left out | because |\n|---|---|\n{not_taken}"
    )
}
