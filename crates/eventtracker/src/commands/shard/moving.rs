//! One move: shards of one server to another one. `tests/protocol/shard_move` is its model.
//!
//! The receiver applies the shards from exactly the position of a snapshot of the giver on, and the snapshot is added to that: counts add up.
//! The giver goes on all the while, and both have the shards until the receiver was compared; then the giver forgets that it has them, and
//! from that moment on nobody reads them there. In this order:
//!
//! 1. The receiver's option file lets the shards through, before its running filters do: after a restart it must not pass over what it
//!    has a copy of.
//! 2. Its replication stops, and its filters let them through.
//! 3. A snapshot of the giver is begun, and the receiver runs up to its position. Whatever the receiver has of the shards there is thrown away.
//! 4. It goes on, and the snapshot is copied beside. Both are compared at one position, and then the receiver's copy is whole.
//! 5. As soon as the receiver has what the giver has, the giver forgets.
//! 6. The giver's option file keeps the shards out, its filters do, its rows go, and it goes on. The centre's file says so last.
//!
//! Interrupted before the receiver is whole, a move begins again at the second step; afterwards it goes on where it was.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use model::Shards;
use store::setup::{self, CopiedRows, Gtid, HAND_OVER_LIMIT, ShardSnapshot, compare_shards};
use store::{Member, SourceState, wild_do_tables};

use super::Files;
use crate::commands::region::files::Editable;
use crate::commands::region::replication::{POLL, wait_until_running, why_not};
use crate::commands::region::{config_file, option_file};
use crate::commands::series::grouped;

/// Longest wait for the giver to get where the receiver is, and for the receiver to have what the giver had.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);

/// Longest run of the receiver up to the snapshot: it may be behind by a long outage.
const RUN_LIMIT: Duration = Duration::from_secs(3_600);

/// Pause between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// A move, with all that it changes.
pub(super) struct Move {
    shards: Shards,
    giver: Party,
    receiver: Party,
    config: Editable,
    /// The regions that both replicate from.
    regions: Vec<String>,
}

/// One of the two servers.
struct Party {
    member: Member,
    centre: setup::Centre,
    options: Editable,
}

impl Party {
    async fn open(files: &Files, member: &Member) -> anyhow::Result<Self> {
        let mut centre = setup::Centre::new(member.clone());
        centre.hold_replication().await?;
        Ok(Self {
            centre,
            options: Editable::open(files.options_of(member)?)?,
            member: member.clone(),
        })
    }

    /// Checks that the option file is this server's: another one's would let it pass over its shards after its next start.
    async fn check_options(&mut self, regions: &[String], moving: Shards) -> anyhow::Result<()> {
        let own = self.centre.held().await?.applied;
        let fits = [own, own.and(moving), own.without(moving)];
        for region in regions {
            let is_its = |shards: &Shards| option_file::says(&self.options.text, region, *shards);
            ensure!(
                fits.iter().any(is_its),
                "{} does not say for region {region} what {} applies, which is {}: is it its option file?",
                self.options.path(),
                self.member.name(),
                wild_do_tables(own).join(", ")
            );
        }
        Ok(())
    }

    fn name(&self) -> &str {
        self.member.name()
    }

    async fn stop(&mut self, regions: &[String]) -> anyhow::Result<()> {
        for region in regions {
            self.centre.stop_replication(region).await?;
        }
        Ok(())
    }

    async fn start(&mut self, regions: &[String]) -> anyhow::Result<()> {
        for region in regions {
            self.centre.start_replication(region).await?;
        }
        for region in regions {
            wait_until_running(&mut self.centre, region).await?;
        }
        Ok(())
    }

    /// Lets the option file say what a server with these shards needs.
    fn write_options(&mut self, regions: &[String], shards: Shards) -> anyhow::Result<()> {
        let text = option_file::with_shards(&self.options.text, regions, shards)
            .with_context(|| format!("{} cannot be changed", self.options.path()))?;
        if self.options.replace(text)? {
            println!(
                "{} says that {} has shards {shards}",
                self.options.path(),
                self.member.name()
            );
        }
        Ok(())
    }
}

