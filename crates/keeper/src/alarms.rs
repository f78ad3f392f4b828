//! Alarms: troubles that an operator should look at, in plain sentences.

use std::collections::BTreeMap;

use model::{Shards, Timestamp};
use store::central::Status;
use store::upkeep::{Alarm, KeyReuse};
use store::{QueueState, SILENCE_S_MAX, SourceState};

/// Most milliseconds that a region's clock may be off, ahead or behind: more than any network's delay.
const CLOCK_OFF_MS_MAX: i64 = 2_000;

/// Least room of a disk, in per cent: one with less is nearly full.
const FREE_PER_CENT_MIN: u64 = 10;

/// The alarms that follow from what has reached the centre. `unreachable` has the reason for each region whose database does
/// not answer the keeper; `now` is the centre's clock. The server has these shards.
pub(crate) fn standing(
    status: &Status,
    shards: Shards,
    unreachable: &BTreeMap<String, String>,
    now: Timestamp,
) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for state in &status.sources {
        let region = &state.source.region;
        alarms.extend(of_source(state));
        alarms.extend(of_filter(state, shards));
        let clock = status.clocks.get(region);
        let ahead_ms = clock.and_then(|clock| clock.ahead_ms);
        if let Some(ahead_ms) = ahead_ms.filter(|ms| ms.abs() > CLOCK_OFF_MS_MAX) {
            let seconds = ahead_ms.abs() / 1000;
            let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
            alarms.push(alarm(
                region,
                "clock",
                format!("its database's clock is {seconds} s {way} the centre's: events get wrong minutes; set the clock"),
            ));
        }
        if let Some(queue) = status.queues.iter().find(|queue| queue.region == *region) {
            alarms.extend(of_queue(queue, ahead_ms.unwrap_or(0), now));
        }
    }
    let is_source = |region: &String| status.sources.iter().any(|state| state.source.region == *region);
    for region in status.clocks.keys().filter(|region| !is_source(region)) {
        alarms.push(alarm(
            region,
            "source",
            "it belongs to the centre, which does not replicate from it, so nothing is complete: attach it with 'eventtracker region add', and \
             only if it is gone for good let it go with 'eventtracker region remove'"
                .to_owned(),
        ));
    }
    for (region, reason) in unreachable {
        alarms.push(alarm(
            region,
            "unreachable",
            format!("its database does not answer the keeper, so no binlog is purged there and its clock is not compared: {reason}"),
        ));
    }
    alarms
}

/// The alarm about replication that does not run.
fn of_source(state: &SourceState) -> Option<Alarm> {
    (!state.is_running()).then(|| {
        let error = match state.last_error.as_str() {
            "" => "without an error; START SLAVE for it at the centre",
            error => error,
        };
        alarm(
            &state.source.region,
            "replication",
            format!(
                "the centre does not replicate from it (reading: {}, applying: {}): {error}",
                state.io_running, state.sql_running
            ),
        )
    })
}

/// The alarm about a filter with which more or less is applied than the server's shards need.
fn of_filter(state: &SourceState, shards: Shards) -> Option<Alarm> {
    let expected = store::wild_do_tables(shards).join(", ");
    let does = match (state.has_all_of(shards), state.is_limited_to(shards)) {
        (_, true) => return None,
        (false, _) => "less of it than its shards need, so counts are lost for it and nothing is complete",
        (true, false) => "more of it than its shards need",
    };
    Some(alarm(
        &state.source.region,
        "filter",
        format!(
            "the server applies {does}: replicate_wild_do_table is '{}' and should be {expected}; 'eventtracker region add' and the option \
             file put it right, where nothing was passed over",
            state.wild_do_table
        ),
    ))
}

/// The alarms about a region's queue, as its worker last reported it.
fn of_queue(queue: &QueueState, ahead_ms: i64, now: Timestamp) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut add = |kind, sentence| alarms.push(alarm(&queue.region, kind, sentence));
    let silent_ms = now.ms_since(queue.seen.plus_ms(-ahead_ms));
    if silent_ms > 1000 * i64::from(SILENCE_S_MAX) {
        add(
            "silent",
            format!(
                "nothing has been heard of it for {} s: are its workers running, and can the centre reach its database?",
                silent_ms / 1000
            ),
        );
    }
    if !queue.is_durable {
        add(
            "queue_log",
            "its beanstalkd does not write its log, or does not sync it since its clock was set back, so its collectors refuse events: make room \
             on its disk, let the workers empty its queue, then restart it with -b DIR -f0 -s 1048576"
                .to_owned(),
        );
    }
    if let Some(disk) = queue
        .disk
        .filter(|d| d.free_bytes < d.size_bytes / 100 * FREE_PER_CENT_MIN)
    {
        add(
            "disk",
            format!(
                "a disk of its queue or database is nearly full: {} MiB of {} MiB are free; nothing is deleted to make room",
                disk.free_bytes >> 20,
                disk.size_bytes >> 20
            ),
        );
    }
    if queue.buried > 0 {
        add(
            "buried",
            format!(
                "{} jobs are buried because they cannot be counted: 'eventtracker queue list' in the region shows why",
                queue.buried
            ),
        );
    }
    alarms
}

