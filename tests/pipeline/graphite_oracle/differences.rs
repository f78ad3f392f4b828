//! Where our dialect differs from graphite-web's on purpose.

/// A difference, as the table of graphite's README has it.
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
        ours: "their sum, for these are counts, but the mean of shares and rates and the last of running totals; no value is dropped, and \
               buckets last 1, 2, 3, 5, 10, 15 minutes and so on. `consolidateBy` says otherwise in both",
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
        what: "`legendValue`",
        theirs: "`(last: 42.0)`",
        ours: "`(last: 42)`: whole counts stay whole",
        shown_by: &[
            r#"legendValue(shop.item.sold,"last")"#,
            r#"legendValue(shop.cart.*,"avg","max","total")"#,
        ],
    },
    Difference {
        what: "a line of three values, as `aggregateLine` gives, in a moving window",
        theirs: "no series, or fewer values",
        ours: "a window of its values",
        shown_by: &[
            r#"movingMax(aggregateLine(shop.cart.*,"max"),3)"#,
            r#"movingMedian(aggregateLine(shop.item.*,"min"),"5min")"#,
        ],
    },
    Difference {
        what: "`mapSeries` outside `reduceSeries`; `reduceSeries` of a group that lacks one of its parts",
        theirs: "500",
        ours: "its series; the group left out",
        shown_by: &[
            "mapSeries(hosts.*.*,1)",
            r#"reduceSeries(mapSeries(group(hosts.*.errors,hosts.a.requests),1),"divideSeries",2,"errors","requests")"#,
        ],
    },
    Difference {
        what: "`asPercent` by nodes where none has a total",
        theirs: "500",
        ours: "nulls",
        shown_by: &["asPercent(web.status.*,hosts.*.requests,1)"],
    },
    Difference {
        what: "names that functions have made longer than 2,000 bytes",
        theirs: "as long as they are",
        ours: "cut in the middle",
        shown_by: &[concat!(
            r#"aliasSub(shop.item.sold,"^(.*)$",""#,
            r"\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1",
            r"\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1",
            r"\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1",
            r#"")"#,
        )],
    },
    Difference {
        what: "series as a keyword argument, `seriesList=…`",
        theirs: "no series",
        ours: "as without the keyword",
        shown_by: &[
            "scale(seriesList=shop.item.sold,factor=2)",
            "movingAverage(seriesList=shop.item.sold,windowSize=5)",
        ],
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
    Difference {
        what: "a fraction of a second in `from` or `until`",
        theirs: "400",
        ours: "left out",
        shown_by: &["shop.item.sold @ from=<0>.5"],
    },
];

/// Functions of graphite-web that ours has not, with the reason.
pub(super) const NOT_TAKEN: &[(&str, &[&str])] = &[
    (
        "which names they read depends on what was read before, but a request reads one moment, and is refused beforehand where that \
         would be too much; `groupByNodes`, `reduceSeries` and `asPercent` with nodes do what they are mostly used for",
        &["aliasQuery", "applyByNode", "useSeriesAbove"],
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
        &[
            "areaBetween",
            "cactiStyle",
            "events",
            "holtWintersConfidenceArea",
            "stacked",
            "verticalLine",
        ],
    ),
];

/// The tables of differences in graphite's README.
pub(super) fn tables() -> String {
    let row = |d: &Difference| format!("| {} | {} | {} |\n", d.what, d.theirs, d.ours);
    let rows: String = DIFFERENCES.iter().map(row).collect();
    let left_out = |(reason, names): &(&str, &[&str])| format!("| `{}` | {reason} |\n", names.join("` `"));
    let not_taken: String = NOT_TAKEN.iter().map(left_out).collect();
    format!(
        "| | graphite-web | here |\n|---|---|---|\n{rows}\n| left out | because |\n|---|---|\n{not_taken}"
    )
}