impl Move {
    /// Looks whether the move can be done, and keeps others away.
    ///
    /// # Errors
    /// Servers that replicate from different regions, or whose replication does not run; clocks that are not known; a file that cannot be
    /// changed; another move; a server that refuses or does not answer.
    pub(super) async fn prepare(
        files: &Files,
        giver: &Member,
        receiver: &Member,
        shards: Shards,
    ) -> anyhow::Result<Self> {
        let config = Editable::open(&files.centre.config)?;
        let mut giver = Party::open(files, giver).await?;
        let mut receiver = Party::open(files, receiver).await?;
        let [of_giver, of_receiver] = [
            giver.centre.upkeep().sources().await?,
            receiver.centre.upkeep().sources().await?,
        ];
        let names = |states: &[SourceState]| -> Vec<String> {
            states.iter().map(|state| state.source.region.clone()).collect()
        };
        let regions = names(&of_giver);
        let is_there = |region: &String| names(&of_receiver).contains(region);
        ensure!(
            regions.iter().all(is_there) && regions.len() == of_receiver.len() && !regions.is_empty(),
            "{} replicates from {}, and {} from {}: 'eventtracker region add' and 'remove' make both the same first",
            giver.name(),
            regions.join(", "),
            receiver.name(),
            names(&of_receiver).join(", ")
        );
        let mut stopped = of_giver.iter().chain(&of_receiver);
        // One that was stopped without an error may be so by an earlier run.
        if let Some(state) = stopped.find(|state| !state.is_running() && !state.last_error.is_empty()) {
            bail!(
                "replication from {} does not run: {}; correct that first",
                state.source.region,
                why_not(state)
            );
        }
        for party in [&mut giver, &mut receiver] {
            party.check_options(&regions, shards).await?;
        }
        let clocks = receiver.centre.upkeep().clocks().await?;
        if let Some((region, _)) = clocks.iter().find(|(_, clock)| clock.ahead_ms.is_none()) {
            bail!(
                "{}'s clock was not compared with that of {region} lately, so its answers would not be known to be complete: does the keeper run?",
                receiver.name()
            );
        }
        Ok(Self {
            shards,
            giver,
            receiver,
            config,
            regions,
        })
    }

