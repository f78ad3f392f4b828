//! A TCP relay in front of beanstalkd that can lose a reply and cut the link, or keep deletes back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use playground::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::rig::settings;

/// Passes everything on, until [`Relay::cut_after`] has counted enough stored jobs.
pub(crate) struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    server: SocketAddr,
    /// Stored jobs whose replies may still pass; `usize::MAX` for all.
    replies_left: AtomicUsize,
    is_cut: AtomicBool,
    deletes: Mutex<Deletes>,
}

/// What becomes of `delete` commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deletes {
    PassedOn,
    KeptBack,
    /// One was.
    Kept,
}

impl Relay {
    /// Between the roles of the first region and its beanstalkd, with the options that say so.
    pub(crate) async fn before_queue(options: Options) -> (Self, Options) {
        // As the playground numbers its ports.
        let relay = Self::start(([127, 0, 0, 1], options.port + 11).into()).await;
        let region_overrides = settings(&format!("[queue]\naddress = '{}'", relay.address));
        let options = Options {
            region_overrides,
            ..options
        };
        (relay, options)
    }

    async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            server,
            replies_left: AtomicUsize::new(usize::MAX),
            is_cut: AtomicBool::new(false),
            deletes: Mutex::new(Deletes::PassedOn),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if !shared.is_cut.load(Ordering::SeqCst) {
                    tokio::spawn(shared.clone().pass_on(client));
                }
            }
        });
        Self { address, state }
    }

    /// Lets the replies to `jobs` puts pass, swallows the next one, and refuses everything from then on.
    pub(crate) fn cut_after(&self, jobs: usize) {
        self.state.replies_left.store(jobs, Ordering::SeqCst);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.state.is_cut.load(Ordering::SeqCst)
    }

    /// Keeps deletes back from now on: who sent one waits for its answer.
    pub(crate) fn keep_deletes_back(&self) {
        *self.state.deletes.lock().unwrap() = Deletes::KeptBack;
    }

    pub(crate) fn has_kept_a_delete(&self) -> bool {
        *self.state.deletes.lock().unwrap() == Deletes::Kept
    }

    pub(crate) fn pass_deletes_on(&self) {
        *self.state.deletes.lock().unwrap() = Deletes::PassedOn;
    }

    pub(crate) fn heal(&self) {
        self.state.replies_left.store(usize::MAX, Ordering::SeqCst);
        self.state.is_cut.store(false, Ordering::SeqCst);
    }
}

impl State {
    async fn pass_on(self: Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(self.server).await else {
            return;
        };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let ended = CancellationToken::new();
        let (requests_ended, state) = (ended.clone(), self.clone());
        // Fences, which workers put and delete in a tube of their own, are no jobs.
        let is_at_fences = Arc::new(AtomicBool::new(false));
        let requests_at_fences = is_at_fences.clone();
        tokio::spawn(async move {
            let mut chunk = vec![0; 70_000];
            let pass_on = async {
                while let Ok(length @ 1..) = from_client.read(&mut chunk).await {
                    if chunk.starts_with(b"use ") {
                        let is_fences = chunk.starts_with(b"use events-fence\r\n");
                        requests_at_fences.store(is_fences, Ordering::SeqCst);
                    }
                    let is_of_job = !requests_at_fences.load(Ordering::SeqCst);
                    if chunk.starts_with(b"delete ") && is_of_job && state.keeps_a_delete() {
                        continue;
                    }
                    if to_server.write_all(&chunk[..length]).await.is_err() {
                        break;
                    }
                }
            };
            tokio::select! {
                () = pass_on => {}
                () = requests_ended.cancelled() => {}
            }
        });
        let mut chunk = vec![0; 70_000];
        while let Ok(length @ 1..) = from_server.read(&mut chunk).await {
            let is_stored = chunk.starts_with(b"INSERTED ") && !is_at_fences.load(Ordering::SeqCst);
            if is_stored
                && self
                    .replies_left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                    .is_err()
            {
                self.is_cut.store(true, Ordering::SeqCst);
            }
            if self.is_cut.load(Ordering::SeqCst) || to_client.write_all(&chunk[..length]).await.is_err() {
                break;
            }
        }
        ended.cancel();
    }

    fn keeps_a_delete(&self) -> bool {
        let mut deletes = self.deletes.lock().unwrap();
        let keeps = *deletes != Deletes::PassedOn;
        if keeps {
            *deletes = Deletes::Kept;
        }
        keeps
    }
}

fn one_less(left: usize) -> Option<usize> {
    match left {
        usize::MAX => Some(usize::MAX),
        0 => None,
        n => Some(n - 1),
    }
}
