//! The events of a burst: the same ones each time they are gone through, so that peers get what the pipeline got, and
//! so that nothing but their sums has to be kept.

use std::time::SystemTime;

use anyhow::{Context, Result};
use model::{Day, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::events::{self, Name};

#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) names: Vec<Name>,
    pub(crate) events: u64,
    first_unix_s: i64,
    seconds: usize,
    seed: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    /// Index of the name.
    pub(crate) name: usize,
    /// Counted from the first.
    pub(crate) second: usize,
    pub(crate) count: u64,
}

/// What the events of each name and minute add up to.
#[derive(Debug)]
pub(crate) struct Sums {
    first_minute: i64,
    minutes: usize,
    /// Name by name, minute by minute.
    sums: Vec<u64>,
}

impl Workload {
    /// Events of `names` fresh names at random seconds of the last `minutes`.
    pub(crate) fn new(names: u32, events: u64, minutes: u32) -> Result<Self> {
        let now_s = Timestamp::from(SystemTime::now()).unix_ms() / 1000;
        let seconds = 60 * i64::from(minutes);
        Ok(Self {
            names: events::names(usize::try_from(names)?)?,
            events,
            first_unix_s: now_s - seconds,
            seconds: usize::try_from(seconds)?,
            seed: rand::random(),
        })
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = Event> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        (0..self.events).map(move |_| Event {
            name: rng.random_range(0..self.names.len()),
            second: rng.random_range(0..self.seconds),
            count: rng.random_range(1..=9),
        })
    }

    /// Unix seconds of every second.
    pub(crate) fn seconds(&self) -> Vec<String> {
        (self.first_unix_s..)
            .take(self.seconds)
            .map(|unix_s| unix_s.to_string())
            .collect()
    }

    pub(crate) fn first_unix_s(&self) -> i64 {
        self.first_unix_s
    }

    pub(crate) fn sums(&self) -> Result<Sums> {
        let first_minute = self.first_unix_s.div_euclid(60);
        // The first minute began before the first second.
        let offset = usize::try_from(self.first_unix_s.rem_euclid(60))?;
        let minutes = (offset + self.seconds).div_ceil(60);
        let mut sums = vec![0; self.names.len() * minutes];
        for event in self.events() {
            sums[event.name * minutes + (offset + event.second) / 60] += event.count;
        }
        Ok(Sums::new(60 * first_minute, minutes, sums))
    }
}

impl Sums {
    /// `sums` name by name, of so many minutes from `first_unix_s` on.
    pub(crate) fn new(first_unix_s: i64, minutes: usize, sums: Vec<u64>) -> Self {
        Self {
            first_minute: first_unix_s.div_euclid(60),
            minutes,
            sums,
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.sums.iter().sum()
    }

    /// The days of the first and the last minute.
    pub(crate) fn days(&self) -> (Day, Day) {
        let minutes = i64::try_from(self.minutes).unwrap_or(i64::MAX);
        let last_minute = self.first_minute.saturating_add(minutes - 1);
        (
            Day::containing(60 * self.first_minute),
            Day::containing(last_minute.saturating_mul(60)),
        )
    }

    /// Takes off what is stored for a name and minute.
    ///
    /// # Errors
    /// A minute without events, or a count that is larger than the sum.
    pub(crate) fn take(&mut self, name: usize, unix_s: i64, count: u64) -> Result<()> {
        let minute = usize::try_from(unix_s.div_euclid(60) - self.first_minute)
            .ok()
            .filter(|&minute| minute < self.minutes && unix_s.rem_euclid(60) == 0)
            .with_context(|| format!("{count} are stored at {unix_s}, where nothing was sent"))?;
        let left = &mut self.sums[name * self.minutes + minute];
        *left = left
            .checked_sub(count)
            .with_context(|| format!("{count} are stored at {unix_s} where {left} were sent"))?;
        Ok(())
    }

    /// What no [`Sums::take`] took off: names and minutes, and their counts.
    pub(crate) fn left(&self) -> (usize, u64) {
        let left = self.sums.iter().filter(|&&sum| sum > 0);
        (left.clone().count(), left.sum())
    }
}
