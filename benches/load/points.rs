//! A history to load: points of many names in the order of time, as each receiver wants them.

use std::f64::consts::TAU;
use std::time::SystemTime;

use anyhow::Result;
use model::{Day, MINUTES_PER_DAY};
use rand::SeedableRng;
use rand::distr::Distribution;
use rand::rngs::StdRng;
use rand_distr::Poisson;

use crate::burst::delivery::Request;
use crate::events::{self, Name};

/// How far the mean goes up and down within a day, as a part of it.
const CURVE: f64 = 0.6;

/// Counts name by name, minute by minute.
pub(crate) struct History {
    pub(crate) names: Vec<Name>,
    pub(crate) first_unix_s: i64,
    pub(crate) minutes: usize,
    pub(crate) counts: Vec<u64>,
    pub(crate) points: u64,
}

impl History {
    /// So many complete days up to yesterday, with counts around a mean that a daily curve moves.
    pub(crate) fn generate(names: u32, days: u32, mean: f64) -> Result<Self> {
        let minutes_per_day = u32::try_from(MINUTES_PER_DAY)?;
        let means = (0..minutes_per_day).map(|minute| {
            let part = f64::from(minute) / f64::from(minutes_per_day);
            Poisson::new(mean * (1.0 - CURVE * (TAU * part).cos()))
        });
        let means: Vec<Poisson<f64>> = means.collect::<Result<_, _>>()?;
        let minutes = MINUTES_PER_DAY * usize::try_from(days)?;
        let mut rng = StdRng::seed_from_u64(rand::random());
        let names = events::names(usize::try_from(names)?)?;
        let mut counts = Vec::with_capacity(names.len() * minutes);
        for _ in &names {
            for of_minute in means.iter().cycle().take(minutes) {
                counts.push(format!("{:.0}", of_minute.sample(&mut rng)).parse()?);
            }
        }
        let today = Day::containing(model::Timestamp::from(SystemTime::now()).unix_ms() / 1000);
        Ok(Self {
            names,
            first_unix_s: today.unix_s() - 86_400 * i64::from(days),
            minutes,
            points: counts.iter().filter(|&&count| count > 0).count() as u64,
            counts,
        })
    }

    pub(crate) fn end_unix_s(&self) -> i64 {
        self.times()
            .last()
            .map_or(self.first_unix_s, |unix_s| unix_s + 60)
    }

    fn times(&self) -> Vec<i64> {
        (self.first_unix_s..).step_by(60).take(self.minutes).collect()
    }

    /// In Influx's line protocol, with times in milliseconds.
    pub(crate) fn influx(&self, minutes_per_request: usize) -> Vec<Vec<u8>> {
        let heads: Vec<String> = self
            .names
            .iter()
            .map(|name| format!("events,name={} count=", name.name))
            .collect();
        let mut requests = Vec::new();
        for (number, minutes) in self.times().chunks(minutes_per_request).enumerate() {
            let mut body = String::new();
            for (minute, unix_s) in (number * minutes_per_request..).zip(minutes) {
                for (name, head) in heads.iter().enumerate() {
                    let count = self.counts[name * self.minutes + minute];
                    if count > 0 {
                        body += &format!("{head}{count} {unix_s}000\n");
                    }
                }
            }
            requests.push(body.into_bytes());
        }
        requests
    }

    /// By collector, each in the order of time.
    pub(crate) fn requests(&self, bases: &[String], minutes_per_request: usize) -> Vec<Vec<Request>> {
        let heads: Vec<String> = self
            .names
            .iter()
            .map(|name| format!(r#"{{"name":"{}","count":"#, name.name))
            .collect();
        let run = self.names.first().map_or("", |name| name.name.as_str());
        let mut queues: Vec<Vec<Request>> = bases.iter().map(|_| Vec::new()).collect();
        for (number, minutes) in self.times().chunks(minutes_per_request).enumerate() {
            let mut body = String::new();
            let mut events = 0;
            for (minute, unix_s) in (number * minutes_per_request..).zip(minutes) {
                for (name, head) in heads.iter().enumerate() {
                    let count = self.counts[name * self.minutes + minute];
                    if count > 0 {
                        body += &format!("{head}{count},\"timestamp\":{unix_s}}}\n");
                        events += 1;
                    }
                }
            }
            if events > 0 {
                let at = number % bases.len();
                let key = format!("{run}/{number}");
                queues[at].push(Request::new(&bases[at], Some(&key), body.as_bytes(), events));
            }
        }
        queues
    }
}
