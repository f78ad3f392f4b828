//! The state of each centre, as far as it is known, and the order in which they are asked.

use model::Timestamp;

/// Milliseconds that a centre may be behind another one. A centre that is further behind has been cut off or restored: it is not in
/// charge while another one answers.
pub const BEHIND_MS_MAX: i64 = 30_000;

/// Milliseconds behind another within which a centre that was behind, or away, has caught up. Less than [`BEHIND_MS_MAX`], so that
/// one whose lag is near the limit does not change places at each look.
const CAUGHT_UP_MS_MAX: i64 = 5_000;

/// The state of a centre, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Whether it answered when it was last asked, or any of its servers did; `None` before the first look.
    pub(crate) answers: Option<bool>,
    /// Its `complete_until` as last seen; looked at only where there are several centres.
    pub(crate) complete_until: Option<Timestamp>,
    /// Whether it is too far behind another one to be preferred to it.
    is_behind: bool,
    /// Whether one of its servers does not answer.
    is_partly_away: bool,
}

/// Indices of the centres to ask, one after the other: those that are believed to answer, in the order of preference, the ones behind
/// last; all where none is.
pub(super) fn order(states: &[Known]) -> Vec<usize> {
    let all = 0..states.len();
    // A centre that nobody has looked at yet is among them: the first requests need not wait for the first look.
    let mut answering: Vec<usize> = all
        .clone()
        .filter(|&at| states[at].answers != Some(false))
        .collect();
    // A centre may be back sooner than the next look sees it.
    if answering.is_empty() {
        return all.collect();
    }
    // Behind is last, not left out: its counts are better than none. The sort is stable, so the order of preference stays.
    answering.sort_by_key(|&at| (states[at].is_partly_away, states[at].is_behind));
    answering
}

impl Known {
    /// The state after it answered, or all but some of its servers did. `newest` is the latest `complete_until` of the others that answer.
    pub(super) fn seen(
        self,
        complete_until: Option<Timestamp>,
        newest: Option<Timestamp>,
        is_partly_away: bool,
    ) -> Self {
        let limit_ms = if self.is_behind || self.answers == Some(false) {
            CAUGHT_UP_MS_MAX
        } else {
            BEHIND_MS_MAX
        };
        let is_behind = newest.is_some_and(|newest| {
            complete_until.is_none_or(|complete_until| newest.ms_since(complete_until) > limit_ms)
        });
        Self {
            answers: Some(true),
            complete_until,
            is_behind,
            is_partly_away,
        }
    }

    /// The state after it did not answer. What was seen before is kept, for the status.
    pub(super) fn silent(self) -> Self {
        Self {
            answers: Some(false),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answering(is_behind: bool) -> Known {
        Known {
            answers: Some(true),
            is_behind,
            ..Known::default()
        }
    }

    #[test]
    fn the_first_that_answers_and_is_not_behind_is_in_charge() {
        let (well, behind, silent) = (answering(false), answering(true), answering(false).silent());
        let partly_away = well.seen(None, None, true);
        assert_eq!(order(&[partly_away, behind]), [1, 0]);
        assert_eq!(order(&[partly_away, silent]), [0]);
        assert_eq!(order(&[Known::default()]), [0]);
        assert_eq!(order(&[well, well]), [0, 1]);
        assert_eq!(order(&[behind, well]), [1, 0]);
        assert_eq!(
            order(&[silent, behind]),
            [1],
            "nobody waits for one that is silent"
        );
        assert_eq!(order(&[silent, silent]), [0, 1], "unless there is no other");
    }

    #[test]
    fn a_centre_that_was_behind_or_away_is_back_when_it_has_caught_up() {
        let at = |s: i64| Some(Timestamp::from_unix_ms(s * 1000));
        let is_behind = |before: Known, own, newest| before.seen(own, newest, false).is_behind;
        let (well, behind) = (answering(false), answering(true));
        assert!(!is_behind(well, at(70), at(100)));
        assert!(is_behind(well, at(69), at(100)));
        assert!(is_behind(behind, at(94), at(100)));
        assert!(!is_behind(behind, at(95), at(100)));
        assert!(is_behind(well.silent(), at(94), at(100)), "it has been away");
        assert!(is_behind(well, None, at(100)), "it does not know how far it is");
        assert!(!is_behind(well, None, None), "none of them does");
    }
}
