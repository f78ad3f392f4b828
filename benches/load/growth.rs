//! How a burst's rate changes with the number of names, and where the centre holds a year of other names, which has the
//! memory and log of a deployed one. What is compared went into tables of the same size.

use anyhow::Result;

use crate::burst::{self, EXACT, Place, Shape};
use crate::history::ingest::fill_history;
use crate::report::Report;

const NAMES: [u32; 3] = [1_000, 10_000, 100_000];

const DAYS: i64 = 365;

pub(crate) async fn measure(
    place: &Place,
    base: Shape,
    history_names: usize,
    rounds: u32,
    report: &mut Report,
) -> Result<()> {
    for is_filled in [false, true] {
        let pipeline = place.start().await?;
        pipeline.enlarge_centre().await?;
        if is_filled {
            fill_history(&pipeline, history_names, DAYS).await?;
        }
        let mut good = true;
        for shape in NAMES.map(|names| Shape { names, ..base }) {
            let case = case(shape, is_filled);
            for _ in 0..rounds {
                good = good && burst::one(&pipeline, &shape.workload()?, shape, &case, report).await;
            }
        }
        pipeline.finish(good).await?;
    }
    compare(base, report);
    Ok(())
}

fn case(shape: Shape, is_filled: bool) -> String {
    let history = if is_filled { ", with a year" } else { ", empty" };
    shape.case() + history
}

fn compare(base: Shape, report: &mut Report) {
    let fewest = case(
        Shape {
            names: NAMES[0],
            ..base
        },
        false,
    );
    for shape in NAMES.map(|names| Shape { names, ..base }) {
        let (empty, filled) = (case(shape, false), case(shape, true));
        let reference = report.median(&empty, EXACT);
        report.compare(&filled, EXACT, "empty", reference);
        if empty != fewest {
            let reference = report.median(&fewest, EXACT);
            report.compare(&empty, EXACT, &fewest, reference);
        }
    }
}
