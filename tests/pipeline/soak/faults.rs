//! What can go wrong, each for a while and then healed.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use playground::{CLOCK_IS_SEEN, Description, Link};
use rand::rngs::StdRng;
use rand::{RngExt, seq::IndexedRandom};
use serde_json::json;

use super::lost_centre::CENTRES;
use super::readers;
use super::traffic::Traffic;
use super::world::{SMALL, World, send};
use crate::crash_points::{OF_A_FLUSH, OF_PACKING, OF_THE_QUEUE};
use crate::failpoints::How;
use crate::ledger::Ledger;
use crate::machines::{GONE_POLL, is_gone, state};
use crate::rig::{Rig, try_put};
use crate::sender::FIRST_MINUTE;
use crate::small_disk::{pad_queue, uuid};

/// How long most faults last.
const BRIEF_MS: std::ops::Range<u64> = 200..3_000;

/// Longer than a job's time to run, and than what the centre waits for a heartbeat.
const LONG_MS: std::ops::Range<u64> = 31_000..36_000;

/// A link may be away for minutes.
const LONG_LINK_MS: std::ops::Range<u64> = 60_000..150_000;

/// How many faults are long.
const LONG: f64 = 0.03;

/// How many stops of workers are.
const LONG_OF_WORKERS: f64 = 0.4;

/// After a process has come to a failpoint that kills or stops it.
const HALTS_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Collector,
    Worker,
    Beanstalkd,
    RegionalMariaDb,
    CentralMariaDb,
    StandbyMariaDb,
    Api,
    Keeper,
    StandbyKeeper,
}

const PARTS: [Part; 9] = [
    Part::Collector,
    Part::Worker,
    Part::Beanstalkd,
    Part::RegionalMariaDb,
    Part::CentralMariaDb,
    Part::StandbyMariaDb,
    Part::Api,
    Part::Keeper,
    Part::StandbyKeeper,
];

