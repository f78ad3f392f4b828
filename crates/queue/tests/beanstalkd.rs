//! Against a real beanstalkd: what is put comes out once, and each refusal has its own error.

#![expect(clippy::disallowed_methods, reason = "tests wait for states, up to a limit")]
#![expect(clippy::unwrap_used, reason = "a step that fails should fail its test")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use playground::{Directory, Options, Playground};
use queue::{Config, Consumer, Error, Producer, PutError};
use tokio_util::sync::CancellationToken;

struct Servers {
    playground: Playground,
    config: Config,
    _dir: Directory,
}

impl Servers {
    async fn start() -> Self {
        let dir = Directory::new().unwrap();
        let options = Options {
            data_dir: dir.path().to_owned(),
            port: playground::free_port(1).unwrap(),
            regions: vec!["eu".to_owned()],
            ..Options::default()
        };
        let playground = Playground::start(options, &CancellationToken::new())
            .await
            .unwrap();
        let address = playground.description().regions["eu"].beanstalkd.parse().unwrap();
        Self {
            playground,
            config: Config {
                address,
                jobs_max: 100,
                allow_plain_text: false,
            },
            _dir: dir,
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.playground.description().regions["eu"].pids.beanstalkd;
        assert!(
            Command::new("kill")
                .args([format!("-{name}"), pid.to_string()])
                .status()
                .unwrap()
                .success()
        );
    }
}

/// Puts a job as any other program could.
fn put_raw(address: SocketAddr, time_to_run_s: u32) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "use events\r\nput 1024 0 {time_to_run_s} 1\r\nx\r\nquit\r\n"
    )
    .unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    assert!(replies.contains("INSERTED"), "{replies}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_come_in_order_and_go_once() {
    let mut servers = Servers::start().await;
    let mut producer = Producer::new(&servers.config);
    let mut consumer = Consumer::new(&servers.config);
    assert_eq!(consumer.reserve_ready(10).await.unwrap(), (Vec::new(), false));
    for body in ["first", "second", "third"] {
        producer.put(body).await.unwrap();
    }
    let (jobs, hurry) = consumer.reserve_waiting(2).await.unwrap();
    assert_eq!(
        jobs.iter().map(|job| job.body.as_slice()).collect::<Vec<_>>(),
        [&b"first"[..], b"second"]
    );
    assert!(!hurry);
    consumer.bury(jobs[1].job_id).await.unwrap();
    consumer.delete(vec![jobs[0].job_id]).await.unwrap();
    // A job that is gone is no error: another worker may have finished it.
    consumer.delete(vec![jobs[0].job_id, 4711]).await.unwrap();
    let tube = producer.durable_tube_state().await.unwrap();
    assert_eq!(
        (tube.ready, tube.reserved, tube.buried, tube.jobs()),
        (1, 0, 1, 2)
    );
    assert!(tube.oldest_ready_age_s.is_some());

    // What a consumer holds goes back when it lets go.
    let (held, _) = consumer.reserve_ready(10).await.unwrap();
    assert_eq!(held.len(), 1);
    consumer.disconnect();
    let (again, _) = Consumer::new(&servers.config).reserve_waiting(10).await.unwrap();
    assert_eq!(again[0].body, b"third");
    assert_eq!(queue::kick(&servers.config, 10).await.unwrap(), 1);
    servers.playground.stop().await;
}

/// Whose body has not come: it has a lower number than one that is counted, and is in no state.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_being_put_is_not_passed() {
    let mut servers = Servers::start().await;
    let (mut one, mut other) = (Consumer::new(&servers.config), Consumer::new(&servers.config));
    let empty = one.look(BTreeSet::new(), None).await.unwrap();
    assert!(empty.passed.is_some());

    let mut stalled = TcpStream::connect(servers.config.address).unwrap();
    write!(stalled, "use events\r\nput 1024 0 30 4\r\n").unwrap();
    let mut using = [0; "USING events\r\n".len()];
    stalled.read_exact(&mut using).unwrap();
    let begun = Instant::now();
    let mut producer = Producer::new(&servers.config);
    producer.put("later").await.unwrap();
    let (jobs, _) = one.reserve_waiting(1).await.unwrap();
    let look = one.look(BTreeSet::from([jobs[0].job_id]), None).await.unwrap();
    assert_eq!((look.tube.jobs(), look.passed), (1, None));
    one.delete(vec![jobs[0].job_id]).await.unwrap();
    // It is not acknowledged yet, so nothing that was is left.
    let look = one.look(BTreeSet::new(), None).await.unwrap();
    assert_eq!(look.tube.jobs(), 0);
    assert!(look.passed.is_some());

    stalled.write_all(b"slow\r\n").unwrap();
    let (jobs, _) = other.reserve_waiting(1).await.unwrap();
    assert_eq!(jobs[0].body, b"slow");
    for shared in [None, look.mark] {
        let look = one.look(BTreeSet::new(), shared).await.unwrap();
        assert!(look.passed.is_none_or(|at| at < begun), "{look:?}");
    }
    servers.playground.stop().await;
}

