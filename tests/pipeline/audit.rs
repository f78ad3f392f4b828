//! The audit is equal during load, finds what is missing or too many, and says what it cannot know.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use playground::Options;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, one_region, packing_late, signal, two_regions, wait_until};
use crate::sender::{Progress, client, send_keyed, send_unkeyed};

/// Audits during load: each falls on another moment of flushes and replication.
const AUDITS: usize = 10;

/// Exit code and text of `eventtracker audit`, for every minute there is.
async fn audit(rig: &Rig, config: &str, further: &[&str]) -> (i32, String) {
    let output = rig.audit(config, "2025-11-01T00:00:00Z", further).await;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_at_any_moment_under_load() {
    let rig = Rig::start(Options {
        workers: 2,
        ..two_regions()
    })
    .await;
    let (progress, stop) = (Arc::<Progress>::default(), CancellationToken::new());
    let mut senders = Vec::new();
    for region in rig.regions() {
        let keyed = send_keyed(
            client(&rig),
            rig.collectors(&region),
            format!("k.{region}"),
            progress.clone(),
            stop.clone(),
        );
        senders.push(tokio::spawn(async { drop(keyed.await) }));
        let collector = rig.collectors(&region)[0].clone();
        let unkeyed = send_unkeyed(
            client(&rig),
            collector,
            format!("u.{region}"),
            progress.clone(),
            stop.clone(),
        );
        senders.push(tokio::spawn(async { drop(unkeyed.await) }));
    }
    wait_until("the first counts", async || {
        let (code, text) = audit(&rig, "central", &[]).await;
        if code == 0 && !text.contains("\n0 minutes") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    for _ in 0..AUDITS {
        let (code, text) = audit(&rig, "central", &[]).await;
        assert_eq!(code, 0, "{text}");
    }
    // What has not reached the centre lies between.
    let mut centre = rig.description().central.root().connect().await.unwrap();
    centre.query_drop("STOP SLAVE 'us'").await.unwrap();
    let (code, text) = audit(&rig, "central", &[]).await;
    assert_eq!(code, 0, "{text}");
    centre.query_drop("START SLAVE 'us'").await.unwrap();
    stop.cancel();
    for sender in senders {
        sender.await.unwrap();
    }
    let api = rig.get("/v1/audit?from=2025-11-20&until=2025-11-25").await;
    assert_eq!((api.status, &api.json["equal"]), (200, &json!(true)), "{api:?}");
    let long = rig.get("/v1/audit?from=2025-11-01").await;
    assert_eq!(long.status, 400, "{long:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_tampered_with_is_named() {
    let rig = Rig::start(packing_late(one_region())).await;
    let events = json!([{"name": "a", "timestamp": 1_763_787_600, "count": 5}, {"name": "b", "timestamp": 1_763_787_660}]);
    rig.post_until_accepted("eu", &events).await;
    wait_until("two minutes to be compared", async || {
        match audit(&rig, "central", &[]).await {
            (0, text) if text.contains("2 minutes compared, all equal") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let mut centre = rig.description().central.root().connect().await.unwrap();
    let shard = model::Shard::of(model::EventId::of("a"));
    for (harm, repair, sentence) in [
        (
            format!("UPDATE {shard}.EventMinute SET count = 6"),
            format!("UPDATE {shard}.EventMinute SET count = 5"),
            "minute 2025-11-22T05:00:00.000Z: regions counted 5, names hold 6: 1 too many",
        ),
        (
            format!("UPDATE {shard}.EventMinute SET count = 3"),
            format!("UPDATE {shard}.EventMinute SET count = 5"),
            "regions counted 5, names hold 3: 2 missing",
        ),
        (
            "UPDATE bigdata_0.RegionMinute SET count = 4 WHERE createDate = '2025-11-22 05:00:00'".to_owned(),
            "UPDATE bigdata_0.RegionMinute SET count = 5 WHERE createDate = '2025-11-22 05:00:00'".to_owned(),
            "its minutes at the centre sum up to 5, but it had counted 6",
        ),
        (
            "UPDATE bigdata_0.RegionMinute SET count = count + 1; UPDATE bigdata_0.RegionTotal SET total = 8"
                .to_owned(),
            "UPDATE bigdata_0.RegionMinute SET count = count - 1; UPDATE bigdata_0.RegionTotal SET total = 6"
                .to_owned(),
            "went back in time",
        ),
    ] {
        centre.query_drop(harm).await.unwrap();
        let (code, text) = audit(&rig, "central", &[]).await;
        assert!(code == 1 && text.contains(sentence), "{code}: {text}");
        centre.query_drop(repair).await.unwrap();
    }
    assert_eq!(audit(&rig, "central", &[]).await.0, 0);

    let mut region = rig.description().regions["eu"]
        .mariadb
        .root()
        .connect()
        .await
        .unwrap();
    region
        .query_drop("UPDATE eventtracker.CountedTotal SET total = total + 1")
        .await
        .unwrap();
    let (code, text) = audit(&rig, "central", &[]).await;
    assert!(
        code == 1 && text.contains("the region counted 7, the centre has 6"),
        "{code}: {text}"
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_regions_books_balance_until_a_process_forgets() {
    let rig = Rig::start(Options {
        collectors: 2,
        workers: 2,
        ..one_region()
    })
    .await;
    let first_worker = rig.description().regions["eu"].mariadb.port + 1;
    let urls: Vec<String> = rig
        .collectors("eu")
        .into_iter()
        .map(|url| format!("--collector={url}"))
        .chain([first_worker, first_worker + 2].map(|port| format!("--worker=http://127.0.0.1:{port}")))
        .collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    wait_until(
        "all processes to have seen the queue empty",
        async || match audit(&rig, "eu", &urls).await {
            (0, _) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
    for number in 0..20 {
        let url = format!("{}/v1/events", rig.collectors("eu")[number % 2]);
        let events = json!([{"name": "a"}, {"name": "b", "count": 4}]);
        assert_eq!(
            rig.http.post(url).json(&events).send().await.unwrap().status(),
            202
        );
    }
    wait_until("everything to be counted", async || {
        match audit(&rig, "eu", &urls).await {
            (0, text) if text.contains("counted                100") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    signal("KILL", rig.description().regions["eu"].pids.worker.all()[0]).await;
    wait_until("the figures to be not known", async || {
        match audit(&rig, "eu", &urls).await {
            (2, text) if text.contains("not known: the youngest of these processes found") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    rig.stop().await;
}
