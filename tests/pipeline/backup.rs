//! `deploy/backup-centre` and `deploy/restore-centre`: a copy of the running centre, from which it goes on when it is lost.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::SystemTime;

use forgetful_disk::{Disk, Names};
use model::Timestamp;
use mysql_async::prelude::Queryable;
use playground::Options;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::centre;
use crate::complete::{complete_until, instant};
use crate::keeper_watches::{binlogs, count_and_flush};
use crate::ledger::Ledger;
use crate::regions::{audit, expect, keep_marks};
use crate::rig::{LIMIT, Rig, eventtracker, one_region, signal, two_regions, wait_until};
use crate::sender::Progress;
use crate::truth::Truth;
use crate::under_load::{exact_under_load, progress_by, two_of_each};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");

/// The rights that the script's --help names.
const ACCOUNT: &str = "CREATE USER backup@localhost IDENTIFIED BY '';
    GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, SLAVE MONITOR ON *.* TO backup@localhost";

/// Acknowledged requests between two steps.
const REQUESTS: u64 = 200;

const MINUTE: i64 = 1_763_787_600;

/// A day that was packed before the backup.
const PACKED: &str = "INSERT INTO bigdata_7.EventDay VALUES ('2025-01-01', 7 << 59, 5, '[[61,5]]')";

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_centre_goes_on_from_its_backup_under_load() {
    let encrypted = Options {
        tls: true,
        ..two_regions()
    };
    let rig = Rig::start(two_of_each(encrypted)).await;
    exact_under_load(rig, async |rig, progress, ledger| {
        let central = rig.description().central;
        let mut conn = centre::connect(&central).await;
        conn.query_drop(ACCOUNT).await.unwrap();
        conn.query_drop(PACKED).await.unwrap();
        progress_by(progress, REQUESTS).await;
        let config = rig.config("central");
        let named = ["--name", "daily", "--user", "backup"];
        let with = [&named[..], &["--with", config.to_str().unwrap()]].concat();
        let taken = backup(rig, &with).await;
        expect(&taken, 0, &["daily is whole", " eu 127.0.0.1:", " us 127.0.0.1:"]);
        let kept = std::fs::read(backups(rig).join("daily/with/central.toml")).unwrap();
        assert_eq!(kept, std::fs::read(&config).unwrap());
        for name in ["ca.pem", "certificate.pem", "key.pem"] {
            let file = rig.data_dir().join("tls").join(name);
            expect(&taken, 0, &[&format!("tls {}", file.display())]);
            let kept = backups(rig)
                .join("daily/tls")
                .join(file.strip_prefix("/").unwrap());
            assert_eq!(std::fs::read(&kept).unwrap(), std::fs::read(&file).unwrap());
            assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o077, 0);
        }
        let again = backup(rig, &named).await;
        expect(&again, 1, &["daily exists: nothing is written into a backup"]);

        lose_more_than_the_backup_has(rig, progress, ledger).await;
        let acknowledged_at = Timestamp::from(SystemTime::now());
        put_back_what_was_lost(rig, central.pid, &progress.truth).await;

        let central = rig.description().central;
        let mut conn = centre::connect(&central).await;
        assert_eq!(position(&mut conn).await, told_positions(rig));
        let sources: Vec<mysql_async::Row> = conn.query("SHOW ALL SLAVES STATUS").await.unwrap();
        assert!(sources.is_empty(), "{sources:?}");
        complete_for_no_region_that_is_not_attached(rig, acknowledged_at).await;
        let applied = eventtracker(&["schema", "apply", "--config", config.to_str().unwrap()]).await;
        expect(&text(&applied), 0, &["replicates from eu", "replicates from us"]);
        complete_only_when_it_is(rig, acknowledged_at).await;

        let packed = "SELECT counts FROM bigdata_7.EventDay WHERE day = '2025-01-01'";
        let packed: Option<String> = conn.query_first(packed).await.unwrap();
        assert_eq!(packed.as_deref(), Some("[[61,5]]"));
        // No region had counted it.
        conn.query_drop("DELETE FROM bigdata_7.EventDay WHERE day = '2025-01-01'")
            .await
            .unwrap();
        progress_by(progress, REQUESTS).await;
        wait_until("the audit to be equal", async || match audit(rig).await {
            (0, _) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    })
    .await;
}

/// Counts on, and lets the centre apply what is not in the backup; the regions begin new binlog files.
async fn lose_more_than_the_backup_has(rig: &Rig, progress: &Progress, ledger: &mut Ledger) {
    for region in rig.description().regions.values() {
        let mut conn = region.mariadb.root().connect().await.unwrap();
        conn.query_drop("FLUSH BINARY LOGS").await.unwrap();
    }
    progress_by(progress, REQUESTS).await;
    let event = json!({ "name": "after.backup", "timestamp": MINUTE, "count": 7 });
    rig.post_until_accepted("eu", &event).await;
    ledger.acknowledged("after.backup", MINUTE, 7);
    wait_until("the count to be at the centre", async || {
        match after_backup(rig).await {
            Some((7, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// Sum and `complete_until` of the name that is not in the backup.
async fn after_backup(rig: &Rig) -> Option<(u64, Option<Timestamp>)> {
    let series = "/v1/series?name=after.backup&from=2025-11-22&until=2025-11-23&step=1d";
    let answer = rig.get(series).await;
    let sum = answer.json["series"][0]["total"].as_u64().unwrap_or(0);
    (answer.status == 200).then(|| (sum, complete_until(&answer.json)))
}

/// Loses the data directory, and restores it beside its place: the playground starts the server as soon as it can.
async fn put_back_what_was_lost(rig: &Rig, pid: u32, truth: &Truth) {
    let data = rig.data_dir().join("central/data");
    let in_use = restore(rig, "daily", &data).await;
    expect(
        &in_use,
        1,
        &[&format!("process id {pid} runs in"), "stop it first"],
    );
    let (lost, restored) = (data.with_file_name("lost"), data.with_file_name("restored"));
    std::fs::rename(&data, &lost).unwrap();
    let in_use = restore(rig, "daily", &lost).await;
    expect(&in_use, 1, &["stop it first"]);
    signal("KILL", pid).await;
    wait_until("the refusal of what is not empty", async || {
        match restore(rig, "daily", &lost).await {
            (1, text) if text.contains("is not empty: move away what is in it") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    expect(&restore(rig, "daily", &restored).await, 1, &["create it, as in"]);
    std::fs::create_dir(&restored).unwrap();
    let ca = rig.description().ca.unwrap();
    std::fs::rename(&ca, ca.with_extension("lost")).unwrap();
    let done = restore(rig, "daily", &restored).await;
    std::fs::rename(ca.with_extension("lost"), &ca).unwrap();
    let lost = format!("not as it was on this machine: {}; it is kept in", ca.display());
    expect(
        &done,
        0,
        &["is restored from", &lost, "eventtracker schema apply"],
    );
    assert!(!done.1.contains("tls/key.pem; it is kept"), "{done:?}");
    truth.begin_anew();
    std::fs::rename(&restored, &data).unwrap();
    wait_until("the restored centre to answer", async || {
        let connected = rig.description().central.root().connect().await;
        connected.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

/// A restored centre is of the past, and must not promise more until it has applied the rest.
async fn complete_only_when_it_is(rig: &Rig, acknowledged_at: Timestamp) {
    wait_until("the centre to be complete again", async || {
        let Some((sum, complete_until)) = after_backup(rig).await else {
            return Err("no answer".to_owned());
        };
        if complete_until.is_some_and(|until| until.ms_since(acknowledged_at) > 0) {
            assert_eq!(sum, 7, "complete until {complete_until:?}");
            Ok(())
        } else {
            Err(format!("{sum}, complete until {complete_until:?}"))
        }
    })
    .await;
}

/// The region that has counted since is not attached yet, and the other one has caught up.
async fn complete_for_no_region_that_is_not_attached(rig: &Rig, acknowledged_at: Timestamp) {
    let config = rig.config("central");
    let mut without: toml::Table = std::fs::read_to_string(&config).unwrap().parse().unwrap();
    let sources = without["source"].as_array_mut().unwrap();
    sources.retain(|source| source["region"].as_str() != Some("eu"));
    let file = config.with_file_name("without.toml");
    std::fs::write(&file, without.to_string()).unwrap();
    let applied = eventtracker(&["schema", "apply", "--config", file.to_str().unwrap()]).await;
    expect(&text(&applied), 0, &["replicates from us"]);
    wait_until("the attached region to be current", async || {
        let status = rig.get("/v1/status").await.json;
        let region = |name| {
            status["regions"]
                .as_array()?
                .iter()
                .find(|region| region["region"] == name)
        };
        let until = region("us").and_then(|us| instant(&us["clock"]));
        if until.is_none_or(|until| until.ms_since(acknowledged_at) <= 0) {
            return Err(status.to_string());
        }
        assert!(
            complete_until(&status).is_none_or(|until| until.ms_since(acknowledged_at) < 0),
            "{status}"
        );
        let eu = region("eu").ok_or(status.to_string())?;
        assert_eq!(
            eu["held_back"], "the centre does not replicate from it",
            "{status}"
        );
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_no_backup() {
    let rig = Rig::start(one_region()).await;
    let mut ledger = Ledger::default();
    count_and_flush(&rig, &mut ledger).await;
    ledger.expect_at_centre(&rig).await;
    let unfinished = backups(&rig).join("cut.unfinished");

    // One read in a second: it is still at it when it is killed.
    let slow = rig.data_dir().join("central/slow.cnf");
    let mut options = std::fs::read_to_string(options_file(&rig)).unwrap();
    options.push_str("\n[mariadb-backup]\nthrottle = 1\n");
    std::fs::write(&slow, options).unwrap();
    let mut cut = start_backup(&rig, &slow, &["--name", "cut"]);
    wait_until("the data to be copied", async || {
        let copied = unfinished.join("data/ibdata1").exists();
        copied.then_some(()).ok_or("none yet".to_owned())
    })
    .await;
    let group = cut.id().unwrap();
    signal("KILL", group).await;
    cut.wait().await.unwrap();
    // What it had started goes on.
    let refused = backup(&rig, &[]).await;
    expect(&refused, 1, &["another backup is being written"]);
    kill_group(group).await;
    wait_until("the lock to end with its holders", async || {
        let lock = ["--nonblock", backups(&rig).to_str().unwrap(), "true"].map(str::to_owned);
        let taken = Command::new("flock").args(lock).status().await.unwrap();
        taken.success().then_some(()).ok_or(taken.to_string())
    })
    .await;

    let target = rig.data_dir().with_file_name("target");
    std::fs::create_dir(&target).unwrap();
    let refused = restore(&rig, "cut.unfinished", &target).await;
    expect(&refused, 1, &["is no whole backup"]);
    std::fs::rename(&unfinished, backups(&rig).join("cut")).unwrap();
    expect(&restore(&rig, "cut", &target).await, 1, &["is no whole backup"]);
    std::fs::rename(backups(&rig).join("cut"), &unfinished).unwrap();

    // The next one clears it away, and what is older than the newest; what has a name of its own stays.
    let older = backups(&rig).join("2020-01-01T000000Z");
    std::fs::create_dir_all(older.join("data")).unwrap();
    expect(&backup(&rig, &["--name", "named"]).await, 0, &["named is whole"]);
    assert!(older.exists() && !unfinished.exists());
    // One that a clock ahead has named is no newer than the others, and neither may go for it.
    let to_come = backups(&rig).join("2999-01-01T000000Z");
    std::fs::create_dir_all(&to_come).unwrap();
    let held = backup(&rig, &["--keep", "1"]).await;
    expect(&held, 0, &["Z is whole", "named by a time that has not come"]);
    assert!(older.exists());
    std::fs::remove_dir(&to_come).unwrap();
    let kept = backup(&rig, &["--keep", "1"]).await;
    expect(&kept, 0, &["Z is whole", "2020-01-01T000000Z is removed"]);
    assert!(!older.exists() && backups(&rig).join("named").exists());
    rig.stop().await;
}

/// The steps of the scripts that have no failpoints, since they are no program of ours: the process group ends right before or after a rename.
#[tokio::test(flavor = "multi_thread")]
async fn what_dies_at_a_rename_is_whole_or_none() {
    let rig = Rig::start(one_region()).await;
    std::fs::create_dir_all(backups(&rig)).unwrap();
    let target = rig.data_dir().with_file_name("target");
    for when in ["before", "after"] {
        let shim = dies_at_mv(&rig, when, "/");
        let mut dying = script("backup-centre", &options_file(&rig));
        dying.arg("--socket").arg(rig.description().central.socket);
        dying.args(["--name", when]).arg(backups(&rig)).env("PATH", &shim);
        expect_killed(dying.spawn().unwrap()).await;
        std::fs::create_dir(&target).unwrap();
        let (code, text) = restore(&rig, when, &target).await;
        if when == "before" {
            assert!(code == 1 && text.contains("is no whole backup"), "{text}");
            assert!(backups(&rig).join("before.unfinished").exists());
        } else {
            assert_eq!(code, 0, "{text}");
        }
        std::fs::remove_dir_all(&target).unwrap();
    }
    expect(&backup(&rig, &["--name", "next"]).await, 0, &["next is whole"]);
    assert!(!backups(&rig).join("before.unfinished").exists());

    for when in ["before", "after"] {
        // Its last one, without which no server starts.
        let shim = dies_at_mv(&rig, when, "mysql");
        std::fs::create_dir(&target).unwrap();
        let mut dying = script("restore-centre", &options_file(&rig));
        dying
            .arg(backups(&rig).join("next"))
            .arg(&target)
            .env("PATH", &shim);
        expect_killed(dying.spawn().unwrap()).await;
        assert_eq!(target.join("mysql").exists(), when == "after");
        let again = restore(&rig, "next", &target).await;
        expect(&again, 1, &["is not empty: move away what is in it"]);
        std::fs::remove_dir_all(&target).unwrap();
    }
    rig.stop().await;
}

/// A `PATH` whose `mv` ends its process group when it is given something with such a name.
fn dies_at_mv(rig: &Rig, when: &str, what: &str) -> String {
    let dir = rig.data_dir().with_file_name(format!("mv-{when}"));
    std::fs::create_dir_all(&dir).unwrap();
    let (before, after) = if when == "before" {
        ("kill -KILL 0", "")
    } else {
        ("", "kill -KILL 0")
    };
    let shim = format!(
        "#!/bin/sh\ncase \"$*\" in *{what}*) {before}\n /bin/mv \"$@\" && {after}\n exit ;; esac\nexec /bin/mv \"$@\"\n"
    );
    std::fs::write(dir.join("mv"), shim).unwrap();
    std::fs::set_permissions(dir.join("mv"), PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap())
}

async fn expect_killed(child: Child) {
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    let output = output.expect("the script ends").unwrap();
    assert_eq!(output.status.code(), None, "{output:?}");
}

/// The regions have purged what came before the backup, so nothing else can begin one. The power goes as soon as the backup is whole, and
/// as soon as it is restored.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_centre_begins_with_a_backup_of_the_first() {
    let options = one_region();
    let rig = Rig::start(options.clone()).await;
    let mut ledger = Ledger::default();
    count_and_flush(&rig, &mut ledger).await;
    ledger.expect_at_centre(&rig).await;
    keep_marks(&rig, &mut ledger);
    let newest = binlogs(&rig).await.pop().unwrap();
    let mut region = centre::connect(&rig.description().regions["eu"].mariadb).await;
    let purge = format!("PURGE BINARY LOGS TO '{newest}'");
    region.query_drop(purge).await.unwrap();
    let mount = |dir: &Path| Disk::mount(dir, Names::WithDirectory).unwrap_or_else(|error| panic!("{error}"));
    let disk = mount(&backups(&rig));
    expect(&backup(&rig, &["--name", "first"]).await, 0, &["first is whole"]);
    println!("{:?}", disk.cut(|sectors| sectors).unwrap());
    count_and_flush(&rig, &mut ledger).await;

    let standby = rig.data_dir().join("standby");
    let disk = mount(&standby);
    let standby = standby.join("data");
    std::fs::create_dir(&standby).unwrap();
    disk.sync();
    expect(&restore(&rig, "first", &standby).await, 0, &["is restored from"]);
    println!("{:?}", disk.cut(|sectors| sectors).unwrap());
    let dir = rig.stop().await;
    let rig = Rig::start_in(
        dir,
        Options {
            standby: true,
            ..options
        },
    )
    .await;
    ledger.expect_at_centre(&rig).await;
    rig.stop().await;
}

fn backups(rig: &Rig) -> PathBuf {
    rig.data_dir().with_file_name("backups")
}

fn options_file(rig: &Rig) -> PathBuf {
    rig.data_dir().join("central/my.cnf")
}

/// Exit code and text of a backup of the first centre.
async fn backup(rig: &Rig, arguments: &[&str]) -> (i32, String) {
    finish(start_backup(rig, &options_file(rig), arguments)).await
}

fn start_backup(rig: &Rig, options: &Path, arguments: &[&str]) -> Child {
    std::fs::create_dir_all(backups(rig)).unwrap();
    let mut command = script("backup-centre", options);
    command.arg("--socket").arg(rig.description().central.socket);
    command.args(arguments).arg(backups(rig)).spawn().unwrap()
}

async fn restore(rig: &Rig, name: &str, datadir: &Path) -> (i32, String) {
    let mut command = script("restore-centre", &options_file(rig));
    command.arg(backups(rig).join(name)).arg(datadir);
    finish(command.spawn().unwrap()).await
}

/// In a process group of its own.
pub(crate) fn script(name: &str, options: &Path) -> Command {
    let mut command = Command::new(format!("{DEPLOY}/{name}"));
    command.arg("--defaults-file").arg(options).process_group(0);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

pub(crate) async fn finish(child: Child) -> (i32, String) {
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    let text = text(&output.expect("the script ends").unwrap());
    println!("{text:?}");
    text
}

fn text(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

async fn kill_group(group: u32) {
    let mut kill = Command::new("kill");
    let status = kill.args(["-KILL", "--", &format!("-{group}")]).status().await;
    assert!(status.unwrap().success(), "kill -KILL -- -{group}");
}

async fn position(conn: &mut mysql_async::Conn) -> BTreeSet<String> {
    let position: Option<String> = conn.query_first("SELECT @@gtid_slave_pos").await.unwrap();
    position.unwrap().split(',').map(str::to_owned).collect()
}

/// What the backup says of itself.
fn told_positions(rig: &Rig) -> BTreeSet<String> {
    let about = std::fs::read_to_string(backups(rig).join("daily/about")).unwrap();
    let positions = about.lines().filter_map(|line| line.strip_prefix("position "));
    positions
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}
