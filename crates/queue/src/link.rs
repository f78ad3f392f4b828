//! One connection to beanstalkd on a thread of its own.

#![expect(clippy::disallowed_methods, reason = "waits are limited by time")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use beanstalkc::Beanstalkc;
use tokio::sync::oneshot;

use crate::{Error, TUBE};

/// Longest wait for a connection: a TCP handshake and the commands that choose the tube.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Most threads of one link that may hang in a call that was given up. Each ends when beanstalkd answers or closes the connection;
/// after a power failure of its machine it does neither.
const STUCK_THREADS_MAX: usize = 8;

/// How long after [`STUCK_THREADS_MAX`] was reached the process should end: its supervisor starts another, without stuck threads.
const STUCK_FOR_GOOD_AFTER: Duration = Duration::from_secs(60);

/// First and longest pause before another connection is tried after a failure.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// A call as the thread runs it; false ends the thread, because the connection broke or nobody waits for the answer any more.
type Call = Box<dyn FnOnce(&mut Beanstalkc) -> bool + Send>;

/// A connection that is made when first needed, and anew after each failure.
///
/// Jobs reserved over it go back to the queue when it breaks or is dropped.
pub(crate) struct Link {
    address: SocketAddr,
    calls: Option<SyncSender<Call>>,
    stuck: Arc<AtomicUsize>,
    stuck_since: Option<Instant>,
    backoff: Duration,
}

impl Link {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            calls: None,
            stuck: Arc::default(),
            stuck_since: None,
            backoff: Duration::ZERO,
        }
    }

    /// Runs `call` on the connection's thread and waits for at most `limit`, after a pause if the last call broke the connection.
    ///
    /// # Errors
    /// `Unreachable`, `TooManyStuck` and `StuckForGood` mean that `call` never ran; `Stuck` that it may still run. Others are those
    /// of `call` itself.
    pub(crate) async fn call<T: Send + 'static>(
        &mut self,
        limit: Duration,
        call: impl FnOnce(&mut Beanstalkc) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let outcome = self.attempt(limit, call).await;
        match &outcome {
            Err(error) if !error.leaves_connection_usable() => {
                self.calls = None;
                self.backoff = (self.backoff * 2).clamp(BACKOFF_FIRST, BACKOFF_MAX);
            }
            Ok(_) | Err(_) => self.backoff = Duration::ZERO,
        }
        outcome
    }

    /// Gives up the connection, and with it every job reserved over it.
    pub(crate) fn disconnect(&mut self) {
        self.calls = None;
    }

    async fn attempt<T: Send + 'static>(
        &mut self,
        limit: Duration,
        call: impl FnOnce(&mut Beanstalkc) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        // Even a pause of zero would last until the timer's next millisecond.
        if !self.backoff.is_zero() {
            tokio::time::sleep(self.backoff).await;
        }
        if self.calls.is_none() {
            self.calls = Some(self.open().await?);
        }
        let (answer, answered) = oneshot::channel();
        let run: Call = Box::new(move |connection| {
            let outcome = call(connection);
            let usable = outcome.as_ref().err().is_none_or(Error::leaves_connection_usable);
            answer.send(outcome).is_ok() && usable
        });
        let gone = || Error::Unreachable("its thread has ended".to_owned());
        let calls = self.calls.as_ref().ok_or_else(gone)?;
        calls.try_send(run).map_err(|_| gone())?;
        self.wait(limit, answered).await
    }

    /// Starts a thread, and waits until it is connected.
    async fn open(&mut self) -> Result<SyncSender<Call>, Error> {
        self.check_stuck()?;
        // One call at a time: the caller waits for its answer before the next.
        let (calls, queue) = sync_channel::<Call>(1);
        let (opened, connected) = oneshot::channel();
        let address = self.address;
        std::thread::Builder::new()
            .name("beanstalkd".to_owned())
            .spawn(move || serve(address, opened, &queue))
            .map_err(|e| Error::Unreachable(e.to_string()))?;
        self.wait(CONNECT_LIMIT, connected).await.map_err(|e| match e {
            Error::TooManyStuck(_) | Error::Unreachable(_) => e,
            other => Error::Unreachable(other.to_string()),
        })?;
        Ok(calls)
    }

    fn check_stuck(&mut self) -> Result<(), Error> {
        let stuck = self.stuck.load(Ordering::Relaxed);
        if stuck < STUCK_THREADS_MAX {
            self.stuck_since = None;
            return Ok(());
        }
        let since = self.stuck_since.get_or_insert_with(Instant::now);
        Err(if since.elapsed() < STUCK_FOR_GOOD_AFTER {
            Error::TooManyStuck(stuck)
        } else {
            Error::StuckForGood(stuck)
        })
    }

    async fn wait<T: Send + 'static>(
        &self,
        limit: Duration,
        mut answered: oneshot::Receiver<Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(limit, &mut answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Error::Connection("its thread has ended".to_owned())),
            Err(_) => {
                self.abandon(answered);
                Err(Error::Stuck(limit.as_secs()))
            }
        }
    }

    /// Leaves the thread to itself, and counts it as stuck until its call ends.
    fn abandon<T: Send + 'static>(&self, answered: oneshot::Receiver<Result<T, Error>>) {
        metrics::counter!("queue_calls_abandoned_total").increment(1);
        let stuck = self.stuck.clone();
        stuck.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            if let Ok(Ok(_)) = answered.await {
                tracing::warn!("beanstalkd answered a call that had been given up");
            }
            stuck.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// The thread's work: connects, then runs calls until one breaks the connection or the link drops its sender.
fn serve(address: SocketAddr, opened: oneshot::Sender<Result<(), Error>>, calls: &Receiver<Call>) {
    let mut connection = match connect(address) {
        Ok(connection) => connection,
        Err(error) => {
            if opened.send(Err(error)).is_err() {
                tracing::debug!(%address, "gave up connecting to beanstalkd");
            }
            return;
        }
    };
    if opened.send(Ok(())).is_err() {
        return;
    }
    while let Ok(call) = calls.recv() {
        if !call(&mut connection) {
            return;
        }
    }
}

fn connect(address: SocketAddr) -> Result<Beanstalkc, Error> {
    // beanstalkc panics on a host that has no IPv4 address.
    if !address.is_ipv4() {
        return Err(Error::Unreachable(format!("{address} is not an IPv4 address")));
    }
    let mut connection = Beanstalkc::new()
        .host(&address.ip().to_string())
        .port(address.port())
        .connection_timeout(Some(CONNECT_LIMIT))
        .connect()
        .map_err(|e| Error::Unreachable(e.to_string()))?;
    connection.use_tube(TUBE)?;
    connection.watch(TUBE)?;
    connection.ignore("default")?;
    Ok(connection)
}
