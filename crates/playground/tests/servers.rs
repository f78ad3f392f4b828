//! Real servers, without the roles: what is written in a region arrives at the centre, whatever is killed or moved.

#![expect(clippy::disallowed_methods, reason = "tests wait for states, up to a limit")]
#![expect(clippy::unwrap_used, reason = "a step that fails should fail its test")]

use std::path::Path;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use playground::{Database, Description, Directory, Options, Playground, free_port};
use tokio_util::sync::CancellationToken;

/// Longest wait for a state: a killed server is back in about two seconds, and the centre tries a lost source again every five.
const LIMIT: Duration = Duration::from_secs(60);

fn options(data_dir: &Path, port: u16) -> Options {
    Options {
        data_dir: data_dir.to_owned(),
        port,
        ..Options::default()
    }
}

async fn start(data_dir: &Path, port: u16) -> Playground {
    let begun = Instant::now();
    let playground = Playground::start(options(data_dir, port), &CancellationToken::new())
        .await
        .expect("starts");
    println!("started in {:.2}s", begun.elapsed().as_secs_f64());
    playground
}

/// Adds one to a minute of its own, as a worker would.
async fn count(region: &Database, event_id: u64) {
    let mut conn = region.root().connect().await.unwrap();
    let upsert = format!(
        "INSERT INTO bigdata_0.EventMinute VALUES ({event_id}, '2025-11-22 12:00:00', 1) \
         ON DUPLICATE KEY UPDATE count = count + LEAST(VALUES(count), 18446744073709551615 - count)"
    );
    conn.query_drop(upsert).await.unwrap();
}

