//! Up to when answers say that they are complete, and waits for that.

use std::time::SystemTime;

use model::Timestamp;
use serde_json::Value;

use crate::rig::{Rig, wait_until};

/// A clock that follows the present is closer to it.
pub(crate) const LAG_MS_MAX: i64 = 10_000;

/// What an answer says, or a part of it about one centre.
pub(crate) fn complete_until(answer: &Value) -> Option<Timestamp> {
    instant(&answer["complete_until"])
}

/// An instant in an answer: unix seconds, or null.
pub(crate) fn instant(unix_s: &Value) -> Option<Timestamp> {
    Some(Timestamp::from_unix_s(unix_s.as_f64()?).unwrap())
}

/// Until all that was acknowledged before `at` is in the answers.
pub(crate) async fn wait_until_complete(rig: &Rig, at: Timestamp) {
    wait_until("everything to be complete", async || {
        let status = rig.get("/v1/status").await.json;
        match complete_until(&status) {
            Some(until) if until > at => Ok(()),
            _ => Err(format!("not after {at}: {status}")),
        }
    })
    .await;
}

/// Until answers are complete up to a moment ago.
pub(crate) async fn wait_until_current(rig: &Rig) {
    wait_until("complete_until to follow the present", async || {
        let status = rig.get("/v1/status").await.json;
        match complete_until(&status) {
            Some(until) if Timestamp::from(SystemTime::now()).ms_since(until) < LAG_MS_MAX => Ok(()),
            _ => Err(status.to_string()),
        }
    })
    .await;
}
