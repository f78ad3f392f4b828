//! `GET` and `POST /render`.

use std::time::SystemTime;

use axum::extract::State;
use model::Instant;

use super::evaluate::Evaluation;
use super::fetch::{Fetched, fetch};
use super::output::Answer;
use super::plan::{MINUTE_S, Plan, commutes, minutes};
use super::request::{Format, Request};
use super::series::Series;
use super::{Fault, buckets};
use crate::form::Form;
use crate::refusal::Refusal;
use crate::routes::Api;

/// Values that are evaluated where requests are served; more would hold others up, and wait for a turn.
const VALUES_IN_PLACE_MAX: usize = 20_000;

/// Names, calls and literals that are evaluated where requests are served, if none is of a heavy function.
const VISITS_IN_PLACE_MAX: usize = 100;

pub(super) async fn render(State(api): State<Api>, form: Form) -> Result<Answer, Refusal> {
    let now = Instant::from(SystemTime::now()).unix_ms().div_euclid(1000);
    let parsed = api.intake.place(Request::bytes_at_most(&form)).await?;
    let request = Request::parse(&form, now)?;
    drop(form);
    let plan = Plan::of(
        &request.targets,
        request.window,
        request.moment(),
        request.x_files_factor,
    )?;
    let bucket_s = bucket_s(&request);
    let fetched = match plan.wanted.is_empty() {
        true => Fetched::nothing(),
        false => {
            let read = |visit| fetch(&api.points, &plan, bucket_s, visit);
            api.centres.ask(read).await?
        }
    };
    let is_large = fetched.values > VALUES_IN_PLACE_MAX || plan.visits > VISITS_IN_PLACE_MAX || plan.is_heavy;
    // Memory is given back when the work ends, even if nobody waits for it any more.
    let answer = move || {
        let _parsed = parsed;
        Ok(Answer {
            series: evaluate(&request, &fetched)?,
            format: request.format,
            drops_nulls: request.drops_nulls,
            zone: request.zone,
            _room: fetched.room,
        })
    };
    if is_large {
        api.evaluating(answer).await?
    } else {
        answer()
    }
}

/// What the counts are summed to as they are read: to minutes, unless it makes no difference to sum them to more at once.
fn bucket_s(request: &Request) -> i64 {
    match request.values_max {
        Some(values_max) if request.x_files_factor.is_none() && request.targets.iter().all(commutes) => {
            buckets::to_read_s(minutes(request.window), values_max)
        }
        _ => MINUTE_S,
    }
}

fn evaluate(request: &Request, fetched: &Fetched) -> Result<Vec<Series>, Fault> {
    let mut evaluation = Evaluation::new(fetched, request.moment(), request.x_files_factor);
    let mut list = Vec::new();
    for target in &request.targets {
        list.extend(evaluation.target(target, request.window)?);
    }
    if request.format == Format::Raw && list.iter().any(|series| series.zone.is_some()) {
        return Err(Fault::UnevenRaw);
    }
    if let Some(values_max) = request.values_max {
        buckets::consolidate(&mut list, minutes(request.window), values_max);
    }
    Ok(list)
}
