//! `GET /v1/status`.

#![expect(clippy::disallowed_methods, reason = "ages are relative to now")]

mod document;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use gate::Caller;
use model::{Day, Timestamp};
use store::central::{self, ServerState, ShardSize};
use store::{QueueState, RegionClock, SourceState};

pub use self::document::{
    Alarm, CentreStatus, ClientUse, Queue, RegionStatus, Replication, ServerStatus, Shard, ShownToken, Status,
};
use crate::admission::Asker;
use crate::centres::{self, Attempt, Centres, Known};
use crate::parameters::Parameters;
use crate::refusal::Refusal;
use crate::state::Api;
use crate::troubles::{TOKENS_FILE, Trouble};

/// A clock that follows the present is a flush, its way to the centre and a second of rounding behind it.
const CLOCK_LAG_S_MAX: f64 = 10.0;

/// Kinds of alarms that tell of regions and of nothing that is counted: their sentences have no error of a database, which may quote names.
const OF_REGIONS: [&str; 5] = ["clock", "silent", "queue_log", "disk", "buried"];

/// What a token that sees some names alone is told instead of a reason that may quote others.
const SEE_THE_OPERATOR: &str = "the operator of EventTracker can see why";

pub(crate) async fn get(State(api): State<Api>, asker: Asker, uri: Uri) -> Result<Json<Status>, Refusal> {
    Parameters::parse(uri.query(), &[])?;
    let read = async |attempt: Attempt| {
        let status = attempt.status().await?;
        let clients = api.clients.lately(&attempt).await;
        Ok::<_, centres::Error>((attempt.name().to_owned(), status, clients))
    };
    let (name, status, clients) = api.centres.ask(read).await?;
    let centres = centres(&name, store::complete_until(&status.clocks), &api.centres);
    let now = Timestamp::from(SystemTime::now());
    let mut answer = answer(name, centres, status, now);
    answer.clients = clients;
    answer.alarms.extend(api.own_alarms());
    if let Caller::Token(token) = &asker.caller {
        answer.token = Some(ShownToken::from(&**token));
        if !token.view.is_all() {
            hide_others(&mut answer, token.name.as_str());
        }
    }
    Ok(Json(answer))
}

impl Api {
    /// The alarms about the api itself: that its file of tokens is refused, or that its certificate ends soon.
    fn own_alarms(&self) -> impl Iterator<Item = Alarm> {
        let alarm = |(kind, Trouble { sentence, since }): (&str, Trouble)| {
            let sentence = match kind {
                TOKENS_FILE => format!("the api goes on with the tokens that it had: {sentence}"),
                _ => format!("the api: {sentence}"),
            };
            Alarm {
                region: String::new(),
                kind: kind.to_owned(),
                sentence,
                since: since.unix_s(),
            }
        };
        self.troubles.all().into_iter().map(alarm)
    }
}

/// Takes out what may tell a client of others: their use, sizes, and texts that may quote what they count.
fn hide_others(status: &mut Status, client: &str) {
    status.clients.retain(|other| other.name == client);
    status
        .alarms
        .retain(|alarm| OF_REGIONS.contains(&alarm.kind.as_str()));
    status.shards.clear();
    for server in &mut status.servers {
        server.trouble = server.trouble.take().map(|_| SEE_THE_OPERATOR.to_owned());
    }
    for region in &mut status.regions {
        let reason = region.held_back.as_mut();
        let error = region
            .replication
            .as_mut()
            .and_then(|replication| replication.error.as_mut());
        for text in reason.into_iter().chain(error) {
            SEE_THE_OPERATOR.clone_into(text);
        }
    }
}

/// All centres as they were last seen; the one that answers, as it is.
fn centres(answering: &str, complete_until: Option<Timestamp>, all: &Centres) -> Vec<CentreStatus> {
    let centre = |(name, known): (&str, Known)| {
        let (answers, complete_until) = if name == answering {
            (Some(true), complete_until)
        } else {
            (known.answers, known.complete_until)
        };
        CentreStatus {
            name: name.to_owned(),
            answers,
            complete_until: complete_until.map(Timestamp::unix_s),
        }
    };
    all.named_states().map(centre).collect()
}

