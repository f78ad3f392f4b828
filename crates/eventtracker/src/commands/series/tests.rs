use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    series: Series,
}

fn series(arguments: &[&str]) -> Series {
    Cli::try_parse_from(["series"].iter().chain(arguments))
        .unwrap()
        .series
}

fn answer() -> SeriesAnswer {
    serde_json::from_str(
        r#"{"from":1763787600,"until":1763787840.0,"step":60,"complete_until":1763787780.5,"series":[
            {"name":"a","event_id":"1","total":1234569,"points":[[1763787600,2],[1763787660,0],[1763787720,1234567],[1763787780,null]]},
            {"name":"b.c","event_id":"2","total":0,"points":[[1763787600,0],[1763787660,0],[1763787720,0],[1763787780,null]]}]}"#,
    )
    .unwrap()
}

#[test]
fn times_before_now_are_no_options() {
    let series = series(&["a", "b.*", "--from", "-90m", "--until", "-1h", "--step", "5m"]);
    assert_eq!(
        (series.names.len(), &*series.from, &*series.until),
        (2, "-90m", "-1h")
    );
    assert_eq!(series.step, Step::FiveMinutes);
    assert!(Cli::try_parse_from(["series", "a", "--step", "2m"]).is_err());
    assert!(Cli::try_parse_from(["series", "a", "--csv", "--json"]).is_err());
}

#[test]
fn graphs_table_and_completeness_are_shown() {
    let text = series(&["*"]).graphs(&answer()).unwrap();
    let expected = [
        "from 2025-11-22 05:00 until 2025-11-22 05:04 UTC by 1m\n",
        "\na   total 1,234,569   min 0   max 1,234,567\n▂▁█ \n",
        "\nb.c   total 0   min 0   max 0\n▁▁▁ \n",
        "\ncomplete until 2025-11-22 05:03:00 UTC\n",
    ];
    for part in expected {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .skip_while(|row: &Vec<_>| row.first() != Some(&"time"))
        .collect();
    assert_eq!(rows[0], ["time", "UTC", "a", "b.c"]);
    assert_eq!(rows[3], ["2025-11-22", "05:02", "1,234,567", "0"]);
    assert_eq!(rows[4], ["2025-11-22", "05:03", "–", "–"]);
}

#[test]
fn only_the_last_rows_are_shown_and_it_says_so() {
    let text = series(&["*", "--rows", "2"]).graphs(&answer()).unwrap();
    assert!(!text.contains("05:01") && text.contains("05:02"), "{text}");
    assert!(
        text.contains("the last 2 of 4 points; --rows 4 shows all"),
        "{text}"
    );
    let none = series(&["*", "--rows", "0"]).graphs(&answer()).unwrap();
    assert!(!none.contains("time UTC"), "{none}");
    let unknown = SeriesAnswer {
        complete_until: None,
        ..answer()
    };
    assert!(
        series(&["*"])
            .graphs(&unknown)
            .unwrap()
            .contains("complete until: not known yet")
    );
}

#[test]
fn sums_may_be_larger_than_a_count() {
    let sum = 2 * u128::from(u64::MAX);
    let json = format!(
        r#"{{"from":0,"until":86400,"complete_until":null,"series":[{{"name":"a","total":{sum},"points":[[0,{sum}]]}}]}}"#
    );
    let text = series(&["a"])
        .graphs(&serde_json::from_str(&json).unwrap())
        .unwrap();
    assert!(
        text.contains("total 36,893,488,147,419,103,230   min 36,893"),
        "{text}"
    );
}

#[test]
fn thousands_are_separated() {
    let shown = [
        (0_u64, "0"),
        (999, "999"),
        (1_000, "1,000"),
        (1_234_567, "1,234,567"),
    ];
    for (number, text) in shown {
        assert_eq!(grouped(number), text);
    }
    assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
}
