//! Whether two answers say the same: the same series in the same order, with the same values at the same times.

use serde_json::Value;

use super::consolidate::Consolidation;

/// Both compute with doubles in places, in an order of their own.
const RELATIVE_ERROR_MAX: f64 = 1e-9;

/// Of `/render`.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Rendering {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// Points that were equal, or a sentence on the first thing that is not.
pub(super) fn compare(
    theirs: &Rendering,
    ours: &Rendering,
    consolidation: Option<&Consolidation>,
) -> Result<usize, String> {
    if theirs.status != ours.status {
        let said = |body: &Value| body.to_string().chars().take(200).collect::<String>();
        return Err(format!(
            "status {} with {}, ours {} with {}",
            theirs.status,
            said(&theirs.body),
            ours.status,
            said(&ours.body)
        ));
    }
    if theirs.status != 200 {
        return Ok(0);
    }
    let (theirs, ours) = (series(&theirs.body)?, series(&ours.body)?);
    let names = |all: &[(String, Vec<Point>)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    if names(&theirs) != names(&ours) {
        return Err(format!("series {:?}, ours {:?}", names(&theirs), names(&ours)));
    }
    let mut points = 0;
    for ((name, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        let consolidated = consolidation.map(|consolidation| consolidation.apply(theirs, ours));
        let consolidated = consolidated.transpose().map_err(|e| format!("'{name}': {e}"))?;
        let theirs = consolidated.as_ref().unwrap_or(theirs);
        let times = |of: &[Point]| of.iter().map(|point| point.1).collect::<Vec<_>>();
        if times(theirs) != times(ours) {
            let said = |of: &[i64]| format!("{} points, {:?} to {:?}", of.len(), of.first(), of.last());
            return Err(format!(
                "'{name}': {}, ours {}",
                said(&times(theirs)),
                said(&times(ours))
            ));
        }
        let differs = |(theirs, ours): &(&Point, &Point)| !equal(theirs.0, ours.0);
        let differing: Vec<_> = theirs.iter().zip(ours).filter(differs).collect();
        if let Some((first, ours)) = differing.first() {
            return Err(format!(
                "'{name}': {} values of {}, first at {}: {:?}, ours {:?}",
                differing.len(),
                theirs.len(),
                first.1,
                first.0,
                ours.0,
            ));
        }
        points += theirs.len();
    }
    Ok(points)
}

/// Value and unix seconds.
pub(super) type Point = (Option<f64>, i64);

pub(super) fn series(body: &Value) -> Result<Vec<(String, Vec<Point>)>, String> {
    let one = |series: &Value| {
        let points = series["datapoints"].as_array()?.iter();
        let points: Option<Vec<Point>> = points
            .map(|point| Some((point[0].as_f64(), point[1].as_i64()?)))
            .collect();
        Some((series["target"].as_str()?.to_owned(), points?))
    };
    let all = body.as_array().and_then(|all| all.iter().map(one).collect());
    all.ok_or_else(|| format!("no list of series: {body}"))
}

fn equal(theirs: Option<f64>, ours: Option<f64>) -> bool {
    match (theirs, ours) {
        (None, None) => true,
        (Some(a), Some(b)) => (a - b).abs() <= RELATIVE_ERROR_MAX * a.abs().max(b.abs()).max(1.0),
        _ => false,
    }
}