fn answer(centre: String, centres: Vec<CentreStatus>, status: central::Status, now: Timestamp) -> Status {
    let complete_until = store::complete_until(&status.clocks);
    let mut clocks = status.clocks;
    let mut regions = BTreeMap::<String, (Option<QueueState>, Option<SourceState>)>::new();
    for queue in status.queues {
        let (of_region, _) = regions.entry(queue.region.clone()).or_default();
        *of_region = Some(queue);
    }
    for state in status.sources {
        let (_, of_region) = regions.entry(state.source.region.clone()).or_default();
        *of_region = Some(state);
    }
    for region in clocks.keys() {
        regions.entry(region.clone()).or_default();
    }
    let shard = |size: ShardSize| Shard {
        shard: size.shard.number(),
        rows: size.rows,
        bytes: size.bytes,
        packed_days: size.packed_days,
        packed_bytes: size.packed_bytes,
    };
    let alarm = |(alarm, since): (store::upkeep::Alarm, Timestamp)| Alarm {
        region: alarm.region,
        kind: alarm.kind,
        sentence: alarm.sentence,
        since: since.unix_s(),
    };
    let away = status.servers.iter().find(|server| server.trouble.is_some());
    let away = away.map(|server| server.name.clone());
    Status {
        centre,
        centres,
        servers: servers(status.servers),
        complete_until: complete_until.map(Timestamp::unix_s),
        regions: regions
            .into_iter()
            .map(|(name, (queue, source))| {
                let clock = clocks.remove(&name).unwrap_or_default();
                region(name, (queue, source), &clock, away.as_deref(), now)
            })
            .collect(),
        shards: status.shards.into_iter().map(shard).collect(),
        alarms: status.alarms.into_iter().map(alarm).collect(),
        oldest_backup: status.oldest_backup.map(Timestamp::unix_s),
        kept_since: status.kept_since.map(Day::unix_s),
        clients: Vec::new(),
        token: None,
    }
}

/// The servers of a centre that has several.
fn servers(servers: Vec<ServerState>) -> Vec<ServerStatus> {
    let is_named = |server: &ServerState| !server.name.is_empty();
    let server = |server: ServerState| ServerStatus {
        shards: server.shards.to_string(),
        complete_until: server.complete_until.map(Timestamp::unix_s),
        trouble: server.trouble,
        name: server.name,
    };
    servers.into_iter().filter(is_named).map(server).collect()
}

/// A region's state; `away` is a server of the centre that does not answer.
fn region(
    region: String,
    (queue, source): (Option<QueueState>, Option<SourceState>),
    clock: &RegionClock,
    away: Option<&str>,
    now: Timestamp,
) -> RegionStatus {
    let hold = queue.as_ref().and_then(|queue| queue.hold);
    let queue = queue.map(|queue| Queue {
        ready: queue.ready,
        reserved: queue.reserved,
        delayed: queue.delayed,
        buried: queue.buried,
        oldest_job_age_s: queue.oldest_job_age_s,
        age_s: age_s(queue.seen.plus_ms(-clock.ahead_ms.unwrap_or(0)), now),
    });
    let replication = source.map(|source| Replication {
        running: source.is_running(),
        io: source.io_running,
        sql: source.sql_running,
        error: Some(source.last_error).filter(|error| !error.is_empty()),
    });
    RegionStatus {
        region,
        held_back: match away {
            Some(server) => Some(format!("central server {server} does not answer")),
            None => held_back(clock, queue.as_ref(), replication.as_ref(), now),
        },
        lag_s: queue.as_ref().map(|queue| queue.age_s),
        hold_s: hold.map(|hold| hold.as_secs_f64()),
        queue,
        replication,
        clock: clock.complete_until.map(Timestamp::unix_s),
        clock_ahead_s: clock.ahead_ms.map(|ms| Timestamp::from_unix_ms(ms).unix_s()),
    }
}

/// Why a region's clock is more than [`CLOCK_LAG_S_MAX`] behind, or will be, as far as the centre can tell.
fn held_back(
    clock: &RegionClock,
    queue: Option<&Queue>,
    replication: Option<&Replication>,
    now: Timestamp,
) -> Option<String> {
    let Some(replication) = replication else {
        return Some("the centre does not replicate from it".to_owned());
    };
    let lag_s = clock.complete_until.map(|until| age_s(until, now));
    if lag_s.is_some_and(|lag_s| lag_s <= CLOCK_LAG_S_MAX) {
        return None;
    }
    Some(match (clock, queue) {
        _ if !replication.running => match &replication.error {
            Some(error) => format!("replication does not run: {error}"),
            None => "replication does not run".to_owned(),
        },
        (_, None) => "nothing has been heard of it yet".to_owned(),
        (
            RegionClock {
                ahead_ms: None,
                compared,
                ..
            },
            _,
        ) => match compared {
            None => {
                "its database's clock was not compared with the centre's yet; the keeper does that".to_owned()
            }
            Some(at) => format!(
                "its database's clock was last compared with the centre's {:.0} s ago, which is too long to rely on: does the keeper \
                 run, and does that database answer it?",
                age_s(*at, now)
            ),
        },
        (_, Some(queue)) if queue.age_s > CLOCK_LAG_S_MAX => {
            format!("nothing has been heard of it for {:.0} s", queue.age_s)
        }
        (
            _,
            Some(Queue {
                oldest_job_age_s: Some(age_s),
                ..
            }),
        ) => {
            format!("a job has waited in its queue for {age_s} s")
        }
        _ => "one of its jobs is held by a worker that does not finish it, or its database's clock jumped"
            .to_owned(),
    })
}