#[derive(Debug, Clone, Copy)]
enum What {
    Signal(&'static str, Part),
    Stop(Part),
    Link(&'static str, Link),
    /// A transaction that waits for a lock, for longer than it may.
    LockedDatabase,
    /// Two jobs with one batch.
    Twins,
    QueueDiskFull,
    DatabaseDiskFull,
    /// beanstalkd takes no jobs any more, and is replaced in the end.
    Drain,
    /// A process's clock is set by so many seconds, and back.
    Clock(Part, i32),
    /// Clients of the api that ask for much and leave, or read as slowly as they can.
    Readers,
    /// Of one machine, of all of a region or of a centre.
    PowerCut(Power),
    /// Two processes end at steps that have names.
    CrashPoints(&'static str, &'static str),
    /// A process stops at one.
    StopPoint(&'static str),
    /// One of them loses its disk.
    LostCentre(usize),
}

#[derive(Debug, Clone, Copy)]
enum Power {
    Queue,
    Database,
    Region,
    Centre(&'static str),
    Everything,
}

const POWER: [Power; 6] = [
    Power::Queue,
    Power::Database,
    Power::Region,
    Power::Centre("central"),
    Power::Centre("standby"),
    Power::Everything,
];

/// Steps of the roles that they come to all the time.
fn crash_points() -> Vec<&'static str> {
    let rare = ["worker.pruned", "keeper.purging"];
    [&OF_THE_QUEUE[..], &OF_A_FLUSH, &OF_PACKING, &rare].concat()
}

/// A service manager waits so long, at least, for what it has told to stop.
const END_LIMIT: Duration = Duration::from_secs(20);

/// As a service manager does it. A MariaDB that is told to stop in the moment in which it becomes ready closes its socket, and runs on.
async fn end(pid: Option<u32>) -> bool {
    let was_told = send("TERM", pid).await;
    let gone = async {
        while pid.is_some_and(|pid| !is_gone(pid)) {
            tokio::time::sleep(GONE_POLL).await;
        }
    };
    if was_told && tokio::time::timeout(END_LIMIT, gone).await.is_err() {
        send("KILL", pid).await;
    }
    was_told
}

/// How far a clock is set.
const STEP_S: i32 = 90;

#[derive(Debug)]
pub(crate) struct Fault {
    what: What,
    region: String,
    /// Which of several processes.
    number: usize,
    lasts: Duration,
}

impl Fault {
    pub(crate) fn random(rng: &mut StdRng, world: &World) -> Self {
        let part = *PARTS.choose(rng).unwrap();
        let slow = Link::Slow {
            bytes_per_s: rng.random_range(500..5_000),
        };
        let point = |rng: &mut StdRng| *crash_points().choose(rng).unwrap();
        let what = match rng.random_range(0..127) {
            100..110 => What::PowerCut(*POWER.choose(rng).unwrap()),
            110..121 => What::CrashPoints(point(rng), point(rng)),
            // Others have a worker's jobs while it stands there, and it must see that.
            121..125 if rng.random_bool(0.5) => What::StopPoint("worker.reserved"),
            121..125 => What::StopPoint(point(rng)),
            125..127 => What::LostCentre(rng.random_range(0..CENTRES.len())),
            0..28 => What::Signal("KILL", part),
            28..34 => What::Signal("TERM", part),
            34..52 => What::Stop(part),
            52..57 => What::Link("cut", Link::Cut),
            57..62 => What::Link("silent", Link::Silent),
            62..67 => What::Link("slow", slow),
            67..70 => What::LockedDatabase,
            70..76 => What::Twins,
            76..79 => What::QueueDiskFull,
            79..81 => What::DatabaseDiskFull,
            81..85 => What::Drain,
            85..95 => {
                let is_database = matches!(
                    part,
                    Part::RegionalMariaDb | Part::CentralMariaDb | Part::StandbyMariaDb
                );
                // For minutes after that, less is claimed, and a clock that goes back would say nothing.
                let part = if is_database && rng.random_bool(0.8) {
                    Part::Worker
                } else {
                    part
                };
                What::Clock(part, if rng.random_bool(0.5) { STEP_S } else { -STEP_S })
            }
            _ => What::Readers,
        };
        let lasts_ms = match what {
            What::Stop(Part::Worker) | What::StopPoint(_) if rng.random_bool(LONG_OF_WORKERS) => LONG_MS,
            _ if !rng.random_bool(LONG) => BRIEF_MS,
            What::Link(..) => LONG_LINK_MS,
            _ => LONG_MS,
        };
        Self {
            what,
            region: world.regions.choose(rng).unwrap().clone(),
            number: rng.random_range(0..2),
            lasts: Duration::from_millis(rng.random_range(lasts_ms)),
        }
    }

    pub(crate) fn kind(&self) -> String {
        match self.what {
            What::Signal(signal, part) => format!("{part:?} {signal}"),
            What::Stop(part) => format!("{part:?} STOP"),
            What::Link(how, _) => format!("link {how}"),
            What::Clock(part, step_s) => format!("{part:?} clock {step_s:+} s"),
            What::PowerCut(Power::Centre(centre)) => format!("power cut of {centre}"),
            What::PowerCut(of) => format!("power cut of {of:?}"),
            What::CrashPoints(..) => "crash points in pairs".to_owned(),
            What::StopPoint(_) => "stop at a point".to_owned(),
            What::LostCentre(number) => format!("disk of {} lost", CENTRES[number]),
            what => format!("{what:?}"),
        }
    }

    /// Begins, lasts and ends. Returns whether it happened: a disk that is missing, or full already, cannot be filled.
    pub(crate) async fn happen(&self, world: &World, traffic: &Traffic) -> bool {
        match self.what {
            What::Signal("TERM", part) => end(self.pid(world, part)).await,
            What::Signal(signal, part) => send(signal, self.pid(world, part)).await,
            What::Stop(part) => {
                let pid = self.pid(world, part);
                let stopped = send("STOP", pid).await;
                tokio::time::sleep(self.lasts).await;
                // It may have been killed meanwhile.
                send("CONT", pid).await;
                stopped
            }
            What::Link(_, link) => {
                let relay = world.link(&self.region);
                relay.set(link);
                tokio::time::sleep(self.lasts).await;
                relay.set(Link::Open);
                true
            }
            What::LockedDatabase => self.lock_database(world).await.is_ok(),
            What::Twins => self.put_twins(&world.rig, traffic).await,
            What::QueueDiskFull => self.fill_queue(world, traffic).await,
            What::DatabaseDiskFull => self.fill_database(world).await,
            What::Drain => self.drain(world).await,
            What::Clock(part, step_s) => self.set_clock(world, traffic, part, step_s).await,
            What::Readers => readers::disturb(&world.rig, self.lasts).await,
            What::PowerCut(of) => self.cut_power(world, of).await,
            What::CrashPoints(one, other) => self.halt_at(world, &[one, other], How::Kill).await,
            What::StopPoint(name) => self.halt_at(world, &[name], How::Stop).await,
            What::LostCentre(number) => world.lose_centre(traffic, number).await,
        }
    }

    /// The region whose disks are small has none that forget.
    async fn cut_power(&self, world: &World, of: Power) -> bool {
        let region = if self.region == SMALL { "us" } else { &self.region };
        let queue = format!("{region}/beanstalkd");
        let database = format!("{}/mariadb", world.place(region));
        let servers = match of {
            Power::Queue => vec![queue],
            Power::Database => vec![database],
            Power::Region => vec![queue, database],
            Power::Centre(centre) => vec![centre.to_owned()],
            Power::Everything => vec![queue, database, "central".to_owned(), "standby".to_owned()],
        };
        let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
        let Ok(_alone) = world.power.try_lock() else {
            return false;
        };
        world.machines.cut(&world.rig, &servers).await;
        true
    }

    /// One of these or both. Returns whether a process has come there.
    async fn halt_at(&self, world: &World, names: &[&str], how: How) -> bool {
        names.iter().for_each(|name| world.failpoints.arm(name, how));
        tokio::time::sleep(self.lasts).await;
        let mut was_taken = false;
        for name in names {
            let Some(pid) = world.failpoints.disarm(name) else {
                continue;
            };
            was_taken = true;
            let halted = async {
                while !matches!(state(pid), None | Some('T')) {
                    tokio::time::sleep(GONE_POLL).await;
                }
            };
            // Otherwise another fault has let it go on already.
            if tokio::time::timeout(HALTS_WITHIN, halted).await.is_ok() {
                send("CONT", Some(pid)).await;
            }
        }
        was_taken
    }

    async fn drain(&self, world: &World) -> bool {
        let pid = self.pid(world, Part::Beanstalkd);
        let drained = send("USR1", pid).await;
        tokio::time::sleep(self.lasts).await;
        send("TERM", pid).await;
        drained
    }

    async fn set_clock(&self, world: &World, traffic: &Traffic, part: Part, step_s: i32) -> bool {
        let process = self.process(world, part);
        let is_centre = matches!(part, Part::CentralMariaDb | Part::StandbyMariaDb);
        let base_s = if process.starts_with("us/") {
            world.off_s
        } else {
            0
        };
        let is_queue = part == Part::Beanstalkd;
        // One whose clock was set back syncs nothing for so long: until it is started again, and what came before that was seen is on the
        // disk by and by, no power may go.
        let alone = world.power.try_lock();
        if is_queue && alone.is_err() {
            return false;
        }
        let _alone = alone.ok().filter(|_| is_queue);
        // What a centre says is by its own clock.
        let _set = is_centre.then(|| traffic.truth.centres_clock_is_set(step_s));
        for (ahead_s, lasts) in [(base_s + step_s, self.lasts), (base_s, CLOCK_IS_SEEN)] {
            world.rig.set_clock(&process, ahead_s);
            if part == Part::RegionalMariaDb {
                traffic.truth.regions_clock_was_set();
            }
            tokio::time::sleep(lasts).await;
        }
        if is_queue {
            send("TERM", self.pid(world, part)).await;
            world.machines.sync();
        }
        true
    }

    /// As the playground calls it.
    fn process(&self, world: &World, part: Part) -> String {
        let (region, number) = (&self.region, self.number + 1);
        match part {
            Part::Collector => format!("{region}/collector-{number}"),
            Part::Worker => format!("{region}/worker-{number}"),
            Part::Beanstalkd => format!("{region}/beanstalkd"),
            Part::RegionalMariaDb => format!("{}/mariadb", world.place(region)),
            Part::CentralMariaDb => "central/mariadb".to_owned(),
            Part::StandbyMariaDb => "standby/mariadb".to_owned(),
            Part::Api => "api".to_owned(),
            Part::Keeper => "keeper".to_owned(),
            Part::StandbyKeeper => "standby/keeper".to_owned(),
        }
    }

    fn pid(&self, world: &World, part: Part) -> Option<u32> {
        // The playground removes it only when it stops.
        let description: Description = world.rig.description();
        let region = &description.regions[&self.region];
        let standby = description.standby.as_ref();
        match part {
            Part::Collector => region.pids.collector.all().get(self.number).copied(),
            Part::Worker => region.pids.worker.all().get(self.number).copied(),
            Part::Beanstalkd => Some(region.pids.beanstalkd),
            Part::RegionalMariaDb => Some(world.database(&self.region).pid),
            Part::CentralMariaDb => Some(description.central.pid),
            Part::StandbyMariaDb => standby.map(|standby| standby.database.pid),
            Part::StandbyKeeper => standby.and_then(|standby| standby.keeper),
            Part::Api => description.pids.api,
            Part::Keeper => description.pids.keeper,
        }
    }

    async fn lock_database(&self, world: &World) -> Result<(), String> {
        let root = world.database(&self.region).root();
        let mut conn = root.connect().await.map_err(|error| error.to_string())?;
        let lock = "START TRANSACTION; SELECT * FROM eventtracker.CountedTotal FOR UPDATE";
        conn.query_drop(lock).await.map_err(|error| error.to_string())?;
        tokio::time::sleep(self.lasts).await;
        Ok(())
    }

    async fn put_twins(&self, rig: &Rig, traffic: &Traffic) -> bool {
        let id = uuid(rand::random());
        let (name, counts) = (
            format!("twin.{id}"),
            json!({ FIRST_MINUTE.to_string(): [[0, 1]] }),
        );
        let job =
            json!({ "accepted": FIRST_MINUTE, "names": [name], "batches": [{ "id": id, "counts": counts }] });
        let (body, mut stored, mut ledger) = (job.to_string(), 0, Ledger::default());
        for _ in 0..2 {
            match try_put(rig, &self.region, body.as_bytes()).await {
                Ok(reply) if reply.contains("INSERTED") => stored += 1,
                // beanstalkd refused it, or cannot be reached.
                Ok(reply) if !reply.is_empty() => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                // The reply was lost.
                _ => ledger.doubtful(&name, FIRST_MINUTE, 1),
            }
        }
        if stored > 0 {
            ledger = Ledger::default();
            ledger.acknowledged(&name, FIRST_MINUTE, 1);
        }
        traffic.merge(ledger);
        stored == 2
    }

    async fn fill_queue(&self, world: &World, traffic: &Traffic) -> bool {
        let Ok((disk, _)) = &world.disks.0 else {
            return false;
        };
        let Ok(disk) = disk.try_lock() else { return false };
        disk.fill();
        traffic.merge(pad_queue(&world.rig, SMALL).await);
        tokio::time::sleep(self.lasts).await;
        disk.free();
        true
    }

    async fn fill_database(&self, world: &World) -> bool {
        let Ok((_, disk)) = &world.disks.0 else {
            return false;
        };
        let Ok(disk) = disk.try_lock() else { return false };
        if world.has_moved(SMALL) {
            return false;
        }
        disk.fill();
        tokio::time::sleep(self.lasts).await;
        disk.free();
        true
    }
}
