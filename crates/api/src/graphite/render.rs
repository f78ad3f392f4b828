//! `GET` and `POST /render`: the series that targets evaluate to.

#![expect(clippy::disallowed_methods, reason = "ranges are relative to now")]

use std::convert::Infallible;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use graphite::{Output, Plan, Request};
use model::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use super::reading::{Fetched, ROOM_PER_VALUE, fetch};
use crate::admission::Asker;
use crate::centres::Attempt;
use crate::form::Form;
use crate::limits::GRAPHITE;
use crate::places::Kind;
use crate::reading;
use crate::refusal::Refusal;
use crate::room::shrunk;
use crate::state::Api;

/// Values that are evaluated where requests are served; more would hold others up, and wait for a turn.
const VALUES_IN_PLACE_MAX: usize = 20_000;

/// Names, calls and literals that are evaluated where requests are served, if none is of a heavy function.
const VISITS_IN_PLACE_MAX: usize = 100;

/// `/render`. Parses and plans, reads all counts out of one snapshot, then evaluates without a database.
pub(super) async fn render(State(api): State<Api>, asker: Asker, form: Form) -> Result<Response, Refusal> {
    let now = Timestamp::from(SystemTime::now()).unix_ms().div_euclid(1000);
    // Memory for what the parser will make, before it makes it.
    let parsed = Request::bytes_at_most(form.count_at_most(Request::SYMBOLS));
    let parsed = api.intake.place(parsed).await?;
    let plan = Plan::of(Request::parse(form.pairs(), now, GRAPHITE)?)?;
    drop(form);
    let globs = asker.within(plan.globs())?;
    let fetched = match globs.is_empty() {
        true => Fetched::nothing(&plan)?,
        false => {
            let index = api.names.index();
            // Panels, whatever they are written as: a file is what a person asks for.
            let reader = asker.reader(Kind::Long);
            let mut place = None;
            loop {
                let fetch = |attempt: Attempt| {
                    fetch(
                        &api.points,
                        index.as_deref(),
                        (&plan, &globs),
                        attempt.within(place.as_ref()),
                    )
                };
                match api.places.read(place.as_ref(), api.centres.ask(fetch)).await {
                    Err(reading::Error::NeedsPlace) => place = Some(api.places.take(&reader).await?),
                    outcome => break outcome?,
                }
            }
        }
    };
    let is_large =
        fetched.looked_at > VALUES_IN_PLACE_MAX || plan.visits() > VISITS_IN_PLACE_MAX || plan.is_heavy();
    // Both permits go with the work: memory is given back when that ends, even if nobody waits for it any more.
    let answer = move || {
        let _parsed = parsed;
        let output = plan.evaluate(&fetched.counts)?;
        drop(fetched.counts);
        // A client may be slow: meanwhile others have the room of what was needed to get here.
        let values = ROOM_PER_VALUE * output.values();
        Ok(sent(output, fetched.room.map(|room| shrunk(room, values))))
    };
    if is_large {
        api.evaluations.run(answer).await?
    } else {
        answer()
    }
}

/// The response, whose text is written piece by piece while it is sent; its room is taken until the last piece is.
fn sent(output: Output, room: Option<OwnedSemaphorePermit>) -> Response {
    let content_type = output.content_type();
    let texts = output.into_texts().map(move |text| {
        let _held_with_it = &room;
        Ok::<_, Infallible>(text)
    });
    let body = Body::from_stream(futures_util::stream::iter(texts));
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}
