//! Shards move between the servers of a centre while regions count and readers look: there and back, interrupted at each step, with servers
//! that die.

use std::path::{Path, PathBuf};

use model::Shards;
use mysql_async::prelude::Queryable;
use playground::Options;
use tokio::process::Command;

use crate::centre;
use crate::complete::wait_until_current;
use crate::failpoints::{Failpoints, How};
use crate::regions::{audit, expect, region};
use crate::rig::{PROGRAM, Rig, eventtracker, one_region, signal, two_regions, wait_until};
use crate::sender::post_backlog;
use crate::under_load::{exact_under_load, progress_by, two_of_each};

/// Acknowledged requests between two steps.
const REQUESTS_BETWEEN: u64 = 20;

/// The steps of a move, in their order.
pub(crate) const OF_A_MOVE: [&str; 17] = [
    "shard.file_widened",
    "shard.receiver_stopped",
    "shard.filters_widened",
    "shard.snapshot",
    "shard.caught_up",
    "shard.emptied",
    "shard.started",
    "shard.piece",
    "shard.copied",
    "shard.compared",
    "shard.whole",
    "shard.position_held",
    "shard.given_up",
    "shard.file_narrowed",
    "shard.filters_narrowed",
    "shard.giver_emptied",
    "shard.giver_started",
];

fn on_two_servers(options: Options) -> Options {
    Options {
        central_servers: 2,
        ..two_of_each(options)
    }
}

/// The arguments of a shard command that changes files.
fn arguments(rig: &Rig, command: &[&str]) -> Vec<String> {
    let config = rig.config("central").to_str().unwrap().to_owned();
    let mut all: Vec<String> = [&["shard"], command]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
    all.extend(["--config".to_owned(), config]);
    for server in ["c1", "c2"] {
        let file = rig.data_dir().join(server).join("my.cnf");
        all.extend([
            "--mariadb-options".to_owned(),
            format!("{server}={}", file.display()),
        ]);
    }
    all
}

