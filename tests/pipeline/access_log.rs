//! A real web server's log, imported into two regions, is the same in the API, in the terminal and in SQL.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;

use crate::centre;
use crate::rig::{Rig, eventtracker, two_regions, wait_until};

const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/apache_access.log");

/// `awk '{print $9}' | sort | uniq -c` over the log: the status is the ninth word of a line.
fn statuses_by_awk(log: &str) -> BTreeMap<String, u64> {
    let mut statuses = BTreeMap::new();
    for line in log.lines() {
        *statuses
            .entry(line.split(' ').nth(8).unwrap().to_owned())
            .or_default() += 1;
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_counts_the_same_everywhere() {
    let rig = Rig::start(two_regions()).await;
    let desk = tempfile::tempdir().unwrap();
    let log = desk.path().join("access.log");
    std::fs::copy(LOG, &log).unwrap();
    let log = log.to_str().unwrap();
    for region in rig.regions() {
        for again in [false, true] {
            let collector = &rig.collectors(&region)[0];
            let imported =
                eventtracker(&["import", "--format", "combined", "--collector", collector, log]).await;
            let shown = String::from_utf8_lossy(&imported.stdout).into_owned()
                + &String::from_utf8_lossy(&imported.stderr);
            assert!(imported.status.success(), "again: {again}: {shown}");
            assert!(shown.contains("10,000") && shown.contains("39,331"), "{shown}");
        }
    }

    let statuses = statuses_by_awk(&std::fs::read_to_string(LOG).unwrap());
    assert_eq!(statuses.values().sum::<u64>(), 10_000);
    let query = "/v1/series?name=web.requests&name=web.status.*&from=2015-05-17&until=2015-05-21&step=1d";
    let series = wait_until("all requests at the API", async || {
        let answer = rig.get(query).await.json;
        let series = answer["series"].as_array().unwrap().clone();
        match series.iter().find(|one| one["name"] == "web.requests") {
            Some(one) if one["total"] == 20_000 => Ok(series),
            _ => Err(answer.to_string()),
        }
    })
    .await;
    assert_eq!(series.len(), 1 + statuses.len());
    for (status, &count) in &statuses {
        let name = format!("web.status.{status}");
        let one = series.iter().find(|one| one["name"] == name.as_str()).unwrap();
        assert_eq!(one["total"], 2 * count, "{name}");
    }

    let api = rig.description().api;
    let days = ["--from", "2015-05-17", "--until", "2015-05-21", "--step", "1d"];
    let shown = eventtracker(&[&["series", "web.requests", "--api", &api], &days[..]].concat()).await;
    assert!(shown.status.success());
    assert!(
        String::from_utf8_lossy(&shown.stdout).contains("total 20,000"),
        "{shown:?}"
    );

    let mut conn = centre::connect(&rig.description().central).await;
    let shard = model::Shard::of(model::EventId::of("web.requests"));
    let sql = format!(
        "SELECT CAST(SUM(count) AS UNSIGNED) FROM \
         (SELECT count FROM {shard}.EventMinute WHERE eventId = {id} \
          AND createDate >= '2015-05-17' AND createDate < '2015-05-21' \
          UNION ALL SELECT total FROM {shard}.EventDay WHERE eventId = {id} \
          AND day BETWEEN '2015-05-17' AND '2015-05-20') counts",
        id = "CAST(CONV(LEFT(MD5('web.requests'),16),16,10) AS UNSIGNED)"
    );
    assert_eq!(conn.query_first::<u64, _>(sql).await.unwrap(), Some(20_000));
    let names: Vec<String> = conn
        .query("SELECT tagName FROM bigdata_0.EventTags WHERE tagName LIKE 'web.status.%'")
        .await
        .unwrap();
    assert_eq!(names.len(), statuses.len());
    rig.stop().await;
}
