//! `/tags` and its completions: names have no tags but the one that Graphite gives to every series, its name.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::error::Error;
use super::find::index_of;
use crate::admission::Asker;
use crate::form::Form;
use crate::limits::TAG_VALUES_MAX;
use crate::refusal::Refusal;
use crate::room;
use crate::state::Api;

const TAG: &str = "name";

/// Values of one answer where no limit is given, as in Graphite.
const VALUES_DEFAULT: usize = 100;

/// `/tags`: the one tag.
pub(crate) async fn tags(State(api): State<Api>, _: Form) -> Result<Response, Refusal> {
    Ok(room::json(&api.points, &json!([{ "tag": TAG }]))?)
}

/// `/tags/autoComplete/tags`: the tag, unless an expression has it already or it does not begin with `tagPrefix`.
pub(crate) async fn complete_tags(State(api): State<Api>, form: Form) -> Result<Response, Refusal> {
    let fits = TAG.starts_with(&*form.one("tagPrefix").unwrap_or_default());
    let listed: &[&str] = if fits && !has_expression(&form) {
        &[TAG]
    } else {
        &[]
    };
    Ok(room::json(&api.points, &listed)?)
}

/// `/tags/autoComplete/values`: the first names, in their order, that begin with `valuePrefix`; of other tags none.
pub(crate) async fn complete_values(
    State(api): State<Api>,
    asker: Asker,
    form: Form,
) -> Result<Response, Refusal> {
    let tag = form
        .one("tag")
        .filter(|tag| !tag.is_empty())
        .ok_or(Error::NoTag)?;
    let limit = match form.one("limit") {
        None => VALUES_DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=TAG_VALUES_MAX).contains(limit))
            .ok_or(Error::ValuesLimit)?,
    };
    // An expression would be about the one tag, whose value is looked for.
    if tag != TAG || has_expression(&form) {
        return Ok(room::json(&api.points, &[""; 0])?);
    }
    let prefix = form.one("valuePrefix").unwrap_or_default();
    let beginnings = asker.view().beginning(&prefix);
    let index = index_of(&api, &beginnings).await?;
    let points = api.points.clone();
    let answer = move || {
        // The beginnings are in their order, and none begins with another: so are the names.
        let values = beginnings
            .iter()
            .flat_map(|beginning| index.in_order(&index.beginning(&index.names(), beginning), limit));
        room::json(&points, &values.take(limit).collect::<Vec<_>>())
    };
    Ok(api.searches.run(answer).await??)
}

/// Whether the form has one of Graphite's tag expressions, such as `name=a`.
fn has_expression(form: &Form) -> bool {
    form.one("expr").or_else(|| form.one("expr[]")).is_some()
}
