//! Jobs that anybody may put: what cannot be counted is buried, and the pipeline goes on.

use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::rig::{Rig, eventtracker, one_region, put, wait_until};
use crate::tube::delete_buried;

const MINUTE: i64 = 1_763_787_600;

fn job(number: u8, counts: &Value) -> Value {
    let id = format!("00000000-0000-0000-0000-0000000000{number:02x}");
    json!({ "accepted": MINUTE, "names": ["poison"], "batches": [{ "id": id, "counts": counts }] })
}

/// Jobs that no worker can count, each for another reason.
fn unreadable_jobs() -> Vec<Vec<u8>> {
    let mut poison: Vec<Vec<u8>> = [
        job(1, &json!({ "1763787600": [[1, 1]] })),
        job(2, &json!({ "1763787600": [[0, 9_223_372_036_854_775_808_u64], [0, 9_223_372_036_854_775_808_u64]] })),
        job(3, &json!({ "2208988800": [[0, 1]] })),
        job(4, &json!({ "1763787600": [[0, 0]] })),
        job(5, &json!({ "1763787630": [[0, 1]] })),
        json!({ "accepted": MINUTE, "names": ["poison"], "batches": [{ "counts": {} }] }),
        json!({ "accepted": MINUTE, "names": ["x'); DROP"], "batches": [] }),
        json!({ "accepted": MINUTE, "names": ["x".repeat(256)], "batches": [] }),
        json!({ "accepted": 4_000_000_000_u64, "names": [], "batches": [] }),
        json!([]),
    ]
    .iter()
    .map(|job| job.to_string().into_bytes())
    .collect();
    let past_u64 = job(6, &json!({ "1763787600": [[0, "N"]] }))
        .to_string()
        .replace("\"N\"", "18446744073709551616");
    poison.extend([
        past_u64.into_bytes(),
        b"not json".to_vec(),
        b"\xff\xfe".to_vec(),
        Vec::new(),
        // What a beanstalkd leaves that is killed between the writes of a job's head and of its body, and of which a disk has torn one.
        vec![0; 500],
        b"{\"accepted\":1763787600,\0\0\0".to_vec(),
    ]);
    poison
}

#[tokio::test(flavor = "multi_thread")]
async fn is_buried_and_the_rest_goes_on() {
    let rig = Rig::start(one_region()).await;
    let poison = unreadable_jobs();
    for body in &poison {
        put(&rig, body).await;
    }

    let mut ledger = Ledger::default();
    let good = job(100, &json!({ "1763787600": [[0, 7]] })).to_string();
    put(&rig, good.as_bytes()).await;
    // The same batch in another job: counted once.
    put(&rig, good.as_bytes()).await;
    // A minute 23 hours ahead: further than collectors allow, and fine.
    let ahead = (chrono::Utc::now().timestamp() + 23 * 3600) / 60 * 60;
    put(
        &rig,
        job(101, &json!({ ahead.to_string(): [[0, 2]] }))
            .to_string()
            .as_bytes(),
    )
    .await;
    ledger.acknowledged("poison", MINUTE, 7);
    ledger.acknowledged("poison", ahead, 2);
    wait_until(
        "all unreadable jobs to be buried, and no other",
        async || match rig.tube("eu").await {
            tube if tube.buried == poison.len() as u64 && tube.jobs() == tube.buried => Ok(()),
            tube => Err(format!("{tube:?}")),
        },
    )
    .await;
    let config = rig.config("eu");
    let config = config.to_str().unwrap();
    let listed = eventtracker(&["queue", "list", "--config", config]).await;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        listed.contains("16 buried") && listed.contains("points past the table of 1 names"),
        "{listed}"
    );

    // Kicked, they are looked at again and buried again; then they are removed, so that the queue can be seen to be empty.
    let kicked = eventtracker(&["queue", "kick", "--config", config, "100"]).await;
    assert!(
        String::from_utf8_lossy(&kicked.stdout).contains("16 jobs"),
        "{kicked:?}"
    );
    wait_until("the kicked jobs to be buried again", async || {
        match rig.tube("eu").await {
            tube if tube.buried == poison.len() as u64 => Ok(()),
            tube => Err(format!("{tube:?}")),
        }
    })
    .await;
    delete_buried(&rig, "eu", |_| true).await;
    ledger.expect_at_centre(&rig).await;
    rig.expect_replication_runs().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_saturate_and_replication_goes_on() {
    let rig = Rig::start(one_region()).await;
    let id = model::EventId::of("poison");
    let shard = model::Shard::of(id);
    // More than any number of jobs could count: straight into the region's outbox.
    let mut conn = rig.description().regions["eu"]
        .mariadb
        .root()
        .connect()
        .await
        .unwrap();
    conn.query_drop(format!(
        "INSERT INTO {shard}.EventMinute VALUES ({id}, FROM_UNIXTIME({MINUTE}), 18446744073709551615)"
    ))
    .await
    .unwrap();
    let answer = rig
        .post(
            "eu",
            &json!({ "name": "poison", "timestamp": MINUTE, "count": 5 }),
        )
        .await;
    assert_eq!(answer.status, 202);
    let query = format!("/v1/series?name=poison&from={MINUTE}&until={}", MINUTE + 60);
    wait_until(
        "the saturated sum",
        async || match rig.get(&query).await.json["series"][0]["total"].as_u64() {
            Some(u64::MAX) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
    rig.expect_replication_runs().await;
    rig.stop().await;
}