/// It refuses the fence, and every job that is put; those that it has are looked for and taken as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_in_a_drain_is_looked_at() {
    let mut servers = Servers::start().await;
    let mut producer = Producer::new(&servers.config);
    let mut consumer = Consumer::new(&servers.config);
    producer.put("first").await.unwrap();
    producer.put("second").await.unwrap();
    let look = consumer.look(BTreeSet::new(), None).await.unwrap();
    assert_eq!(look.passed, None);
    servers.signal("USR1");
    let (jobs, _) = consumer.reserve_waiting(2).await.unwrap();
    let held: BTreeSet<u64> = jobs.iter().map(|job| job.job_id).collect();
    let look = consumer.look(held.clone(), None).await.unwrap();
    assert!(look.passed.is_some(), "a fence stands behind both");
    consumer.mark_time().await.unwrap();
    consumer.delete(held.into_iter().collect()).await.unwrap();
    let look = consumer.look(BTreeSet::new(), None).await.unwrap();
    assert_eq!(look.tube.jobs(), 0);
    assert!(look.passed.is_some());
    servers.playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_job_that_runs_out_of_time_is_announced() {
    let mut servers = Servers::start().await;
    put_raw(servers.config.address, 1);
    let mut consumer = Consumer::new(&servers.config);
    let (jobs, _) = consumer.reserve_waiting(1).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(consumer.reserve_waiting(1).await.unwrap(), (Vec::new(), true));
    servers.playground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_says_whether_the_job_is_stored() {
    let mut servers = Servers::start().await;
    let mut producer = Producer::new(&servers.config);
    let too_big = producer.put(&"x".repeat(70_000)).await;
    assert_eq!(too_big, Err(PutError::NotStored(Error::JobTooBig)));
    producer
        .put("after a refusal the connection goes on")
        .await
        .unwrap();
    servers.signal("USR1");
    assert_eq!(
        producer.put("drained").await,
        Err(PutError::NotStored(Error::Draining))
    );

    let nobody = Config {
        address: ([127, 0, 0, 1], 1).into(),
        ..servers.config.clone()
    };
    assert!(matches!(
        Producer::new(&nobody).durable_tube_state().await,
        Err(Error::Unreachable(_))
    ));
    let ipv6 = Config {
        address: "[::1]:11300".parse().unwrap(),
        ..servers.config.clone()
    };
    assert!(matches!(
        Producer::new(&ipv6).durable_tube_state().await,
        Err(Error::Unreachable(_))
    ));
    servers.playground.stop().await;
}

/// beanstalkd as Debian starts it: without a log, it would acknowledge what a crash forgets.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_without_a_log_is_refused() {
    let address: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut beanstalkd = Command::new("beanstalkd")
        .args(["-l", "127.0.0.1", "-p", &address.port().to_string()])
        .spawn()
        .unwrap();
    let mut producer = Producer::new(&Config {
        address,
        jobs_max: 100,
        allow_plain_text: false,
    });
    let begun = std::time::Instant::now();
    let state = loop {
        match producer.durable_tube_state().await {
            Err(Error::Unreachable(_)) if begun.elapsed() < std::time::Duration::from_secs(10) => {}
            state => break state,
        }
    };
    beanstalkd.kill().unwrap();
    beanstalkd.wait().unwrap();
    assert_eq!(state, Err(Error::NotDurable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_is_given_up() {
    let mut servers = Servers::start().await;
    let mut producer = Producer::new(&servers.config);
    producer.put("first").await.unwrap();
    servers.signal("STOP");
    assert!(matches!(
        producer.durable_tube_state().await,
        Err(Error::Stuck(_))
    ));
    assert!(matches!(
        producer.put("lost reply").await,
        Err(PutError::Unknown(_) | PutError::NotStored(_))
    ));
    servers.signal("CONT");
    producer.put("after").await.unwrap();
    servers.playground.stop().await;
}
