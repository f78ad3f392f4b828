//! What every role tells of itself, and what the api tells of the regions.

use serde_json::json;

use crate::rig::{Rig, eventtracker, signal, two_regions, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_and_status() {
    let rig = Rig::start(two_regions()).await;
    let events = json!([{ "name": "shop.item.sold", "count": 3 }, { "name": "shop.item.seen" }]);
    for region in rig.regions() {
        assert_eq!(rig.post(&region, &events).await.status, 202);
    }
    wait_until("both regions at the API", async || {
        let answer = rig.get("/v1/series?name=shop.item.sold&from=-2m").await.json;
        if answer["series"][0]["total"] == 6 {
            Ok(())
        } else {
            Err(answer.to_string())
        }
    })
    .await;

    for (base, metric) in [
        (
            rig.collectors("eu")[0].clone(),
            "collector_events_accepted_total 2",
        ),
        (rig.worker("eu"), "worker_counts_total 4"),
        (rig.description().api, "api_requests_total"),
    ] {
        let metrics = rig.metrics(&base).await;
        assert!(metrics.contains(metric), "{base}: {metrics}");
        for path in ["healthz", "readyz"] {
            let answer = rig.http.get(format!("{base}/{path}")).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{base}/{path}");
        }
    }

    let names = rig.get("/v1/names?query=item&limit=10").await.json;
    let listed: Vec<_> = names["names"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["name"].as_str().unwrap())
        .collect();
    assert_eq!(listed, ["shop.item.sold", "shop.item.seen"]);
    assert_eq!(names["names"][0]["popularity"], 6);
    assert_eq!(rig.get("/v1/names?query=shop.*").await.json, names);
    assert_eq!(rig.get("/v1/series?name=shop.*").await.json["series"], json!([]));
    assert_eq!(
        rig.get("/v1/series?name=shop.*.s??d&name=shop.item.seen")
            .await
            .json["series"][1]["name"],
        "shop.item.sold"
    );
    let status = rig.get("/v1/status").await.json;
    let regions: Vec<_> = status["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["region"].clone())
        .collect();
    assert_eq!(
        (regions, status["shards"].as_array().unwrap().len()),
        (vec![json!("eu"), json!("us")], 32)
    );
    let api = rig.description().api;
    let shown = eventtracker(&["status", "--api", &api]).await;
    assert!(
        shown.status.success() && String::from_utf8_lossy(&shown.stdout).contains("nothing is wrong"),
        "{shown:?}"
    );

    readiness_follows_the_servers(&rig).await;
    rig.stop().await;
}

/// A database that hangs makes its role say why it is not ready, until it is back.
async fn readiness_follows_the_servers(rig: &Rig) {
    let description = rig.description();
    for (base, pid, part) in [
        (
            description.api.clone(),
            description.central.pid,
            "central database",
        ),
        (
            rig.worker("eu"),
            description.regions["eu"].mariadb.pid,
            "regional database",
        ),
    ] {
        let ready = async || {
            let answer = rig.http.get(format!("{base}/readyz")).send().await.unwrap();
            (
                answer.status().as_u16(),
                answer.json::<serde_json::Value>().await.unwrap(),
            )
        };
        signal("STOP", pid).await;
        wait_until("a role that is not ready", async || match ready().await {
            (503, answer) if answer["reasons"][part].is_string() => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        signal("CONT", pid).await;
        wait_until("a role that is ready again", async || match ready().await {
            (200, _) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
}