/// The alarms about keys that were used again: one for each region, whose clients follow each other in `reused`.
pub(crate) fn of_keys(reused: &[KeyReuse]) -> Vec<Alarm> {
    let of_client = |reuse: &KeyReuse| {
        let KeyReuse {
            client,
            batches,
            count,
            ..
        } = reuse;
        format!("{client} ({count} counts in {batches} batches)")
    };
    let of_region = |reused: &[KeyReuse]| {
        let clients: Vec<String> = reused.iter().map(of_client).collect();
        alarm(
            &reused[0].region,
            "key_reuse",
            format!(
                "within the last day clients sent another body under an Idempotency-Key that was used before; it was answered 202 \
                 and not counted, so give each request a key of its own, and repeat a request as it was: {}",
                clients.join(", ")
            ),
        )
    };
    reused
        .chunk_by(|a, b| a.region == b.region)
        .map(of_region)
        .collect()
}

/// The alarms with one of each kind and region, as they are noted: sentences of the same follow each other.
pub(crate) fn joined(alarms: Vec<Alarm>) -> Vec<Alarm> {
    let mut joined: BTreeMap<(String, String), String> = BTreeMap::new();
    for Alarm {
        region,
        kind,
        sentence,
    } in alarms
    {
        let all = joined.entry((region, kind)).or_default();
        let separator = if all.is_empty() { "" } else { "; " };
        *all += &format!("{separator}{sentence}");
    }
    let alarm = |((region, kind), sentence)| Alarm {
        region,
        kind,
        sentence,
    };
    joined.into_iter().map(alarm).collect()
}

pub(crate) fn alarm(region: &str, kind: &str, sentence: String) -> Alarm {
    Alarm {
        region: region.to_owned(),
        kind: kind.to_owned(),
        sentence,
    }
}

#[cfg(test)]
mod tests {
    use store::RegionClock;
    use store::regional::Disk;

    use super::*;

    fn kinds(source: SourceState, queue: QueueState, ahead_ms: i64) -> Vec<String> {
        let clock = RegionClock {
            ahead_ms: Some(ahead_ms),
            ..RegionClock::default()
        };
        let status = Status {
            queues: vec![queue],
            sources: vec![source],
            shards: Vec::new(),
            clocks: BTreeMap::from([("eu".to_owned(), clock)]),
            positions: store::central::Positions::default(),
            servers: Vec::new(),
            alarms: Vec::new(),
            oldest_backup: None,
            kept_since: None,
        };
        let alarms = standing(
            &status,
            Shards::ALL,
            &BTreeMap::new(),
            Timestamp::from_unix_ms(100_000),
        );
        alarms.into_iter().map(|alarm| alarm.kind).collect()
    }

    #[test]
    fn alarms_of_one_kind_are_one() {
        let alarms = ["eu", "", "eu"].map(|region| alarm(region, "certificate", format!("of '{region}'")));
        let joined: Vec<_> = joined(alarms.into())
            .into_iter()
            .map(|a| (a.region, a.sentence))
            .collect();
        let expected = [("", "of ''"), ("eu", "of 'eu'; of 'eu'")];
        assert_eq!(
            joined,
            expected.map(|(region, text)| (region.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn clients_that_use_keys_again_are_named_by_region() {
        let reuse = |region: &str, client: &str| KeyReuse {
            region: region.to_owned(),
            client: client.to_owned(),
            batches: 2,
            count: 700,
        };
        let alarms = of_keys(&[reuse("eu", "shop"), reuse("eu", "10.1.2.3"), reuse("us", "app")]);
        assert_eq!(alarms.len(), 2);
        assert_eq!(
            (alarms[0].region.as_str(), alarms[0].kind.as_str()),
            ("eu", "key_reuse")
        );
        let clients = "shop (700 counts in 2 batches), 10.1.2.3 (700 counts in 2 batches)";
        assert!(alarms[0].sentence.ends_with(clients), "{}", alarms[0].sentence);
        assert!(of_keys(&[]).is_empty());
    }

    #[test]
    fn each_trouble_has_its_kind() {
        let well = SourceState {
            source: store::Source {
                region: "eu".to_owned(),
                host: "10.1.0.10".to_owned(),
                port: 3306,
                tls_ca: None,
            },
            io_running: "Yes".to_owned(),
            sql_running: "Yes".to_owned(),
            last_error: String::new(),
            wild_do_table: store::setup::WILD_DO_TABLE.to_owned(),
            server_id: 1,
            received: BTreeMap::new(),
        };
        let queue = QueueState {
            region: "eu".to_owned(),
            seen: Timestamp::from_unix_ms(99_000),
            ready: 0,
            reserved: 0,
            delayed: 0,
            buried: 0,
            oldest_job_age_s: None,
            is_durable: true,
            disk: Some(Disk {
                free_bytes: 10 << 30,
                size_bytes: 100 << 30,
            }),
            hold: None,
        };
        assert!(kinds(well.clone(), queue.clone(), 2_000).is_empty());
        let stopped = SourceState {
            sql_running: "No".to_owned(),
            ..well.clone()
        };
        assert_eq!(kinds(stopped, queue.clone(), -90_000), ["replication", "clock"]);
        let ill = QueueState {
            seen: Timestamp::from_unix_ms(39_000),
            buried: 2,
            is_durable: false,
            disk: Some(Disk {
                free_bytes: 9 << 30,
                size_bytes: 100 << 30,
            }),
            ..queue
        };
        assert_eq!(kinds(well, ill, 0), ["silent", "queue_log", "disk", "buried"]);
    }
}
