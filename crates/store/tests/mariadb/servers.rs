//! Servers without roles, and what a worker does with them.

use std::future::pending;
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use model::{Batch, BatchId, EventId, EventName, Minute, QueueDepth};
use mysql_async::prelude::Queryable;
use playground::{Description, Directory, Options, Playground};
use store::regional::{Committed, Flush, Mark, Regional, Report};
use store::setup::{self, Patience, RegionAccounts, Site};
use store::upkeep;
use store::{Account, Error, Password, Server, Source};
use tokio_util::sync::CancellationToken;

pub(crate) const MINUTE_S: i64 = 1_763_787_600;
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Servers {
    pub(crate) playground: Playground,
    pub(crate) dir: Directory,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        Self::start_of(&["eu"], &[]).await
    }

    pub(crate) async fn start_of(regions: &[&str], unattached: &[&str]) -> Self {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let dir = Directory::new().unwrap();
        let options = Options {
            data_dir: dir.path().to_owned(),
            port: playground::free_port(u16::try_from(regions.len()).unwrap()).unwrap(),
            regions: names(regions),
            unattached: names(unattached),
            ..Options::default()
        };
        Self {
            playground: Playground::start(options, &CancellationToken::new())
                .await
                .unwrap(),
            dir,
        }
    }

    pub(crate) fn description(&self) -> Description {
        self.playground.description()
    }

    pub(crate) fn account(&self, role: &str) -> Account {
        let user = format!("eventtracker_{role}");
        let password = Password::File(self.dir.path().join("passwords").join(&user));
        Account { user, password }
    }

    pub(crate) fn region_accounts(&self) -> RegionAccounts {
        RegionAccounts {
            replication: self.account("replication"),
            housekeeping: self.account("keeper"),
        }
    }

    pub(crate) fn worker(&self, name: &str) -> Regional {
        let Account { user, password } = self.account("worker");
        let root = self.description().regions["eu"].mariadb.root();
        Regional::new(root.with_user(&user, Some(password)), "eu", name).unwrap()
    }

    pub(crate) fn source(&self, region: &str) -> Source {
        Source {
            region: region.to_owned(),
            host: "127.0.0.1".to_owned(),
            port: self.description().regions[region].mariadb.port,
            tls_ca: None,
        }
    }

    /// A region's database as an operator reaches it by the keeper's account.
    pub(crate) fn region(&self, region: &str) -> setup::RegionalServer {
        setup::RegionalServer::new(self.source(region).server(&self.account("keeper")))
    }

    /// The centre's, as its administrator does.
    pub(crate) fn centre(&self) -> setup::Centre {
        setup::Centre::new(self.description().central.root().into())
    }

    /// The centre's, as its own keeper does.
    pub(crate) fn centre_keeper(&self) -> upkeep::Centre {
        let Account { user, password } = self.account("keeper");
        upkeep::Centre::new(self.description().central.root().with_user(&user, Some(password)))
    }

    pub(crate) async fn central_sum(&self, id: EventId) -> Option<u64> {
        let sql = format!(
            "SELECT CAST(SUM(count) AS UNSIGNED) FROM eventtracker.event_minutes WHERE eventId = {id}"
        );
        first(&self.description().central.root(), &sql).await
    }

    pub(crate) async fn wait_for_central_sum(&self, id: EventId, expected: u64) {
        let begun = Instant::now();
        loop {
            let sum = self.central_sum(id).await;
            if sum == Some(expected) {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "the centre has {sum:?}, not {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) async fn first(server: &Server, sql: &str) -> Option<u64> {
    let mut conn = server.connect().await.unwrap();
    conn.query_first::<Option<u64>, _>(sql).await.unwrap().flatten()
}

pub(crate) async fn apply(server: &Server, side: Site) -> Result<(), Error> {
    store::setup::apply(server, side, Patience::EMPTY, |_| {}, pending()).await
}

pub(crate) fn batch(id: u8, name: &str, count: u64) -> Batch {
    let minute = Minute::from_unix_s(MINUTE_S).unwrap();
    Batch {
        id: BatchId::from_bytes([id; 16]),
        accepted: model::Timestamp::from_unix_ms(MINUTE_S * 1000),
        counts: vec![(EventId::of(name), minute, count)],
        origin: None,
    }
}

pub(crate) async fn commit(worker: &mut Regional, batches: &[Batch], names: &[&str]) -> Committed {
    try_commit(worker, batches, names).await.unwrap()
}

/// Names that are not in `names` have reached the centre before.
pub(crate) async fn try_commit(
    worker: &mut Regional,
    batches: &[Batch],
    names: &[&str],
) -> Result<Committed, Error> {
    let ids = batches
        .iter()
        .flat_map(|batch| batch.counts.iter().map(|count| count.0));
    let is_new = |id: &EventId| names.iter().any(|name| EventId::of(name) == *id);
    let known = ids.filter(|id| !is_new(id)).collect();
    commit_knowing(worker, batches, names, &known, None).await
}

pub(crate) async fn commit_knowing(
    worker: &mut Regional,
    batches: &[Batch],
    names: &[&str],
    known: &HashSet<EventId>,
    deadline: Option<Instant>,
) -> Result<Committed, Error> {
    let new_names: HashMap<_, _> = names
        .iter()
        .map(|name| (EventId::of(name), EventName::new((*name).to_owned()).unwrap()))
        .collect();
    let at = model::Timestamp::from_unix_ms(MINUTE_S * 1000);
    let report = Report {
        seen_at: at,
        queue: QueueDepth::default(),
        is_queue_durable: true,
        disk: None,
        hold: Duration::from_millis(800),
        complete_until: Some(at),
        mark: Some(mark()),
    };
    let flush = Flush {
        deadline,
        batches,
        new_names: &new_names,
        is_known: &|id| known.contains(&id),
        popularity: &[],
        report: &report,
    };
    worker.commit(&flush).await
}

/// What rides along with each report here.
pub(crate) fn mark() -> Mark {
    Mark {
        epoch: "ab12".to_owned(),
        number: 7,
    }
}
