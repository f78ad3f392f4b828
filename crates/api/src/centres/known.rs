//! What is known of each centre, and which of them is asked first.

use model::Instant;

/// A centre that is further behind another has been cut off or restored: it is not in charge while another one answers.
pub const BEHIND_MS_MAX: i64 = 30_000;

/// How close a centre that was behind, or away, has to come before it is in charge again.
const CAUGHT_UP_MS_MAX: i64 = 5_000;

/// What is known of a centre.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// `None` before the first look.
    pub(crate) answers: Option<bool>,
    /// As last seen; looked at only where there are several centres.
    pub(crate) complete_until: Option<Instant>,
    /// Too far behind another one to be preferred to it.
    is_behind: bool,
}

/// The centres to ask, one after the other: those that are believed to answer, the ones behind last; all where none is.
pub(super) fn order(states: &[Known]) -> Vec<usize> {
    let all = 0..states.len();
    let mut answering: Vec<usize> = all
        .clone()
        .filter(|&at| states[at].answers != Some(false))
        .collect();
    if answering.is_empty() {
        return all.collect();
    }
    answering.sort_by_key(|&at| states[at].is_behind);
    answering
}

impl Known {
    /// After it answered. `newest` is the most that another one, which answers, has.
    pub(super) fn seen(self, complete_until: Option<Instant>, newest: Option<Instant>) -> Self {
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
        }
    }

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
            complete_until: None,
            is_behind,
        }
    }

    #[test]
    fn the_first_that_answers_and_is_not_behind_is_in_charge() {
        let (well, behind, silent) = (answering(false), answering(true), answering(false).silent());
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
        let at = |s: i64| Some(Instant::from_unix_ms(s * 1000));
        let is_behind = |before: Known, own, newest| before.seen(own, newest).is_behind;
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
