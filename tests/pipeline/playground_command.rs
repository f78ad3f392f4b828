//! `eventtracker playground`, as typed in a terminal.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use playground::Description;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::rig::{LIMIT, PROGRAM, answer, eventtracker, signal, wait_until};

struct Terminal {
    child: Child,
    data_dir: PathBuf,
}

impl Terminal {
    async fn start(data_dir: &Path, port: u16) -> Self {
        let mut child = Command::new(PROGRAM)
            .args([
                "playground",
                "--regions",
                "eu",
                "--port",
                &port.to_string(),
                "--data-dir",
            ])
            .arg(data_dir)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("EventTracker is ready") {
                    return;
                }
            }
            panic!("the playground ended before it was ready");
        };
        tokio::time::timeout(LIMIT, ready)
            .await
            .expect("the playground becomes ready");
        // The pipe stays open until the program ends.
        tokio::spawn(async move { while lines.next_line().await.is_ok_and(|line| line.is_some()) {} });
        Self {
            child,
            data_dir: data_dir.to_owned(),
        }
    }

    fn description(&self) -> Description {
        Description::read(&self.data_dir).unwrap()
    }

    async fn interrupt(mut self, times: usize) -> bool {
        for _ in 0..times {
            signal("INT", self.child.id().unwrap()).await;
        }
        tokio::time::timeout(LIMIT, self.child.wait())
            .await
            .expect("it stops")
            .unwrap()
            .success()
    }
}

fn pids(description: &Description) -> Vec<u32> {
    let mut pids = vec![description.central.pid];
    pids.extend(description.pids.api);
    for region in description.regions.values() {
        pids.extend([region.mariadb.pid, region.pids.beanstalkd]);
        pids.extend(region.pids.collector.all());
        pids.extend(region.pids.worker.all());
    }
    pids
}

async fn all_gone(pids: &[u32]) {
    wait_until("every process to be gone", async || {
        let left: Vec<_> = pids
            .iter()
            .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_its_data_and_refuses_what_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let port = playground::free_port(1).unwrap();
    let first = Terminal::start(&data_dir, port).await;
    let description = first.description();
    assert_eq!(description.api, format!("http://127.0.0.1:{port}"));
    assert_eq!(
        description.regions["eu"].collector,
        format!("http://127.0.0.1:{}", port + 10)
    );
    assert_eq!(
        description.regions["eu"].beanstalkd,
        format!("127.0.0.1:{}", port + 11)
    );
    let collector = description.regions["eu"].collector.as_str();
    let sent = eventtracker(&["emit", "kept.for.later=5", "other", "--collector", collector]).await;
    assert!(sent.status.success(), "{sent:?}");
    let refused = eventtracker(&["emit", "not*allowed", "--collector", collector]).await;
    assert!(!refused.status.success(), "{refused:?}");

    let port_text = port.to_string();
    let in_use = eventtracker(&[
        "playground",
        "--port",
        "1024",
        "--data-dir",
        data_dir.to_str().unwrap(),
    ])
    .await;
    let said = String::from_utf8_lossy(&in_use.stderr).into_owned();
    assert!(
        !in_use.status.success() && said.contains(data_dir.to_str().unwrap()),
        "{said}"
    );
    let other = dir.path().join("other");
    let taken = eventtracker(&[
        "playground",
        "--port",
        &port_text,
        "--data-dir",
        other.to_str().unwrap(),
    ])
    .await;
    let said = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(
        !taken.status.success() && said.contains(&port_text) && said.contains("--port"),
        "{said}"
    );

    let running = pids(&description);
    assert!(first.interrupt(1).await);
    all_gone(&running).await;
    assert!(!data_dir.join(playground::DESCRIPTION_FILE).exists());

    let second = Terminal::start(&data_dir, port).await;
    let http = http_client::of_own(None).unwrap().build().unwrap();
    wait_until("the count of the first run", async || {
        let found = answer(http.get(format!(
            "{}/v1/series?name=kept.for.later",
            second.description().api
        )))
        .await;
        let total = &found.json["series"][0]["total"];
        if *total == json!(5) {
            Ok(())
        } else {
            Err(found.json.to_string())
        }
    })
    .await;
    let running = pids(&second.description());
    second.interrupt(2).await;
    all_gone(&running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_the_package_of_a_missing_program() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(PROGRAM)
        .args(["playground", "--data-dir"])
        .arg(dir.path())
        .env("PATH", dir.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("apt-get install"),
        "{said}"
    );
}