/// 0 where the other clock is ahead of ours.
fn age_s(seen: Timestamp, now: Timestamp) -> f64 {
    Duration::from_millis(u64::try_from(now.ms_since(seen)).unwrap_or(0)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(region: &str, seen_ms: i64) -> QueueState {
        let (ready, reserved, delayed, buried) = (5, 2, 0, 1);
        let seen = Timestamp::from_unix_ms(seen_ms);
        QueueState {
            region: region.to_owned(),
            seen,
            ready,
            reserved,
            delayed,
            buried,
            oldest_job_age_s: Some(3),
            is_durable: true,
            disk: None,
            hold: Some(Duration::from_millis(2_500)),
        }
    }

    fn source(region: &str) -> SourceState {
        SourceState {
            source: store::Source {
                region: region.to_owned(),
                host: "10.1.0.10".to_owned(),
                port: 3306,
                tls_ca: None,
            },
            io_running: "Connecting".to_owned(),
            sql_running: "Yes".to_owned(),
            last_error: "error reconnecting".to_owned(),
            wild_do_table: store::setup::WILD_DO_TABLE.to_owned(),
            server_id: 1,
            received: BTreeMap::new(),
        }
    }

    #[test]
    fn what_holds_a_clock_back_is_named() {
        let clock = |until_ms, ahead_ms| RegionClock {
            complete_until: Some(Timestamp::from_unix_ms(until_ms)),
            ahead_ms,
            ..RegionClock::default()
        };
        let running = SourceState {
            io_running: "Yes".to_owned(),
            last_error: String::new(),
            ..source("eu")
        };
        let reason = |clock: &RegionClock, seen_ms: Option<i64>, oldest_job_age_s| {
            let queue = seen_ms.map(|ms| QueueState {
                oldest_job_age_s,
                ..queue("eu", ms)
            });
            let now = Timestamp::from_unix_ms(100_000);
            let answer = region("eu".to_owned(), (queue, Some(running.clone())), clock, None, now);
            answer.held_back.unwrap_or_default()
        };
        assert_eq!(reason(&clock(90_000, Some(0)), Some(99_000), None), "");
        assert!(reason(&RegionClock::default(), None, None).contains("heard of it yet"));
        assert!(reason(&RegionClock::default(), Some(99_000), None).contains("not compared"));
        let compared_long_ago = RegionClock {
            compared: Some(Timestamp::from_unix_ms(60_000)),
            ..RegionClock::default()
        };
        assert!(reason(&compared_long_ago, Some(99_000), None).contains("centre's 40 s ago"));
        assert!(reason(&clock(40_000, Some(0)), Some(41_000), None).contains("for 59 s"));
        assert!(
            reason(&clock(40_000, Some(0)), Some(99_000), Some(58)).contains("waited in its queue for 58 s")
        );
        assert!(reason(&clock(40_000, Some(0)), Some(99_000), None).contains("held by a worker"));
    }

    #[test]
    fn a_region_is_listed_by_whatever_names_it() {
        let status = central::Status {
            queues: vec![queue("eu", 7_500), queue("us", 12_000)],
            sources: vec![source("ap"), source("eu")],
            shards: Vec::new(),
            clocks: BTreeMap::from([
                ("sa".to_owned(), RegionClock::default()),
                ("ap".to_owned(), RegionClock::default()),
                (
                    "eu".to_owned(),
                    RegionClock {
                        complete_until: Some(Timestamp::from_unix_ms(7_000)),
                        ahead_ms: Some(-500),
                        ..RegionClock::default()
                    },
                ),
            ]),
            ..central::Status::default()
        };
        let answer = serde_json::to_value(answer(
            "central".to_owned(),
            Vec::new(),
            status,
            Timestamp::from_unix_ms(10_000),
        ))
        .unwrap();
        let replication = serde_json::json!(
            {"running": false, "io": "Connecting", "sql": "Yes", "error": "error reconnecting"});
        let queue = serde_json::json!(
            {"ready": 5, "reserved": 2, "delayed": 0, "buried": 1, "oldest_job_age_s": 3, "age_s": 2.0});
        assert_eq!(answer["regions"][0]["region"], "ap");
        assert_eq!(answer["regions"][0]["queue"], serde_json::Value::Null);
        assert_eq!(
            answer["regions"][0]["held_back"],
            "replication does not run: error reconnecting"
        );
        assert_eq!(answer["complete_until"], serde_json::Value::Null);
        let eu = serde_json::json!(
            {"region": "eu", "queue": queue, "replication": replication, "lag_s": 2.0, "hold_s": 2.5,
             "clock": 7.0, "held_back": null, "clock_ahead_s": -0.5});
        assert_eq!(answer["regions"][1], eu);
        let not_attached = "the centre does not replicate from it";
        assert_eq!(answer["regions"][2]["region"], "sa");
        assert_eq!(answer["regions"][2]["held_back"], not_attached);
        assert_eq!(answer["regions"][3]["replication"], serde_json::Value::Null);
        assert_eq!(answer["regions"][3]["lag_s"], 0.0);
    }
}
