//! Tokens: who may do what, which names each sees, and how much of it.

use std::path::PathBuf;
use std::process::Output;

use playground::{Directory, Options};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::process::Command;

use crate::rig::{PROGRAM, Response, Rig, answer, one_region, settings, wait_until, write_tokens};

mod budgets;
mod command;
mod scopes;
mod taken_over;
mod views;

const MINUTE: i64 = 1_763_787_600;

/// A region and a centre whose file of tokens has these entries.
async fn with_tokens(entries: &[&str]) -> (Rig, PathBuf) {
    let dir = Directory::new().unwrap();
    let tokens = dir.path().join("tokens.toml");
    write_tokens(&tokens, &entries.join("\n"));
    let of_role = |role: &str| settings(&format!("[{role}]\ntokens_file = '{}'", tokens.display()));
    let mut central_overrides = one_region().central_overrides;
    central_overrides.extend(of_role("api"));
    let options = Options {
        region_overrides: of_role("collector"),
        central_overrides,
        ..one_region()
    };
    (Rig::start_in(dir, options).await, tokens)
}

/// A request to the api, under a token if there is one.
fn to_api(rig: &Rig, method: Method, path: &str, secret: Option<&str>) -> RequestBuilder {
    let request = rig
        .http
        .request(method, format!("{}{path}", rig.description().api));
    match secret {
        Some(secret) => request.bearer_auth(secret),
        None => request,
    }
}

async fn get(rig: &Rig, path: &str, secret: &str) -> Response {
    answer(to_api(rig, Method::GET, path, Some(secret))).await
}

async fn send(rig: &Rig, secret: &str, events: &Value) -> Response {
    let url = format!("{}/v1/events", rig.collectors("eu")[0]);
    answer(rig.http.post(url).bearer_auth(secret).json(events)).await
}

fn sentence(response: &Response) -> &str {
    response.json["error"].as_str().unwrap_or_default()
}

/// The sum of a name or pattern over `MINUTE`'s hour, as `secret` sees it.
async fn total(rig: &Rig, secret: &str, name: &str) -> u64 {
    let range = format!("from={}&until={}", MINUTE - 1_800, MINUTE + 1_800);
    let answer = get(rig, &format!("/v1/series?name={name}&{range}&step=1h"), secret).await;
    let series = answer.json["series"].as_array().unwrap();
    series
        .iter()
        .map(|series| series["total"].as_u64().unwrap())
        .sum()
}

async fn wait_for_total(rig: &Rig, secret: &str, name: &str, expected: u64) {
    wait_until("the counts", async || match total(rig, secret, name).await {
        total if total == expected => Ok(()),
        other => Err(format!("{other} of {expected}")),
    })
    .await;
}

/// Runs the program under a token.
async fn under(secret: &str, arguments: &[&str]) -> Output {
    let command = Command::new(PROGRAM)
        .args(arguments)
        .env("EVENTTRACKER_TOKEN", secret)
        .output();
    command.await.unwrap()
}
