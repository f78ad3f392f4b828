//! `GET /v1/audit`: whether what regions counted is what names hold, as of this moment.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use model::Instant;
use serde::Serialize;
use store::{Range, Verdict};

use crate::centres::{self, Visit};
use crate::parameters::Parameters;
use crate::range;
use crate::refusal::Refusal;
use crate::room::Busy;
use crate::state::Api;
use crate::time_expression;

/// An audit reads every count of its range; the command line takes any.
const RANGE_MS_MAX: i64 = 8 * 86_400_000;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    /// The one that was audited.
    centre: String,
    from: f64,
    until: f64,
    equal: bool,
    /// Minutes and packed days compared.
    compared: usize,
    /// The first hundred.
    gaps: Vec<String>,
    gaps_total: usize,
    regions: Vec<Region>,
}

#[derive(Debug, Serialize)]
struct Region {
    region: String,
    /// Sum of its minutes at the centre.
    sum: u128,
    /// Its own total as of its last flush at the centre.
    total: u64,
    verdict: &'static str,
    reason: Option<String>,
}

pub(crate) async fn get(State(api): State<Api>, uri: Uri) -> Result<Json<Answer>, Refusal> {
    let parameters = Parameters::parse(uri.query(), &["from", "until"])?;
    let now = Instant::from(SystemTime::now());
    let recent = Range::recent(now);
    let time = |key, default| match parameters.one(key)? {
        None => Ok(default),
        Some(text) => time_expression::parse(text, now).ok_or(range::Error::Time(key)),
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
    // One at a time: it keeps a core of the centre busy.
    let turn = Arc::clone(&api.audits).try_acquire_owned().map_err(|_| Busy)?;
    let turn = Arc::new(turn);
    let audit = async |visit: Visit| {
        let audit = store::audit_centre(visit.server(), range, Some(Arc::clone(&turn))).await?;
        Ok::<_, centres::Error>((visit.name().to_owned(), audit))
    };
    let (centre, audit) = api.centres.ask(audit).await?;
    Ok(Json(Answer {
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

fn region(audit: store::RegionAudit) -> Region {
    let (verdict, reason) = match audit.verdict {
        Verdict::Equal => ("equal", None),
        Verdict::Gap(why) => ("gap", Some(why)),
        Verdict::NotKnown(why) => ("not known", Some(why)),
    };
    Region {
        region: audit.region,
        sum: audit.sum,
        total: audit.total,
        verdict,
        reason,
    }
}
