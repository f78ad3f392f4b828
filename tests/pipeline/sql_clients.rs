//! Drivers that nobody here wrote ask the analysts' SQL, in sessions of several time zones: the same counts in each, or a sentence.

use playground::Options;
use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::python::printed;
use crate::rig::{Rig, one_region};

/// 2025-10-25T22:00:00Z, the midnight before Berlin's day of 25 hours.
const MIDNIGHT_S: i64 = 1_761_429_600;
const HOUR_S: i64 = 3_600;

async fn asked(rig: &Rig, name: &str, (begin, end): (i64, i64)) -> Value {
    let user = "eventtracker_analyst";
    let password = std::fs::read_to_string(rig.data_dir().join("passwords").join(user)).unwrap();
    let description = rig.description();
    let socket = description.central.socket.to_str().unwrap();
    let period = [begin, end].map(|at| at.to_string());
    let arguments = [socket, user, password.trim(), name, &period[0], &period[1]];
    printed("sql_clients.py", &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_driver_gets_the_same_counts_in_every_zone() {
    let options = Options {
        is_for_people: true,
        ..one_region()
    };
    let rig = Rig::start(options).await;
    let mut ledger = Ledger::default();
    let name = "web.requests";
    let hours: Vec<(i64, u64)> = (-2..28)
        .map(|hour| (MIDNIGHT_S + HOUR_S * hour, 100 + hour.unsigned_abs()))
        .collect();
    let events: Vec<Value> = hours
        .iter()
        .map(|(at, count)| json!({ "name": name, "count": count, "timestamp": at + 59 }))
        .collect();
    assert_eq!(rig.post("eu", &events.into()).await.status, 202);
    hours
        .iter()
        .for_each(|&(at, count)| ledger.acknowledged(name, at, count));
    ledger.expect_at_centre(&rig).await;

    let period = (MIDNIGHT_S, MIDNIGHT_S + 25 * HOUR_S);
    let within = || hours.iter().filter(|(at, _)| (period.0..period.1).contains(at));
    let sum = |hours: &mut dyn Iterator<Item = &(i64, u64)>| hours.map(|(_, count)| count).sum::<u64>();
    let total = sum(&mut within());
    let by_hour: Vec<Value> = within().map(|(at, count)| json!([at, count])).collect();
    let id = model::EventId::of(name);
    assert!(id.0 > 1 << 63);
    let local_days = json!([
        ["2025-10-25", sum(&mut hours[..2].iter())],
        ["2025-10-26", total],
        ["2025-10-27", sum(&mut hours[27..].iter())]
    ]);
    let series: Vec<Value> = within().map(|(at, count)| json!([name, at, count])).collect();
    let known = [
        ("by name", json!(by_hour)),
        ("by id", json!([[total]])),
        ("by region", json!([[total]])),
        ("total", json!([[total]])),
        ("series", json!(series)),
        ("local day", local_days),
        ("ids", json!([[id.0, id.to_string()]])),
    ];
    let local = [json!(by_hour), json!([[total]]), json!([["2025-10-25T20:00:00"]])];
    expect_everywhere(&asked(&rig, name, period).await, &known, &local);
    rig.stop().await;
}

/// `local` is what questions by the session's own times give where these are UTC.
fn expect_everywhere(answers: &Value, known: &[(&str, Value)], local: &[Value; 3]) {
    for (driver, zones) in answers.as_object().unwrap() {
        for (zone, answers) in zones.as_object().unwrap() {
            for (question, known) in known {
                assert_eq!(&answers[question], known, "{driver}, {zone}: {question}");
            }
            let given = ["local times", "local period", "times"].map(|question| answers[question].clone());
            if zone == "+00:00" {
                assert_eq!(&given, local, "{driver}");
                continue;
            }
            for (sentence, expected) in given.iter().zip([
                format!("createDate is UTC, and the time_zone of this session is {zone}: take unixSeconds"),
                format!("has no time zone, and that of this session is {zone}: give unix seconds"),
                format!("createDate is UTC, and the time_zone of this session is {zone}"),
            ]) {
                assert!(
                    sentence.to_string().contains(&expected),
                    "{driver}, {zone}: {sentence}"
                );
            }
        }
    }
}