async fn wait_for_count(centre: &Database, event_id: u64, expected: u64) {
    let query = format!("SELECT count FROM bigdata_0.EventMinute WHERE eventId = {event_id}");
    let mut state = String::new();
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        let found = async {
            let mut conn: Conn = centre.root().connect().await.map_err(|e| e.to_string())?;
            conn.query_first::<u64, _>(&query)
                .await
                .map_err(|e| e.to_string())
        };
        match found.await {
            Ok(Some(count)) if count == expected => return,
            other => state = format!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("event {event_id} should count {expected} at the centre, last seen: {state}");
}

async fn wait_for_description(data_dir: &Path, wanted: impl Fn(&Description) -> bool) -> Description {
    let begun = Instant::now();
    loop {
        let description = Description::read(data_dir).unwrap();
        if wanted(&description) {
            return description;
        }
        assert!(begun.elapsed() < LIMIT, "last seen: {description:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_start_and_replicate() {
    let dir = Directory::new().unwrap();
    let mut playground = start(dir.path(), free_port(2).unwrap()).await;
    let description = playground.description();
    assert_eq!(Description::read(dir.path()).unwrap(), description);
    for region in description.regions.values() {
        count(&region.mariadb, 7).await;
    }
    wait_for_count(&description.central, 7, 2).await;

    for database in [&description.central, &description.regions["eu"].mariadb] {
        let over_tcp = store::Server {
            socket: None,
            ..database.root()
        };
        let error = over_tcp
            .connect()
            .await
            .expect_err("root has no access but over the socket");
        println!("as it should be: {}", std::error::Error::source(&error).unwrap());
    }

    let other_port = description.central.port + 99;
    let second = Playground::start(options(dir.path(), other_port), &CancellationToken::new()).await;
    let refusal = second.expect_err("the directory is in use").to_string();
    assert!(
        refusal.contains("in use by the playground with process id"),
        "{refusal}"
    );

    playground.stop().await;
    assert!(Description::read(dir.path()).is_err());
    let servers = description
        .regions
        .values()
        .map(|r| r.mariadb.pid)
        .chain([description.central.pid]);
    for pid in servers.chain(description.regions.values().map(|r| r.pids.beanstalkd)) {
        assert!(!runs(pid), "{pid} still runs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_servers_come_back_and_go_on() {
    let dir = Directory::new().unwrap();
    let mut playground = start(dir.path(), free_port(2).unwrap()).await;
    let before = playground.description();
    let stop = CancellationToken::new();
    let supervisor = tokio::spawn({
        let stop = stop.clone();
        async move {
            playground.supervise(stop).await;
            playground
        }
    });
    count(&before.regions["eu"].mariadb, 8).await;
    wait_for_count(&before.central, 8, 1).await;

    let pids = |d: &Description| {
        let eu = &d.regions["eu"];
        [d.central.pid, eu.mariadb.pid, eu.pids.beanstalkd]
    };
    pids(&before).into_iter().for_each(kill);
    let after = wait_for_description(dir.path(), |now| {
        pids(now).iter().zip(pids(&before)).all(|(&new, old)| new != old)
    })
    .await;
    wait_for_count(&after.central, 8, 1).await;
    for (at, region) in ["us", "eu"].into_iter().enumerate() {
        wait_for_answer(&after.regions[region].mariadb).await;
        count(&after.regions[region].mariadb, 8).await;
        wait_for_count(&after.central, 8, 2 + at as u64).await;
    }

    stop.cancel();
    supervisor.await.unwrap().kill().await;
    assert!(!runs(after.central.pid));
}

async fn wait_for_answer(database: &Database) {
    let begun = Instant::now();
    while let Err(error) = database.root().connect().await {
        assert!(begun.elapsed() < LIMIT, "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The second start puts `eu` where `us` was. The servers of the first were left to themselves, as after `kill -9`.
#[tokio::test(flavor = "multi_thread")]
async fn data_survives_a_move_to_other_ports() {
    let dir = Directory::new().unwrap();
    let port = free_port(3).unwrap();
    let playground = start(dir.path(), port).await;
    let description = playground.description();
    count(&description.regions["eu"].mariadb, 9).await;
    wait_for_count(&description.central, 9, 1).await;
    drop(playground);

    let mut playground = start(dir.path(), port + 10).await;
    let description = playground.description();
    wait_for_count(&description.central, 9, 1).await;
    for (at, region) in ["us", "eu"].into_iter().enumerate() {
        count(&description.regions[region].mariadb, 9).await;
        wait_for_count(&description.central, 9, 2 + at as u64).await;
    }
    playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_cannot_start_is_shown_with_its_log() {
    let dir = Directory::new().unwrap();
    let program = dir.path().join("eventtracker");
    std::fs::write(&program, "#!/bin/sh\necho \"no $1 today\"\nexit 3\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let data_dir = dir.path().join("data");
    let options = Options {
        program: Some(program),
        ..options(&data_dir, free_port(2).unwrap())
    };

    let refusal = Playground::start(options, &CancellationToken::new())
        .await
        .expect_err("no role starts");
    let refusal = format!("{refusal:#}");
    assert!(
        refusal.contains("ended while it started (exit status: 3)"),
        "{refusal}"
    );
    assert!(
        refusal.contains("today") && refusal.contains("/logs/"),
        "{refusal}"
    );
    assert!(Description::read(&data_dir).is_err());
}

/// A start that is given up while servers are installed binds nothing: the next one may be for other regions.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_can_be_given_up() {
    let dir = Directory::new().unwrap();
    let port = free_port(2).unwrap();
    let stop = CancellationToken::new();
    let given_up = tokio::spawn({
        let (options, stop) = (options(dir.path(), port), stop.clone());
        async move { Playground::start(options, &stop).await.map(|_| ()) }
    });
    let begun = Instant::now();
    while !dir.path().join("us/mariadb").exists() {
        assert!(begun.elapsed() < LIMIT && !given_up.is_finished());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.cancel();
    given_up.await.unwrap().expect_err("told to stop");

    let us_alone = Options {
        regions: vec!["us".to_owned()],
        ..options(dir.path(), port)
    };
    let playground = Playground::start(us_alone, &CancellationToken::new()).await;
    playground.expect("starts").stop().await;
}

/// The second centre follows the same regions by an address and a keeper of its own; a later start may not leave it out.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_centre_is_fed_like_the_first() {
    let dir = Directory::new().unwrap();
    let port = free_port(2).unwrap();
    let with_standby = Options {
        standby: true,
        ..options(dir.path(), port)
    };
    let playground = Playground::start(with_standby, &CancellationToken::new()).await;
    let mut playground = playground.expect("starts");
    let description = playground.description();
    for region in description.regions.values() {
        count(&region.mariadb, 7).await;
    }
    let mut ids = Vec::new();
    for centre in description.centres() {
        wait_for_count(centre, 7, 2).await;
        let mut conn = centre.root().connect().await.unwrap();
        let id: Option<u32> = conn.query_first("SELECT @@server_id").await.unwrap();
        ids.push((centre.port - port, id.unwrap()));
    }
    assert_eq!(ids, [(1, 100_000), (3, 100_001)]);

    let keeper = store::Account {
        user: "eventtracker_keeper".to_owned(),
        password: store::Password::File(dir.path().join("passwords/eventtracker_keeper")),
    };
    let central = store::OtherCentre {
        name: "central".to_owned(),
        host: Some("127.0.0.1".to_owned()),
        port: Some(description.central.port),
        tls_ca: None,
        server: Vec::new(),
    };
    let members = central.members(&keeper).unwrap();
    let beside = [("centre central".to_owned(), members.first().server.clone())];
    let mut outcomes = Vec::new();
    for centre in description.centres() {
        let outcome = store::setup::check_others(&centre.root(), &beside).await;
        outcomes.push(outcome.map_err(|error| error.to_string()));
    }
    assert!(
        matches!(&outcomes[..], [Err(same), Ok(())] if same.contains("both have server_id = 100000")),
        "{outcomes:?}"
    );
    playground.stop().await;
    drop(playground);

    let without = Playground::start(options(dir.path(), port), &CancellationToken::new()).await;
    let refusal = without.expect_err("it holds a second centre").to_string();
    assert!(refusal.contains("pass --standby, too"), "{refusal}");
}
