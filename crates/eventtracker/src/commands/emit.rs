//! `eventtracker emit`: counts a few events from a shell script.

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use model::{CountError, EVENT_COUNT_MAX, EventName, Timestamp};
use serde::Serialize;

use super::send::{CollectorAddress, Patience, Sender, check_key};

/// The patience with a collector: a script or a cron job waits no longer.
const PATIENCE: Patience = Patience {
    attempts_max: 6,
    time_max: Duration::from_secs(20),
};

/// Counts events: one request to a collector, counted exactly once however often it is repeated
///
/// Exit code 1 when any event was rejected or it is not certain that all were accepted; nothing is sent when an
/// argument is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Emit {
    /// Events to count, such as `deploy.finished` or `shop.item.sold=3`; a name that holds a `=` needs its count
    #[arg(value_name = "NAME[=COUNT]", required = true)]
    events: Vec<String>,
    /// When they happened: unix seconds or RFC 3339 [default: when the collector accepts them]
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    at: Option<String>,
    /// Idempotency key; the same key again counts nothing new [default: a random one per call]
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    collector: CollectorAddress,
}

/// An event as a collector takes it in JSON.
#[derive(Debug, PartialEq, Serialize)]
struct Event<'a> {
    name: &'a str,
    count: u64,
    /// Unix seconds; without it, when the collector accepts the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<f64>,
}

impl Emit {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let at = self.at.as_deref().map(instant).transpose()?;
        let events = events(&self.events, at)?;
        let key = self.key.clone().unwrap_or_else(random_key);
        check_key(&key)?;
        let body = serde_json::to_vec(&events).context("cannot write the events as JSON")?;
        let sender = Sender::new(&self.collector, PATIENCE)?;
        let receipt = sender.send(&key, "application/json", body, events.len()).await?;
        println!("accepted {}", receipt.accepted);
        for rejected in &receipt.rejected {
            let name = events.get(rejected.index).map_or("?", |event| event.name);
            eprintln!("rejected {name}: {}", rejected.error);
        }
        Ok(if receipt.rejected_total() == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// The events of all arguments, which happened `at` if that is given.
///
/// # Errors
/// Every argument that is wrong, with its reason.
fn events(arguments: &[String], at: Option<Timestamp>) -> anyhow::Result<Vec<Event<'_>>> {
    let mut events = Vec::with_capacity(arguments.len());
    let mut reasons = Vec::new();
    for argument in arguments {
        match event(argument) {
            Ok((name, count)) => events.push(Event {
                name,
                count,
                timestamp: at.map(Timestamp::unix_s),
            }),
            Err(reason) => reasons.push(format!("{argument}: {reason}")),
        }
    }
    if !reasons.is_empty() {
        bail!("nothing was sent:\n{}", reasons.join("\n"));
    }
    Ok(events)
}

/// Name and count of `NAME[=COUNT]`. A name may hold `=` too, so the last one divides.
fn event(argument: &str) -> anyhow::Result<(&str, u64)> {
    let (name, count) = match argument.rsplit_once('=') {
        None => (argument, 1),
        Some((name, digits)) => {
            let count = digits
                .parse()
                .ok()
                .filter(|count| (1..=EVENT_COUNT_MAX).contains(count));
            (
                name,
                count.ok_or_else(|| CountError::Event(format!("'{digits}'")))?,
            )
        }
    };
    EventName::new(name)?;
    Ok((name, count))
}

fn instant(text: &str) -> anyhow::Result<Timestamp> {
    let instant = Timestamp::from_unix_text(text).or_else(|_| Timestamp::from_rfc3339(text));
    instant.with_context(|| format!("--at {text}"))
}

/// An idempotency key of 128 bits, as random as the seed that the operating system gives each `RandomState`.
fn random_key() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("emit-{:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_equals_sign_divides() {
        assert_eq!(event("shop.sold").unwrap(), ("shop.sold", 1));
        assert_eq!(event("shop.sold=3").unwrap(), ("shop.sold", 3));
        assert_eq!(event("a=b=1000000000").unwrap(), ("a=b", EVENT_COUNT_MAX));
    }

    #[test]
    fn wrong_arguments_are_all_named() {
        let arguments = [
            "a*b",
            "ok=2",
            "a=0",
            "a=-1",
            "a=x",
            "a=1000000001",
            "=1",
            "a=",
            "",
        ]
        .map(str::to_owned);
        let text = events(&arguments, None).unwrap_err().to_string();
        assert_eq!(text.lines().count(), 9, "{text}");
        assert!(
            text.contains("a*b: name has a character that is not allowed: '*'"),
            "{text}"
        );
        assert!(
            text.contains("a=x: count is not an integer from 1 to 1000000000: 'x'"),
            "{text}"
        );
    }

    #[test]
    fn the_time_is_written_as_unix_seconds() {
        let arguments = ["a".to_owned()];
        let at = instant("2025-11-22T05:00:00.250Z").unwrap();
        assert_eq!(instant("1763787600.25").unwrap(), at);
        let json = |at| serde_json::to_string(&events(&arguments, at).unwrap()).unwrap();
        assert_eq!(
            json(Some(at)),
            r#"[{"name":"a","count":1,"timestamp":1763787600.25}]"#
        );
        assert_eq!(json(None), r#"[{"name":"a","count":1}]"#);
        assert!(
            instant("yesterday")
                .unwrap_err()
                .to_string()
                .contains("yesterday")
        );
    }

    #[test]
    fn keys_differ() {
        assert_ne!(random_key(), random_key());
        check_key(&random_key()).unwrap();
    }
}
