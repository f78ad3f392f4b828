//! Alarms about clients, by EventTracker's own counts of what they do.

use std::collections::BTreeMap;

use model::{CERTIFICATE_TROUBLE, TOKENS_FILE_REFUSED, Timestamp, own_count};
use store::upkeep::Alarm;

use crate::alarms::alarm;

/// Milliseconds for which an alarm stands after what it is about was last counted.
const STANDS_MS: i64 = 600_000;

/// Most clients that a sentence names.
const NAMED_MAX: usize = 5;

/// How far EventTracker's own counts were, and when each was seen to grow.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Whether they were looked at before.
    are_known: bool,
    seen: BTreeMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    count: u64,
    /// When it was last seen to grow; `None` for one that has not grown since it was first seen.
    grew: Option<Timestamp>,
}

impl Counts {
    /// Takes note of the counts at `now`, and returns the alarms that follow from those that grew lately. One that is new since the first
    /// look has grown.
    pub(crate) fn alarms(&mut self, counts: Vec<(String, u64)>, now: Timestamp) -> Vec<Alarm> {
        let is_first_look = !std::mem::replace(&mut self.are_known, true);
        for (name, count) in counts {
            let seen = self.seen.entry(name).or_insert(Seen {
                count: if is_first_look { count } else { 0 },
                grew: None,
            });
            if count > seen.count {
                *seen = Seen {
                    count,
                    grew: Some(now),
                };
            }
        }
        let is_recent = |seen: &Seen| seen.grew.is_some_and(|grew| now.ms_since(grew) < STANDS_MS);
        let mut recent = self
            .seen
            .iter()
            .filter(|(_, seen)| is_recent(seen))
            .map(|(name, _)| name.as_str());
        let overflowing: Vec<&str> = recent
            .clone()
            .filter_map(|name| own_count(name).filter(|(_, what)| *what == "overflowed"))
            .map(|(client, _)| client)
            .collect();
        let mut alarms = Vec::new();
        if !overflowing.is_empty() {
            alarms.push(alarm("", "names_overflow", names_sentence(&overflowing)));
        }
        if recent.clone().any(|name| name == CERTIFICATE_TROUBLE) {
            let sentence = "the certificate of a collector ends soon, or a changed one cannot be used: its log and /readyz say which, and until when";
            alarms.push(alarm("", "certificate", sentence.to_owned()));
        }
        if recent.any(|name| name == TOKENS_FILE_REFUSED) {
            let sentence = "a collector goes on with the tokens that it had, since its file of tokens cannot be used: its log and /readyz say \
                            why, and 'eventtracker token check' does";
            alarms.push(alarm("", "tokens_file", sentence.to_owned()));
        }
        alarms
    }
}

fn names_sentence(clients: &[&str]) -> String {
    let more = match clients.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "tokens count more names than names_max allows: what is beyond goes to __overflow__.NAME, and nothing is lost; is an id or a time \
         part of a name? {}{more}",
        clients[..clients.len().min(NAMED_MAX)].join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_raises_an_alarm_for_a_while() {
        let mut counts = Counts::default();
        let at = |ms| Timestamp::from_unix_ms(1_763_787_600_000 + ms);
        let seen = |shop, refused| {
            vec![
                ("eventtracker.client.shop.events".to_owned(), 7),
                ("eventtracker.client.shop.overflowed".to_owned(), shop),
                (TOKENS_FILE_REFUSED.to_owned(), refused),
            ]
        };
        let mut kinds = |counted, ms| -> Vec<String> {
            let alarms = counts.alarms(counted, at(ms));
            alarms.into_iter().map(|alarm| alarm.kind).collect()
        };
        assert!(kinds(seen(5, 1), 0).is_empty(), "nobody knows when that was");
        assert_eq!(kinds(seen(6, 1), 1_000), ["names_overflow"]);
        assert_eq!(kinds(seen(6, 2), 2_000), ["names_overflow", "tokens_file"]);
        assert_eq!(kinds(seen(6, 2), STANDS_MS + 1_500), ["tokens_file"]);
        assert!(kinds(seen(6, 2), STANDS_MS + 2_000).is_empty());
        let new = vec![("eventtracker.client.app.overflowed".to_owned(), 1)];
        let alarms = counts.alarms(new, at(STANDS_MS + 3_000));
        assert!(
            alarms[0].sentence.ends_with("part of a name? app"),
            "{}",
            alarms[0].sentence
        );
    }

    #[test]
    fn what_is_new_since_the_first_look_has_grown() {
        let mut counts = Counts::default();
        let now = Timestamp::from_unix_ms(1_763_787_600_000);
        assert!(counts.alarms(Vec::new(), now).is_empty());
        let new = vec![(TOKENS_FILE_REFUSED.to_owned(), 1)];
        assert_eq!(counts.alarms(new, now)[0].kind, "tokens_file");
    }

    #[test]
    fn a_sentence_names_some_and_counts_the_rest() {
        let clients = ["a", "b", "c", "d", "e", "f", "g"];
        assert!(names_sentence(&clients).ends_with("a, b, c, d, e and 2 more"));
    }
}
