//! An upgrade of a server that is in use: nobody waits long for it, and it leaves nothing behind.

use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use store::setup::{Patience, Site};
use store::{Error, Server};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::servers::{LIMIT, Servers, apply, first};

const UPGRADE: &str = "ALTER TABLE bigdata_3.EventDay";

/// A centre with a table of an earlier version, which a transaction has open.
struct InUse {
    servers: Servers,
    root: Server,
    reader: Conn,
}

/// An upgrade that goes on, and what it tells: the statement, and whether its table is in use.
struct Upgrade {
    outcome: JoinHandle<Result<(), Error>>,
    told: UnboundedReceiver<(String, bool)>,
    stop: CancellationToken,
}

impl InUse {
    async fn start() -> Self {
        let servers = Servers::start().await;
        let root = servers.description().central.root();
        let mut reader = root.connect().await.unwrap();
        for statement in [
            "ALTER TABLE bigdata_3.EventDay DROP KEY eventTotal",
            "START TRANSACTION",
            "SELECT * FROM bigdata_3.EventDay",
        ] {
            reader.query_drop(statement).await.unwrap();
        }
        Self {
            servers,
            root,
            reader,
        }
    }

    fn upgrade(&self, in_use: Duration) -> Upgrade {
        let patience = Patience {
            in_use,
            ..Patience::UPGRADE
        };
        let (tell, told) = mpsc::unbounded_channel();
        let (root, stop) = (self.root.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let outcome = tokio::spawn(async move {
            let progress = |waiting: store::setup::Waiting<'_>| {
                tell.send((waiting.statement.to_owned(), waiting.is_in_use))
                    .unwrap();
            };
            store::setup::apply(&root, Site::Central, patience, progress, stopped.cancelled()).await
        });
        Upgrade { outcome, told, stop }
    }

    async fn statements_left(&self) -> Option<u64> {
        const SQL: &str = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%ALTER TABLE%' AND ID <> CONNECTION_ID()";
        first(&self.root, SQL).await
    }

    async fn end(mut self) {
        self.reader.query_drop("ROLLBACK").await.unwrap();
        apply(&self.root, Site::Central).await.unwrap();
        let differences = store::setup::check(&self.root, Site::Central).await.unwrap();
        assert_eq!(differences, []);
        self.servers.playground.stop().await;
    }
}

impl Upgrade {
    async fn told(&mut self) -> (String, bool) {
        tokio::time::timeout(LIMIT, self.told.recv())
            .await
            .unwrap()
            .unwrap()
    }

    async fn outcome(self) -> Result<(), Error> {
        tokio::time::timeout(LIMIT, self.outcome).await.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_is_stopped_is_ended_at_the_server_and_keeps_another_one_away() {
    let in_use = InUse::start().await;
    let mut upgrade = in_use.upgrade(LIMIT);
    assert_eq!(upgrade.told().await, (UPGRADE.to_owned(), false));
    assert_eq!(in_use.statements_left().await, Some(1));
    let refusal = apply(&in_use.root, Site::Central).await.unwrap_err();
    assert!(
        matches!(refusal, Error::Applying { .. })
            && refusal
                .to_string()
                .contains("the schema is being applied already"),
        "{refusal}"
    );
    upgrade.stop.cancel();
    let stopped = upgrade.outcome().await.unwrap_err();
    assert!(matches!(stopped, Error::Stopped { .. }), "{stopped}");
    assert_eq!(in_use.statements_left().await, Some(0));
    in_use.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_runs_for_too_long_is_ended_at_the_server() {
    let in_use = InUse::start().await;
    let patience = Patience {
        running: Duration::from_secs(3),
        ..Patience::UPGRADE
    };
    let upgrade = store::setup::apply(
        &in_use.root,
        Site::Central,
        patience,
        |_| {},
        std::future::pending(),
    );
    let refusal = upgrade.await.unwrap_err();
    assert!(matches!(refusal, Error::TimedOut { .. }), "{refusal}");
    assert_eq!(in_use.statements_left().await, Some(0));
    in_use.end().await;
}

/// Who waits for a table keeps new readers of it waiting, too: it lets them go ahead, and comes again.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_of_a_table_in_use_lets_readers_go_ahead_and_comes_again() {
    let mut in_use = InUse::start().await;
    let mut upgrade = in_use.upgrade(Duration::from_secs(120));
    assert_eq!(upgrade.told().await, (UPGRADE.to_owned(), false));
    let begun = Instant::now();
    let count = first(&in_use.root, "SELECT COUNT(*) FROM bigdata_3.EventDay");
    let count = tokio::time::timeout(LIMIT, count).await;
    assert_eq!(count, Ok(Some(0)), "after {:?}", begun.elapsed());
    while !upgrade.told().await.1 {}
    in_use.reader.query_drop("ROLLBACK").await.unwrap();
    upgrade.outcome().await.unwrap();
    in_use.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_of_a_table_that_stays_in_use_is_given_up() {
    let in_use = InUse::start().await;
    let refusal = in_use
        .upgrade(Duration::from_secs(1))
        .outcome()
        .await
        .unwrap_err();
    assert!(
        matches!(&refusal, Error::InUse { statement, .. } if statement == UPGRADE),
        "{refusal}"
    );
    assert_eq!(in_use.statements_left().await, Some(0));
    in_use.end().await;
}
