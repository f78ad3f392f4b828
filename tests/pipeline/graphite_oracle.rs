//! `/render` says what the real graphite-web says of the same counts, except where it differs on purpose.

mod compare;
mod consolidate;
#[path = "../graphite/counts.rs"]
mod counts;
mod data;
mod differences;
mod oracle;
mod recorded;
mod targets;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::graphite_oracle::compare::{Rendering, compare};
use crate::graphite_oracle::data::{Data, MINUTE_S};
use crate::graphite_oracle::differences::{DIFFERENCES, NOT_TAKEN, tables};
use crate::graphite_oracle::targets::Request;
use crate::rig::{Rig, one_region};

const README: &str = include_str!("../../crates/graphite/README.md");

/// Fewer equal points than this would mean that hardly anything was compared.
const POINTS_MIN: usize = 100_000;

/// Targets that call a function, with different arguments.
const CALLS_MIN: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn renders_as_graphite_web_does() {
    oracle::expect_installed();
    let rig = Rig::start(one_region()).await;
    let data = Data::before(now_unix());
    data.send(&rig).await;
    let requests = targets::all(&data);
    let mut ours = Vec::new();
    let mut asked = Vec::new();
    for request in &requests {
        let (answer, now) = render(&rig, request).await;
        ours.push(answer);
        let mut parameters = request.parameters.clone();
        if request.consolidation().is_some() {
            parameters.retain(|(name, _)| name != "maxDataPoints");
        }
        parameters.push(("now".to_owned(), now.to_string()));
        asked.push(parameters);
    }
    let theirs = oracle::ask(&data, &asked).await;
    let mut wrong = other_differences(&requests, &theirs.answers, &ours);
    wrong.extend(other_functions(&rig, &theirs).await);
    wrong.extend(recorded::differs(
        &data,
        &requests,
        &theirs.answers,
        &theirs.functions,
    ));
    if !README.contains(&tables()) {
        wrong.push(format!(
            "the tables of graphite's README should be:\n\n{}",
            tables()
        ));
    }
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    rig.stop().await;
}

/// Our answer, and when it was asked for: within one minute, as relative times need.
async fn render(rig: &Rig, request: &Request) -> (Rendering, i64) {
    loop {
        let now = now_unix();
        let url = format!("{}/render", rig.description().api);
        let mut form = request.parameters.clone();
        form.push(("format".to_owned(), "json".to_owned()));
        let form = reqwest::Url::parse_with_params(&url, &form).unwrap();
        let body = form.query().unwrap_or_default().to_owned();
        let posted = rig.http.post(url).body(body);
        let form_type = "application/x-www-form-urlencoded";
        let response = posted.header("Content-Type", form_type).send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if now_unix() / MINUTE_S == now / MINUTE_S || !request.is_relative() {
            return (Rendering { status, body }, now);
        }
    }
}

/// Differences that are not listed, and listed ones that are none any more.
fn other_differences(requests: &[Request], theirs: &[Rendering], ours: &[Rendering]) -> Vec<String> {
    assert_eq!((requests.len(), requests.len()), (theirs.len(), ours.len()));
    let mut points = 0;
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for ((request, theirs), ours) in requests.iter().zip(theirs).zip(ours) {
        match compare(theirs, ours, request.consolidation().as_ref()) {
            Ok(equal) => points += equal,
            Err(sentence) => match listed(request) {
                Some(case) => {
                    seen.insert(case);
                }
                None => wrong.push(format!("{} @ {}\n    {sentence}", request.target, request.window)),
            },
        }
    }
    let gone = cases().filter(|case| !seen.contains(case));
    wrong.extend(gone.map(|case| format!("{case}\n    is listed as different, but equal or not asked for")));
    assert!(
        points > POINTS_MIN,
        "only {points} points were equal:\n{}",
        wrong.join("\n")
    );
    wrong
}

fn cases() -> impl Iterator<Item = &'static str> {
    DIFFERENCES
        .iter()
        .flat_map(|difference| difference.shown_by)
        .copied()
}

/// The listed case that a request belongs to.
fn listed(request: &Request) -> Option<&'static str> {
    cases().find(|case| match case.split_once(" @ ") {
        Some((target, window)) => target == request.target && request.window.contains(window),
        None => *case == request.target,
    })
}

/// Ours has every function of theirs that is not left out on purpose, described as theirs is, and each is compared.
async fn other_functions(rig: &Rig, theirs: &oracle::Oracle) -> Vec<String> {
    let ours = rig.get("/functions").await;
    assert_eq!(ours.status, 200);
    let ours = ours.json.as_object().unwrap().clone();
    let mut wrong = Vec::new();
    for (name, theirs) in &theirs.functions {
        let not_taken = is_left_out(name);
        match ours.get(name) {
            None if !not_taken => wrong.push(format!("{name} is missing")),
            Some(_) if not_taken => wrong.push(format!("{name} is said to be left out")),
            Some(ours) if described(ours) != described(theirs) => wrong.push(format!(
                "{name} is {}\n    ours {}",
                described(theirs),
                described(ours)
            )),
            _ => {}
        }
    }
    for name in ours.keys() {
        if !theirs.functions.contains_key(name) {
            wrong.push(format!("{name} is not graphite-web's"));
        } else if targets::calls(name) < CALLS_MIN {
            wrong.push(format!("{name} is called by fewer than {CALLS_MIN} targets"));
        }
    }
    wrong
}

/// Whether ours has a function of theirs not, on purpose.
fn is_left_out(name: &str) -> bool {
    NOT_TAKEN.iter().any(|(_, names)| names.contains(&name))
}

/// What a function takes and where it is listed; not what is offered as values, of which each has its own.
fn described(function: &Value) -> Value {
    let mut parameters = function["params"].clone();
    for parameter in parameters.as_array_mut().into_iter().flatten() {
        let parameter = parameter.as_object_mut().unwrap();
        parameter.retain(|key, _| key != "options" && key != "suggestions");
    }
    json!({ "group": function["group"], "params": parameters })
}

fn now_unix() -> i64 {
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since_epoch.as_secs()).unwrap()
}