    /// Moves the shards, from wherever an earlier run was interrupted. Both servers replicate in the end, whatever happens.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        println!(
            "shards {} go from {} to {}",
            self.shards,
            self.giver.name(),
            self.receiver.name()
        );
        let outcome = self.go().await;
        if outcome.is_err() {
            for party in [&mut self.giver, &mut self.receiver] {
                // The reason of the failure is what counts, not that of this.
                drop(party.start(&self.regions).await);
            }
        }
        outcome?;
        let whole = self.receiver.centre.held().await?.whole;
        println!(
            "verified: {} has shards {whole}, after {:.1} s",
            self.receiver.name(),
            begun.elapsed().as_secs_f64()
        );
        Ok(())
    }

    async fn go(&mut self) -> anyhow::Result<()> {
        // What is whole there already may be nowhere else.
        let coming = self.shards.without(self.receiver.centre.held().await?.whole);
        if !coming.is_empty() {
            let missing = coming.without(self.giver.centre.held().await?.whole);
            ensure!(
                missing.is_empty(),
                "{} has not everything of shards {missing}: 'eventtracker shard list' shows where they are",
                self.giver.name()
            );
            self.copy(coming).await?;
        }
        self.hand_over().await?;
        self.clean_up().await
    }

    /// Makes the receiver's copy of the shards that it has not, until it is whole.
    async fn copy(&mut self, coming: Shards) -> anyhow::Result<()> {
        let wider = self.receiver.centre.held().await?.applied.and(coming);
        self.receiver.write_options(&self.regions, wider)?;
        failpoint::crash("shard.file_widened");
        self.receiver.stop(&self.regions).await?;
        failpoint::crash("shard.receiver_stopped");
        self.receiver.centre.set_filters(&self.regions, wider).await?;
        self.receiver.centre.take_in(coming).await?;
        failpoint::crash("shard.filters_widened");
        let mut snapshot = self.snapshot().await?;
        failpoint::crash("shard.snapshot");
        self.run_up_to(snapshot.position()).await?;
        failpoint::crash("shard.caught_up");
        self.receiver.centre.empty(coming).await?;
        failpoint::crash("shard.emptied");
        self.receiver.start(&self.regions).await?;
        failpoint::crash("shard.started");
        println!(
            "{} applies them from there on, and gets what was before",
            self.receiver.name()
        );
        let mut told = Instant::now();
        let tell = |CopiedRows { unpacked, days }: CopiedRows| {
            if told.elapsed() > PROGRESS_INTERVAL {
                println!("  … {} packed days, {} minutes", grouped(days), grouped(unpacked));
                told = Instant::now();
            }
        };
        let copied = snapshot.copy_to(&mut self.receiver.centre, coming, tell).await?;
        failpoint::crash("shard.copied");
        println!(
            "copied: {} packed days, {} minutes and blocks",
            grouped(copied.days),
            grouped(copied.unpacked)
        );
        // Before it is whole: a copy that is not the same is made anew by the next run.
        let counts = self.compare(coming).await?;
        println!("compared at one position: {counts} counts, the same of each day");
        failpoint::crash("shard.compared");
        self.receiver.centre.note_whole(coming).await?;
        failpoint::crash("shard.whole");
        Ok(())
    }

    /// A snapshot of the giver that lacks nothing that the receiver, which is stopped, has applied.
    async fn snapshot(&mut self) -> anyhow::Result<ShardSnapshot> {
        let begun = Instant::now();
        let applied = self.receiver.centre.upkeep().positions().await?;
        loop {
            let snapshot = ShardSnapshot::begin(&self.giver.member.server).await?;
            let position = snapshot.position();
            let lacks = |(domain, sequence): &(&u32, &u64)| {
                position.get(domain).is_none_or(|gtid| gtid.sequence < **sequence)
            };
            match applied.iter().find(lacks) {
                None => return Ok(snapshot),
                Some((domain, sequence)) if begun.elapsed() > CATCH_UP_LIMIT => bail!(
                    "{} has not applied transaction {sequence} of domain {domain}, which {} has: see 'eventtracker region list'",
                    self.giver.name(),
                    self.receiver.name()
                ),
                Some(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Lets the receiver apply everything up to a position, and nothing after it, and stops it there.
    async fn run_up_to(&mut self, position: &BTreeMap<u32, Gtid>) -> anyhow::Result<()> {
        let sources = self.receiver.centre.upkeep().sources().await?;
        let begun = Instant::now();
        for gtid in position.values() {
            let applied = self.receiver.centre.upkeep().positions().await?;
            if applied.get(&gtid.domain) == Some(&gtid.sequence) {
                continue;
            }
            let source = sources.iter().find(|state| state.server_id == gtid.server_id);
            let region = source.map(|state| state.source.region.clone()).with_context(|| {
                format!(
                    "{} lacks transaction {gtid}, and replicates from no server that has it: it cannot get where {} is",
                    self.receiver.member.name(),
                    self.giver.member.name()
                )
            })?;
            self.receiver
                .centre
                .start_until(&region, &gtid.to_string())
                .await?;
        }
        let mut told = begun;
        loop {
            let applied = self.receiver.centre.upkeep().positions().await?;
            let behind = |gtid: &&Gtid| applied.get(&gtid.domain).is_none_or(|&at| at < gtid.sequence);
            let Some(gtid) = position.values().find(behind) else {
                break;
            };
            ensure!(
                begun.elapsed() < RUN_LIMIT,
                "{} has not applied {gtid} after {} s: see 'eventtracker region list'",
                self.receiver.name(),
                RUN_LIMIT.as_secs()
            );
            if told.elapsed() > PROGRESS_INTERVAL {
                println!("  … {} is on its way to {gtid}", self.receiver.name());
                told = Instant::now();
            }
            tokio::time::sleep(POLL).await;
        }
        self.receiver.stop(&self.regions).await?;
        let applied = self.receiver.centre.upkeep().positions().await?;
        let is_there = |gtid: &Gtid| applied.get(&gtid.domain) == Some(&gtid.sequence);
        ensure!(
            position.values().all(is_there),
            "{} has applied more than it was told to: somebody else started its replication; run the command again",
            self.receiver.name()
        );
        Ok(())
    }

    /// Brings the receiver to the position of a snapshot of the giver, and compares both there, while they go on. Returns the sum of all counts.
    async fn compare(&mut self, shards: Shards) -> anyhow::Result<u128> {
        self.receiver.stop(&self.regions).await?;
        let mut of_giver = self.snapshot().await?;
        self.run_up_to(of_giver.position()).await?;
        let mut of_receiver = ShardSnapshot::begin(&self.receiver.member.server).await?;
        self.receiver.start(&self.regions).await?;
        Ok(compare_shards(&mut of_giver, &mut of_receiver, shards).await?)
    }

    /// Lets the giver forget that it has the shards.
    async fn hand_over(&mut self) -> anyhow::Result<()> {
        let held = self.giver.centre.held().await?;
        let left = self.shards.common(held.applied);
        if left.is_empty() {
            return Ok(());
        }
        // What the giver has shown, the receiver must have before it is asked.
        let begun = Instant::now();
        while !self
            .giver
            .centre
            .hand_over(&mut self.receiver.centre, left)
            .await?
        {
            ensure!(
                begun.elapsed() < CATCH_UP_LIMIT,
                "{} has not applied what {} has: see 'eventtracker region list'",
                self.receiver.name(),
                self.giver.name()
            );
            // The giver goes on applying for as long as it was held up.
            tokio::time::sleep(HAND_OVER_LIMIT).await;
        }
        failpoint::crash("shard.given_up");
        println!("{} answers for them now", self.receiver.name());
        Ok(())
    }

    /// Takes away what the giver has left of the shards. The centre's file is last: who reads it sooner finds by the servers' own word where the
    /// shards are, and until it says so, an interrupted move is known by it.
    async fn clean_up(&mut self) -> anyhow::Result<()> {
        let rest = self.giver.centre.held().await?.applied;
        ensure!(
            rest.common(self.shards).is_empty(),
            "{} has shards {} again: somebody else moves them; run the command again",
            self.giver.name(),
            rest.common(self.shards)
        );
        self.giver.write_options(&self.regions, rest)?;
        failpoint::crash("shard.file_narrowed");
        self.giver.stop(&self.regions).await?;
        self.giver.centre.set_filters(&self.regions, rest).await?;
        failpoint::crash("shard.filters_narrowed");
        self.giver.centre.empty(self.shards).await?;
        failpoint::crash("shard.giver_emptied");
        self.giver.start(&self.regions).await?;
        failpoint::crash("shard.giver_started");
        let own = self.receiver.centre.held().await?.whole;
        let servers = [
            (self.giver.member.name(), rest),
            (self.receiver.member.name(), own),
        ];
        let config = config_file::with_server_shards(&self.config.text, &servers)?;
        if self.config.replace(config)? {
            println!("{} says so, too", self.config.path());
        }
        Ok(())
    }
}
