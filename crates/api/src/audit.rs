//! `GET /v1/audit`: whether the regions' sums are equal to the names' sums, on one snapshot of this moment.

#![expect(clippy::disallowed_methods, reason = "ranges are relative to now")]

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use model::{Timestamp, query_time};
use schemars::JsonSchema;
use serde::Serialize;
use store::Range;

use crate::centres::{self, Attempt};
use crate::parameters::Parameters;
use crate::range;
use crate::refusal::Refusal;
use crate::room::Busy;
use crate::state::Api;

/// Longest range of an audit, in milliseconds: it reads every count of that. The command line takes any range.
const RANGE_MS_MAX: i64 = 8 * 86_400_000;

/// The outcome of an audit.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Audit {
    /// Name of the centre that was audited.
    centre: String,
    /// Unix seconds.
    from: f64,
    /// Unix seconds.
    until: f64,
    /// Whether everything was compared, and found equal.
    equal: bool,
    /// How many minutes were compared.
    compared: usize,
    /// The first hundred differences, a sentence each.
    gaps: Vec<String>,
    /// How many differences there are.
    gaps_total: usize,
    regions: Vec<RegionAudit>,
}

/// A region's own total against the sum of its minutes.
#[derive(Debug, Serialize, JsonSchema)]
struct RegionAudit {
    region: String,
    /// Sum of its minutes at the centre.
    sum: u128,
    /// The region's own total as of its last flush at the centre.
    total: u64,
    verdict: Verdict,
    /// A sentence on why it is not equal.
    reason: Option<String>,
}

/// What a comparison came to.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Equal,
    Gap,
    #[serde(rename = "not known")]
    NotKnown,
}

pub(crate) async fn get(State(api): State<Api>, uri: Uri) -> Result<Json<Audit>, Refusal> {
    let parameters = Parameters::parse(uri.query(), &["from", "until"])?;
    let now = Timestamp::from(SystemTime::now());
    let recent = Range::recent(now);
    let time = |key, default| match parameters.one(key)? {
        None => Ok(default),
        Some(text) => query_time::parse(text, now).ok_or(range::Error::Time(key)),
    };
    let range = Range {
        from: time("from", recent.from)?,
        until: time("until", recent.until)?,
    };
    if range.from >= range.until {
        return Err(range::Error::Empty.into());
    }
    if range.until.ms_since(range.from) > RANGE_MS_MAX {
        return Err(range::Error::TooLongToAudit.into());
    }
    // One at a time: it keeps a core of the centre busy. The turn goes with the statement and not with this request, which a client may
    // drop while the centre still works on it.
    let turn = Arc::clone(&api.audits).try_acquire_owned().map_err(|_| Busy)?;
    let turn = Arc::new(turn);
    let audit = async |attempt: Attempt| {
        let audit =
            store::audit_centre(attempt.members(), range, Some(Arc::clone(&turn) as store::Place)).await?;
        Ok::<_, centres::Error>((attempt.name().to_owned(), audit))
    };
    let (centre, audit) = api.centres.ask(audit).await?;
    Ok(Json(Audit {
        centre,
        from: range.from.unix_s(),
        until: range.until.unix_s(),
        equal: !audit.has_gap() && audit.is_known(),
        compared: audit.compared,
        gaps: audit.gaps.iter().map(ToString::to_string).collect(),
        gaps_total: audit.gaps_total,
        regions: audit.regions.into_iter().map(region).collect(),
    }))
}

fn region(audit: store::RegionAudit) -> RegionAudit {
    let (verdict, reason) = match audit.verdict {
        store::Verdict::Equal => (Verdict::Equal, None),
        store::Verdict::Gap(why) => (Verdict::Gap, Some(why)),
        store::Verdict::NotKnown(why) => (Verdict::NotKnown, Some(why)),
    };
    RegionAudit {
        region: audit.region,
        sum: audit.sum,
        total: audit.total,
        verdict,
        reason,
    }
}