/// Exit code and text.
async fn shard(rig: &Rig, command: &[&str]) -> (i32, String) {
    let arguments = arguments(rig, command);
    let output = eventtracker(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("$ eventtracker {}\n{text}", arguments.join(" "));
    (output.status.code().unwrap(), text)
}

async fn list(rig: &Rig) -> (i32, String) {
    let config = rig.config("central");
    let output = eventtracker(&["shard", "list", "--config", config.to_str().unwrap()]).await;
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

/// Waits until the command, which may meet a server that is just started again, has moved the shards.
async fn moved(rig: &Rig, shards: &str, to: &str) {
    wait_until("the shards to be moved", async || {
        clear_away_drafts(rig);
        match shard(rig, &["move", shards, "--to", to]).await {
            (0, text) if text.contains("verified") || text.contains("already") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// As the refusal of the next run says.
fn clear_away_drafts(rig: &Rig) {
    let dir = rig.data_dir();
    for file in ["central.toml", "c1/my.cnf", "c2/my.cnf"] {
        // There is none, as a rule.
        drop(std::fs::remove_file(dir.join(format!("{file}.eventtracker-new"))));
    }
}

/// Each server has rows of its own shards alone, and says that it has these.
async fn expect_at(rig: &Rig, expected: [&str; 2]) {
    for (server, own) in ["c1", "c2"].into_iter().zip(expected) {
        let own: Shards = own.parse().unwrap();
        let database = &rig.description().central_servers[server].database;
        let mut conn = centre::connect(database).await;
        let counts = centre::counts(&mut conn).await.unwrap();
        let of = |id: &u64| model::Shard::of(model::EventId(*id));
        assert!(
            counts.keys().all(|(id, _)| own.contains(of(id))),
            "{server} has counts of others' shards"
        );
    }
    let lines = expected.map(|shards| format!(" {shards} "));
    let listed = list(rig).await;
    assert!(
        listed.0 == 0 && lines.iter().all(|line| listed.1.contains(line)),
        "{expected:?}: {listed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_under_load() {
    let rig = Rig::start(on_two_servers(two_regions())).await;
    exact_under_load(rig, async |rig, progress, ledger| {
        post_backlog(rig, "eu", ledger).await;
        progress_by(progress, REQUESTS_BETWEEN).await;
        moved(rig, "8-15", "c2").await;
        expect_at(rig, ["0-7", "8-31"]).await;
        progress_by(progress, REQUESTS_BETWEEN).await;
        // All that it has, shard 0 with the regions' sums among it.
        moved(rig, "0-7", "c2").await;
        progress_by(progress, REQUESTS_BETWEEN).await;
        wait_until_current(rig).await;
        expect(&audit(rig).await, 0, &["all equal"]);
        expect(
            &shard(rig, &["split", "c2", "--to", "c1"]).await,
            0,
            &["verified: c1 has shards"],
        );
        expect(&shard(rig, &["balance"]).await, 0, &[]);
        moved(rig, "0-15", "c1").await;
        moved(rig, "16-31", "c2").await;
        expect(
            &shard(rig, &["move", "16-31", "--to", "c2"]).await,
            0,
            &["are at c2 already"],
        );
        expect_at(rig, ["0-15", "16-31"]).await;
        let failures = rig
            .counter(&rig.description().api, "api_database_failures_total")
            .await;
        assert_eq!(failures, 0, "a move is no reason for which a request fails");
        wait_until_current(rig).await;
        expect(&audit(rig).await, 0, &["all equal"]);
        expect(&region(rig, &["list"]).await, 0, &["c1: shards 0-15"]);
    })
    .await;
}

/// The command dies at each step, and is run again; every second time it has gone on, the shards go back.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_at_each_step() {
    let failpoints = Failpoints::new();
    let rig = Rig::start(on_two_servers(one_region())).await;
    exact_under_load(rig, async |rig, progress, _| {
        progress_by(progress, REQUESTS_BETWEEN).await;
        for (name, to) in OF_A_MOVE.into_iter().zip(["c2", "c1"].into_iter().cycle()) {
            let command = arguments(rig, &["move", "0-15", "--to", to]);
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            failpoints.crash_at(name, &command).await;
            clear_away_drafts(rig);
            progress_by(progress, REQUESTS_BETWEEN).await;
            moved(rig, "0-15", to).await;
        }
        expect_at(rig, ["", "0-31"]).await;
        wait_until_current(rig).await;
        expect(&audit(rig).await, 0, &["all equal"]);
    })
    .await;
}

/// While the command stands at a step, one of the two servers dies; it may go on or refuse, and is run again.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_server_that_dies_at_each_step() {
    let failpoints = Failpoints::new();
    let rig = Rig::start(on_two_servers(one_region())).await;
    exact_under_load(rig, async |rig, progress, _| {
        progress_by(progress, REQUESTS_BETWEEN).await;
        let ways = [("c2", "c1"), ("c1", "c1"), ("c2", "c2"), ("c1", "c2")];
        for (name, (to, dies)) in OF_A_MOVE.into_iter().zip(ways.into_iter().cycle()) {
            failpoints.arm(name, How::Stop);
            let mut command = Command::new(PROGRAM);
            command.args(arguments(rig, &["move", "0-15", "--to", to]));
            command.envs(failpoints.environment()).kill_on_drop(true);
            let mut command = command.spawn().unwrap();
            failpoints.wait_until_taken(name).await;
            let pid = || rig.description().central_servers[dies].database.pid;
            let before = pid();
            signal("KILL", before).await;
            wait_until("the server to be started again", async || match pid() {
                now if now != before => Ok(()),
                _ => Err("it is not yet".to_owned()),
            })
            .await;
            signal("CONT", command.id().unwrap()).await;
            command.wait().await.unwrap();
            failpoints.disarm(name);
            progress_by(progress, REQUESTS_BETWEEN).await;
            moved(rig, "0-15", to).await;
        }
        wait_until_current(rig).await;
        expect(&audit(rig).await, 0, &["all equal"]);
    })
    .await;
}

/// Makes a server one that was just installed: without tables, connections and position.
async fn as_installed(rig: &Rig, server: &str) {
    let mut conn = centre::connect(&rig.description().central_servers[server].database).await;
    let databases = (0..32).map(|shard| format!("bigdata_{shard}"));
    let drop = databases
        .chain(["eventtracker".to_owned()])
        .map(|name| format!("DROP DATABASE {name}"));
    let first = [
        "STOP SLAVE 'eu'",
        "RESET SLAVE 'eu' ALL",
        "SET GLOBAL gtid_slave_pos = ''",
    ];
    for statement in first.map(str::to_owned).into_iter().chain(drop) {
        conn.query_drop(statement).await.unwrap();
    }
    let file = rig.data_dir().join(server).join("my.cnf");
    let text = std::fs::read_to_string(&file).unwrap();
    let without: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("replicate_wild_do_table"))
        .collect();
    std::fs::write(&file, without.join("\n") + "\n").unwrap();
}

/// The region has purged what it had written before; names, sums and the position come from the server that is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_further_server_joins_while_the_region_counts() {
    let failpoints = Failpoints::new();
    let rig = Rig::start(on_two_servers(one_region())).await;
    exact_under_load(rig, async |rig, progress, _| {
        progress_by(progress, REQUESTS_BETWEEN).await;
        moved(rig, "16-31", "c1").await;
        as_installed(rig, "c2").await;
        let mut region = centre::connect(&rig.description().regions["eu"].mariadb).await;
        region
            .query_drop("FLUSH BINARY LOGS; DO SLEEP(1); PURGE BINARY LOGS BEFORE SYSDATE()")
            .await
            .unwrap();
        let config = rig.config("central");
        let apply = [
            "schema",
            "apply",
            "--server",
            "c2",
            "--config",
            config.to_str().unwrap(),
        ];
        let applied = eventtracker(&apply).await;
        let said = String::from_utf8_lossy(&applied.stdout).into_owned();
        assert!(
            applied.status.success() && said.contains("'eventtracker shard join'"),
            "{applied:?}"
        );
        for name in ["join.options_written", "join.copied"] {
            let command = arguments(rig, &["join", "c2"]);
            failpoints
                .crash_at(name, &command.iter().map(String::as_str).collect::<Vec<_>>())
                .await;
        }
        progress_by(progress, REQUESTS_BETWEEN).await;
        expect(
            &shard(rig, &["join", "c2"]).await,
            0,
            &["rows of EventTags", "verified: c2 is a server"],
        );
        wait_until("the keeper to have compared its clock", async || {
            match shard(rig, &["split", "c1", "--to", "c2"]).await {
                (0, text) if text.contains("verified: c2 has shards") => Ok(()),
                (1, text) if text.contains("clock was not compared") => Err(text),
                other => panic!("{other:?}"),
            }
        })
        .await;
        expect(&shard(rig, &["join", "c2"]).await, 1, &["c2 has shards"]);
        // Its option file is what it has to be after a restart, too.
        let before = rig.description().central_servers["c2"].database.pid;
        signal("KILL", before).await;
        progress_by(progress, REQUESTS_BETWEEN).await;
        wait_until_current(rig).await;
        expect(&audit(rig).await, 0, &["all equal"]);
    })
    .await;
}

/// `shard move 3 --to c2` with these option files.
async fn move_with(rig: &Rig, options: &[(&str, &Path)]) -> (i32, String) {
    let config = rig.config("central");
    let config = config.to_str().unwrap();
    let command = ["shard", "move", "3", "--to", "c2", "--config", config];
    let mut all = command.map(str::to_owned).to_vec();
    for (server, file) in options {
        all.extend([
            "--mariadb-options".to_owned(),
            format!("{server}={}", file.display()),
        ]);
    }
    let output = eventtracker(&all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn option_files(rig: &Rig) -> [PathBuf; 2] {
    ["c1", "c2"].map(|server| rig.data_dir().join(server).join("my.cnf"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_changes_nothing() {
    let rig = Rig::start(on_two_servers(one_region())).await;
    wait_until_current(&rig).await;
    let [c1, c2] = option_files(&rig);
    let texts = || option_files(&rig).map(|file| std::fs::read_to_string(file).unwrap());
    let before = texts();
    for (command, refusal) in [
        (["move", "32", "--to", "c2"], "write numbers from 0 to 31"),
        (["move", "", "--to", "c2"], "no shard is named"),
        (
            ["move", "3", "--to", "c9"],
            "no central server is called 'c9': there are c1, c2",
        ),
        (["split", "c9", "--to", "c2"], "no central server is called 'c9'"),
    ] {
        let (code, text) = shard(&rig, &command).await;
        assert!(code != 0 && text.contains(refusal), "{command:?}: {text}");
    }
    let one = move_with(&rig, &[("c1", &c1)]).await;
    expect(&one, 1, &["name it with --mariadb-options c2=FILE"]);
    let swapped = move_with(&rig, &[("c1", &c2), ("c2", &c1)]).await;
    expect(&swapped, 1, &["is it its option file?"]);
    // Nothing else changes what a server replicates in the middle of a move, nor another move.
    let mut holder = centre::connect(&rig.description().central_servers["c2"].database).await;
    holder
        .query_drop("DO GET_LOCK('eventtracker.replication', 0)")
        .await
        .unwrap();
    let refused = move_with(&rig, &[("c1", &c1), ("c2", &c2)]).await;
    expect(
        &refused,
        1,
        &["c2 (MariaDB at", "another command changes what it replicates"],
    );
    let remove = [
        "remove",
        "eu",
        "--server",
        "c2",
        "--mariadb-options",
        c2.to_str().unwrap(),
    ];
    expect(
        &region(&rig, &remove).await,
        1,
        &["another command changes what it replicates"],
    );
    drop(holder);
    assert_eq!(texts(), before);
    expect_at(&rig, ["0-15", "16-31"]).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_lose_counts_or_promises_is_refused() {
    let rig = Rig::start(on_two_servers(one_region())).await;
    wait_until_current(&rig).await;
    let [c1, c2] = option_files(&rig);
    let files = [("c1", &*c1), ("c2", &*c2)];
    let keeper = rig.description().pids.keeper.unwrap();
    let mut conn = centre::connect(&rig.description().central_servers["c1"].database).await;
    let mut read_from = async |port: u16| {
        let script = format!("STOP SLAVE 'eu'; CHANGE MASTER 'eu' TO MASTER_PORT = {port}; START SLAVE 'eu'");
        conn.query_drop(script).await.unwrap();
    };
    read_from(1).await;
    wait_until("replication to fail", async || {
        match move_with(&rig, &files).await {
            (1, text) if text.contains("replication from eu does not run") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    signal("STOP", keeper).await;
    read_from(rig.description().regions["eu"].mariadb.port).await;
    wait_until("the comparison of clocks to be too old", async || {
        let status = rig.get("/v1/status").await.json;
        match &status["servers"][1]["complete_until"] {
            serde_json::Value::Null => Ok(()),
            _ => Err(status.to_string()),
        }
    })
    .await;
    expect(&move_with(&rig, &files).await, 1, &["clock was not compared"]);
    signal("CONT", keeper).await;
    expect_at(&rig, ["0-15", "16-31"]).await;
    rig.stop().await;
}
